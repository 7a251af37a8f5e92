import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
from running import quiet
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from iln.images import read
from iln.lab.training import Recipe, train
from iln.lab.training.report import Report, environment, side_by_side


def test_curves_and_samples_are_there_to_be_seen(made: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(made.model_copy(update={"tensorboard": True}), run, say=quiet)
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("loss")] == list(range(4, 61, 4))
    assert [event.step for event in board.Scalars("waves/psnr_y")] == [30, 60]
    assert board.Tags()["images"] == ["waves: input, output, target"]
    samples = sorted((run / "samples").iterdir())
    assert [file.name for file in samples] == ["waves-0000030.png", "waves-0000060.png"]
    strip = read(samples[-1]).pixels
    assert strip.shape == (60, 3 * 80, 3)
    output, target = strip[:, 80:160].astype(float), strip[:, 160:].astype(float)
    assert np.abs(output - target).mean() < 15


def test_without_tensorboard_the_log_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    said: list[str] = []
    report = Report(tmp_path, 0, True, said.append)
    assert said == ['no TensorBoard files: it is not installed (pip install "iln[train]")']
    report.write(step=1, loss=0.5, grad_norm=math.nan)
    report.scalars(1, {"loss": 0.5})
    report.close()
    written = json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=pytest.fail)
    assert written == {"step": 1, "loss": 0.5, "grad_norm": None}


def test_the_log_is_cut_where_a_run_resumes(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    Report(tmp_path, 2, False, quiet).write(step=3, loss=1)
    assert (
        tmp_path / "log.jsonl"
    ).read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3, "loss": 1}\n'


def test_large_pictures_are_shown_by_their_middle() -> None:
    target = np.zeros((400, 300, 3), np.uint8)
    target[100:300, 50:250] = 200
    strip = side_by_side(target[::2, ::2], target, target)
    assert strip.shape == (192, 3 * 192, 3)
    assert (strip == 200).all()


def test_the_environment_names_versions_and_the_revision() -> None:
    found = environment(7)
    assert found["step"] == 7
    assert found["torch"].startswith("2.")
    assert found["git"] is None or len(found["git"].rstrip("+")) == 40
    assert str(Path.home()) not in json.dumps(found)


def test_the_revision_is_not_that_of_whoever_installed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / ".venv" / "report.py"
    installed.parent.mkdir()
    installed.write_text("")
    (tmp_path / ".gitignore").write_text(".venv\n")
    words = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"]
    for command in (["init", "-q"], ["add", ".gitignore"], words):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setattr("iln.lab.training.report.__file__", str(installed))
    assert environment(0)["git"] is None
