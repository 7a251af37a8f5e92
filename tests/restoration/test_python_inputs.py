"""Pictures as Python programs hold them: what comes in comes out, and nothing is misread."""

import io
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from small_models import photo, small_model, small_spec

import iln
from iln.errors import InputError
from iln.restoration.inputs import as_input
from iln.restoration.pipeline import _Masked


@pytest.fixture(scope="module")
def restorer() -> iln.Restorer:
    return iln.Restorer(small_model(small_spec()), device="cpu")


def image(channels: int = 3) -> np.ndarray:
    array = np.rint(photo(9, 10, channels) * 255).astype(np.uint8)
    return array[..., 0] if channels == 1 else array


def as_array(picture: Any) -> np.ndarray:
    return np.asarray(picture)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pillow_pictures(mode: str, restorer: iln.Restorer) -> None:
    given = Image.fromarray(image()).convert(mode)
    result = restorer(given)
    assert isinstance(result, Image.Image)
    assert (result.mode, result.size) == (mode, (20, 18))
    assert np.array_equal(as_array(result), restorer(as_array(given)))


@pytest.mark.parametrize(
    ("mode", "plain"),
    [("P", "RGB"), ("1", "L"), ("YCbCr", "RGB"), ("HSV", "RGB"), ("PA", "RGBA"), ("LAB", "RGB")],
)
def test_pillows_palettes_and_colour_models_become_what_they_mean(
    mode: str, plain: str, restorer: iln.Restorer
) -> None:
    source = Image.fromarray(image())
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        given = ImageCms.profileToProfile(source, *profiles, outputMode="LAB")
    else:
        given = source.convert("P").convert("PA") if mode == "PA" else source.convert(mode)
    result = restorer(given)
    assert result.mode == plain
    assert np.array_equal(as_array(result), restorer(as_array(given.convert(plain))))


def test_a_palette_with_transparency(restorer: iln.Restorer) -> None:
    given = Image.fromarray(image()).convert("P")
    given.info["transparency"] = 3
    result = restorer(given)
    assert result.mode == "RGBA"
    assert np.array_equal(as_array(result), restorer(as_array(given.convert("RGBA"))))


def test_cmyk_is_shown_as_it_prints(restorer: iln.Restorer) -> None:
    paper = Image.new("CMYK", (10, 9), (0, 0, 0, 0))
    ink = Image.new("CMYK", (10, 9), (0, 255, 255, 0))
    assert restorer(paper).mode == "RGB"
    assert (as_input(paper).array == 255).all()
    red = as_input(ink).array.reshape(-1, 3).mean(0)
    assert red[0] > 200
    assert max(red[1:]) < 80


def test_16_bits_of_pillow(restorer: iln.Restorer) -> None:
    deep = np.rint(photo(9, 10, 1)[..., 0] * 65535).astype(np.uint16)
    expected = restorer(deep)
    for given in (Image.fromarray(deep), Image.fromarray(deep.astype(np.int32))):
        result = restorer(given)
        assert result.mode == "I;16"
        assert np.array_equal(as_array(result), expected)
    with pytest.raises(InputError, match="accepted are 0 to 65535"):
        restorer(Image.fromarray(deep.astype(np.int32) * 2))


def test_floats_of_pillow(restorer: iln.Restorer) -> None:
    values = photo(9, 10, 1)[..., 0].astype(np.float32)
    assert np.array_equal(as_array(restorer(Image.fromarray(values))), restorer(values))
    with pytest.raises(InputError, match=r"floats must be in \[0, 1\]"):
        restorer(Image.fromarray(values * 255))


def test_what_a_pillow_picture_carries_goes_along(restorer: iln.Restorer, tmp_path: Path) -> None:
    Image.fromarray(image()).save(tmp_path / "a.png", dpi=(300, 300), icc_profile=b"profile")
    with Image.open(tmp_path / "a.png") as given:
        result = restorer(given)
    assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert result.info["icc_profile"] == b"profile"


def test_files_and_bytes(restorer: iln.Restorer, tmp_path: Path) -> None:
    Image.fromarray(image()).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    expected = restorer(image())
    with (tmp_path / "a.png").open("rb") as file:
        names = (str(tmp_path / "a.png"), tmp_path / "a.png")
        spread = bytearray(2 * len(data))
        spread[::2] = data
        views = (memoryview(data), memoryview(spread)[::2])
        for given in (*names, data, bytearray(data), *views, io.BytesIO(data), file):
            assert np.array_equal(restorer(given), expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.float32, torch.float64, torch.float16, torch.bfloat16]
)
def test_tensors(channels: int, dtype: torch.dtype, restorer: iln.Restorer) -> None:
    values = torch.from_numpy(photo(9, 10, channels).astype(np.float32)).permute(2, 0, 1)
    given = (values * 255).round().to(dtype) if dtype == torch.uint8 else values.to(dtype)
    result = restorer(given)
    assert (result.dtype, result.device, result.shape) == (dtype, given.device, (channels, 18, 20))
    array = given.float().numpy() if dtype == torch.bfloat16 else given.numpy()
    expected = torch.from_numpy(restorer(array.transpose(1, 2, 0))).permute(2, 0, 1).to(dtype)
    assert torch.equal(result, expected)
    both = restorer(torch.stack([given, given.flip(2)]))
    assert both.shape == (2, channels, 18, 20)
    assert torch.equal(both[0], result)
    assert torch.equal(both[1], restorer(given.flip(2)))


def test_a_tensor_that_needs_a_gradient_and_one_of_gray(restorer: iln.Restorer) -> None:
    gray = torch.rand(9, 10, requires_grad=True)
    result = restorer(gray)
    assert result.shape == (18, 20)
    assert not result.requires_grad


def test_arrays_however_they_lie_in_memory(restorer: iln.Restorer) -> None:
    array = image()
    expected = restorer(array)
    frozen = array.copy()
    frozen.flags.writeable = False
    turned = np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]
    for given in (frozen, turned, np.asfortranarray(array), array.repeat(2, 1)[:, ::2]):
        assert np.array_equal(restorer(given), expected)
    matrix = array[..., 0].view(np.matrix)
    assert np.array_equal(restorer(matrix), restorer(array[..., 0]))
    negative = torch.view_as_complex(torch.rand(3, 9, 10, 2) - 1).conj().imag
    assert negative.is_neg()
    assert torch.equal(restorer(negative), restorer(negative.clone()))


def truncated() -> Image.Image:
    buffer = io.BytesIO()
    Image.effect_noise((99, 99), 50).save(buffer, "PNG")
    return Image.open(io.BytesIO(buffer.getvalue()[:4000]))


def closed() -> io.BytesIO:
    file = io.BytesIO(b"x")
    file.close()
    return file


def test_lists(restorer: iln.Restorer) -> None:
    shares: list[float] = []
    first, second = restorer([image(), Image.fromarray(image())], progress=shares.append)
    assert isinstance(first, np.ndarray)
    assert isinstance(second, Image.Image)
    assert np.array_equal(first, as_array(second))
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "type NoneType; accepted are a file's name"),
        (3, "type int"),
        ([], "an empty list"),
        ({"a": 1}, "type dict"),
        (torch.zeros(9, 10, 3), r"tensor has shape \(9, 10, 3\); accepted are"),
        (torch.zeros(2, 3, 4, 5, 6), "tensor has shape"),
        (torch.zeros(3, 9, 10, dtype=torch.int64), "image is int64; accepted are uint8"),
        (np.zeros((9, 10, 3), bool), "image is bool"),
        (torch.full((3, 9, 10), 200.0), "divide by 255"),
        (torch.rand(3, 9, 10).to_sparse(), "tensor is torch.sparse_coo"),
        (torch.zeros(3, 9, 10, device="meta"), "on meta"),
        (torch.zeros(3, 9, 10).to(torch.float8_e4m3fn), "torch.float8_e4m3fn"),
        (np.array(3), r"shape \(\); accepted are"),
        (np.zeros((9, 10, 3), complex), "image is complex128"),
        (truncated(), "a picture of Pillow's cannot be decoded: .*truncated"),
        (Image.new("RGB", (0, 5)), "of 0 x 5: no pixels"),
        (closed(), "the picture: cannot be read: I/O operation on closed file"),
        (io.BytesIO(), r"is empty, or stands at its end; seek\(0\)"),
        ("a\0b.png", "no such file"),
    ],
)
def test_refused(given: Any, expected: str, restorer: iln.Restorer) -> None:
    with pytest.raises(InputError, match=expected):
        restorer(given)


def test_a_result_that_is_too_large_for_any_memory() -> None:
    same = small_model(small_spec(scale=1, upsampler=""))
    with pytest.raises(InputError, match="a result of 1000000 x 10000000 pixels is too large"):
        iln.restore(np.zeros((10, 1, 3), np.uint8), same, size="1000000x", device="cpu")


def test_several_models_strength_and_size_in_python() -> None:
    same = small_model(small_spec(scale=1, upsampler=""))
    array = image()
    once = iln.restore(array, same, device="cpu")
    assert np.array_equal(iln.restore(array, [same, same], device="cpu"), iln.restore(once, same))
    half = iln.restore(array, same, strength=0.5, device="cpu")
    assert np.abs(half - (array.astype(float) + once) / 2).max() <= 0.5
    assert iln.restore(array, same, size="25x", device="cpu").shape == (22, 25, 3)
    faded = (array // 2 + 60).astype(np.uint8)
    assert np.ptp(iln.restore(faded, same, unfade=True, device="cpu")) > 200
    floats = iln.restore((faded / 255).astype(np.float32), same, unfade=True, device="cpu")
    assert np.ptp(floats) > 0.8


def test_old_print_is_a_chain() -> None:
    chain = iln.Pipeline(["old-print"], device="cpu")
    array = image()
    steps = iln.Pipeline(["scratches", "photo"], unfade=True, device="cpu")
    assert np.array_equal(chain(array), steps(array))
    assert chain.scale == 1
    for take in (iln.Restorer, iln.load):
        with pytest.raises(InputError, match=r"is a chain of models \(scratches, photo\)"):
            take("old-print")


def test_a_chain_among_other_models() -> None:
    then = iln.Pipeline(["sharp-x4", "photo"], device="cpu")
    array = image(channels=4)
    assert (then.scale, then.result_size(22, 30)) == (4, (88, 120))
    steps = iln.Pipeline(["sharp-x2", "sr-x2", "photo"], device="cpu")
    assert np.array_equal(then(array), steps(array))


@pytest.mark.parametrize(("per_pixel", "sides"), [(1e-6, [64, 64, 256]), (1e-3, [64, 64])])
def test_the_time_of_a_pixel_is_found_on_pieces_that_suit_it(
    per_pixel: float, sides: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A size that no memory holds: it does not belong to the time of a pixel.
    pipeline = iln.Pipeline(small_model(small_spec()), size="1000000x", device="cpu")
    clock, seen = [0.0], []

    def slowly(colours: np.ndarray, *rest: Any) -> tuple[np.ndarray, None]:
        seen.append(len(colours))
        clock[0] += per_pixel * colours[..., 0].size
        return colours, None

    monkeypatch.setattr(pipeline, "_restore_arrays", slowly)
    monkeypatch.setattr("iln.restoration.pipeline.time.perf_counter", lambda: clock[0])
    assert pipeline.seconds_per_pixel() == pytest.approx(per_pixel)
    assert seen == sides


def test_models_in_any_collection_and_compiled() -> None:
    model = small_model(small_spec())
    expected = iln.restore(image(), model, device="cpu")
    assert expected.shape == (18, 20, 3)
    for models in (
        [model],
        (one for one in [model]),
        iter([model]),
        torch.compile(model, backend="eager"),
    ):
        assert np.array_equal(iln.restore(image(), models, device="cpu"), expected)
    assert np.array_equal(
        iln.Restorer(torch.compile(model, backend="eager"), device="cpu")(image()), expected
    )


@pytest.mark.parametrize("model", [3, b"photo", torch.nn.Identity(), [None], object()])
def test_what_is_no_model_is_told(model: Any) -> None:
    with pytest.raises(InputError, match=r"a model of type .*; accepted are a shipped model's"):
        iln.restore(image(), model)
    with pytest.raises(InputError, match="accepted are a shipped model's"):
        iln.Restorer(model)
    with pytest.raises(InputError, match="accepted are a shipped model's"):
        iln.load(model)


@pytest.mark.parametrize(
    ("strength", "message"),
    [
        ("0.5", "strength '0.5': must be from 0 to 1, such as 0.5"),
        ([0.5], "must be from 0 to 1, such as 0.5"),
        (np.array([0.5, 0.5]), "must be from 0 to 1, such as 0.5"),
        (Fraction(3, 2), "strength 1.5: must be from 0 to 1"),
        (10**400, "must be from 0 to 1, such as 0.5"),
    ],
)
def test_strengths_that_are_none(strength: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        iln.Pipeline(small_model(small_spec()), strength=strength)


def test_strengths_and_sizes_of_other_types() -> None:
    model = small_model(small_spec())
    expected = iln.restore(image(), model, strength=0.5, device="cpu")
    for strength in (Fraction(1, 2), Decimal("0.5"), np.float32(0.5), torch.tensor(0.5)):
        given: Any = strength
        result = iln.restore(image(), model, strength=given, device="cpu")
        assert np.array_equal(result, expected)
    for size in (400, (40, 40), Path("400x")):
        wrong: Any = size
        with pytest.raises(InputError, match="is no text; give one such as '4000x'"):
            iln.restore(image(), model, size=wrong)
    assert iln.Restorer(model, memory=np.float32(2e9)).memory == 2_000_000_000


def test_autocast_around_it_changes_nothing(restorer: iln.Restorer) -> None:
    expected = restorer(image() / 255)
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(restorer(image() / 255), expected)


def test_without_a_model_nothing_is_restored() -> None:
    for nothing in ([], (), iter([])):
        with pytest.raises(InputError, match="no model; name one at least"):
            iln.restore(image(), nothing)
    with pytest.raises(InputError, match="did you mean old-print"):
        iln.Pipeline("old-prnt")


def test_masks_of_bool_in_every_form() -> None:
    same = small_model(small_spec(scale=1, upsampler=""))
    array, mask = image(), np.zeros((9, 10), bool)
    mask[:, 5:] = True
    expected = iln.restore(array, same, mask=mask.astype(np.uint8) * 255, device="cpu")
    assert not np.array_equal(expected, array)
    for form in (mask, mask[..., None], torch.from_numpy(mask), torch.from_numpy(mask)[None]):
        assert np.array_equal(iln.restore(array, same, mask=form, device="cpu"), expected)


@pytest.mark.parametrize("options", [{}, {"strength": 0.3}, {"mask": np.zeros((9, 10), np.uint8)}])
def test_results_of_what_is_unclipped_are_in_range(options: dict[str, Any]) -> None:
    far = (image() / 255 * 1.6 - 0.3).astype(np.float32)
    given = {"strength": 1.0} | options
    mask = given.pop("mask", None)
    same = small_model(small_spec(scale=1, upsampler=""))
    pipeline: Any = iln.Pipeline(same, device="cpu", **given)
    if mask is not None:
        pipeline = _Masked(pipeline, mask)
    result = pipeline(far, unclipped=True)
    assert result.min() >= 0 and result.max() <= 1


def test_a_gray_picture_of_pillow_with_a_table_of_transparency(restorer: iln.Restorer) -> None:
    given = Image.fromarray(image(1))
    given.info["transparency"] = bytes(range(256))  # as of a palette, which it has not
    assert restorer(given).mode == "L"
