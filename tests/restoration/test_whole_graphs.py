"""Exported graphs in a network's place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import photo, small_model, small_spec

import iln
from iln.backbones import Backbone
from iln.deploy.export import export
from iln.deploy.openvino import supported_precisions
from iln.errors import InputError

for package in ("openvino", "onnx", "onnxscript"):
    pytest.importorskip(package, reason=f"{package} is not installed")


@pytest.fixture(scope="module")
def model() -> Backbone:
    return small_model(small_spec())


@pytest.fixture(scope="module")
def graph(model: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("graph") / "model.xml"
    export(model, file, to="openvino")
    return file


@pytest.mark.parametrize("size", [(21, 26), (7, 5)])
def test_the_same_picture(model: Backbone, graph: Path, size: tuple[int, int]) -> None:
    image = (photo(*size, 4) * 255).astype(np.uint8)
    restorer = iln.Restorer(graph, precision="fp32")
    assert (restorer.engine, restorer.precision, restorer.scale) == ("openvino", "fp32", 2)
    ticks: list[float] = []
    result = restorer(image, progress=ticks.append)
    expected = iln.Restorer(model, device="cpu")(image)
    assert np.abs(result.astype(int) - expected).max() <= 1
    assert (result != expected).mean() < 0.001
    assert ticks[-1] == 1


def test_auto_precision(model: Backbone, graph: Path) -> None:
    restorer = iln.Restorer(graph)
    assert restorer.precision == ("bf16" if "bf16" in supported_precisions() else "fp32")
    difference = restorer(photo(16, 20)) - iln.Restorer(model, device="cpu")(photo(16, 20))
    assert np.abs(difference).mean() < 0.02


def test_a_picture_that_is_too_large(graph: Path) -> None:
    restorer = iln.Restorer(graph, memory="1M")
    with pytest.raises(InputError, match=r"20 x 16 pixels need about .* goes in strips"):
        restorer(photo(16, 20))


def test_a_graph_for_one_size(model: Backbone, tmp_path: Path) -> None:
    file = tmp_path / "model.xml"
    export(model, file, to="openvino", size=(16, 20))
    restorer = iln.Restorer(file)
    assert restorer(photo(16, 20)).shape == (32, 40, 3)
    with pytest.raises(InputError, match="for pictures of 20 x 16 pixels alone, not 16 x 16"):
        restorer(photo(16, 16))


def test_what_it_cannot_be(graph: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        iln.Restorer(tmp_path / "none.xml")
    (tmp_path / "text.xml").write_text("<note/>")
    with pytest.raises(InputError, match="is no OpenVINO graph"):
        iln.Restorer(tmp_path / "text.xml")
    (tmp_path / "alone.xml").write_bytes(graph.read_bytes())
    with pytest.raises(InputError, match=r"its \.bin is not beside it"):
        iln.Restorer(tmp_path / "alone.xml")
    with pytest.raises(InputError, match="`iln quantize` makes a graph for int8"):
        iln.Restorer(graph, precision="int8")
    with pytest.raises(InputError, match="for CPUs, not cuda"):
        iln.Restorer(graph, device="cuda")
    with pytest.raises(InputError, match=r"model\.xml is a graph, .* leave the engine away"):
        iln.Restorer(graph, engine="torch")
    with pytest.raises(InputError, match="norm: only for"):
        iln.Restorer(graph, norm="ln")
