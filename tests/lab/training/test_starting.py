"""How a run begins: own pictures, what is not there, and what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from running import draw, exit_code, log, quiet

import iln
from iln.errors import InputError
from iln.lab.training import Recipe, load_recipe, loop, recipe, train

TINY = ("steps=2", "batch=2", "patch=16", "threads=1", "precision=fp32", "tensorboard=false")

NETWORK = ("spec.embed_dim=12", "spec.depths=[1]", "spec.num_heads=[2]", "spec.window=4")


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
