"""`iln quantize`, and what it makes in use."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from cli_helpers import Command, files, photo, save
from PIL import Image

import iln
from iln.backbones import Backbone
from iln.checkpoints.native import describe
from iln.deploy.quantization import HALF_RANGE
from iln.errors import InputError


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of clean pictures."""
    for i in range(3):
        save(tmp_path / "clean" / f"{i}.png", photo(40 + 2 * i, 50)[::-1, ::-1])
    return tmp_path / "clean"


def test_int8_and_back(command: Command, weights: Path, pictures: Path, tmp_path: Path) -> None:
    ready, image = tmp_path / "ready.safetensors", save(tmp_path / "a.png")
    done = command("quantize", weights, "--calibrate", pictures, "--pictures", 2, "-o", ready)
    assert done.code == 0, done.err
    assert done.out.startswith(str(ready)) and done.out.endswith(" MB\n")
    model = iln.load(ready)
    assert model.ranges.keys() == model.body_layers().keys()
    assert all(low < high for low, high in model.ranges.values())
    assert describe(ready)["dtype"] == "float16"

    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    results = []
    for words in ([], ["--engine", "openvino", "--precision", "int8"]):
        target = tmp_path / f"result{len(results)}.png"
        done = command("restore", image, "--model", ready, "--device", "cpu", "-o", target, *words)
        assert done.code == 0, done.err
        results.append(np.asarray(Image.open(target), float))
    assert np.abs(results[0] - results[1]).mean() < 4
    # Before rounding to pixels int8 differs from float32, and more than engines do.
    pixels = np.asarray(Image.open(image), np.float32) / 255
    torch_fp32, fp32, int8 = (
        iln.Restorer(ready, device="cpu", engine=engine, precision=precision)(pixels)
        for engine, precision in (("torch", "fp32"), ("openvino", "fp32"), ("openvino", "int8"))
    )
    assert np.abs(int8 - torch_fp32).mean() > 10 * np.abs(fp32 - torch_fp32).mean()


@pytest.mark.parametrize(
    "words",
    [["rescue"], ["quantize", "--precision", "int4"], ["export", "--to", "official"]],
)
def test_no_command_replaces_what_it_reads(
    words: list[str], command: Command, weights: Path, pictures: Path
) -> None:
    before = weights.read_bytes()
    name, *options = words
    done = command(name, weights, *options, "-o", weights, "--overwrite")
    assert done.code == 2 and "is an input; name another output" in done.err
    assert weights.read_bytes() == before


def test_a_rescue_replaces_none_of_its_pictures(
    command: Command, weights: Path, pictures: Path
) -> None:
    picture = pictures / "0.png"
    before = picture.read_bytes()
    done = command("rescue", weights, pictures, "-o", picture, "--overwrite")
    assert done.code == 2 and "is an input; name another output" in done.err
    done = command("rescue", weights, picture, "-o", pictures.parent / "new.png")
    assert done.code == 2 and "must end in .safetensors" in done.err
    assert picture.read_bytes() == before


def test_the_ranges_are_of_the_networks_own_task(
    command: Command, weights: Path, pictures: Path, tmp_path: Path
) -> None:
    """Super-resolution of scale 2: the pictures are reduced before they are measured."""
    ready = tmp_path / "ready.safetensors"
    command("quantize", weights, "--calibrate", pictures, "-o", ready)
    model = iln.load(weights)
    from iln.cli.quantize import _inputs

    for image in _inputs(model, str(weights), pictures, 3, 16):
        assert image.shape == (1, 3, 16, 16)
    for image in _inputs(model, str(weights), pictures, 3, 1000):
        assert image.shape[3] == 25


def test_what_a_file_does_not_say_may_be_said(command: Command, tmp_path: Path) -> None:
    hat = iln.build(
        "hat-x2", norm="ln", embed_dim=12, depths=(1,), num_heads=(2,), squeeze_factor=4
    )
    torch.save(hat.state_dict(), tmp_path / "hat.pth")
    small = tmp_path / "small.safetensors"
    words = ["quantize", tmp_path / "hat.pth", "--precision", "int4", "-o", small]
    assert "--norm ln or --norm i-ln" in command(*words).err
    done = command(*words, "--norm", "ln", "--eps", "1e-6")
    assert done.code == 0, done.err
    spec = describe(small)["spec"]
    assert (spec["norm"], spec["eps"]) == ("ln", 1e-6)


def test_int4(command: Command, weights: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.safetensors"
    done = command("quantize", weights, "--precision", "int4", "-o", small)
    assert done.code == 0, done.err
    assert describe(small)["dtype"] == "int4"


def test_an_openvino_graph(
    command: Command,
    weights: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("nncf", reason="NNCF is not installed")
    import openvino

    built, build = [], Backbone.__init__
    monkeypatch.setattr(Backbone, "__init__", lambda *words: (built.append(1), build(*words))[1])
    file = tmp_path / "ready.xml"
    done = command("quantize", weights, "--calibrate", pictures, "-o", file)
    assert done.code == 0, done.err
    assert len(built) == 1
    graph = openvino.Core().read_model(file)
    said = json.loads(graph.get_rt_info("iln").astype(str))
    assert (said["precision"], said["weight_range"]) == ("int8", "half")
    constants = [o for o in graph.get_ordered_ops() if o.get_type_name() == "Constant"]
    narrow = [o.data for o in constants if o.get_element_type().to_string() == "i8"]
    assert narrow and all(np.abs(weight.astype(int)).max() <= HALF_RANGE for weight in narrow)
    image = torch.rand(1, 3, 21, 18)
    with torch.no_grad():
        expected = iln.load(weights)(image).numpy()
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    found = openvino.Core().compile_model(graph, "CPU", exact)([image.numpy()])[0]
    assert 0 < np.abs(found - expected).mean() < 0.05


def test_errors(
    command: Command,
    weights: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = tmp_path / "taken.safetensors"
    taken.write_text("mine")
    free, graph = tmp_path / "free.safetensors", tmp_path / "free.xml"
    before = files(tmp_path)
    monkeypatch.setitem(sys.modules, "nncf", None)
    for words, message in (
        (["-o", free], "give --calibrate FOLDER"),
        (["-o", tmp_path / "a.onnx", "--calibrate", pictures], "end in .safetensors or .xml"),
        (["-o", graph, "--precision", "int4"], "must end in .safetensors"),
        (["-o", free, "--precision", "int4", "--calibrate", pictures], "--calibrate is for int8"),
        (["-o", taken, "--calibrate", pictures], "exists already"),
        (["-o", free, "--calibrate", tmp_path / "none"], "is not a folder of pictures"),
        (["-o", free, "--calibrate", weights.parent], "holds no pictures"),
        (["-o", free, "--calibrate", pictures, "--pictures", 65], "less than or equal to 64"),
        (["-o", graph, "--calibrate", pictures], "pip install 'iln[nncf]'"),
    ):
        done = command("quantize", weights, *words)
        assert done.code == 2
        assert message in done.err, done.err
    assert files(tmp_path) == before
    assert taken.read_text() == "mine"


@pytest.mark.parametrize(
    "ranges", [3, {"conv": 1}, {"conv": [1, 2, 3]}, {"conv": ["a", 2]}, {"conv": [0, 1e999]}]
)
def test_damaged_ranges(ranges: object, weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "damaged.safetensors"
    content = safetensors.torch.load_file(weights)
    with safetensors.safe_open(weights, "pt") as opened:
        card = json.loads(opened.metadata()["iln"])
    del card["card_checksum"]
    safetensors.torch.save_file(content, file, {"iln": json.dumps({**card, "ranges": ranges})})
    with pytest.raises(InputError, match=r"damaged iln metadata \(ranges\)"):
        iln.load(file)


@pytest.mark.parametrize("words", [["--precision", "int4"], ["--calibrate", "clean"]])
def test_broken_weights_are_not_made_to_look_whole(
    words: list[str],
    command: Command,
    weights: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = iln.load(weights)
    monkeypatch.chdir(tmp_path)
    model.conv_first.weight.data[0, 0, 0, 0] = float("nan")
    iln.save(model, "broken.safetensors")
    done = command("quantize", "broken.safetensors", *words, "-o", "out.safetensors")
    assert done.code == 2
    (line,) = done.lines
    assert "broken.safetensors: conv_first.weight holds values that are not finite" in line
    assert not Path("out.safetensors").exists()


def test_a_picture_smaller_than_the_scale_is_named(
    command: Command, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("tiny/a.png"), photo(1, 1))
    done = command("quantize", weights, "--calibrate", "tiny", "-o", "out.safetensors")
    assert done.code == 2
    assert done.lines[-1].endswith("a.png: is too small to be shrunk by 2")


def test_only_files_of_our_own_are_counted(command: Command, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "out.bin").write_bytes(bytes(5_000_000))  # somebody else's
    done = command("quantize", weights, "--precision", "int4", "-o", tmp_path / "out.safetensors")
    assert (done.code, done.out.split()[-2:]) == (0, ["0.0", "MB"])
