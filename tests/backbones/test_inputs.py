"""What a backbone is given, and the layout in which its stream flows."""

import pytest
import torch
from tiny_networks import TINY, shared, spec

from iln.backbones import SwinIRSpec, from_spec
from iln.errors import InputError
from iln.layers.forward_pass import Strips


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        torch.zeros(1, 1, 8, 8),
        torch.zeros(3, 8, 8),
        torch.zeros(1, 8, 8, 3),
    ],
)
def test_anything_but_a_batch_of_floating_point_pictures_is_refused(image: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"accepted is floating point \(B, 3, H, W\)"):
        shared(spec("swinir", "ln"))(image)


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (1, 3, 0, 8), (1, 3, 8, 0)])
def test_no_pixels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="no pixels"):
        shared(spec("swinir", "i-ln"))(torch.zeros(shape))


def test_strips_are_for_inference() -> None:
    model = shared(spec("swinir", "i-ln"))
    with pytest.raises(InputError, match="inference_mode"):
        model(torch.rand(1, 3, 8, 8), Strips(4))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("backbone", TINY)
def test_the_stream_is_contiguous(backbone: str, channels: int, batch: int) -> None:
    """Otherwise every norm and every window would copy the map."""
    model = shared(spec(backbone, "i-ln")) if channels == 3 else gray(backbone)
    seen = []
    hooks = [
        layer.register_forward_hook(
            lambda _, inputs, output: seen.extend(
                [inputs[0].is_contiguous(), output.is_contiguous()]
            )
        )
        for layer in model.layers
    ]
    with torch.no_grad():
        model(torch.rand(batch, channels, 9, 6))
    for hook in hooks:
        hook.remove()
    assert seen
    assert all(seen)


def gray(backbone: str) -> torch.nn.Module:
    from dataclasses import replace

    return from_spec(replace(spec(backbone, "i-ln"), in_chans=1)).eval()


def test_drop_path_reaches_from_zero_to_its_rate() -> None:
    rates = SwinIRSpec(depths=(2, 3), num_heads=(6, 6), drop_path=0.2).drop_paths()
    assert rates == [[0.0, pytest.approx(0.05)], [pytest.approx(0.1), pytest.approx(0.15), 0.2]]
