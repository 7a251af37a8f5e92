"""Pages that restore pictures in the browser: what is written, and what is refused.

What browsers make of them is tested in tests/integrations/test_web_export.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import iln
from iln.backbones import Backbone, SwinIRSpec, from_spec
from iln.cli.main import main
from iln.deploy.export import export
from iln.deploy.export.web import runtime
from iln.deploy.export.web.program import Program, record
from iln.errors import InputError

pytest.importorskip("onnx", reason="ONNX is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
SMALL: dict[str, Any] = {"embed_dim": 12, "depths": (2,), "num_heads": (2,), "window": 4}


def network(preset: str = "swinir-light-x2", **changes: Any) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = iln.build(preset, **{"norm": "i-ln", **SMALL, **changes}).eval()
        for parameter in model.parameters():
            parameter.data += 0.05 * torch.randn(parameter.shape)
    return model


def clean(**changes: Any) -> Backbone:
    """One that keeps the size, on cells of 2x2 pixels."""
    fields = {**SMALL, "norm": "i-ln", "scale": 1, "upsampler": "", "unshuffle": 2, **changes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return from_spec(SwinIRSpec(**fields)).eval()


@pytest.fixture
def fake_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of other content under the names of onnxruntime-web, and their hashes."""
    folder = tmp_path / "onnxruntime-web" / "dist"
    folder.mkdir(parents=True)
    hashes = {}
    for name in runtime.FILES:
        content = name.encode()
        (folder / name).write_bytes(content)
        hashes[name] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(runtime, "FILES", hashes)
    return folder.parent


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that takes no time to trace, and that nobody runs."""

    def record(model: Backbone, precision: str) -> Program:
        dtype = {"fp32": torch.float32, "fp16": torch.float16}[precision]
        weights = [torch.ones(3, dtype=dtype), torch.full((2, 1), 2.0, dtype=dtype)]
        return Program([], [], [b"graph"], weights, 0)

    monkeypatch.setattr("iln.deploy.export.web.folder.record", record)


def command(*words: object) -> int:
    """`iln export`, and its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["export", *map(str, words)])
    return int(ended.value.code or 0)


def run(program: Program, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The steps over whole maps; what the page does in strips."""
    engine = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    options = engine.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [engine.InferenceSession(graph, options) for graph in program.graphs]
    maps: dict[int, Any] = {0: picture}
    for step in program.steps:
        x = maps[step["from"][0]]
        if step["do"] == "copy":
            maps[step["to"]] = x.copy()
        elif step["do"] == "concatenate":
            maps[step["to"]] = np.concatenate([maps[part] for part in step["from"]], -1)
        elif step["do"] == "statistics":
            wide = x.astype(np.float64)
            values = wide.mean(), np.sqrt(wide.var() + step["eps"])
            maps[step["to"]] = np.float32(values).reshape(1, 1, 1, 2)
        else:
            back = step.get("shift", 0)
            feeds = {name: maps[number] for name, number in step["whole"].items()}
            feeds["x"] = np.roll(x, (-back, -back), (1, 2))
            if step["do"] == "gate":
                feeds["x"] = x.mean((1, 2), keepdims=True)
            if step["do"] == "add":
                feeds["onto"] = maps[step["to"]]
            for number, place in enumerate(step["weights"]):
                feeds[f"w{number}"] = program.weights[place].numpy()
            graph = step["graphs"][0] if "graphs" in step else step["graph"]
            y = sessions[graph].run(None, feeds)[0]
            maps[step["to"]] = np.roll(y, (back, back), (1, 2))
        for number in step["free"]:
            del maps[number]
    assert list(maps) == [program.result]
    return maps[program.result]


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        network(),
        network(norm="ln", upsampler="nearest+conv", resi_connection="3conv"),
        network("drct-x2", growth=4, upsampler="pixelshuffledirect"),
        network("hat-x2", squeeze_factor=4, upsampler="pixelshuffledirect"),
        clean(in_chans=1, input_stats="none", norm="layerscale"),
        clean(scale=2, upsampler="pixelshuffledirect"),
        clean(scale=2),
    ],
    ids=["i-ln", "ln", "drct", "hat", "gray", "larger cells", "corrected cells"],
)
def test_the_steps_are_the_network(model: Backbone) -> None:
    rng = np.random.default_rng(0)
    picture = rng.random((1, 24, 40, model.spec.in_chans), np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(picture).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    cell = model.spec.unshuffle
    given = picture.reshape(1, 24 // cell, cell, 40 // cell, cell, -1)
    given = given.transpose(0, 1, 3, 2, 4, 5).reshape(1, 24 // cell, 40 // cell, -1)
    found = run(record(model), np.ascontiguousarray(given))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.slow
def test_layers_of_one_kind_share_a_graph() -> None:
    program = record(clean(depths=(1, 1, 2), num_heads=(2, 3, 2)))
    residual = [step["graphs"][0] for step in program.steps if step["do"] == "residual"]
    attention, feedforward = residual[::2], residual[1::2]
    assert attention[0] == attention[2] != attention[1]
    assert attention[3] not in attention[:3]  # shifted
    assert len(set(feedforward)) == 1
    assert len({place for step in program.steps for place in step.get("weights", ())}) == len(
        program.weights
    )


def test_what_lies_in_the_folder(
    fake_runtime: Path, quick: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "mine.safetensors"
    iln.save(clean(), source, task="denoise: takes noise away", licence="open")
    target = tmp_path / "page"
    words = (source, "--to", "web", "-o", target, "--runtime", fake_runtime)
    assert command(*words, "--precision", "fp16") == 0
    assert str(target) in capsys.readouterr().out
    about = json.loads((target / "model" / "model.json").read_text("utf-8"))
    assert about["name"] == "mine.safetensors"
    assert about["does"] == "takes noise away"
    assert about["licence"] == "open"
    assert about["precisions"] == ["fp16", "fp32"]
    assert about["most_pixels"] == 2 * 2**20
    for precision, dtype in (("fp32", np.float32), ("fp16", np.float16)):
        folder = target / "model" / precision
        assert (folder / "0.onnx").read_bytes() == b"graph"
        program = json.loads((folder / "program.json").read_text("utf-8"))
        content = (folder / "weights.bin").read_bytes()
        found = [
            np.frombuffer(content, dtype, int(np.prod(one["shape"])), one["offset"]).tolist()
            for one in program["weights"]
        ]
        assert found == [[1, 1, 1], [2, 2]]
        assert [one["type"] for one in program["weights"]] == [dtype.__name__] * 2
        assert all(one["offset"] % 4 == 0 for one in program["weights"])
    for name in runtime.FILES:
        assert (target / "runtime" / name).read_bytes() == name.encode()
    assert "Microsoft" in (target / "runtime" / "LICENSE.txt").read_text("utf-8")
    # Whatever the page and its modules name lies there, and no address of anything outside.
    for file in (target / "index.html", *(target / "page").iterdir()):
        text = file.read_text("utf-8")
        assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
        named = re.findall(r'(?:from|href=|src=|URL\() *"([\w./-]+)"', text)
        for name in named:
            assert (file.parent / name).exists(), (file.name, name)
    # What is there is not replaced unless it is allowed; then it is, as a whole.
    (target / "left").touch()
    assert command(*words) == 2
    assert "exists already" in capsys.readouterr().err
    assert command(*words, "--overwrite") == 0
    assert not (target / "left").exists()
    assert not (target / "model" / "fp16").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["mine.safetensors", "onnxruntime-web", "page"]
    )


def overflowing() -> Backbone:
    """A LayerNorm network whose stream float16 cannot hold."""
    model = clean(norm="ln")
    with torch.no_grad():
        model.patch_embed["norm"].weight.fill_(1e5)
    return model


def refusal(capsys: pytest.CaptureFixture[str], folder: Path, *words: object) -> str:
    """The one line; nothing is written."""
    before = sorted(folder.rglob("*"))
    assert command(*words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert sorted(folder.rglob("*")) == before
    return said


def test_refusals(fake_runtime: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, given = tmp_path / "page", ("--runtime", fake_runtime)
    web = ("--to", "web", "-o", target)

    def refused(*words: object) -> str:
        return refusal(capsys, tmp_path, *words)

    assert "leave --size away" in refused("photo", *web, *given, "--size", "8x8")
    assert "goes with --to web alone" in refused("photo", "-o", tmp_path / "a.onnx", *given)
    assert "does not exist" in refused("photo", "--to", "web", "-o", tmp_path / "a" / "b", *given)
    assert "no such folder" in refused("photo", *web, "--runtime", tmp_path / "nowhere")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").touch()
    said = refused("photo", "--to", "web", "-o", mine, *given, "--overwrite")
    assert "is not replaced" in said
    assert "scratches" in refused("old-print", *web, *given)
    broken = tmp_path / "broken.safetensors"
    iln.save(overflowing(), broken)
    said = refused(broken, *web, *given, "--precision", "fp16")
    assert "overflows fp16 at" in said
    assert "iln rescue" in said
    other = tmp_path / "other.safetensors"
    iln.save(clean(norm="ln*"), other)
    assert "LN* outside of branches" in refused(other, *web, *given)


def test_a_runtime_that_is_not_the_known_one(
    fake_runtime: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("photo", "--to", "web", "-o", tmp_path / "page", "--runtime", fake_runtime)
    name = next(iter(runtime.FILES))
    (fake_runtime / "dist" / name).write_bytes(b"something else")
    said = refusal(capsys, tmp_path, *words)
    assert f"{name} is not that of onnxruntime-web@{runtime.VERSION}" in said
    assert "--runtime FOLDER" in said
    (fake_runtime / "dist" / name).unlink()
    assert f"has no {name}" in refusal(capsys, tmp_path, *words)


def test_without_npm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refusal(capsys, tmp_path, "photo", "--to", "web", "-o", tmp_path / "page")
    assert "npm" in said
    assert "is not installed" in said
    assert "--runtime FOLDER" in said


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for npm")
def test_where_npm_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "npm"
    npm.write_text(f"#!{sys.executable}\nraise SystemExit(1)\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refusal(capsys, tmp_path, "photo", "--to", "web", "-o", tmp_path / "page")
    assert "npm could not fetch" in said
    assert "--runtime FOLDER" in said


def test_nothing_is_left_of_a_page_that_fails(
    fake_runtime: Path, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "page"
    export(clean(), target, to="web", runtime=fake_runtime)
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("iln.deploy.export.web.folder._write_program", fail)
    with pytest.raises(InputError, match="No space left"):
        export(clean(), target, to="web", runtime=fake_runtime, overwrite=True)
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*")} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["onnxruntime-web", "page"]
