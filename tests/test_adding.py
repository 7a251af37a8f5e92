"""A norm, a task or a command is one class or function and one row; a backbone is one file and one
row. Nothing else has to know. CONTRIBUTING.md shows these very examples."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

import iln
from iln.backbones import BACKBONES, Backbone, Spec, SwinIRSpec, from_spec
from iln.backbones.residual_stream import divide_stream, stream_powers
from iln.backbones.shapes import Shapes, common_fields
from iln.deploy.export import export
from iln.errors import InputError
from iln.kernels.moments import moments
from iln.lab.dynamics import diagnose, judge
from iln.lab.paper import scale
from iln.lab.tasks import TASKS, Metric, Pixels, Range, Task
from iln.lab.tasks.ranges import Within
from iln.lab.tasks.scores import PSNR_RGB, SSIM_Y
from iln.lab.training import Recipe, train
from iln.layers.forward_pass import WHOLE, Checkpointed, Strips
from iln.layers.swin import SwinBlock
from iln.norm import NORMS, Norm, PerChannel, Statistics, standardizing

TINY: dict[str, Any] = {"embed_dim": 12, "depths": (1, 1), "num_heads": (2, 2), "window": 4}


class RootMeanSquare(Norm):
    """One root mean square for the whole image, and the branch multiplied by it again."""

    title, carries_scale = "whole-image RMS", True

    def __init__(self, dim: int, eps: float | None = None) -> None:
        super().__init__(dim, eps)
        self.weight = nn.Parameter(torch.ones(dim))

    def statistics(self, x: Tensor) -> Statistics:
        mean, variance = moments(x, (1, 2, 3))  # in float32, also of half precision
        square = variance + mean.square()
        return Statistics(torch.zeros_like(mean), torch.sqrt(square + self.eps))

    def per_channel(self, stats: Statistics | None) -> PerChannel:
        return standardizing(stats, self.weight, torch.zeros_like(self.weight))

    def normalize(self, x: Tensor, stats: Statistics | None) -> Tensor:
        return self.per_channel(stats)(x)

    def rescale(self, y: Tensor, stats: Statistics | None) -> Tensor:
        assert stats is not None
        return y * stats.sigma


@dataclass(frozen=True, kw_only=True)
class PlainSpec(Spec):
    """One Swin block a group, and nothing around it."""


class Plain(Backbone):
    title = "Plain"
    mark = "layers.0.attn.relative_position_bias_table"
    spec: PlainSpec

    def groups(self) -> list[nn.Module]:
        spec = self.spec
        return [
            SwinBlock(
                spec.embed_dim,
                heads,
                spec.window,
                shift=spec.window // 2 if i % 2 else 0,
                mlp_ratio=spec.mlp_ratio,
                qkv_bias=spec.qkv_bias,
                norm=spec.norm,
                eps=spec.eps,
                drop_path=0.0,
            )
            for i, heads in enumerate(spec.num_heads)
        ]

    @staticmethod
    def read_shapes(shapes: Shapes) -> dict[str, Any]:
        found = common_fields(shapes, "")
        return found | {"depths": (1,) * len(found["num_heads"])}


class Posterize(Task):
    """Few levels of each colour, as old screens had them."""

    scale: Literal[1] = 1
    tested: ClassVar = ("levels", {f"levels {count}": count for count in (4, 8)})
    levels: Annotated[Range, Within(2, 64, whole=True)] = Range(4, 16)
    """How many; from a range they are drawn for each picture."""

    def degrade(self, target: Pixels, rng: np.random.Generator) -> Pixels:
        step = 255 / (self.levels.draw_whole(rng) - 1)
        return np.rint(np.rint(target / step) * step).astype(np.uint8)

    def metrics(self) -> dict[str, Metric]:
        return {"psnr_rgb": PSNR_RGB, "ssim_y": SSIM_Y}


def sizes(
    pictures: Annotated[list[Path], typer.Argument(metavar="IN...", help="Pictures.")],
) -> None:
    """Print how wide and high pictures are."""
    from iln.images import read  # slow imports wait until the command runs

    for file in pictures:
        picture = read(file)
        typer.echo(f"{file}  {picture.width}x{picture.height}")


@pytest.fixture
def norm(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(NORMS, "rms*", RootMeanSquare)
    return "rms*"


@pytest.fixture
def backbone(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(BACKBONES, "plain", (PlainSpec, Plain))
    return "plain"


def everything_works(model: Backbone, folder: Path) -> None:
    """Whole, checkpointed and in strips; saved; restoring; converted; rescued; diagnosed."""
    torch.manual_seed(0)
    image = torch.rand(1, 3, 10, 13)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.rand_like(parameter))
        expected = model.eval()(image)
        torch.testing.assert_close(model(image, Strips(4)), expected, rtol=0, atol=1e-5)
    for run in (WHOLE, Checkpointed()):
        model.train()(image, run).square().mean().backward()
    model.eval()
    file = folder / "model.safetensors"
    iln.save(model, file)
    again = iln.load(file)
    assert again.spec == model.spec
    with torch.no_grad():
        assert torch.equal(again(image), expected)
    pixels = iln.Restorer(file, device="cpu", memory="80MB")(np.zeros((10, 13, 3), np.float32))
    assert pixels.shape == (20, 26, 3)
    assert iln.convert(model, "i-ln").spec.norm == "i-ln"
    assert stream_powers(model)
    divide_stream(model, [3] * len(model.spec.depths))
    with torch.no_grad():
        small = model(image)
    torch.testing.assert_close(small, expected, rtol=0, atol=2e-2 * float(expected.abs().max()))
    found = diagnose(again, [image])
    assert judge(found).findings


def openvino_agrees(model: Backbone) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    from iln.deploy.openvino import compiled

    image = torch.rand(1, 3, 10, 13)
    with torch.inference_mode():
        found, expected = compiled(model, "fp32")(image, Strips(4)), model(image)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_a_norm_in_half_precision() -> None:
    module = RootMeanSquare(12)
    x = 3000 * torch.randn(2, 8, 8, 12, generator=torch.manual_seed(0))
    stats = module.statistics(x.half())
    found = module.normalize(x.half(), stats)
    assert found.dtype == torch.float16 and stats.sigma.dtype == torch.float32
    torch.testing.assert_close(found.float(), module(x), rtol=2e-3, atol=2e-3)


def test_a_norm(norm: str, tmp_path: Path) -> None:
    model = from_spec(SwinIRSpec(**TINY, norm=norm, scale=2, upsampler="pixelshuffledirect"))
    everything_works(model, tmp_path)
    openvino_agrees(model)
    assert iln.build("swinir-light-x2", norm).spec.norm == norm
    in_the_paper = importlib.reload(scale)  # which is imported after the row is added, as a rule
    try:
        assert in_the_paper.TITLES[norm] == RootMeanSquare.title
        arms = in_the_paper.scale_of("smoke").arms((norm,))
        assert [recipe.norm for recipe in arms[norm]] == [norm] * len(arms[norm])
    finally:
        importlib.reload(scale)


def test_a_backbone(backbone: str, tmp_path: Path) -> None:
    spec = PlainSpec(**TINY, norm="ln", scale=2, upsampler="pixelshuffledirect")
    model = from_spec(spec)
    published = tmp_path / "published.pth"
    torch.save({"params": model.state_dict()}, published)
    assert iln.load(published).spec == spec
    everything_works(model, tmp_path)
    openvino_agrees(model)


def test_a_block_under_another_name_is_not_taken_for_none(backbone: str) -> None:
    class Renamed(Plain):
        def groups(self) -> list[nn.Module]:
            return [nn.Sequential(nn.Conv2d(12, 12, 1)) for _ in self.spec.depths]

    spec = PlainSpec(**TINY, norm="ln", scale=2, upsampler="pixelshuffledirect")
    with pytest.raises(TypeError, match="Renamed: has no block with a FeedForward called `mlp`"):
        Renamed(spec)


def test_a_block_without_its_powers_is_not_rescued(
    backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(SwinBlock, "branch_powers")
    spec = PlainSpec(**TINY, norm="ln", scale=2, upsampler="pixelshuffledirect")
    with pytest.raises(InputError, match="SwinBlock does not say its branch_powers"):
        stream_powers(from_spec(spec))


def test_others_have_no_code_for_it(
    backbone: str, norm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(spec: Spec) -> str:
        iln.save(from_spec(spec), tmp_path / "m.safetensors", overwrite=True)
        with pytest.raises(InputError) as error:
            export(tmp_path / "m.safetensors", tmp_path / "m.pth", to="official")
        return str(error.value)

    common = {**TINY, "scale": 2, "upsampler": "pixelshuffle"}
    assert "has a plain" in refused(PlainSpec(**common, norm="ln"))
    assert "plug-in" not in refused(SwinIRSpec(**common, norm=norm))
    assert "plug-in" in refused(SwinIRSpec(**common, norm="i-ln"))
    # A field that nobody has thought of here is not left out in silence.
    monkeypatch.setattr("iln.deploy.export.official._TOLD", {"norm", "scale"})
    assert "cannot say embed_dim 12" in refused(SwinIRSpec(**common, norm="ln"))


@pytest.mark.slow
def test_both_exported(norm: str, backbone: str, tmp_path: Path) -> None:
    spec = PlainSpec(**TINY, norm=norm, scale=2, upsampler="pixelshuffledirect")
    weights, graph = tmp_path / "plain.safetensors", tmp_path / "plain.pt2"
    iln.save(from_spec(spec), weights)
    export(weights, graph, to="torch")
    program = torch.export.load(graph).module()
    image = torch.rand(1, 3, 12, 20)
    with torch.no_grad():
        torch.testing.assert_close(program(image), iln.load(weights)(image), rtol=0, atol=1e-5)


def draw(folder: Path) -> Path:
    folder.mkdir()
    ramp = np.linspace(0, 255, 40 * 48 * 3).reshape(40, 48, 3).astype(np.uint8)
    for name in ("a", "b"):
        Image.fromarray(ramp).save(folder / f"{name}.png")
    return folder


def test_a_task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(TASKS, "posterize", Posterize)
    pictures = draw(tmp_path / "pictures")
    recipe = Recipe(
        backbone="swinir-light-x2",
        spec={**TINY, "depths": [1], "num_heads": [2], "upsampler": "", "unshuffle": 2},
        task="posterize",
        scale=1,
        data=(pictures,),
        validation=(pictures,),
        patch=16,
        batch=2,
        steps=2,
        precision="fp32",
        tensorboard=False,
        device="cpu",
    )
    run = tmp_path / "run"
    train(recipe, run, say=lambda *_: None)
    result = iln.evaluate(run / "last.safetensors", pictures, task="posterize", device="cpu")
    assert {score.protocol for score in result.scores} == {"levels 4", "levels 8"}


def test_a_command(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(sizes)
    done = CliRunner().invoke(app, [str(draw(tmp_path / "pictures") / "a.png")])
    assert done.output.endswith("a.png  48x40\n")


def test_contributing_shows_what_is_tested_here() -> None:
    page = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    here = Path(__file__).read_text("utf-8")
    assert len(blocks) == 4
    for block in blocks:
        assert block in here, block
