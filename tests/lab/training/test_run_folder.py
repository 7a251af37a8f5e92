"""The folder of a run: what stays whatever happens, and what is damaged, full or taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from running import log, quiet

from iln.checkpoints.native import describe
from iln.errors import InputError
from iln.lab.training import Recipe, load_recipe, loop, train
from iln.lab.training.run_folder import alone


def test_a_run_that_saved_something_stays(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    average = loop.average_weights

    def breaks(*arguments: Any) -> None:
        if arguments[-1] == 12:
            raise RuntimeError("lightning")
        average(*arguments)

    monkeypatch.setattr(loop, "average_weights", breaks)
    with pytest.raises(RuntimeError, match="lightning"):
        train(made, tmp_path / "run", say=quiet)
    assert (tmp_path / "run" / "state.pt").exists() and load_recipe(str(tmp_path / "run")) == made


def test_a_run_whose_states_are_gone_does_not_begin_anew_over_its_weights(
    made: Recipe, tmp_path: Path
) -> None:
    run, short = tmp_path / "run", made.model_copy(update={"steps": 2})
    train(short, run, say=quiet)
    before = {file.name: file.read_bytes() for file in run.glob("*.safetensors")}
    for file in run.glob("state*"):
        file.unlink()
    with pytest.raises(InputError, match=r"no state to resume from.* init="):
        train(short, run, resume=True, say=quiet)
    assert {file.name: file.read_bytes() for file in run.glob("*.safetensors")} == before


def test_a_full_disk_costs_the_best_weights_and_no_run(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, said = loop.save_weights, list[str]()

    def full(model: Any, file: Path, *rest: Any) -> None:
        if file.name == "best.safetensors" and not room:
            raise InputError(f"{file}: cannot be written: No space left on device")
        saved(model, file, *rest)

    monkeypatch.setattr(loop, "save_weights", full)
    short = made.model_copy(update={"steps": 20, "validate_every": 10, "save_every": 5})
    room = False

    def tick(step: int, loss: float) -> None:
        nonlocal room
        room = step > 10

    assert train(short, tmp_path / "run", say=said.append, tick=tick)
    assert any(line.endswith("No space left on device; going on") for line in said)
    assert (tmp_path / "run" / "best.safetensors").exists()  # of the last step, when there was room


def test_a_log_that_cannot_be_written_has_gaps(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, run = list[str](), tmp_path / "run"

    def tick(step: int, loss: float) -> None:
        if step == 6:
            (run / "log.jsonl").unlink()
            (run / "log.jsonl").mkdir()

    short = made.model_copy(update={"steps": 12, "validate_every": 12})
    assert train(short, run, say=said.append, tick=tick)
    assert len([line for line in said if "the log has gaps from here on" in line]) == 1
    assert (run / "last.safetensors").exists()


def test_weights_are_not_removed_with_a_run_whose_state_was_never_saved(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("iln.lab.training.run_state.save_state", full)
    run = tmp_path / "run"
    with pytest.raises(InputError, match="nothing is the state to resume from, and the weights of"):
        train(made.model_copy(update={"steps": 3}), run, say=quiet)
    assert (run / "last.safetensors").exists()


def test_the_log_of_a_run_that_could_save_nothing_stays(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(model: Any, file: Path, *rest: Any) -> None:
        raise InputError(f"{file}: cannot be written: No space left on device")

    monkeypatch.setattr(loop, "save_weights", full)
    run = tmp_path / "run"
    with pytest.raises(InputError, match="No space left"):
        train(made.model_copy(update={"steps": 3, "log_every": 1}), run, say=quiet)
    assert [line["step"] for line in log(run) if "loss" in line] == [1, 2, 3]


def test_weights_say_what_they_started_from_also_after_a_resume(
    made: Recipe, tmp_path: Path
) -> None:
    first = made.model_copy(update={"steps": 2, "lr_end": 1.0})
    train(first, tmp_path / "first", say=quiet)
    init = tmp_path / "first" / "last.safetensors"
    second = first.model_copy(update={"init": str(init)})
    train(second, tmp_path / "second", say=quiet)
    expected = describe(tmp_path / "second" / "last.safetensors")["training"]["init"]
    assert expected["step"] == 2
    init.unlink()
    longer = second.model_copy(update={"steps": 4})
    train(longer, tmp_path / "second", resume=True, say=quiet)
    training = describe(tmp_path / "second" / "last.safetensors")["training"]
    assert (training["step"], training["init"]) == (4, expected)


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("recipe.json", b"\xff\xfe", "recipe.json is damaged: no text"),
        ("recipe.json", b'{"steps": 0}', "recipe.json does not fit this version: backbone: "),
        ("environment.json", b"[{", None),
        ("log.jsonl", b'{"step": 2, "loss": \xff}\n5\n"step"\n[1]\n{}\n', None),
        ("begun.json", b"{", None),
    ],
)
def test_damaged_files_of_a_run(
    file: str, text: bytes, expected: str | None, made: Recipe, tmp_path: Path
) -> None:
    run, short = tmp_path / "run", made.model_copy(update={"steps": 4, "lr_end": 1.0})
    train(short, run, say=quiet)
    (run / file).write_bytes(text)
    if expected is None:
        assert train(short.model_copy(update={"steps": 6}), run, resume=True, say=quiet)
        return
    with pytest.raises(InputError) as raised:
        train(short, run, resume=True, say=quiet)
    assert expected in str(raised.value) and "\n" not in str(raised.value)


def test_two_processes_do_not_train_in_one_folder(made: Recipe, tmp_path: Path) -> None:
    short, run = made.model_copy(update={"steps": 2}), tmp_path / "run"
    run.mkdir()
    with alone(run), pytest.raises(InputError, match="another process trains there now"):
        train(short, run, say=quiet)
    assert [path.name for path in run.iterdir()] == [".lock"]
    assert train(short, run, say=quiet)
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with alone(run), pytest.raises(InputError, match="another process trains there now"):
        train(short, run, resume=True, say=quiet)
    with pytest.raises(InputError, match="holds a run already"):
        train(short, run, say=quiet)
    assert before == {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert train(short, run, resume=True, say=quiet)


def test_a_run_that_somebody_begins_meanwhile_stays(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a first look, and before anything is made."""
    run = tmp_path / "run"
    monkeypatch.setattr(loop, "check_run", lambda *_: None)
    run.mkdir()
    (run / "recipe.json").write_text("{}")
    with pytest.raises(InputError, match="holds a run already"):
        train(made, run, say=quiet)
    assert (run / "recipe.json").read_text() == "{}"


@pytest.mark.parametrize("content", [{"a": 1}, [1], {"model": {}, "average": {}, "optimizer": {}}])
def test_a_state_of_something_else_gives_way_to_the_one_before(
    content: object, made: Recipe, tmp_path: Path
) -> None:
    run, said = tmp_path / "run", list[str]()
    short = made.model_copy(update={"steps": 4, "save_every": 2, "lr_end": 1.0})
    train(short, run, say=quiet)
    torch.save(content, run / "state.pt")
    longer = short.model_copy(update={"steps": 6})
    assert train(longer, run, resume=True, say=said.append)
    assert any("state.pt is damaged" in line for line in said)
    assert any("step 2 of 6" in line for line in said)
