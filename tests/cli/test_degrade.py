"""`iln degrade`: what is written, what is kept, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import Command, files, photo, save, size
from PIL import Image

from iln.images import Picture, read, write
from iln.lab.tasks import generator, task, to_uint8


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_picture_in_one_line(command: Command) -> None:
    save("a.png")
    done = command("degrade", "a.png", "--task", "denoise", "--seed", 3, "sigma=25")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "a_degraded.png  16x12 -> 16x12, denoise sigma=25 rounded=False gray=False, seed 3\n"
    )
    expected, _ = task("denoise", {"sigma": 25}).pair(photo(), generator(3))
    assert np.array_equal(read("a_degraded.png").pixels, to_uint8(expected))


@pytest.mark.parametrize("name", ["denoise", "jpeg", "derain", "deblur", "photo", "scratches"])
def test_every_task_repeats_itself(name: str, command: Command) -> None:
    save("a.png", photo(60, 80))
    for seed, target in ((1, "b.png"), (1, "c.png"), (2, "d.png")):
        assert command("degrade", "a.png", "--task", name, "--seed", seed, "-o", target).code == 0
        assert size(target) == (80, 60)
    b, c, d = (read(f"{x}.png").pixels for x in "bcd")
    assert np.array_equal(b, c)
    assert not np.array_equal(b, d)


def test_photo_is_the_default_and_ranges_are_json(command: Command) -> None:
    save("a.png", photo(40, 40))
    done = command("degrade", "a.png", "strength=[0.2,0.4]", "scale=2")
    assert "a_degraded.png  40x40 -> 20x20, photo scale=2 strength=0.2..0.4 " in done.out
    assert size("a_degraded.png") == (20, 20)


def test_a_seed_that_changes_nothing_is_named(command: Command) -> None:
    save("a.png", photo(40, 40))
    done = command("degrade", "a.png", "untouched=1", "--seed", 3)
    assert (done.code, done.err) == (
        0,
        "note: with these parameters, seed 3 leaves this picture as it was\n",
    )
    assert command("degrade", "a.png", "--task", "jpeg", "--overwrite").err == ""


def test_super_resolution_shrinks_and_cuts(command: Command) -> None:
    save("a.png", photo(13, 17))
    assert command("degrade", "a.png", "--task", "sr", "scale=4").code == 0
    assert size("a_degraded.png") == (4, 3)


def test_metadata_and_transparency_are_kept(command: Command) -> None:
    alpha = photo(12, 16, 1)
    exif = Image.Exif()
    exif[0x010F] = "camera"
    block = exif.tobytes()[6:]
    icc = _profile()
    write(Picture(photo(), alpha, icc=icc, exif=block, dpi=(300, 300)), "a.png")
    assert command("degrade", "a.png", "--task", "denoise").code == 0
    after = read("a_degraded.png")
    assert np.array_equal(after.alpha, alpha)
    assert after.icc == icc
    assert after.exif is not None
    assert b"camera" in after.exif
    assert command("degrade", "a.png", "--task", "sr", "-o", "b.png").code == 0
    assert read("b.png").alpha.shape == (6, 8)


def _profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_gray_stays_gray_and_deep_pictures_become_eight_bits(command: Command) -> None:
    save("a.png", photo(12, 16, 1))
    assert command("degrade", "a.png", "--task", "photo").code == 0
    assert read("a_degraded.png").channels == 1
    write(Picture(photo(dtype=np.uint16), photo(channels=1, dtype=np.uint16)), "deep.png")
    done = command("degrade", "deep.png", "--task", "deblur")
    assert done.err == "note: damaged in 8 bits: rounded from 16\n"
    after = read("deep_degraded.png")
    assert after.bit_depth == 8
    assert after.alpha is not None


def test_gray_tasks_make_gray_pictures(command: Command) -> None:
    save("a.png")
    assert command("degrade", "a.png", "--task", "jpeg", "gray=true", "quality=10").code == 0
    assert read("a_degraded.png").channels == 1


@pytest.mark.parametrize(
    ("source", "target"), [("a.gif", "a_degraded.png"), ("a", "a_degraded.png")]
)
def test_names_that_cannot_be_written(source: str, target: str, command: Command) -> None:
    save("x.gif" if source == "a" else source)
    if source == "a":
        Path("x.gif").rename("a")
    assert command("degrade", source).code == 0
    assert Path(target).exists()


@pytest.mark.parametrize("folder", ["out", "new", "new.v2/", "in/new"])
def test_a_folder_as_output(folder: str, command: Command) -> None:
    save("a.png")
    Path("out").mkdir()
    assert command("degrade", "a.png", "-o", folder).code == 0
    assert Path(folder, "a.png").exists()


def test_nothing_is_overwritten_without_being_asked(command: Command, here: Path) -> None:
    save("a.png")
    assert command("degrade", "a.png", "--seed", 1).code == 0
    before = Path("a_degraded.png").read_bytes()
    again = command("degrade", "a.png", "--task", "jpeg", "quality=5")
    assert again.code == 2
    assert again.lines == [
        "error: a_degraded.png: exists already; choose another name or allow overwriting "
        "(--overwrite)"
    ]
    assert Path("a_degraded.png").read_bytes() == before
    assert command("degrade", "a.png", "--task", "jpeg", "quality=5", "--overwrite").code == 0
    assert Path("a_degraded.png").read_bytes() != before
    assert files(here) == ["a.png", "a_degraded.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.png", "--task", "derian"], "there is no task 'derian'; did you mean derain"),
        (["a.png", "--task", "jpeg", "qualiti=3"], "task jpeg has no 'qualiti'; did you mean q"),
        (["a.png", "--task", "jpeg", "quality=300"], "quality=300: must be within 1..100"),
        (["a.png", "--task", "denoise", "sigma=[9,3]"], "the first number must not exceed"),
        (["a.png", "--task", "denoise", "sigma=much"], "must be a number or two of them"),
        (["a.png", "sigma"], "'sigma' is not of the form key=value"),
        (["nothing.png"], "nothing.png is no file"),
        (["."], ". is a folder; give one picture"),
        (["a.png", "-o", "a.png", "--overwrite"], "the result would replace an input"),
        (["a.png", "-o", "b.xyz"], "unknown suffix '.xyz'"),
        (["clear.png", "-o", "b.jpg"], ".jpg cannot hold transparency"),
        (["a.png", "-o", "a.png/b.png"], "a.png/b.png: cannot be written"),
        (["tiny.png", "--task", "sr", "scale=4"], "2 x 3 is too small to be shrunk by 4"),
    ],
)
def test_errors_are_one_line(words: list[str], message: str, command: Command, here: Path) -> None:
    save("a.png")
    save("tiny.png", photo(3, 2))
    save("clear.png", photo(channels=4))
    before = files(here)
    done = command("degrade", *words)
    assert (done.code, done.out) == (2, "")
    (line,) = done.lines
    assert line.startswith("error: ")
    assert message in line
    assert files(here) == before


def test_it_does_not_need_pytorch(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    save("a.png")
    assert command("degrade", "a.png").code == 0
