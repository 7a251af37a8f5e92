"""`iln restore`: options beyond names and models; each kind of folder, stream and job array."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_helpers import Command, files, photo, pixels, save, size
from PIL import Image

from iln.errors import InputError
from iln.images import Picture, read, write
from iln.restoration.jobs import parse_shard


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("strength", [0, 0.25, 1])
def test_strength_mixes_with_the_picture(
    strength: float, command: Command, same_size: Path
) -> None:
    save("a.png")
    command("restore", "a.png", "--model", same_size, "-o", "whole.png")
    done = command("restore", "a.png", "--model", same_size, "--strength", strength, "-o", "b.png")
    assert done.code == 0
    expected = (1 - strength) * pixels("a.png") + strength * pixels("whole.png")
    assert np.abs(pixels("b.png") - expected).max() <= 0.5
    assert (strength == 0) == np.array_equal(pixels("b.png"), pixels("a.png"))


@pytest.mark.parametrize("strength", ["half", "50%", "0,5", "1/2", ""])
def test_strengths_that_are_no_numbers(strength: str, restore: Command, here: Path) -> None:
    save("a.png")
    done = restore("a.png", "--strength", strength)
    message = f"error: strength {strength!r}: must be from 0 to 1, such as 0.5"
    assert (done.code, done.lines) == (2, [message])
    assert files(here) == ["a.png"]


@pytest.mark.parametrize("strength", ["-0.1", "1.5", "nan"])
def test_strengths_that_are_none(strength: str, restore: Command, here: Path) -> None:
    save("a.png")
    done = restore("a.png", "--strength", strength)
    assert (done.code, done.lines) == (
        2,
        [f"error: strength {float(strength):g}: must be from 0 to 1"],
    )
    assert files(here) == ["a.png"]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ("40x", (40, 30)),
        ("x60", (80, 60)),
        ("20x20", (20, 15)),
        ("20X5", (7, 5)),
        ("32x24", (32, 24)),
        ("100%", (16, 12)),
        ("62.5 %", (10, 8)),
        ("400%", (64, 48)),
    ],
)
def test_size_is_that_of_the_result(wish: str, expected: tuple[int, int], restore: Command) -> None:
    save("a.png", photo(channels=4))
    assert restore("a.png", "--size", wish).code == 0
    assert size("a_restored.png") == expected


def test_size_keeps_what_the_picture_shows(restore: Command) -> None:
    save("a.png", np.full((12, 16, 3), (200, 40, 90), np.uint8))
    restore("a.png", "-o", "b.png")
    restore("a.png", "--size", "300x", "-o", "c.png")
    small, large = pixels("b.png"), pixels("c.png")
    assert np.abs(large.mean((0, 1)) - small.mean((0, 1))).max() < 1


@pytest.mark.parametrize("wish", ["1000000x", "x1000000", "30000x30000"])
@pytest.mark.parametrize("sides", [(12, 16), (320, 330)])  # of the larger the time is foretold
def test_a_size_that_no_memory_holds(
    wish: str, sides: tuple[int, int], restore: Command, here: Path
) -> None:
    save("a.png", np.zeros((*sides, 3), np.uint8))
    done = restore("a.png", "--size", wish)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "more than 300,000,000 pixels; allow it with --max-pixels " in done.err
    assert files(here) == ["a.png"]


@pytest.mark.parametrize(
    "wish",
    [
        "0x",
        "x",
        "40",
        "40x30x2",
        "-3x",
        "large",
        "99999999x",
        "0%",
        "-5%",
        "%",
        "1e3%",
        "10001%",
        pytest.param("9" * 5000 + "x", id="5000 digits"),
    ],
)
def test_sizes_that_are_none(wish: str, restore: Command, here: Path) -> None:
    save("a.png")
    done = restore("a.png", "--size", wish)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "accepted are a width such as 4000x" in done.err
    assert files(here) == ["a.png"]


def test_compare_shows_before_and_after(restore: Command) -> None:
    save("a.png", photo(channels=4))
    assert restore("a.png", "--compare", "both.jpg", "--quality", 100).code == 0
    both, after = pixels("both.jpg"), read("a_restored.png")
    assert both.shape == (24, 2 * 32 + 8, 3)
    share = after.alpha[..., None] / 255
    assert np.abs(both[:, 40:] - (after.pixels * share + 255 * (1 - share))).mean() < 3
    assert (both[:, 34:38] > 250).all()


def test_a_comparison_that_cannot_be_written_costs_no_result(
    restore: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import iln.restoration.batch as batch

    usual = batch.write

    def full(picture: Picture, target: Path, **options: Any) -> Any:
        if target.name == "both.png":
            raise InputError("both.png: cannot be written: No space left on device")
        return usual(picture, target, **options)

    save("a.png")
    monkeypatch.setattr(batch, "write", full)
    done = restore("a.png", "--compare", "both.png")
    assert done.code == 1 and done.out.startswith("a_restored.png  16x12 -> ")
    assert "error: both.png: cannot be written: No space left on device" in done.lines


def test_compare_of_several_or_over_a_file(restore: Command, here: Path) -> None:
    save("a.png"), save("b.png"), save("c.png")
    for words in (
        ["a.png", "b.png", "--compare", "both.png"],
        ["a.png", "--compare", "c.png"],
        ["a.png", "--compare", "a.png", "--overwrite"],
        ["a.png", "--compare", "both.gif"],
        ["a.png", "--compare", "c.png/both.png"],
        ["a.png", "--compare", here / "a.png", "--overwrite"],
        ["a.png", "--compare", "new/../a.png", "--overwrite"],
        ["a.png", "-o", "new/../a.png", "--overwrite"],
        ["a.png", "-o", "d.png", "--compare", here / "d.png"],
        ["a.png", "--compare", "new/both.png", "--model", "none"],
        ["a.png", "--compare", "new/both.jpg", "--size", "40000x"],
    ):
        done = restore(*words)
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert files(here) == ["a.png", "b.png", "c.png"]


@pytest.mark.skipif(os.name != "posix", reason="makes links")
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_compare_writes_over_no_input_by_another_name(link: Any, restore: Command) -> None:
    before = save("a.png").read_bytes()
    link("a.png", "b.png")
    assert restore("a.png", "--compare", "b.png", "--overwrite").code == 2
    assert Path("a.png").read_bytes() == before


def test_compare_of_a_result_that_exists(restore: Command, here: Path) -> None:
    save("a.png")
    words = ["a.png", "--compare", "both.png"]
    assert restore(*words).code == 0
    done = restore(*words, "--skip-existing")
    assert (done.code, done.err) == (0, "1 skipped: their results exist\n")
    Path("both.png").unlink()
    done = restore(*words)
    assert done.code == 2
    assert done.err.startswith("error: a_restored.png: exists already")
    assert files(here) == ["a.png", "a_restored.png"]


def test_a_second_run_goes_on_where_the_first_one_ended(restore: Command) -> None:
    save("in/a.png"), save("in/b.jpg")
    assert restore("in", "-o", "out").code == 0
    save("in/c.png")
    before = Path("out/a.png").stat().st_mtime_ns
    done = restore("in", "-o", "out", "--skip-existing")
    assert (done.code, done.err) == (0, "2 skipped: their results exist\n")
    assert done.out.startswith("out/c.png  ")
    assert Path("out/a.png").stat().st_mtime_ns == before
    done = restore("in", "-o", "out", "--skip-existing")
    assert (done.code, done.out) == (0, "")
    assert restore("in", "-o", "out", "--skip-existing", "--overwrite").code == 2


def test_beside_the_pictures_too(restore: Command) -> None:
    save("a.png"), save("b.png")
    restore("a.png")
    done = restore("a.png", "b.png", "--skip-existing")
    assert (done.code, done.err) == (0, "1 skipped: their results exist\n")


def test_shards_cover_a_folder_without_overlap(restore: Command) -> None:
    for i in range(12):
        save(f"in/{i}.png")
    found: list[str] = []
    for k in (1, 2, 3):
        done = restore("in", "-o", f"out{k}", "--shard", f"{k}/3")
        assert done.code == 0
        taken = files(Path(f"out{k}")) if Path(f"out{k}").exists() else []
        assert f"{12 - len(taken)} left to other shards" in done.err
        found += taken
    assert sorted(found) == sorted(f"{i}.png" for i in range(12))


def test_a_shard_stays_the_same_when_pictures_are_added(restore: Command) -> None:
    for i in range(8):
        save(f"in/{i}.png")
    restore("in", "-o", "out", "--shard", "1/2")
    before = set(files(Path("out")))
    for i in range(8, 16):
        save(f"in/{i}.png")
    restore("in", "-o", "out", "--shard", "1/2", "--skip-existing")
    restore("in", "-o", "rest", "--shard", "2/2")
    assert before <= set(files(Path("out")))
    assert not set(files(Path("out"))) & set(files(Path("rest")))


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", ""])
def test_shards_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="accepted are k/n"):
        parse_shard(text)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"RANK": "2", "WORLD_SIZE": "4"}, (3, 4)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (2, 2)),
        (
            {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "9"},
            (5, 9),
        ),
        (
            {
                "SLURM_ARRAY_TASK_ID": "4",
                "SLURM_ARRAY_TASK_MIN": "0",
                "SLURM_ARRAY_TASK_MAX": "6",
                "SLURM_ARRAY_TASK_STEP": "2",
                "SLURM_PROCID": "1",
                "SLURM_NTASKS": "2",
            },
            (6, 8),
        ),
    ],
)
def test_a_shard_by_what_started_the_process(
    environment: dict[str, str], expected: tuple[int, int]
) -> None:
    assert parse_shard("auto", environment) == expected


@pytest.mark.parametrize(
    "environment",
    [
        {"RANK": "4", "WORLD_SIZE": "4"},
        {"RANK": "-1", "WORLD_SIZE": "4"},
        {"RANK": "one", "WORLD_SIZE": "4"},
        {"SLURM_PROCID": "2", "SLURM_NTASKS": "2"},
        {  # --array=1,5,9: of nine parts, three would be restored
            "SLURM_ARRAY_TASK_ID": "5",
            "SLURM_ARRAY_TASK_MIN": "1",
            "SLURM_ARRAY_TASK_MAX": "9",
            "SLURM_ARRAY_TASK_COUNT": "3",
        },
    ],
)
def test_no_shard_by_what_cannot_be(environment: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"^shard auto: .*; give k/n, such as "):
        parse_shard("auto", environment)


def test_no_shard_where_nothing_says_it() -> None:
    with pytest.raises(InputError, match="neither torchrun"):
        parse_shard("auto", {})


def run(words: list[object], **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "iln", *map(str, words)],
        check=False,
        capture_output="stdout" not in options,
        **options,  # type: ignore[call-overload]
    )


def test_standard_input_and_output(weights: Path, restore: Command, here: Path) -> None:
    save("a.jpg")
    restore("a.jpg", "-o", "expected.jpg")
    common = ["restore", "--model", weights, "--device", "cpu"]
    done = run([*common, "-"], input=Path("a.jpg").read_bytes())
    assert done.returncode == 0
    assert done.stdout == Path("expected.jpg").read_bytes()
    assert done.stderr.startswith(b"-  16x12 -> 32x24, ")
    assert run([*common, "a.jpg", "-o", "/dev/stdout"]).stdout == done.stdout
    assert files(here) == ["a.jpg", "expected.jpg"]
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert image.format == "JPEG"


def test_standard_input_to_a_file_that_exists(weights: Path, here: Path) -> None:
    data = save("a.png").read_bytes()
    common = ["restore", "--model", weights, "--device", "cpu", "-", "-o", "a.png"]
    done = run(common, input=b"not even looked at")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"a.png: exists already" in done.stderr
    done = run([*common, "--skip-existing"], input=data)
    assert (done.returncode, done.stderr) == (0, b"1 skipped: their results exist\n")
    assert Path("a.png").read_bytes() == data


@pytest.mark.slow
def test_standard_input_to_a_file_and_a_file_to_standard_output(weights: Path, here: Path) -> None:
    data = save("a.jpg").read_bytes()
    common = ["restore", "--model", weights, "--device", "cpu"]
    done = run([*common, "-", "-o", "b.png"], input=data)
    assert (done.returncode, size("b.png")) == (0, (32, 24))
    assert run([*common, "a.jpg", "-o", "-"]).stdout == run([*common, "-"], input=data).stdout
    assert files(here) == ["a.jpg", "b.png"]


def test_standard_input_that_is_no_picture(weights: Path) -> None:
    done = run(["restore", "--model", weights, "-"], input=b"hello")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"error: the picture: is not a picture; give a ")


@pytest.mark.parametrize("words", [["-", "a.png"], ["-", "-o", "folder/"], [".", "-o", "-"]])
def test_streams_that_cannot_be_meant(words: list[str], restore: Command, here: Path) -> None:
    save("a.png")
    Path("folder").mkdir()
    done = restore(*words)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert files(here) == ["a.png"]


@pytest.mark.skipif(os.name != "posix", reason="closes streams as a shell does")
@pytest.mark.parametrize(
    "how", ["closed", *(pytest.param(how, marks=pytest.mark.slow) for how in ("full", "left"))]
)
def test_a_picture_is_restored_whatever_becomes_of_the_report(
    how: str, weights: Path, here: Path
) -> None:
    save("a.png")
    program = f'"{sys.executable}" -m iln restore --model "{weights}" a.png'
    command = {
        "closed": f"{program} >&-",
        "full": f"{program} >/dev/full",
        "left": f"({program}; echo $? >code) | true; exit $(cat code)",
    }[how]
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert size("a_restored.png") == (32, 24)


def test_what_is_passed_over_in_a_folder_is_told(restore: Command, here: Path) -> None:
    save("in/a.jpg").rename("in/a.jfif")
    save("in/b.jpg").rename("in/b.mpo")
    save("in/c.jpg").rename("in/c.jpe")
    save("in/d_restored.png")
    for name in ("._e.jpg", "notes.txt", "film.mov", "more.txt", "README"):
        Path("in", name).write_bytes(b"\0\5\x16\7")
    done = restore("in", "-o", "out")
    assert done.code == 0
    assert files(Path("out")) == ["a.jfif", "b.jpg", "c.jpe"]
    assert done.err == (
        "6 passed over: 1 .mov, 2 .txt, 1 an earlier result, 1 hidden, 1 without a suffix\n"
    )


def test_heic_is_passed_over_and_counted_without_its_package(
    restore: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("in/a.png")
    Path("in/b.heic").write_bytes(b"\0\0\0\x18ftypheic")
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    done = restore("in", "-o", "out")
    assert (done.code, done.err) == (
        0,
        "1 passed over: 1 .heic, which needs pip install 'iln[phone]'\n",
    )


def test_a_folder_that_may_not_be_read_is_counted(
    restore: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("in/a.png"), save("in/locked/b.png")
    look = Path.iterdir

    def locked(folder: Path) -> Iterator[Path]:  # root, who may run this, may read all
        if folder.name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return look(folder)

    monkeypatch.setattr(Path, "iterdir", locked)
    done = restore("in", "-o", "out", "-r")
    assert (done.code, done.err) == (0, "1 passed over: 1 folder that may not be read\n")


@pytest.mark.skipif(os.name != "posix", reason="makes links")
def test_folders_are_looked_into_once(restore: Command) -> None:
    save("in/a.png"), save("in/sub/b.png"), save("in/.hidden/c.png")
    Path("in/sub/loop").symlink_to("..")
    Path("in/self").symlink_to(".")
    Path("in/again").symlink_to("sub")
    done = restore("in", "-r", "-o", "out")
    assert files(Path("out")) == ["a.png", "sub/b.png"]
    assert (done.code, done.err) == (
        0,
        "4 passed over: 1 hidden folder, 3 link to a folder of these\n",
    )


def test_names_that_differ_in_case_alone(restore: Command, here: Path) -> None:
    save("in/IMG.png"), save("in/img.png")
    if len(files(here)) == 1:
        return  # this file system does not tell them apart
    assert restore("in", "-o", "out").code == 0
    assert files(Path("out")) == ["IMG.png", "img.png"]


def transparent_bmp(array: np.ndarray) -> bytes:
    """A BMP of the fourth version, whose header says which bits are alpha."""
    height, width, _ = array.shape
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    info = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, 0, 0, 0, 0, 0)
    body = np.ascontiguousarray(array[::-1, :, [2, 1, 0, 3]]).tobytes()
    head = info + masks + b"BGRs" + bytes(48)
    return struct.pack("<2sIII", b"BM", 14 + len(head) + len(body), 0, 14 + len(head)) + head + body


def test_a_format_that_cannot_hold_the_result_becomes_png(restore: Command, here: Path) -> None:
    Path("a.bmp").write_bytes(transparent_bmp(photo(channels=4)))
    assert restore("a.bmp").code == 0
    assert files(here) == ["a.bmp", "a_restored.png"]
    assert restore("a.bmp", "-o", "b.bmp").code == 2  # a format that was asked for is meant


def test_notes_name_their_picture(restore: Command) -> None:
    write(Picture(photo(), text=(("Title", "x"),)), "a.png")
    done = restore("a.png", "-o", "b.jpg")
    assert done.err == "note: b.jpg: a text left out: JPEG has no place for it\n"


def test_damaged_pictures_where_asked(restore: Command) -> None:
    data = save("whole.jpg", photo(96, 128)).read_bytes()
    Path("a.jpg").write_bytes(data[: len(data) * 2 // 3])
    assert restore("a.jpg").code == 2
    done = restore("a.jpg", "--allow-damaged")
    assert done.code == 0
    assert done.err.startswith("note: a.jpg: is damaged, look at the result (")


@pytest.mark.parametrize("words", [["-s", "4"], ["--scale", "2"], ["-i", "a.png"]])
def test_habits_of_other_tools_get_a_hint(words: list[str], restore: Command) -> None:
    save("a.png")
    done = restore("a.png", *words)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--model sr-x2" in done.err or "by their names alone" in done.err


def test_the_expected_time_is_told_before_a_long_run(
    restore: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("a.png", photo(400, 500))
    monkeypatch.setattr("iln.restoration.Pipeline.seconds_per_pixel", lambda self: 0.01)
    assert restore("a.png").err == "note: 0.2 megapixels take about 33 minutes\n"
    save("b.png", photo(500, 500))  # is refused
    done = restore("a.png", "b.png", "-o", "out", "--max-pixels", "200000")
    assert done.err.startswith("note: 0.2 megapixels take about 33 minutes\nerror: b.png: ")
    save("c.bmp", photo(400, 500))  # its size is not known: counts as the others
    done = restore("a.png", "b.png", "c.bmp", "-o", "out2", "--max-pixels", "200000")
    assert done.err.startswith("note: 0.4 megapixels take about 67 minutes\nerror: b.png: ")

    def for_one_size(self: object) -> float:
        raise InputError("is for pictures of 500 x 400 pixels alone")

    monkeypatch.setattr("iln.restoration.Pipeline.seconds_per_pixel", for_one_size)
    done = restore("a.png", "--overwrite")
    assert (done.code, done.err) == (0, "")
    save("b.png")
    assert restore("b.png").err == ""


def test_completion_of_model_names() -> None:
    from iln.cli.options import complete_model

    assert complete_model("sr-") == ["sr-x2", "sr-x4"]
    assert "old-print" in complete_model("o")


def guide() -> list[str]:
    """The commands of the guide, without their comments."""
    page = (Path(__file__).parents[2] / "docs" / "restore.md").read_text("utf-8")
    block = next(part for part in page.split("```sh\n")[1:] if "iln models" in part)
    lines = block.split("```")[0].splitlines()
    return [line.split("#")[0].strip() for line in lines if line.startswith("iln restore")]


@pytest.mark.parametrize("line", guide())
def test_the_commands_of_the_guide(line: str, command: Command, here: Path) -> None:
    for name in ("photo.jpg", "print.jpg", "small.png", "scans/a.jpg", "scans/deep/b.png"):
        save(name)
    before = files(here)
    if "<" in line:
        done = run(line.split("<")[0].split()[1:], input=Path("photo.jpg").read_bytes())
        assert (done.returncode, done.stdout[:3]) == (0, b"\xff\xd8\xff")
        return
    done = command(*line.split()[1:])
    assert (done.code, "error" in done.err) == (0, False), done.err
    assert len(files(here)) > len(before)


def test_a_chain_is_no_file_that_lacks_answers(command: Command) -> None:
    save("a.png")
    done = command("restore", "a.png", "--model", "sharp-x4", "--norm", "ln")
    assert done.code == 2
    assert done.lines == ["error: --norm says what one file does not; those of sharp-x4 say it"]
