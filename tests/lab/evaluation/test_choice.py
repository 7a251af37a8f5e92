"""Which task is tested, and what does not go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from known_networks import folder, network, pairs, photo

from iln import InputError, load
from iln.lab.evaluation import evaluate
from iln.lab.evaluation.files import as_json
from iln.lab.tasks import task
from iln.restoration import Restorer


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return folder(tmp_path / "set", a=photo())


def test_the_file_says_what_it_was_trained_for(tmp_path: Path, place: Path) -> None:
    about: dict[str, Any] = {"task": "jpeg", "training": {"degradation": {"quality": [15, 35]}}}
    file = network(tmp_path / "m.safetensors", **about)
    result = evaluate(file, place)
    assert result.task == task("jpeg", {"quality": [15, 35]})
    assert list(result.sets[0].protocols) == ["q 20", "q 30"]
    narrower = evaluate(file, place, parameters={"quality": 30})
    assert list(narrower.sets[0].protocols) == ["q 30"]
    named = evaluate(file, place, task="jpeg")  # nothing from the file
    assert named.task == task("jpeg", {})


def test_the_task_may_be_the_first_of_many_words(tmp_path: Path, place: Path) -> None:
    file = network(tmp_path / "m.safetensors", task="denoise: takes noise away", training="none")
    assert evaluate(file, place).task_name == "denoise"


def test_a_protocol_without_a_name_is_called_by_its_values(tmp_path: Path, place: Path) -> None:
    file = network(tmp_path / "m.safetensors")
    result = evaluate(file, place, task="denoise", parameters={"sigma": [2, 8]})
    assert list(result.sets[0].protocols) == ["sigma 5"]


def test_a_file_that_says_nothing(tmp_path: Path, place: Path) -> None:
    silent, enlarging = (network(tmp_path / f"s{n}.safetensors", scale=n) for n in (1, 2))
    assert evaluate(enlarging, place).task_name == "sr"
    with pytest.raises(InputError, match=r"s1 does not say what it was trained for.*--task: sr, "):
        evaluate(silent, place)
    speaking = network(tmp_path / "d.safetensors", task="deblur")
    assert evaluate([silent, speaking], place).task_name == "deblur"


def test_trained_for_different_values(tmp_path: Path, place: Path) -> None:
    files = [
        network(
            tmp_path / f"{s}.safetensors", task="denoise", training={"degradation": {"sigma": s}}
        )
        for s in (15, 25)
    ]
    with pytest.raises(
        InputError, match=r"15 was trained for sigma 15, 25 for 25; .*--param sigma"
    ):
        evaluate(files, place)
    assert list(evaluate(files, place, parameters={"sigma": 25}).sets[0].protocols) == ["sigma 25"]
    assert len(evaluate(files, place, task="denoise").sets[0].protocols) == 3


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        (["x2", "x4"], {}, r"of different scale cannot be compared: x2 \(2\), x4 \(4\)"),
        (["noise", "blocks"], {}, r"different tasks .*: noise \(denoise\), blocks \(jpeg\)"),
        (["x2"], {"task": "denoise"}, "x2: task denoise: scale=2"),
        (["x2"], {"parameters": {"scale": 4}}, "x2 enlarges 2 times, the task 4 times"),
        (["gray"], {"task": "derain"}, "gray restores gray pictures, but task derain is on colour"),
        (["gray"], {"parameters": {"gray": False}}, "gray restores gray pictures, but task"),
        (["noise"], {"task": "denose"}, "no task 'denose'; did you mean denoise"),
        (["noise"], {"parameters": {"sigmas": 3}}, "no 'sigmas'; did you mean sigma"),
        (["noise", "noise"], {}, "noise.safetensors is given twice"),
        (["noise"], {"norm": "ln"}, "norm: only for files that do not say it"),
        ([], {}, "name at least one model"),
    ],
)
def test_what_does_not_go_together(
    models: list[str], options: dict[str, Any], message: str, tmp_path: Path, place: Path
) -> None:
    made: dict[str, dict[str, Any]] = {
        "x2": {"scale": 2},
        "x4": {"scale": 4},
        "noise": {"task": "denoise"},
        "blocks": {"task": "jpeg"},
        "gray": {"channels": 1, "task": "denoise"},
    }
    for name in set(models):
        network(tmp_path / f"{name}.safetensors", **made[name])
    with pytest.raises(InputError, match=message):
        evaluate([tmp_path / f"{name}.safetensors" for name in models], place, **options)


def test_names_that_would_be_taken_for_each_other(tmp_path: Path) -> None:
    files = [network(tmp_path / f"{n}.safetensors", task="jpeg") for n in ("a/m", "b/m", "input")]
    sets = [folder(tmp_path / n, a=photo()) for n in ("a/set", "b/set")]
    result = evaluate(files, sets, parameters={"quality": 10})
    assert result.columns == ["input", *map(str, files)]
    assert [found.name for found in result.sets] == list(map(str, sets))


def test_folders_and_pictures_that_cannot_be_scored(tmp_path: Path) -> None:
    file = network(tmp_path / "m.safetensors", task="jpeg")
    good = folder(tmp_path / "good", a=photo())
    broken = folder(tmp_path / "broken", a=photo())
    (broken / "b.png").write_text("no picture")
    bad = {
        tmp_path / "missing": "missing is not a folder",
        folder(tmp_path / "empty"): "empty holds no pictures",
        broken: r"broken/b\.png: is not a picture",
        folder(tmp_path / "small", s=photo(30, 10)): r"small/s\.png: SSIM needs at least 11 x 11",
        pairs(tmp_path / "sizes", p=(photo(20, 24), photo(24, 24))): r"input/p\.png is 24x20",
    }
    alone = pairs(tmp_path / "alone", p=(photo(), photo()), q=(photo(), photo()))
    (alone / "target/q.png").rename(alone / "target/r.png")
    bad[alone] = "2 pictures lie in only one of input and target: q, r"
    for place, message in bad.items():
        with pytest.raises(InputError, match=message):
            evaluate(file, [good, place])
    for model in (load(file), None, [3]):
        with pytest.raises(InputError, match=r"a model of type .*; give its name"):
            evaluate(model, good)  # type: ignore[arg-type]
    for seed in (-1, 0.5, "1"):
        with pytest.raises(InputError, match=r"seed .*: must be a whole number from 0 on"):
            evaluate(file, good, seed=seed)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"x00: no such folder of pictures"):
        evaluate(file, "\0")
    with pytest.raises(InputError, match=r"parameters are a dict, .* not 3"):
        evaluate(file, good, parameters=3)  # type: ignore[arg-type]


def test_a_bad_picture_is_found_before_the_first_is_restored(tmp_path: Path) -> None:
    told: list[str] = []
    place = folder(tmp_path / "set", a=photo(), z=photo(30, 10))
    with pytest.raises(InputError, match=r"z\.png"):
        evaluate(
            network(tmp_path / "m.safetensors", task="jpeg"),
            place,
            progress=lambda what, share: told.append(what),
        )
    assert set(told) == {"reading set"}


def test_a_result_that_is_not_finite_names_picture_and_model(tmp_path: Path, place: Path) -> None:
    file = network(tmp_path / "broken.safetensors", float("nan"), task="jpeg")
    with pytest.raises(InputError, match=r"set/a\.png with broken: .* not finite"):
        evaluate(file, place)


def test_a_model_called_as_the_baseline_needs_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network(tmp_path / "m.safetensors", task="jpeg").rename(tmp_path / "input")
    place = folder(tmp_path / "set", a=photo())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"the model input cannot be called so here; say \./input"):
        evaluate("input", place)
    assert evaluate("./input", place).columns == ["input", "./input"]


def test_each_model_has_a_precision_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [network(tmp_path / f"{name}.safetensors", task="jpeg") for name in "ab"]
    made = Restorer.__init__

    def init(self: Restorer, model: Any, **options: Any) -> None:
        made(self, model, **options | {"precision": "bf16" if Path(model).stem == "b" else "fp32"})

    monkeypatch.setattr(Restorer, "__init__", init)
    result = evaluate(files, folder(tmp_path / "set", a=photo()))
    assert [model.precision for model in result.models] == ["fp32", "bf16"]
    assert result.precision == "bf16, fp32"
    assert [model["precision"] for model in as_json(result)["models"]] == ["fp32", "bf16"]
