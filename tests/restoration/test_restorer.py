"""`iln.restore` and `iln.Restorer`: what goes in, what comes out, and what is refused."""

import copy
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_models import SPECS, photo, small_model, small_spec, whole

import iln
from iln.errors import InputError
from iln.images import Picture, psnr_y, read, resize, write
from iln.restoration.restorer import find_device

DTYPES = [np.uint8, np.uint16, np.float16, np.float32, np.float64]
DEMO = Path(__file__).parents[2] / "demo"


@pytest.fixture(scope="module")
def restorer() -> iln.Restorer:
    return iln.Restorer(small_model(small_spec()), memory="64GB", device="cpu")


def as_dtype(image: NDArray[np.float32], dtype: Any) -> NDArray[Any]:
    if np.dtype(dtype).kind == "f":
        return image.astype(dtype)
    return np.rint(image * np.iinfo(dtype).max).astype(dtype)


def to_unit(image: NDArray[Any]) -> NDArray[np.float64]:
    full = 1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
    return np.asarray(image / np.float64(full))


# --- what goes in, what comes out ------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(9, 10), (9, 10, 1), (9, 10, 2), (9, 10, 3), (9, 10, 4)])
def test_the_result_is_of_the_same_kind(
    restorer: iln.Restorer, shape: tuple[int, ...], dtype: Any
) -> None:
    image = as_dtype(photo(9, 10, shape[2] if len(shape) == 3 else 1).reshape(shape), dtype)
    before = image.copy()
    result = restorer(image)
    assert result.dtype == dtype
    assert result.shape == (18, 20, *shape[2:])
    np.testing.assert_array_equal(image, before)
    # The dtype decides on the rounding and on nothing else.
    reference = restorer(to_unit(image).astype(np.float32))
    step = 1 / np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else np.finfo(dtype).eps
    np.testing.assert_allclose(to_unit(result), reference, rtol=0, atol=max(0.51 * step, 1e-6))


def test_values_are_rounded_and_clipped(restorer: iln.Restorer) -> None:
    image = photo(12, 12) * np.float32(1.8) - np.float32(0.4)  # beyond [0, 1], as some tools give
    result = iln.restore(image, small_model(small_spec(scale=1)))
    assert result.min() == 0 and result.max() == 1
    eight = restorer(as_dtype(photo(12, 12), np.uint8))
    exact = restorer(as_dtype(photo(12, 12), np.uint8) / np.float32(255)) * 255
    np.testing.assert_array_equal(eight, np.rint(exact))


@pytest.mark.parametrize("order", ["flipped", "transposed", "fortran", "sliced", "big-endian"])
def test_any_layout_of_an_array(restorer: iln.Restorer, order: str) -> None:
    image = as_dtype(photo(12, 10), np.uint16)
    layouts = {
        "flipped": image[::-1, ::-1],
        "transposed": image.transpose(1, 0, 2),
        "fortran": np.asfortranarray(image),
        "sliced": image[1::2, ::3],
        "big-endian": image.astype(">u2"),
    }
    odd = layouts[order]
    image = odd.astype(np.uint16)
    np.testing.assert_array_equal(restorer(odd), restorer(np.ascontiguousarray(image)))
    image.setflags(write=False)
    np.testing.assert_array_equal(restorer(image), restorer(odd))


@pytest.mark.parametrize("backbone", SPECS)
def test_gray_with_an_rgb_model(backbone: str) -> None:
    model = small_model(small_spec(backbone))
    gray = photo(9, 10, 1)
    expected = whole(model, np.repeat(gray, 3, 2))
    result = iln.restore(gray[..., 0], model)
    assert result.shape == (18, 20)
    # The mean of three clipped channels is the clipped mean only where nothing is clipped.
    inside = ((expected > 0) & (expected < 1)).all(2)
    assert inside.mean() > 0.3
    np.testing.assert_allclose(result[inside], expected.mean(2)[inside], rtol=0, atol=2e-5)


def test_rgb_with_a_gray_model() -> None:
    model = small_model(small_spec(in_chans=1))
    image = photo(9, 10)
    expected = np.concatenate([whole(model, image[..., i : i + 1]) for i in range(3)], 2)
    np.testing.assert_allclose(iln.restore(image, model), expected, rtol=0, atol=2e-5)
    gray = iln.restore(image[..., 0], model)
    np.testing.assert_allclose(gray, expected[..., 0], rtol=0, atol=2e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_alpha_is_restored_as_a_gray_picture(
    restorer: iln.Restorer, channels: int, dtype: Any
) -> None:
    colours, alpha = (as_dtype(photo(9, 10, n, seed=n), dtype) for n in (channels, 1))
    result = restorer(np.concatenate([colours, alpha], 2))
    np.testing.assert_array_equal(result[..., :-1], restorer(colours))
    np.testing.assert_array_equal(result[..., -1:], restorer(alpha))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_opaque_stays_opaque(restorer: iln.Restorer, channels: int, dtype: Any) -> None:
    colours = as_dtype(photo(9, 10, channels), dtype)
    full = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    result = restorer(np.concatenate([colours, np.full_like(colours[..., :1], full)], 2))
    assert result.dtype == dtype
    assert (result[..., -1] == full).all()
    np.testing.assert_array_equal(result[..., :-1], restorer(colours))


def test_pictures_keep_what_belongs_to_them(restorer: iln.Restorer) -> None:
    pixels, alpha = (as_dtype(photo(9, 10, n), np.uint16) for n in (3, 1))
    picture = Picture(pixels, alpha[..., 0], icc=b"icc", exif=b"II", dpi=(300, 300))
    result = restorer.restore_picture(picture)
    assert (result.icc, result.exif, result.dpi) == (b"icc", b"II", (300, 300))
    assert result.alpha is not None and result.alpha.dtype == np.uint16
    np.testing.assert_array_equal(result.pixels, restorer(pixels))
    np.testing.assert_array_equal(result.alpha, restorer(alpha)[..., 0])


@pytest.mark.parametrize("as_type", [str, Path])
def test_a_file(restorer: iln.Restorer, tmp_path: Path, as_type: Any) -> None:
    pixels, alpha = (as_dtype(photo(9, 10, n), np.uint16) for n in (3, 1))
    write(Picture(pixels), tmp_path / "rgb.png")
    write(Picture(pixels, alpha[..., 0]), tmp_path / "rgba.png")
    np.testing.assert_array_equal(restorer(as_type(tmp_path / "rgb.png")), restorer(pixels))
    both = np.concatenate([pixels, alpha], 2)
    np.testing.assert_array_equal(restorer(as_type(tmp_path / "rgba.png")), restorer(both))


def test_restore_loads_a_file_of_weights(tmp_path: Path) -> None:
    model = small_model(small_spec())
    iln.save(model, tmp_path / "tiny.safetensors")
    image = photo(9, 10)
    for given in (model, tmp_path / "tiny.safetensors", str(tmp_path / "tiny.safetensors")):
        np.testing.assert_allclose(iln.restore(image, given), whole(model, image), atol=2e-5)


def test_the_shipped_model_beats_bicubic() -> None:
    small = read(DEMO / "budgie-small.png").pixels[64:192, 64:192]
    original = read(DEMO / "budgie.webp").pixels[128:384, 128:384]
    better = psnr_y(iln.restore(small, "sr-x2"), original, border=2)
    assert better > psnr_y(resize(small, 2), original, border=2) + 1


# --- one restorer, many pictures ---------------------------------------------------------------


def test_many_pictures_one_after_the_other(scratch: Path) -> None:
    model = small_model(small_spec())
    for memory in ("64GB", "1MB"):
        restorer = iln.Restorer(model, memory=memory, device="cpu")
        for size in [(9, 10), (1, 1), (20, 3), (9, 10)]:
            image = photo(*size)
            np.testing.assert_allclose(restorer(image), whole(model, image), rtol=0, atol=2e-5)


def test_several_threads(restorer: iln.Restorer) -> None:
    images = [as_dtype(photo(5 + i, 30 - i, 1 + i % 4, seed=i), np.uint8) for i in range(12)]
    expected = [restorer(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(restorer, images * 2))
    for result, alone in zip(results, expected * 2, strict=True):
        np.testing.assert_array_equal(result, alone)


def test_threads_wait_for_each_other() -> None:
    """Two pictures at once would take the memory of two."""
    restorer = iln.Restorer(small_model(small_spec()), memory="64GB", device="cpu")
    running: list[int] = []
    at_once: list[int] = []

    def begin(*arguments: object) -> None:
        running.append(1)
        at_once.append(len(running))
        time.sleep(0.01)

    restorer.model.register_forward_pre_hook(begin)
    restorer.model.register_forward_hook(lambda *arguments: running.pop() and None)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(restorer, [photo(4, 4)] * 8))
    assert at_once == [1] * 8


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("chans", [1, 3])
@pytest.mark.parametrize("memory", ["64GB", "1MB"])
def test_progress_goes_up_to_one(
    channels: int, chans: int, memory: str, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iln.restoration.plan.STRIP", 1)
    restorer = iln.Restorer(small_model(small_spec(in_chans=chans)), memory=memory, device="cpu")
    shares: list[float] = []
    restorer(photo(27, 10, channels), progress=shares.append)
    assert len(shares) > 20
    assert 0 < shares[0] < 0.1
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    # Even steps: no long silence, and no end before the end.
    assert np.diff(shares).max() < 0.1
    assert shares[-3] < 1.0


@pytest.mark.parametrize("backbone", SPECS)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_progress_ends_at_the_end(backbone: str, scale: int) -> None:
    model = small_model(small_spec(backbone, scale=scale))
    shares: list[float] = []
    iln.Restorer(model, memory="64GB", device="cpu")(photo(4, 4), progress=shares.append)
    assert shares[-1] == 1.0
    assert shares[-3] < 1.0 and shares[-2] > 0.99  # counted, not only set at the end


# --- the model ---------------------------------------------------------------------------------


def test_the_callers_model_stays_as_it_is() -> None:
    model = copy.deepcopy(small_model(small_spec()))
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    iln.restore(photo(8, 8), model, precision="bf16")
    assert model.training
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name].dtype and torch.equal(tensor, before[name])
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_refused_picture_changes_nothing(restorer: iln.Restorer) -> None:
    expected = restorer(photo(8, 8))
    with pytest.raises(InputError):
        restorer(np.zeros((8, 8, 5), np.uint8))
    np.testing.assert_array_equal(restorer(photo(8, 8)), expected)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 5), np.uint8), r"shape \(4, 4, 5\); accepted"),
        (np.zeros((1, 3, 4, 4), np.uint8), r"shape \(1, 3, 4, 4\); accepted"),
        (np.zeros(4, np.uint8), r"shape \(4,\); accepted"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 0), np.uint8), "no pixels"),
        (np.zeros((4, 4), np.int64), "int64; accepted are uint8, uint16, and float"),
        (np.zeros((4, 4), np.int8), "int8"),
        (np.zeros((4, 4), bool), "bool"),
        (np.zeros((4, 4), complex), "complex128"),
        (np.full((4, 4), None), "object"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.full((4, 4), np.inf), "not finite"),
        (np.full((4, 4), 255.0), "255.*divide by 255"),
        (np.full((4, 4), -1.0), r"-1 .*must be in \[0, 1\]"),
        (None, "of type NoneType"),
        ("no-such-file.png", "no-such-file.png: no such file"),
    ],
)
def test_refused_pictures(restorer: iln.Restorer, image: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        restorer(image)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "no precision 'fp8'; accepted: auto, fp32, bf16, fp16"),
        ({"device": "tpu"}, "no device 'tpu'; accepted: auto, cpu, cuda, mps"),
        ({"memory": "banana"}, "'banana' is no size"),
        ({"memory": "1KB"}, "'1KB' is no sensible size"),
        ({"model": "sr-x22"}, "did you mean sr-x2"),
        ({"model": "nothing.pth"}, "no file is called 'nothing.pth'"),
    ],
)
def test_refused_options(options: dict[str, Any], message: str) -> None:
    given = {"model": small_model(small_spec()), **options}
    with pytest.raises(InputError, match=message):
        iln.restore(photo(4, 4), **given)


def test_answers_are_only_for_files() -> None:
    with pytest.raises(InputError, match="norm: only for a model from a file"):
        iln.Restorer(small_model(small_spec()), norm="ln")


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert find_device("auto") == find_device("cpu") == torch.device("cpu")
    for name in ("cuda", "mps"):
        with pytest.raises(InputError, match=f"no {name} device here; --device cpu always works"):
            find_device(name)
    with pytest.raises(InputError, match="no device 'CPU'"):
        find_device("CPU")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert find_device("auto") == torch.device("cpu")  # found, but nothing runs there
    monkeypatch.setattr("iln.restoration.restorer._runs", lambda device: True)
    assert find_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_device_that_is_too_small_gives_way_if_it_was_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    restorer = iln.Restorer(small_model(small_spec()), device=device)
    image = np.zeros((5, 6, 3), np.uint8)
    expected = restorer(image)
    restorer.device = torch.device("mps")  # as if it had been found and were nearly full
    monkeypatch.setattr(restorer, "_budget", lambda: 1 if restorer.device.type == "mps" else 2**40)
    if device == "cpu":
        with pytest.raises(InputError, match="use --device cpu"):
            restorer(image)
    else:
        assert np.array_equal(restorer(image), expected)
        assert restorer.device.type == "cpu"


# --- memory and precision ----------------------------------------------------------------------


def test_a_budget_that_cannot_be_kept_is_told(
    scratch: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "iln")
    iln.restore(photo(8, 8), small_model(small_spec()), memory="10MB", device="cpu")
    assert "8 x 8 pixels need about" in caplog.text
    assert "10 MB" in caplog.text
    caplog.clear()
    iln.restore(photo(8, 8), small_model(small_spec()), device="cpu")
    assert caplog.text == ""


@pytest.mark.parametrize("backbone", SPECS)
@pytest.mark.parametrize(("precision", "decibels"), [("fp32", 120), ("fp16", 55), ("bf16", 35)])
def test_half_precision_is_close(backbone: str, precision: str, decibels: int) -> None:
    model = small_model(small_spec(backbone))
    image = photo(24, 20)
    result = iln.restore(image, model, precision=precision, device="cpu")
    assert result.dtype == np.float32
    error = np.square(result.astype(np.float64) - whole(model, image)).mean()
    assert -10 * np.log10(error + 1e-15) > decibels
    if precision != "fp32":
        assert error > 1e-9  # it was indeed computed in fewer bits


def test_half_precision_with_maps_on_disk(scratch: Path) -> None:
    model = small_model(small_spec())
    image = photo(24, 20)
    in_memory, on_disk = (
        iln.restore(image, model, memory=memory, precision="bf16", device="cpu")
        for memory in ("64GB", "1MB")
    )
    assert -10 * np.log10(np.square(in_memory - on_disk).mean() + 1e-15) > 35


def test_overflow_names_the_precision() -> None:
    model = copy.deepcopy(small_model(small_spec(norm="ln")))
    model.conv_first.weight.data *= 1e6  # LayerNorm takes it out again, but float16 ends at 65504
    image = photo(8, 8)
    assert np.isfinite(iln.restore(image, model)).all()
    with pytest.raises(InputError, match="not finite in fp16: use --precision fp32"):
        iln.restore(image, model, precision="fp16", device="cpu")


def test_broken_weights() -> None:
    model = copy.deepcopy(small_model(small_spec()))
    model.conv_first.weight.data[0, 0, 0, 0] = torch.nan
    for dtype in (np.uint8, np.float32):
        image = as_dtype(photo(8, 8), dtype)
        with pytest.raises(InputError, match=r"not finite in fp32: the model's weights are broken"):
            iln.restore(image, model, device="cpu")


def test_an_option_that_is_none() -> None:
    with pytest.raises(TypeError, match="unexpected option 'presision'; there are device, engine"):
        iln.Restorer("photo", presision="fp32")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected option 'size'"):
        iln.evaluate("photo", "folder", size=3)  # type: ignore[call-arg]
