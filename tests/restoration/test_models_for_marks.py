"""Models that take marks away change nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_models import photo, small_model, small_spec

import iln
from iln.backbones import SwinIR
from iln.images import Picture
from iln.images.mask import LEAST, changed_mask, within_mask
from iln.restoration.limits import Limits

TASK = "scratches: takes marks away"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Its changes are as large as the least that counts: some are marks, and some are not."""
    network = copy.deepcopy(small_model(small_spec(scale=1)))
    assert isinstance(network, SwinIR)
    image = pictures()[0]
    change = iln.Restorer(network, precision="fp32")(image).astype(int) - image
    share = 255 * LEAST / 2 / np.percentile(np.abs(change).max(2), 70)
    network.conv_last.weight.data *= share
    network.conv_last.bias.data *= share
    iln.save(network, tmp_path / "marks.safetensors", task=TASK)
    return tmp_path / "marks.safetensors"


def transposed(image: np.ndarray) -> np.ndarray:
    return image.swapaxes(0, 1)


def half_turned(image: np.ndarray) -> np.ndarray:
    return image[::-1, ::-1]


def expected(
    image: np.ndarray, model: Path, turn: Callable[[np.ndarray], np.ndarray] = transposed
) -> np.ndarray:
    """Where the network, which says nothing of a task, changes it enough, either way."""
    restore = iln.Restorer(iln.load(model), precision="fp32")
    after, other = restore(image), turn(restore(np.ascontiguousarray(turn(image))))
    changes = [np.abs(x.astype(float) - image).max(2, keepdims=True) for x in (after, other)]
    assert 0.1 < (changes[1] < changes[0]).mean() < 0.9  # both of them count
    after = np.where(changes[1] < changes[0], other, after)
    return within_mask(image, after, changed_mask(image, after))


def pictures() -> list[np.ndarray]:
    bytes_ = (photo(40, 60) * 255).astype(np.uint8)
    return [bytes_, photo(40, 60), (photo(40, 60) * 65535).astype(np.uint16)]


@pytest.mark.parametrize("number", range(3))
def test_what_is_changed_a_little_is_as_it_was(model: Path, number: int) -> None:
    image = pictures()[number]
    before = image.copy()
    result = iln.Restorer(model, precision="fp32")(image)
    assert np.array_equal(result, expected(image, model))
    assert np.array_equal(image, before)
    assert 0.02 < (result == image).all(2).mean() < 0.98


def test_other_tasks_and_scales_are_left(model: Path, tmp_path: Path) -> None:
    image = pictures()[0]
    iln.save(iln.load(model), tmp_path / "photo.safetensors", task="photo: restores")
    result = iln.Restorer(tmp_path / "photo.safetensors", precision="fp32")(image)
    assert np.array_equal(result, iln.Restorer(iln.load(model), precision="fp32")(image))
    iln.save(small_model(small_spec()), tmp_path / "larger.safetensors", task=TASK)
    assert iln.Restorer(tmp_path / "larger.safetensors")(image).shape == (80, 120, 3)


def test_transparency(model: Path) -> None:
    image = (photo(40, 60, 4) * 255).astype(np.uint8)
    result = iln.Restorer(model, precision="fp32")(image)
    assert np.array_equal(result[..., 3:], expected(image[..., 3:], model))


@pytest.mark.slow
def test_a_graph_of_one(model: Path, tmp_path: Path) -> None:
    for package in ("openvino", "onnx", "onnxscript"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    from iln.deploy.export import export

    export(model, tmp_path / "graph.xml", to="openvino")
    image = pictures()[0]
    result = iln.Restorer(tmp_path / "graph.xml", precision="fp32")(image)
    difference = np.abs(result.astype(int) - expected(image, model, half_turned))
    assert (difference > 1).mean() < 0.01  # where a change is as large as the least that counts


@pytest.mark.slow
def test_a_graph_for_one_size(model: Path, tmp_path: Path) -> None:
    for package in ("openvino", "onnx", "onnxscript"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    from iln.deploy.export import export

    export(model, tmp_path / "graph.xml", to="openvino", size=(40, 60))
    image = pictures()[0]
    assert iln.Restorer(tmp_path / "graph.xml")(image).shape == image.shape


def test_progress_of_both_ways(model: Path) -> None:
    shares: list[float] = []
    picture = Picture(pictures()[0])
    iln.Restorer(model, precision="fp32").restore_picture(picture, progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1
    assert any(share < 0.5 for share in shares) and any(0.5 < share < 1 for share in shares)


def test_what_is_hidden_is_no_mark() -> None:
    image = np.full((32, 32, 4), 128, np.uint8)
    image[..., 3] = 255
    image[:, 16:] = 0  # transparent, and black beneath
    picture = Picture(image[..., :3], image[..., 3])
    limits = Limits(find=True)
    result = iln.Pipeline(["scratches"], device="cpu").restore_picture(picture, limits=limits)
    assert limits.found is not None and not limits.found.any()
    assert np.array_equal(result.pixels, image[..., :3])
