"""LayerNorm networks as files of their authors' code. (tests/integrations has others read them.)"""

from __future__ import annotations

import json
from dataclasses import replace
from math import isqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import iln
from iln.backbones import DRCTSpec, HATSpec, Spec, SwinIRSpec, from_spec
from iln.cli.main import main
from iln.deploy.export import export
from iln.errors import InputError

GOLDEN = Path(__file__).parents[2] / "data" / "golden"  # made with the authors' code
SMALL: dict[str, Any] = {
    "scale": 2, "embed_dim": 12, "depths": (2,), "num_heads": (2,), "window": 4
}  # fmt: skip
SPECS: dict[str, Spec] = {
    "swinir": SwinIRSpec(**SMALL),
    "hat": HATSpec(**SMALL, compress_ratio=3, squeeze_factor=4),
    "drct": DRCTSpec(**SMALL, growth=4),
}


@pytest.mark.parametrize("name", SPECS)
def test_what_their_code_saved_comes_back(name: str, tmp_path: Path) -> None:
    saved = load_file(GOLDEN / f"{name}.safetensors")
    theirs = {n.removeprefix("state."): t for n, t in saved.items() if n.startswith("state.")}
    with safe_open(GOLDEN / f"{name}.safetensors", framework="pt") as file:
        said = json.loads(file.metadata()["config"])
    torch.save({"params": theirs}, tmp_path / "theirs.pth")
    export(tmp_path / "theirs.pth", tmp_path / "ours.pth", to="official", norm="ln")
    ours = torch.load(tmp_path / "ours.pth", weights_only=True)["params"]
    assert set(ours) == set(theirs)
    for key, tensor in theirs.items():
        mine = ours[key]
        if key.endswith("attn_mask"):  # theirs is for a picture of two windows a side
            assert said["img_size"] == 2 * said["window_size"]
            side = isqrt(len(mine))
            grid = mine.unflatten(0, (side, side))
            assert not grid[:-1, :-1].any()
            mine = torch.stack([grid[0, 0], grid[0, -1], grid[-1, 0], grid[-1, -1]])
        assert mine.dtype == tensor.dtype, key
        assert torch.equal(mine, tensor), key


@pytest.mark.parametrize(
    ("changes", "side"),
    [
        ({}, 64),
        ({"window": 8, "scale": 1, "upsampler": ""}, 128),
        ({"window": 7, "scale": 1, "upsampler": ""}, 126),
        ({"window": 7}, 70),
        pytest.param({"window": 64}, 128, marks=pytest.mark.slow),
    ],
)
def test_the_size_that_published_files_are_set_up_for(
    changes: dict[str, Any], side: int, tmp_path: Path
) -> None:
    spec = replace(SPECS["swinir"], **changes)
    export(from_spec(spec), tmp_path / "x.safetensors", to="official")
    weights = load_file(tmp_path / "x.safetensors")
    mask = weights["layers.0.residual_group.blocks.1.attn_mask"]
    assert mask.shape == ((side // spec.window) ** 2, spec.window**2, spec.window**2)


@pytest.mark.parametrize(
    ("kind", "changes", "keys"),
    [
        ("swinir", {}, {"params"}),
        ("swinir", {"upsampler": "nearest+conv"}, {"params_ema"}),
        ("hat", {}, {"params", "params_ema"}),
        ("drct", {}, {"params", "params_ema"}),
    ],
)
def test_the_keys_of_published_files(
    kind: str, changes: dict[str, Any], keys: set[str], tmp_path: Path
) -> None:
    export(from_spec(replace(SPECS[kind], **changes)), tmp_path / "x.pth", to="official")
    assert set(torch.load(tmp_path / "x.pth", weights_only=True)) == keys
    export(from_spec(replace(SPECS[kind], **changes)), tmp_path / "x.safetensors", to="official")
    twice = (tmp_path / "x.pth").stat().st_size / (tmp_path / "x.safetensors").stat().st_size
    assert twice < 1.3  # two keys, one set of weights


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("swinir", {"norm": "i-ln"}, "cannot hold i-LN; .* plug-in iln.deploy.spandrel"),
        ("hat", {"norm": "rms"}, "has LayerNorm and cannot hold"),
        ("swinir", {"eps": 1e-6}, "cannot say eps 1e-06"),
        ("swinir", {"input_stats": "none"}, "cannot say input_stats 'none'"),
        ("swinir", {"scale": 1, "upsampler": "", "unshuffle": 2}, "cannot say unshuffle 2"),
        ("swinir", {"stream_steps": (2,)}, "cannot say stream_steps"),
        ("hat", {"conv_scale": 0.5, "resi_connection": "3conv"}, "'3conv', conv_scale 0.5"),
        ("hat", {"upsampler": "pixelshuffledirect"}, "cannot say upsampler 'pixelshuffledirect'"),
        ("drct", {"upsampler": "", "scale": 1}, "cannot say upsampler ''"),
        ("swinir", {"upsampler": "", "scale": 2}, "cannot say upsampler ''"),
    ],
)
def test_networks_that_their_code_cannot_hold(
    kind: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        export(from_spec(replace(SPECS[kind], **changes)), tmp_path / "x.pth", to="official")
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sr-x2", "-o", "x.pth"), "cannot hold i-LN"),
        (("hat.pth", "-o", "x.pth"), "say which: norm='ln' or norm='i-ln' (--norm ln"),
        (("hat.pth", "-o", "x.pth", "--norm", "i-ln"), "cannot hold i-LN"),
        (("hat.pth", "-o", "x.onnx", "--norm", "ln"), "must end in .pth or .safetensors"),
        (("hat.pth", "-o", "hat.pth", "--norm", "ln"), "is an input; name another output"),
        (("hat.pth", "-o", "x.pth", "--size", "8x8"), "no --size, no fp16"),
        (("hat.pth", "-o", "x.pth", "--precision", "fp16"), "no --size, no fp16"),
        (("nowhere.pth", "-o", "x.pth"), "nowhere.pth"),
    ],
)
def test_refusals_on_the_command_line(
    words: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(from_spec(SPECS["hat"]).state_dict(), "hat.pth")
    before = Path("hat.pth").read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(["export", "--to", "official", *words])
    assert ended.value.code == 2
    *notes, error = capsys.readouterr().err.splitlines()
    assert all(line.startswith("note: ") for line in notes)
    assert error.startswith("error: ") and message in error
    assert [path.name for path in tmp_path.iterdir()] == ["hat.pth"]
    assert Path("hat.pth").read_bytes() == before


def test_another_range_goes_into_the_convolutions(tmp_path: Path) -> None:
    spec = replace(SPECS["swinir"], img_range=255.0, input_stats="mean+std")
    model = from_spec(spec).eval()
    export(model, tmp_path / "x.pth", to="official")
    again = iln.load(tmp_path / "x.pth")
    assert (again.spec.img_range, again.spec.input_stats) == (1.0, "mean")
    image = torch.rand(1, 3, 9, 14, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert (again(image) - model(image)).abs().max() < 1e-5
