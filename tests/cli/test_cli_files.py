"""`iln restore`: which files are taken, where results go, and what is never overwritten."""

import errno
import os
import re
import stat
import tempfile
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import Command, files, names, photo, save, size
from PIL import Image

import iln
from iln.restoration.jobs import _Names, _tells_case_apart

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX file names and permissions")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot succeed must be known before a picture is restored, not after it."""
    monkeypatch.setattr("iln.restoration.Pipeline.restore_picture", None)


def test_one_picture(restore: Command) -> None:
    save("a.png")
    done = restore("a.png")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("a_restored.png  16x12 -> 32x24, ")
    assert done.out.count("\n") == 1
    assert size("a_restored.png") == (32, 24)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a.jpg", "a_restored.jpg"),
        ("a.JPEG", "a_restored.JPEG"),
        ("sub/a.b.webp", "sub/a.b_restored.webp"),
        ("a.gif", "a_restored.png"),
        ("a.bmp", "a_restored.bmp"),
        ("a.tiff", "a_restored.tiff"),
    ],
)
def test_the_name_without_output(source: str, target: str, restore: Command, here: Path) -> None:
    save(source)
    assert restore(source).code == 0
    assert files(here) == sorted([source, target])
    assert size(target) == (32, 24)


def test_a_name_without_suffix(restore: Command, here: Path) -> None:
    save("a.png").rename("photo")
    assert restore("photo").code == 0
    assert files(here) == ["photo", "photo_restored.png"]


@pytest.mark.parametrize(
    ("output", "target"),
    [
        ("b.png", "b.png"),
        ("sub/deep/b.webp", "sub/deep/b.webp"),
        ("there", "there/a.png"),
        ("new", "new/a.png"),
        ("new/deep", "new/deep/a.png"),
        ("folder.png", "folder.png/a.png"),
    ],
)
def test_output_of_one_picture(output: str, target: str, restore: Command, here: Path) -> None:
    save("a.png")
    Path("there").mkdir()
    Path("folder.png").mkdir()
    assert restore("a.png", "-o", output).code == 0
    assert files(here) == sorted(["a.png", target])


def test_several_pictures_in_order(restore: Command) -> None:
    for name in ("c.png", "a.jpg", "b.png"):
        save(name)
    done = restore("c.png", "a.jpg", "b.png", "a.jpg", "./c.png", "-o", "out")
    assert done.code == 0
    written = [line.split()[0] for line in done.out.splitlines()]
    assert written == ["out/c.png", "out/a.jpg", "out/b.png"]


def test_a_folder(restore: Command, here: Path) -> None:
    for name in ("in/a.png", "in/b.JPG", "in/g.gif", "in/deep/c.png", "in/x_restored.png"):
        save(name)
    Path("in/notes.txt").write_text("no picture")
    Path("in/folder.png").mkdir()
    assert restore("in").code == 0
    assert {"in/a_restored.png", "in/b_restored.JPG", "in/g_restored.png"} <= set(files(here))
    assert len(files(here)) == 9  # nothing of the subfolder, of the earlier result, of the text


def test_a_folder_with_its_subfolders(restore: Command, here: Path) -> None:
    for name in ("in/a.png", "in/deep/c.png", "in/deep/er/c.png"):
        save(name)
    assert restore("in", "--recursive", "-o", "out").code == 0
    results = {"out/a.png", "out/deep/c.png", "out/deep/er/c.png"}
    assert set(files(here)) == {"in/a.png", "in/deep/c.png", "in/deep/er/c.png"} | results


def test_again_after_a_new_picture(restore: Command, here: Path) -> None:
    """Results are neither restored once more nor made anew, and the new picture is done."""
    save("in/a.png")
    assert restore("in", "-r").code == 0
    before = Path("in/a_restored.png").stat()
    save("in/b.png")
    done = restore("in", "-r")
    assert done.code == 1
    assert "a_restored.png: exists already" in done.err
    assert files(here) == ["in/a.png", "in/a_restored.png", "in/b.png", "in/b_restored.png"]
    assert Path("in/a_restored.png").stat().st_mtime_ns == before.st_mtime_ns
    assert restore("in", "-r", "--overwrite").code == 0
    assert len(files(here)) == 4
    assert Path("in/a_restored.png").stat().st_mtime_ns > before.st_mtime_ns


def test_results_below_the_input_folder(restore: Command, here: Path) -> None:
    save("a.png")
    save("x/b.png")
    for _ in range(2):
        assert restore(".", "-r", "-o", "x/out", "--overwrite").code == 0
        assert files(here) == ["a.png", "x/b.png", "x/out/a.png", "x/out/x/b.png"]


def test_a_folder_into_itself(restore: Command, here: Path) -> None:
    save("a.png")
    done = restore(".", "-o", ".", "--overwrite")
    assert done.code == 2
    assert "would replace an input" in done.err


def test_a_folder_of_one_picture_is_still_a_folder(restore: Command, here: Path) -> None:
    save("in/a.png")
    assert restore("in", "-o", "results.v2").code == 0
    assert "results.v2/a.png" in files(here)
    done = restore("in", "-o", "b.png")
    assert done.code == 2
    assert "b.png names one file" in done.err


@posix
def test_patterns(restore: Command, here: Path) -> None:
    for name in ("in/a.png", "in/b.jpg", "in/deep/c.png", "in/[1].png"):
        save(name)
    Path("in/folder.png").mkdir()
    assert restore("in/*.png", "-o", "one").code == 0
    assert names("one") == ["[1].png", "a.png"]
    assert restore("in/**/?.png", "-o", "two").code == 0
    assert names("two") == ["a.png", "c.png"]
    assert restore("in/[1].png", "-o", "three").code == 0  # a name before it is a pattern
    assert names("three") == ["[1].png"]
    assert restore(here / "in" / "*.jpg", "-o", "four").code == 0
    assert names("four") == ["b.jpg"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("none.png", "none.png: no such file"),
        ("none*.png", r"none\*.png matches no file"),
        ("fold*", r"fold\* matches no file"),
        ("folder.png", "folder.png holds no pictures; --recursive"),
        ("", "an input without a name"),
        ("x" * 5000, "File name too long|no such file"),
    ],
)
def test_nothing_to_restore(word: str, message: str, restore: Command, here: Path) -> None:
    Path("folder.png").mkdir()
    done = restore(word)
    assert done.code == 2
    assert done.out == ""
    assert len(done.lines) == 1 and done.lines[0].startswith("error: ")
    assert re.search(message, done.err), done.err
    assert files(here) == []


# --- never overwritten -------------------------------------------------------------------------


def test_results_that_exist(restore: Command) -> None:
    save("a.png")
    Path("b.png").write_text("precious")
    done = restore("a.png", "-o", "b.png")
    assert done.code == 2
    assert done.lines == [
        "error: b.png: exists already; choose another name or allow overwriting (--overwrite)"
    ]
    assert Path("b.png").read_text() == "precious"
    assert restore("a.png", "-o", "b.png", "--overwrite").code == 0
    assert size("b.png") == (32, 24)


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("output", ["a.png", "./a.png", "sub/../a.png", ".", "link.png"])
def test_the_input_itself(output: str, overwrite: list[str], restore: Command) -> None:
    before = save("a.png").read_bytes()
    Path("sub").mkdir()
    Path("link.png").symlink_to("a.png")
    done = restore("a.png", "-o", output, *overwrite)
    assert done.code == 2
    assert "the result would replace an input" in done.err
    assert Path("a.png").read_bytes() == before


def test_another_input(restore: Command) -> None:
    """With --overwrite, the first result would destroy the second input before it is read."""
    save("in/a.png")
    before = save("a.png", photo(20, 20)).read_bytes()
    done = restore("in/a.png", "a.png", "-o", ".", "--overwrite")
    assert done.code == 2
    assert done.err.count("the result would replace an input") == 2
    assert Path("a.png").read_bytes() == before


def test_two_inputs_with_one_target(restore: Command) -> None:
    save("one/a.png", photo(4, 4))
    save("two/a.png", photo(8, 8))
    for extra in ([], ["--overwrite"]):
        done = restore("one/a.png", "two/a.png", "-o", "out", *extra)
        if not extra:
            assert (
                "error: two/a.png: its result out/a.png has the name of that of one/a.png"
                in done.err
            )
            assert done.code == 1
        assert size("out/a.png") == (8, 8)  # of the first


def test_the_same_picture_by_two_ways_is_one_job(restore: Command) -> None:
    save("in/a.png")
    done = restore("in", "in/a.png", "in/*.png", "-o", "out")
    assert (done.code, done.out.count("\n")) == (0, 1)


@posix
def test_links(restore: Command, here: Path) -> None:
    save("a.png")
    Path("link.png").symlink_to("a.png")
    assert restore("link.png").code == 0
    assert size("link_restored.png") == (32, 24)
    Path("loop.png").symlink_to("loop.png")
    Path("dangling.png").symlink_to("nowhere/x.png")
    for name in ("loop.png", "dangling.png"):
        done = restore(name)
        assert done.code == 2 and len(done.lines) == 1 and done.err.startswith(f"error: {name}:")
    Path("out.png").symlink_to("behind.png")
    save("behind.png", photo(5, 5))
    assert restore("a.png", "-o", "out.png", "--overwrite").code == 0
    assert Path("out.png").is_symlink() and size("behind.png") == (32, 24)


@posix
@pytest.mark.usefixtures("no_work")
def test_a_dangling_link_is_a_result_that_exists(restore: Command) -> None:
    save("a.png")
    Path("b.png").symlink_to("nowhere/x.png")
    done = restore("a.png", "-o", "b.png")
    assert done.code == 2 and "b.png: exists already" in done.err


# --- odd names ---------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize(
    "name",
    ["new\nline.png", "ü 画像.png", "a b.png", "[bold]x.png", "*.png", "\x1b[31m.png", "~.png"],
)
def test_odd_names(name: str, restore: Command, here: Path) -> None:
    save(name)
    done = restore(name)
    assert done.code == 0, done.err
    assert done.out.count("\n") == 1 and "\x1b" not in done.out
    assert files(here) == sorted([name, name.replace(".png", "_restored.png")])
    done = restore(name)  # now the error line
    assert done.code == 2 and len(done.lines) == 1 and "\x1b" not in done.err


@posix
def test_names_that_are_no_text(restore: Command, here: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    save("a.png").rename(name)
    done = restore(name, "-o", "out")
    assert done.code == 0
    assert "caf\\udce9.png" in done.out
    assert names("out") == [name]


def test_a_leading_dash(restore: Command, here: Path) -> None:
    save("-a.png")
    assert restore("--", "-a.png").code == 0
    assert restore("./-a.png", "-o", "out").code == 0
    assert files(here) == ["-a.png", "-a_restored.png", "out/-a.png"]
    assert restore("-a.png").code == 2


@posix
@pytest.mark.usefixtures("no_work")
def test_a_name_that_gets_too_long(restore: Command, here: Path) -> None:
    name = "n" * 249 + ".png"
    save(name)
    done = restore(name)
    assert done.code == 2
    assert len(done.lines) == 1 and "File name too long" in done.err
    assert files(here) == [name]


# --- what cannot be written ----------------------------------------------------------------------


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("b.gif", "unknown suffix '.gif'; give one of .jpg"),
        ("b.txt", "unknown suffix '.txt'"),
        ("file.txt/b.png", "Not a directory|File exists|cannot be written"),
    ],
)
def test_unwritable_outputs(output: str, message: str, restore: Command, here: Path) -> None:
    save("a.png")
    Path("file.txt").write_text("a file")
    done = restore("a.png", "-o", output)
    assert done.code == 2 and len(done.lines) == 1 and done.lines[0].startswith("error: ")
    assert any(part in done.err for part in message.split("|")), done.err
    assert files(here) == ["a.png", "file.txt"]


def test_the_same_pattern_again_after_an_interruption(restore: Command, here: Path) -> None:
    """It finds the results, too, and in a folder of results that lies there."""
    save("a.png")
    save("b.png")
    for words in (["*.png"], ["a.png", "b.png", "a_restored.png", "b_restored.png"]):
        for _ in range(2):
            assert restore(*words, "--skip-existing").code == 0
            assert files(here) == ["a.png", "a_restored.png", "b.png", "b_restored.png"]
    done = restore("*.png")
    assert done.code == 2 and "exists already" in done.err and "replace an input" not in done.err
    assert restore("a_restored.png").code == 0  # by itself it is meant
    Path("better").mkdir()
    everything = [name for name in files(here) if not name.startswith("a_restored_")]
    for _ in range(2):
        done = restore(*everything, "better", "-o", "better", "--skip-existing")
        assert done.code == 0
        assert sorted(path.name for path in Path("better").iterdir()) == ["a.png", "b.png"]


@pytest.mark.skipif(os.name != "posix", reason="makes links")
def test_links_bring_no_results_in_and_end(restore: Command, here: Path) -> None:
    save("elsewhere/x/a.png")
    Path("root").mkdir()
    Path("root/link").symlink_to("../elsewhere")
    for _ in range(3):
        assert restore("root", "-r", "-o", "elsewhere/out", "--skip-existing").code == 0
    assert [path for path in files(here) if "out" in path] == ["elsewhere/out/link/x/a.png"]
    for name in ("p", "q", "r"):
        Path("elsewhere/x", name).symlink_to(".")
    save("elsewhere/x/deep[1]/b.png")
    assert restore("elsewhere/x/**/*.png", "-o", "all").code == 0
    assert sorted(path.name for path in Path("all").iterdir()) == ["a.png", "b.png"]
    assert restore("elsewhere/**/b.png", "-o", "one").code == 0
    assert [path.name for path in Path("one").iterdir()] == ["b.png"]


@pytest.mark.parametrize("folder", ["new.v2/", "b.png/"])
def test_a_name_that_ends_in_a_slash_is_a_folder(folder: str, restore: Command, here: Path) -> None:
    save("a.png")
    assert restore("a.png", "-o", folder).code == 0
    assert files(here) == ["a.png", f"{folder}a.png"]


def test_a_file_where_a_folder_is_needed(restore: Command) -> None:
    save("a.png")
    save("b.png")
    Path("out").write_text("a file")
    done = restore("a.png", "b.png", "-o", "out")
    assert done.code == 2 and done.lines == ["error: out is a file; several results need a folder"]
    done = restore("a.png", "b.png", "-o", "c.png")
    assert done.code == 2 and "names one file" in done.err
    done = restore("a.png", "-o", "out")
    assert done.code == 2 and done.lines[0].startswith("error: out: no suffix; give one of .jpg ")


@pytest.mark.usefixtures("no_work")
def test_a_folder_where_a_file_is_needed(restore: Command) -> None:
    save("a.png")
    Path("out/a.png").mkdir(parents=True)
    for extra in ([], ["--overwrite"]):
        done = restore("a.png", "-o", "out", *extra)
        assert done.code == 2 and len(done.lines) == 1 and "a.png" in done.err


@posix
@pytest.mark.usefixtures("no_work")
def test_a_folder_without_permission(
    restore: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("in/a.png")

    # Root may write anywhere, so the system's answer is made up here.
    def denied(dir: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", denied)
    done = restore("in/a.png")
    assert done.code == 2
    assert done.lines == [
        "error: in/a_restored.png: cannot be written: Permission denied; name another output"
    ]


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="needs Linux's /proc, where nothing can be written"
)
@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("words", [["-o", "/proc/b.png"], ["--save-mask", "/proc/m.png"]])
def test_a_file_system_that_takes_no_files(words: list[str], restore: Command, here: Path) -> None:
    """Not even from root, who has all rights."""
    save("a.png")
    done = restore("a.png", *words)
    assert done.code == 2 and f"{words[1]}: cannot be written" in done.err
    assert files(here) == ["a.png"]


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(restore: Command, here: Path) -> None:
    save("in/a.png")
    Path("in").chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        done = restore("in/a.png")
        assert done.code == 2 and "Permission denied" in done.err
        assert restore("in/a.png", "-o", "out").code == 0
    finally:
        Path("in").chmod(stat.S_IRWXU)


def test_a_folder_that_may_not_be_read(restore: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("in").mkdir()

    def refuse(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    done = restore("in")
    assert done.code == 2 and done.lines == ["error: in: Permission denied"]


# --- good and bad together -----------------------------------------------------------------------


def test_a_bad_picture_among_good_ones(restore: Command, here: Path) -> None:
    save("a.png")
    Path("b.png").write_bytes(Path("a.png").read_bytes()[:100])
    save("c.png")
    done = restore("a.png", "b.png", "missing.png", "c.png")
    assert done.code == 1
    assert [line.split()[0] for line in done.out.splitlines()] == [
        "a_restored.png",
        "c_restored.png",
    ]
    assert done.lines[0].startswith("error: b.png: is damaged or cut off")
    assert done.lines[1].startswith("error: missing.png: no such file")
    assert done.lines[2:] == ["2 restored, 2 failed"]
    assert files(here) == ["a.png", "a_restored.png", "b.png", "c.png", "c_restored.png"]


def test_only_bad_pictures(restore: Command) -> None:
    Path("a.png").write_text("text")
    Path("b.png").touch()
    done = restore("a.png", "b.png")
    assert done.code == 2
    assert done.out == ""
    assert len(done.lines) == 2 and all(line.startswith("error: ") for line in done.lines)


# --- what is in the files ------------------------------------------------------------------------


def test_sixteen_bits_stay(restore: Command) -> None:
    save("a.png", photo(channels=1, dtype=np.uint16))
    assert restore("a.png").code == 0
    with Image.open("a_restored.png") as image:
        values = np.asarray(image)
    assert values.dtype.itemsize > 1 and values.shape == (24, 32)
    assert len(np.unique(values)) > 256
    done = restore("a.png", "-o", "b.jpg")
    assert done.code == 0 and done.lines == ["note: b.jpg: JPEG holds 8 bits: rounded from 16"]


def test_alpha(restore: Command, here: Path) -> None:
    pixels = photo(channels=4)
    save("a.png", pixels)
    assert restore("a.png").code == 0
    with Image.open("a_restored.png") as image:
        assert image.mode == "RGBA"
        assert np.asarray(image)[..., 3].std() > 5
    pixels[..., 3] = 255
    save("opaque.png", pixels)
    assert restore("opaque.png").code == 0
    with Image.open("opaque_restored.png") as image:
        assert (np.asarray(image)[..., 3] == 255).all()


@pytest.mark.usefixtures("no_work")
def test_alpha_where_there_is_no_place_for_it(restore: Command, here: Path) -> None:
    save("a.png", photo(channels=4))
    done = restore("a.png", "-o", "new/b.jpg")
    assert done.code == 2
    assert "new/b.jpg: .jpg cannot hold transparency; give one of .png" in done.err
    assert files(here) == ["a.png"]


@pytest.mark.usefixtures("no_work")
def test_two_results_that_would_both_become_a_png_are_told(restore: Command, here: Path) -> None:
    (here / "all").mkdir()
    save("all/logo.png", photo(channels=4))
    (here / "all/logo.png").rename(here / "all/logo.jpg")
    save("all/logo.webp", photo(channels=4))
    (here / "all/logo.webp").rename(here / "all/logo.bmp")
    for option in ("--overwrite", "--skip-existing"):
        done = restore("all", "-o", "out", option)
        assert done.code == 2
        for suffix in (".jpg", ".bmp"):
            assert f"{suffix} cannot hold transparency; give one of .png" in done.err
    assert files(here) == ["all/logo.bmp", "all/logo.jpg"]


def test_exif_and_profile(restore: Command, weights: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    exif[0x010F] = "Maker"
    pixels = photo(12, 16)
    save("a.png", pixels, exif=exif, icc_profile=profile)
    assert restore("a.png").code == 0
    with Image.open("a_restored.png") as image:
        assert image.size == (24, 32)
        assert image.info["icc_profile"] == profile
        assert image.getexif().get(0x0112, 1) == 1
        assert image.getexif()[0x010F] == "Maker"
        result = np.asarray(image)
    np.testing.assert_array_equal(result, iln.restore(np.rot90(pixels, -1), weights, device="cpu"))


def test_gray_stays_gray(restore: Command) -> None:
    save("a.png", photo(channels=1))
    assert restore("a.png").code == 0
    with Image.open("a_restored.png") as image:
        assert image.mode == "L"


def test_a_very_wide_picture(restore: Command) -> None:
    save("a.png", photo(1, 5000))
    assert restore("a.png").code == 0
    assert size("a_restored.png") == (10000, 2)


def test_results_in_the_topmost_folder(tmp_path: Path) -> None:
    assert isinstance(_tells_case_apart(Path(tmp_path.anchor)), bool)


def test_whether_case_matters_is_told_by_what_lies_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the folder's own name, which may lie on another file system."""
    stick = tmp_path / "Stick"
    save(stick / "Deep" / "a.png")
    expected = not (stick / "Deep" / "A.PNG").exists()  # macOS and Windows do not tell them apart
    assert _tells_case_apart(stick / "Deep") == expected
    assert _tells_case_apart(stick / "new" / "folder") == expected
    looked_at: list[str] = []
    exists = Path.exists

    def noted(path: Path) -> bool:
        looked_at.append(path.name)
        return exists(path)

    monkeypatch.setattr(Path, "exists", noted)
    _tells_case_apart(stick)
    assert set(looked_at) <= {"Deep", "dEEP"}


def test_names_where_case_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iln.restoration.jobs._tells_case_apart", lambda folder: False)
    names = _Names()
    same = [("É.png", "e\u0301.png"), ("IMG.jpg", "img.jpg")]
    assert all(names.place(Path(one)) == names.place(Path(other)) for one, other in same)
    assert names.place(Path("straße.jpg")) != names.place(Path("strasse.jpg"))
