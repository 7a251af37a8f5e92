"""Weights, recipes and runs that iln 0.1 saved (in `saved_by_0_1`) are used as they are."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import iln
from iln.lab.training import load_recipe, train

HERE = Path(__file__).parent / "saved_by_0_1"


def picture() -> torch.Tensor:
    return torch.rand(1, 3, 10, 13, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("file", "norm"), [("swinir", "i-ln"), ("hat", "ln"), ("drct", "rms")])
def test_weights(file: str, norm: str) -> None:
    """In float16, packed in 4 bits, and with ranges for int8."""
    model = iln.load(HERE / f"{file}.safetensors")
    with torch.no_grad():
        found = model(picture())
    expected = load_file(HERE / "outputs.safetensors")[file]
    assert model.spec.norm == norm
    assert (found - expected).norm() < 1e-4 * expected.norm()
    assert set(map(tuple, model.ranges.values())) == ({(-2.0, 3.5)} if file == "drct" else set())


def test_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(HERE, tmp_path / "saved")
    monkeypatch.chdir(tmp_path / "saved")
    run = Path("run")
    recipe = load_recipe(run)
    assert (recipe.steps, recipe.spec["embed_dim"]) == (8, 12)
    assert train(recipe, run, resume=True, say=lambda *_: None)
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert steps == [0, 2, 4, 4, 6, 8, 8]
    found, expected = load_file(run / "last.safetensors"), load_file("whole.safetensors")
    assert all(torch.allclose(found[n], expected[n], atol=1e-3) for n in expected)
