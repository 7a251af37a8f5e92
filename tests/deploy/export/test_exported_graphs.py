"""Networks as graphs that run without our code."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import iln
from iln.backbones import Backbone
from iln.cli.main import main
from iln.deploy.export import export, parse_shape
from iln.errors import InputError
from iln.kernels.moments import _traced, moments
from iln.lab.evaluation.models import load_models

SMALL: dict[str, dict[str, Any]] = {
    "swinir-light-x2": {"num_heads": (2,)},
    "hat-x2": {"num_heads": (2,), "squeeze_factor": 4, "upsampler": "pixelshuffledirect"},
    "drct-x2": {"num_heads": (2,), "growth": 4, "upsampler": "pixelshuffledirect"},
}
SIZES = ((64, 64), (50, 61), (5, 7))


def network(preset: str = "swinir-light-x2", norm: str = "i-ln") -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"embed_dim": 12, "depths": (2,), "window": 4, **SMALL[preset]}
        model = iln.build(preset, norm=norm, **sizes).eval()
        for name, parameter in model.named_parameters():
            if "conv" not in name and parameter.dim() > 1:
                parameter.data.mul_(6)
    return model


def picture(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def decibels(one: Any, other: torch.Tensor) -> float:
    error = np.square(np.asarray(one, np.float64) - other.double().numpy()).mean()
    return float(-10 * np.log10(error + 1e-20))


def opened(file: Path) -> Any:
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(file, options)


@pytest.mark.parametrize(
    ("preset", "norm", "precision", "least"),
    [
        ("swinir-light-x2", "i-ln", "fp32", 90),
        pytest.param("swinir-light-x2", "ln", "fp16", 50, marks=pytest.mark.slow),
        pytest.param("hat-x2", "i-ln", "fp32", 90, marks=pytest.mark.slow),
        pytest.param("drct-x2", "i-ln", "fp32", 90, marks=pytest.mark.slow),
    ],
)
def test_onnx_gives_the_same_pictures_of_any_size(
    preset: str, norm: str, precision: str, least: float, tmp_path: Path
) -> None:
    pytest.importorskip("onnx", reason="ONNX is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    model, file = network(preset, norm), tmp_path / "model.onnx"
    export(model, file, precision=precision)
    session = opened(file)
    assert [entry.name for entry in session.get_inputs()] == ["image"]
    assert session.get_inputs()[0].shape == [1, 3, "height", "width"]
    assert [entry.name for entry in session.get_outputs()] == ["restored"]
    for size in SIZES:
        image = picture(*size)
        with torch.no_grad():
            expected = model(image)
        (found,) = session.run(None, {"image": image.numpy()})
        assert found.shape == expected.shape
        assert decibels(found, expected) > least, size
    said = json.loads(session.get_modelmeta().custom_metadata_map["iln"])
    assert said["scale"] == 2
    assert said["spec"]["norm"] == norm
    assert said["precision"] == precision
    assert str(Path(iln.__file__).parent) not in file.read_bytes().decode("latin1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "changes"),
    [("swinir-denoise", {}), ("swinir-light-x2", {}), ("swinir-light-x2", {"upsampler": ""})],
)
def test_onnx_with_cells_of_pixels(preset: str, changes: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="ONNX is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    sizes: dict[str, Any] = {"embed_dim": 12, "depths": (2,), "window": 4, "num_heads": (2,)}
    model = iln.build(preset, norm="i-ln", unshuffle=2, **sizes, **changes).eval()
    export(model, tmp_path / "model.onnx")
    session = opened(tmp_path / "model.onnx")
    for size in ((64, 64), (50, 61)):
        image = picture(*size)
        with torch.no_grad():
            (found,) = session.run(None, {"image": image.numpy()})
            assert decibels(found, model(image)) > 90, size


@pytest.mark.slow
def test_openvino_gives_the_same_pictures(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    model, file = network(), tmp_path / "model.xml"
    export(model, file, to="openvino")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    graph = openvino.Core().read_model(file)
    assert json.loads(graph.get_rt_info("iln").astype(str))["scale"] == 2
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for size in SIZES:
        image = picture(*size)
        with torch.no_grad():
            assert decibels(compiled([image.numpy()])[0], model(image)) > 90, size
    with pytest.raises(InputError, match="exists already"):
        export(model, file, to="openvino")

    other, swapped = tmp_path / "other.xml", tmp_path / "swapped.xml"
    model.conv_first.weight.data *= 2
    export(model, other, to="openvino")
    shutil.copy(file, swapped)
    shutil.copy(other.with_suffix(".bin"), swapped.with_suffix(".bin"))
    digests = {load_models([str(one)], (), {})[0].tested().sha256 for one in (file, other)}
    assert len(digests) == 2
    with pytest.raises(InputError, match=r"swapped\.xml.* the weights of another graph"):
        iln.Restorer(swapped, engine="openvino")


def test_a_program_of_a_fixed_size(tmp_path: Path) -> None:
    model, file = network(), tmp_path / "model.pt2"
    export(model, file, to="torch", size=(10, 14))
    image = picture(10, 14)
    with torch.no_grad():
        (found,) = [torch.export.load(file).module()(image)]
        assert decibels(found, model(image)) > 90


@pytest.mark.parametrize("preset", SMALL)
@pytest.mark.parametrize(("precision", "least"), [("fp32", 90), ("fp16", 50)])
def test_executorch(preset: str, precision: str, least: float, tmp_path: Path) -> None:
    runtime = pytest.importorskip("executorch.runtime", reason="ExecuTorch is not installed")
    model, file = network(preset), tmp_path / "model.pte"
    export(model, file, to="executorch", size=(14, 18), precision=precision)
    program = runtime.Runtime.get().load_program(file.read_bytes())
    image = picture(14, 18)
    (found,) = program.load_method("forward").execute([image])
    with torch.no_grad():
        assert decibels(found, model(image)) > least
    (said,) = program.load_method("iln").execute([])
    assert json.loads(said)["scale"] == 2


def test_statistics_do_not_drift() -> None:
    x = 1000 + torch.rand(1, 300, 400, 8, generator=torch.Generator().manual_seed(0))
    for dims in ((1, 2, 3), (1, 2), (0, 1, 2)):
        mean, variance = _traced(x, dims)
        assert torch.allclose(mean, moments(x, dims)[0], rtol=1e-7)
        exact = x.double().var(dims, correction=0, keepdim=True)
        assert torch.allclose(variance.double(), exact, rtol=1e-4)


def test_sizes() -> None:
    assert parse_shape("256x384") == (256, 384)
    for bad in ("256", "0x4", "4x", "axb", "-1x5", "5x5x5"):
        with pytest.raises(InputError, match="not of the form HxW"):
            parse_shape(bad)


def test_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    iln.save(network(), tmp_path / "m.safetensors")

    def error(*words: object) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["export", str(tmp_path / "m.safetensors"), *map(str, words)])
        assert ended.value.code == 2
        return capsys.readouterr().err

    taken = tmp_path / "taken.onnx"
    taken.write_text("mine")
    assert "exists already" in error("-o", taken)
    assert taken.read_text() == "mine"
    assert "must end in .onnx, or give --to torch" in error("-o", tmp_path / "m.pt2")
    assert error("-o", tmp_path / "m.tflite").endswith("must end in .onnx\n")
    assert "must end in .pt2" in error("-o", tmp_path / "m.onnx", "--to", "torch")
    assert "does not exist" in error("-o", tmp_path / "none" / "m.onnx")
    assert "not of the form HxW" in error("-o", tmp_path / "m.onnx", "--size", "9")
    assert "give it (--size HxW)" in error("-o", tmp_path / "m.pte", "--to", "executorch")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'iln[export]'" in error("-o", tmp_path / "m.onnx", "--size", "9x9")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.safetensors", "taken.onnx"]
