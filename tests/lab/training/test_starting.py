"""How a run begins: own pictures, what is not there, and what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from running import exit_code, log, quiet

import iln
from iln.checkpoints.native import describe
from iln.errors import InputError
from iln.lab.training import Recipe, load_recipe, loop, recipe, train
from iln.lab.training.run_folder import alone
from iln.lab.training.sets import PictureSet, picture_sets, with_validation
from iln.lab.training.validation import baselines, validate

TINY = ("steps=2", "batch=2", "patch=16", "threads=1", "precision=fp32", "tensorboard=false")
NETWORK = ("spec.embed_dim=12", "spec.depths=[1]", "spec.num_heads=[2]", "spec.window=4")


def draw(folder: Path, count: int, side: int = 40) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_the_first_command_in_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five pictures of one's own, nothing else: a relative name, and no validation set."""
    draw(tmp_path / "my" / "pictures", 5)
    monkeypatch.chdir(tmp_path)
    words = ["denoise", "data=my/pictures", *TINY, *NETWORK, "-o", "runs/denoise"]
    assert exit_code(words) == 0
    said = capsys.readouterr().out
    assert "no CBSD68 in data: 1 of the 5 pictures is held out instead, to validate on" in said
    assert "4 pictures, 1 process(es)" in said
    run = tmp_path / "runs" / "denoise"
    assert (run / "best.safetensors").exists() and (run / "last.safetensors").exists()
    assert any(line.get("validation", "").startswith("held out") for line in log(run))
    made = load_recipe(run)
    assert made.data == (tmp_path / "my" / "pictures",) and made.validation == ()
    # Weights say what they were trained on, but not where it lay.
    assert str(tmp_path) not in (run / "best.safetensors").read_bytes().decode("latin-1")
    # The validation set turns up later: the run stays what it was.
    draw(tmp_path / "data" / "CBSD68", 1)
    assert exit_code(["--resume", "runs/denoise"]) == 0
    assert exit_code(["denoise", "data=my/pictures", *TINY, *NETWORK, "--resume", str(run)]) == 0


def test_what_is_held_out(made: Recipe, tmp_path: Path) -> None:
    folder = draw(tmp_path / "set", 20)
    own = made.model_copy(update={"data": (folder,), "validation": (), "hold_out": 0.1})
    learned, tests, _ = picture_sets(own)
    (test,) = tests
    assert test.name == "held out" and len(learned) == 18 and len(test.sources) == 2
    assert not {s.target for s in learned} & {s.target for s in test.sources}
    one = own.model_copy(update={"data": (draw(tmp_path / "one", 1),)})
    assert (len(picture_sets(one)[0]), picture_sets(one)[1]) == (1, [])


def test_validation_sets_that_are_there_stay(made: Recipe, tmp_path: Path) -> None:
    here = draw(tmp_path / "here", 1)
    some = made.model_copy(update={"validation": (here, Path("gone")), "data_root": tmp_path})
    found, notes = with_validation(some)
    assert (found.validation, found.hold_out) == ((here,), 0)
    assert notes == [f"no gone in {tmp_path}, so not validated on it"]


def test_a_set_that_is_learned_from_is_told(made: Recipe, tmp_path: Path) -> None:
    folder = draw(tmp_path / "set", 2)
    (tmp_path / "link").symlink_to(folder)
    own = made.model_copy(update={"data": (folder,), "validation": (tmp_path / "link",)})
    (note,) = with_validation(own)[1]
    assert "link is learned from and validated on: its scores say nothing of other" in note
    other = draw(tmp_path / "other", 2)
    assert with_validation(own.model_copy(update={"validation": (other,)}))[1] == []


def test_a_failed_start_leaves_no_run(made: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(InputError, match="as large as the patch, 4000 pixels"):
        train(made.model_copy(update={"patch": 4000}), run, say=quiet)
    with pytest.raises(InputError, match="no weights file"):
        train(made.model_copy(update={"init": draw(tmp_path / "x", 1) / "0.png"}), run, say=quiet)
    with pytest.raises(InputError, match="-: is no folder"):
        train(made, Path("-"), say=quiet)
    assert not run.exists() and not Path("-").exists()
    assert train(made.model_copy(update={"steps": 1}), run, say=quiet)


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("error", [InputError("no"), RuntimeError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["build_model", "baselines", "environment", "gradient_norm"])
def test_whatever_ends_a_start_the_same_command_can_begin(
    where: str,
    error: BaseException,
    made: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> None:
        raise error

    short = made.model_copy(update={"steps": 1})
    before = left(tmp_path)
    empty = tmp_path / "empty"
    for run in (tmp_path / "new" / "runs" / "run", empty):
        with monkeypatch.context() as patched:
            patched.setattr(loop, where, fails)
            with pytest.raises(type(error)):
                train(short, run, say=quiet)
        made_then = [name for name in left(tmp_path) if "pairs" not in name]
        if where == "build_model":  # nothing was decoded yet
            assert left(tmp_path) == ([*before, "empty"] if run == empty else before)
        assert not [name for name in made_then if name.startswith(("new/runs/run", "empty/"))]
        assert train(short, run, say=quiet)
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        empty.mkdir(exist_ok=True)


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


def test_a_corrected_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "mine", 5)
    monkeypatch.chdir(tmp_path)
    words = ["denoise", "data=mine", *TINY, *NETWORK, "-o", "runs/own"]
    for wrong, message in (
        ("patch=64", "the largest that is possible with these pictures is patch=40"),
        ("spec.depths=[0]", "depths"),
        ("init=nowhere.safetensors", "nowhere.safetensors"),
        ("device=abacus", "abacus"),
    ):
        assert exit_code([*words, wrong]) == 2
        (error,) = capsys.readouterr().err.splitlines()
        assert message in error
        assert not (tmp_path / "runs").exists()
    assert exit_code(words) == 0


def test_a_folder_that_cannot_be_made_is_told_at_once(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(loop, "open_pictures", lambda *_: pytest.fail("that is slow"))
    for run in (tmp_path / "file" / "run", tmp_path / "file" / "more" / "run"):
        with pytest.raises(InputError, match="run: the run's folder cannot be written: Not a dir"):
            train(made, run, say=quiet)
    with pytest.raises(InputError, match="the largest that is possible"):
        train(made.model_copy(update={"patch": 99}), tmp_path / "run", say=quiet)
    assert (tmp_path / "file").exists()


def test_a_device_without_the_memory_is_told(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB. More.")

    monkeypatch.setattr(loop, "gradient_norm", full)
    with pytest.raises(InputError, match=r"too small: CUDA out of memory; try recompute=true"):
        train(made, tmp_path / "run", say=quiet)
    assert not (tmp_path / "run").exists()


def test_a_single_picture_is_trained_on_and_not_held_out(made: Recipe, tmp_path: Path) -> None:
    alone = made.model_copy(
        update={
            "data": (draw(tmp_path / "one", 1),),
            "validation": (Path("gone"),),
            "steps": 1,
        }
    )
    said: list[str] = []
    assert train(alone, tmp_path / "run", say=said.append)
    assert said[0].endswith("and a single picture leaves none to hold out: not validated")
    wanted = alone.model_copy(update={"validation": (), "hold_out": 0.5})
    train(wanted, tmp_path / "other", say=said.append)
    assert "a single picture leaves none to hold out" in said


def test_folders_named_in_python_begin_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, root = draw(tmp_path / "mine", 1), tmp_path / "data"
    draw(root / "mine", 1), draw(root / "theirs", 1)
    monkeypatch.chdir(tmp_path)
    made = recipe("denoise", ['data=["mine","theirs"]', "validation=theirs"])
    assert made.folders(made.data) == [mine, Path("data/theirs")]
    assert made.folders(made.validation) == [Path("data/theirs")]
    draw(tmp_path / "OpenPhotos", 1)  # of no concern to those who did not name it
    assert recipe("sr-x2").folders(recipe("sr-x2").data) == [Path("data/OpenPhotos")]


def test_folders_are_named_as_one_knows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words, message in (
        (["data=mine"], "error: mine is not a folder of pictures, neither here nor in data"),
        (["validation=/nowhere"], "error: /nowhere is not a folder of pictures"),
    ):
        assert exit_code(["denoise", *words, "-o", "run"]) == 2
        written = capsys.readouterr()
        assert written.err.strip() == message
        assert "not validated" not in written.out  # no news of what will not happen
    draw(tmp_path / "pool" / "Mine", 2)
    words = ["denoise", "data_root=pool", "data=Mine", *TINY, *NETWORK, "-o", "run"]
    assert exit_code(words) == 0
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["data"] == ["Mine"]


def test_sets_of_the_same_name_are_told_apart(made: Recipe, tmp_path: Path) -> None:
    """So that each counts for the best weights, and none is taken for what is held out."""
    folders = tuple(draw(tmp_path / name, 2) for name in ("a/test", "b/test", "c/held out"))
    own = made.model_copy(update={"data": (folders[0],), "validation": folders, "hold_out": 0.5})
    tests = picture_sets(own)[1]
    assert [test.name for test in tests] == [*map(str, folders), "held out"]
    assert train(own.model_copy(update={"steps": 2}), tmp_path / "run", say=quiet)
    names = {line["validation"] for line in log(tmp_path / "run") if "validation" in line}
    assert names == {test.name for test in tests}
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 4


def test_what_was_held_out_stays_so_when_pictures_come_and_go(made: Recipe, tmp_path: Path) -> None:
    folder, said = draw(tmp_path / "set", 5), list[str]()
    own = made.model_copy(
        update={"data": (folder,), "validation": (), "hold_out": 0.2, "lr_end": 1.0, "steps": 2}
    )
    train(own, tmp_path / "run", say=said.append)
    _, (test,), begun = picture_sets(own)
    assert not any("warning" in line for line in said)
    for number in range(20):  # they come before all others
        Image.new("RGB", (40, 40)).save(folder / f"+{number}.png")
    train(own.model_copy(update={"steps": 4}), tmp_path / "run", resume=True, say=said.append)
    (warning,) = [line for line in said if "warning" in line]
    assert "not those that the run began with (4 then, 24 now)" in warning
    now, (same,), _ = picture_sets(own, begun)
    assert same.sources == test.sources and len(now) == 24
    assert not {source.target for source in now} & {source.target for source in test.sources}


def test_a_held_out_picture_that_is_gone_for_a_while_is_never_learned_from(
    made: Recipe, tmp_path: Path
) -> None:
    folder, run, said = draw(tmp_path / "set", 8), tmp_path / "run", list[str]()
    own = made.model_copy(
        update={"data": (folder,), "validation": (), "hold_out": 0.25, "lr_end": 1.0, "steps": 1}
    )
    train(own, run, say=said.append)
    begun = json.loads((run / "begun.json").read_text())
    _, (test,), _ = picture_sets(own)
    first = test.sources[0].target
    data = first.read_bytes()
    first.unlink()
    train(own.model_copy(update={"steps": 2}), run, resume=True, say=said.append)
    (warning,) = [line for line in said if "are gone" in line]
    assert "1 of the 2 pictures that are held out are gone" in warning
    first.write_bytes(data)
    said.clear()
    train(own.model_copy(update={"steps": 3}), run, resume=True, say=said.append)
    assert json.loads((run / "begun.json").read_text()) == begun
    assert not any("warning" in line for line in said)
    (run / "begun.json").unlink()
    train(own.model_copy(update={"steps": 4}), run, resume=True, say=said.append)
    assert any("begun.json is missing or damaged" in line for line in said)


def test_one_folder_twice_is_refused(made: Recipe, tmp_path: Path) -> None:
    folder = draw(tmp_path / "set", 3)
    twice = made.model_copy(update={"data": (folder, tmp_path / "set" / ".." / "set")})
    with pytest.raises(InputError, match="is given twice in data"):
        train(twice, tmp_path / "run", say=quiet)


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


def test_other_pictures_of_the_same_names_are_told(made: Recipe, tmp_path: Path) -> None:
    folder, run = draw(tmp_path / "set", 3), tmp_path / "run"
    own = made.model_copy(
        update={"data": (folder,), "validation": (), "hold_out": 0.0, "lr_end": 1.0, "steps": 1}
    )

    def warnings_of(steps: int) -> list[str]:
        said = list[str]()
        more = own.model_copy(update={"steps": steps})
        train(more, run, resume=run.exists(), say=said.append)
        return [line for line in said if "the pictures are not those" in line]

    assert warnings_of(1) == warnings_of(2) == []
    Image.new("RGB", (60, 60)).save(sorted(folder.iterdir())[0])
    assert "(other files of the same names)" in warnings_of(3)[0]
    begun = json.loads((run / "begun.json").read_text())
    del begun["bytes"]  # as older versions wrote it
    (run / "begun.json").write_text(json.dumps(begun))
    assert warnings_of(4) == []


def test_an_exact_picture_does_not_end_a_run_nor_decide_alone(made: Recipe) -> None:
    """PSNR of a white picture that stays white is infinite."""
    flat = draw(made.data_root / "flat", 0)
    Image.new("RGB", (40, 40), "white").save(flat / "white.png")
    task, test = made.make_task(), PictureSet.of(flat)
    assert [score["psnr_y"] for score in baselines(task, test).values()] == [100.0]

    class Enlarged(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, image: torch.Tensor, run: object) -> torch.Tensor:
            return image.repeat_interleave(2, 2).repeat_interleave(2, 3)

    scores = validate(Enlarged(), task, test, lambda name, triple: None)
    assert [score["psnr_y"] for score in scores.values()] == [100.0]


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


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are always Unicode")
def test_names_that_are_not_utf_8(made: Recipe, tmp_path: Path) -> None:
    name = os.fsdecode(b"M\xfcller")
    folder = draw(tmp_path / "set", 2)
    (folder / "0.png").rename(folder / f"{name}.png")
    own = made.model_copy(update={"data": (folder,), "validation": (folder,), "steps": 2})
    assert train(own, tmp_path / "run", say=quiet)
    folder.rename(tmp_path / name)
    other = own.model_copy(update={"data": (tmp_path / name,)})
    with pytest.raises(InputError, match=r"M\\udcfcller: the name is not UTF-8; rename it"):
        train(other, tmp_path / "other", say=quiet)


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


def test_a_picture_narrower_than_the_scale_is_left_out(made: Recipe, tmp_path: Path) -> None:
    draw(tmp_path / "set", 2)
    Image.new("RGB", (1, 1)).save(tmp_path / "set" / "dot.png")
    own = made.model_copy(update={"data": (tmp_path / "set",), "steps": 1, "validation": ()})
    said: list[str] = []
    assert train(own, tmp_path / "run", say=said.append)
    assert any("1 of 3 pictures are smaller than the crop" in line for line in said)
    assert any("2 pictures" in line for line in said)


def test_a_network_of_other_channels_than_the_pictures_is_told_at_once(
    made: Recipe, tmp_path: Path
) -> None:
    gray = made.model_copy(update={"spec": {**made.spec, "in_chans": 1}})
    with pytest.raises(InputError, match=r"spec.in_chans is 1, but the pictures of task sr have 3"):
        train(gray, tmp_path / "run", say=quiet)
    assert not (tmp_path / "pairs").exists()


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"norm": "i-ln"}, "its norm is i-ln: say norm=i-ln$"),
        ({"window": 8}, "it has spec.window=8$"),
        ({"mlp_ratio": 3.0}, "it has spec.mlp_ratio=3.0$"),
        ({"depths": (1,)}, r"it has spec.depths=\[1\]$"),
    ],
)
def test_what_does_not_fit_of_an_init_is_named(
    other: dict[str, Any], expected: str, made: Recipe, tmp_path: Path
) -> None:
    spec = {name: tuple(v) if isinstance(v, list) else v for name, v in made.spec.items()}
    init = iln.build(made.backbone, **{"norm": "bn", **spec, **other})
    iln.save(init, tmp_path / "init.safetensors")
    own = made.model_copy(update={"init": str(tmp_path / "init.safetensors")})
    with pytest.raises(InputError, match=expected):
        train(own, tmp_path / "run", say=quiet)


def test_pairs_are_validated_once_whatever_the_task(made: Recipe, tmp_path: Path) -> None:
    for side in ("input", "target"):
        draw(tmp_path / "pairs" / side, 2)
    task = {"task": "denoise", "scale": 1, "spec": {**made.spec, "upsampler": ""}}
    pairs = tmp_path / "pairs"
    own = made.model_copy(update={**task, "validation": (pairs,), "steps": 1, "validate_every": 1})
    train(own, tmp_path / "runs" / "run", say=quiet)
    names = [line["baseline"] for line in log(tmp_path / "runs" / "run") if "baseline" in line]
    assert names == ["pairs"]


def test_a_reader_who_has_left_ends_no_run(made: Recipe, tmp_path: Path) -> None:
    words = [sys.executable, "-c", "import sys; from iln.cli.main import main; main(sys.argv[1:])"]
    data = f"data={made.data_root / 'waves'}"
    given = ["train", "sr-x2", data, f"validation={made.data_root / 'waves'}", *TINY, *NETWORK]
    process = subprocess.Popen(
        [*words, *given, "-o", str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(120) == 0
    assert (tmp_path / "run" / "last.safetensors").exists()


@pytest.mark.parametrize("backbone", ["swinir-light-x2", "hat-x2"])
def test_a_published_file_starts_a_run_as_what_it_is(
    backbone: str, made: Recipe, tmp_path: Path
) -> None:
    """What such a file does not say, the recipe has to say alike."""
    small: dict[str, Any] = {"embed_dim": 12, "depths": (1,), "num_heads": (2,), "window": 7}
    if backbone == "hat-x2":
        small |= {"squeeze_factor": 4, "window": 4}
    source = iln.build(backbone, norm="ln", **small)
    torch.save({"params": source.state_dict()}, tmp_path / "published.pth")
    spec = {name: list(v) if isinstance(v, tuple) else v for name, v in small.items()}
    changes = {"backbone": backbone, "norm": "ln", "spec": spec, "lr": 1e-9, "steps": 1}
    own = made.model_copy(update={**changes, "patch": 28, "init": str(tmp_path / "published.pth")})
    if backbone == "swinir-light-x2":  # by its authors' convention, window 7 goes with 0 to 255
        with pytest.raises(InputError, match=r"has img_range 255.0 .* say spec.img_range=255.0"):
            train(own, tmp_path / "refused", say=quiet)
        assert not (tmp_path / "refused").exists()
        own = own.model_copy(update={"spec": {**spec, "img_range": 255.0}})
    assert train(own, tmp_path / "run", say=quiet)
    image = torch.rand(1, 3, 20, 20)
    with torch.no_grad():
        before = iln.load(tmp_path / "published.pth", norm="ln")(image)
        after = iln.load(tmp_path / "run" / "last.safetensors")(image)
    assert (after - before).abs().max() < 1e-3
