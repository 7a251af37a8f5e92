"""Training the zoo round by round."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import train as script
from PIL import Image
from small_zoo import picture

import iln
from iln.checkpoints.native import describe
from iln.errors import InputError
from iln.lab.training import Recipe, load_recipe
from iln.lab.training.recipes import RECIPES

TINY = [
    "spec.embed_dim=12", "spec.depths=[1]", "spec.num_heads=[2]", "spec.window=4", "patch=16",
    "batch=2", "precision=fp32", "threads=1", "tensorboard=false", "device=cpu", "log_every=5",
]  # fmt: skip


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("OpenPhotos", "BSDS500/test"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        Image.fromarray(picture(1, 48)).save(folder / "1.png")
    return tmp_path / "data"


def soon(seconds: float = 600) -> float:
    return time.monotonic() + seconds


def test_rounds_go_on_from_the_last(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    rates = []
    for number in (1, 2):
        run, made = script.next_round("derain", out, data, [*TINY, "steps=10"], soon())
        assert run == out / f"derain-{number}"
        assert script.train_until(soon(), run, made)
        rates.append(made.lr)
        found = script.throughput(run, made)
        assert found["steps"] == 10
        assert 0 < float(str(found["share_of_matrix_rate"])) < 1
    assert rates == [1e-3, 5e-4]
    began = describe(run / "last.safetensors")["training"]
    assert began["norm"] == "i-ln" and began["spec"]["unshuffle"] == 2
    assert began["init"]["step"] == 10

    twin, made = script.next_round("derain-ln", out, data, [*TINY, "steps=10"], soon())
    assert (twin, made.norm, made.init) == (out / "derain-ln-1", "ln", None)
    assert made.model_copy(update={"norm": "i-ln"}).model_dump() == {
        **load_recipe(out / "derain-1").model_dump(), "data_root": data
    }  # fmt: skip


def test_a_first_round_begins_with_shipped_weights(tmp_path: Path) -> None:
    words = ["patch=8", "steps=10"]
    _, made = script.next_round("sharp-x2", tmp_path / "runs", tmp_path, words, soon())
    assert made.init == "sr-x2"
    with pytest.raises(iln.InputError):  # its pairs have to be made first
        script.train_until(soon(), tmp_path / "runs" / "sharp-x2-1", made)


@pytest.mark.parametrize("name", script.MODELS)
def test_first_rounds_begin_as_their_recipes_say(name: str) -> None:
    said = re.search(r"init=([\w-]+)|from ([\w-]+)'s weights", RECIPES[name].__doc__ or "")
    expected = None if said is None else said[1] or said[2]
    assert script.STARTS.get(name) == expected


def test_an_interrupted_round_is_resumed(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    run, made = script.next_round("derain", out, data, [*TINY, "steps=100000"], soon())
    assert not script.train_until(soon(1.5), run, made)  # the deadline asks it to stop
    script.keep_average(run, made)
    assert 0 < describe(run / "stopped.safetensors")["training"]["step"] < 100_000
    assert iln.load(run / "stopped.safetensors").spec.unshuffle == 2
    again, same = script.next_round("derain", out, data, [], soon())
    assert again == run and same.steps == 100_000
    with pytest.raises(InputError, match=r"derain-1 is not finished.*leave out lr=1e-4, or delete"):
        script.next_round("derain", out, data, ["lr=1e-4"], soon())


@pytest.mark.parametrize("minutes", ["nan", "0", "-1", "inf"])
def test_minutes_that_are_none(
    minutes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train.py", "derain", "--minutes", minutes, "--data", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(InputError, match=r"--minutes .*: must be more than 0"):
        script.main()


def test_a_finished_round_leaves_only_finished_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "runs"
    train = script.train_until

    def stopped_before(deadline: float, run: Path, made: Recipe) -> bool:
        done = train(deadline, run, made)
        (run / script.STOPPED).touch()
        return done

    monkeypatch.setattr(script, "train_until", stopped_before)
    words = ["train.py", "derain", "--minutes", "1", "--data", str(data), "-o", str(out)]
    monkeypatch.setattr(sys, "argv", [*words, *TINY, "steps=3"])
    assert script.main() == 0
    left = {file.name for file in (out / "derain-1").iterdir()}
    assert "last.safetensors" in left and script.STOPPED not in left


def test_the_number_of_steps_is_what_fits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(script.PROBE, "cpu", 4)
    run, made = script.next_round("derain", tmp_path / "runs", data, TINY, soon(60))
    assert not run.exists() and not (tmp_path / "runs" / "derain-probe").exists()
    assert 100 < made.steps < 60 / 0.001
    assert made.log_every == 5


def test_without_a_name_the_model_that_lacks_most(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(name: str) -> dict[str, object]:
        lacks = {"jpeg": 3.0}.get(name, 0.5)
        goals = script.MODELS[name].goals
        rows = {row: {"after": {"psnr": goal - lacks}} for row, goal in goals.items()}
        return {"scores": {"rows": rows}}

    monkeypatch.setattr(script, "describe", said)
    assert script.furthest() == "jpeg"

    def missing(name: str) -> dict[str, object]:
        if name == "photo":
            raise InputError("no such model")
        return said(name)

    monkeypatch.setattr(script, "describe", missing)
    assert script.furthest() == "photo"


def test_a_round_too_short_for_a_pace(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "log.jsonl").write_text(json.dumps({"step": 0, "baseline": "x"}) + "\n")
    made = script.recipe("derain")
    assert set(script.throughput(run, made)) == {"device", "threads"}
