"""What a run is validated on: sets of its own, and pictures that are held out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from running import draw, log, quiet

from iln.errors import InputError
from iln.lab.training import Recipe, train
from iln.lab.training.sets import PictureSet, picture_sets, with_validation
from iln.lab.training.validation import baselines, validate


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


def test_pairs_are_validated_once_whatever_the_task(made: Recipe, tmp_path: Path) -> None:
    for side in ("input", "target"):
        draw(tmp_path / "pairs" / side, 2)
    task = {"task": "denoise", "scale": 1, "spec": {**made.spec, "upsampler": ""}}
    pairs = tmp_path / "pairs"
    own = made.model_copy(update={**task, "validation": (pairs,), "steps": 1, "validate_every": 1})
    train(own, tmp_path / "runs" / "run", say=quiet)
    names = [line["baseline"] for line in log(tmp_path / "runs" / "run") if "baseline" in line]
    assert names == ["pairs"]
