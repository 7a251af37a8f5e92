"""Strips, maps on disk and any budget give what the plain forward of the whole picture gives."""

import logging
from pathlib import Path

import numpy as np
import pytest
from small_models import SPECS, UPSAMPLERS, photo, small_model, small_spec, whole

import iln
from iln.backbones import Backbone

SIZES = [(1, 1), (1, 7), (7, 1), (13, 17), (31, 5), (8, 12), (3, 41)]
PLANS = ["whole", "strips", "disk"]


def restorer(model: Backbone, plan: str, monkeypatch: pytest.MonkeyPatch) -> iln.Restorer:
    """`strips` and `disk` go a row of windows at a time."""
    if plan == "strips":
        monkeypatch.setattr("iln.restoration.plan.STRIP", 1)
    return iln.Restorer(model, memory="1MB" if plan == "disk" else "64GB", device="cpu")


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("norm", ["ln", "in", "i-ln"])
@pytest.mark.parametrize("backbone", SPECS)
def test_every_norm_and_size(
    backbone: str,
    norm: str,
    plan: str,
    monkeypatch: pytest.MonkeyPatch,
    scratch: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "iln")
    model = small_model(small_spec(backbone, norm))
    restore = restorer(model, plan, monkeypatch)
    for size in SIZES:
        caplog.clear()
        image = photo(*size)
        expected = whole(model, image)
        np.testing.assert_allclose(restore(image), expected, rtol=0, atol=2e-5, err_msg=str(size))
        assert ("temporary files" in caplog.text) == (plan == "disk")
    assert ((expected > 0) & (expected < 1)).mean() > 0.5 and expected.std() > 0.05


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("scale", UPSAMPLERS)
@pytest.mark.parametrize("backbone", SPECS)
def test_every_scale(
    backbone: str, scale: int, plan: str, monkeypatch: pytest.MonkeyPatch, scratch: Path
) -> None:
    model = small_model(small_spec(backbone, scale=scale, img_range=255.0))
    restore = restorer(model, plan, monkeypatch)
    for size in [(1, 1), (19, 11)]:
        image = photo(*size)
        before = image.copy()
        result = restore(image)
        assert result.shape == (size[0] * scale, size[1] * scale, 3)
        np.testing.assert_allclose(result, whole(model, image), rtol=0, atol=2e-5)
        np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("upsampler", ["pixelshuffledirect", ""])
@pytest.mark.parametrize("plan", PLANS)
def test_cells_that_are_enlarged(
    plan: str, upsampler: str, monkeypatch: pytest.MonkeyPatch, scratch: Path
) -> None:
    model = small_model(small_spec(unshuffle=2, upsampler=upsampler))
    image = photo(19, 11)
    result = restorer(model, plan, monkeypatch)(image)
    assert result.shape == (38, 22, 3)
    np.testing.assert_allclose(result, whole(model, image), rtol=0, atol=2e-5)


@pytest.mark.parametrize("norm", ["ln*", "bn", "rms", "layerscale", "rezero", "none"])
def test_the_other_norms_on_disk(norm: str, monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    model = small_model(small_spec(norm=norm))
    image = photo(19, 11)
    result = restorer(model, "disk", monkeypatch)(image)
    np.testing.assert_allclose(result, whole(model, image), rtol=0, atol=2e-5)


def test_a_very_wide_picture(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    model = small_model(small_spec())
    image = photo(1, 5000)
    result = restorer(model, "disk", monkeypatch)(image)
    np.testing.assert_allclose(result, whole(model, image), rtol=0, atol=2e-5)
