"""A file appears whole or not at all, and never over another."""

import errno
import os
import resource
from pathlib import Path

import pytest

from iln.atomic import atomic_write, make_folder, printable
from iln.errors import InputError
from iln.images import read


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_file_appears_at_the_end(tmp_path, overwrite):
    path = tmp_path / "a.bin"
    with atomic_write(path, overwrite) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.exists()
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


def test_permissions_are_those_of_a_new_file_or_of_the_old_one(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    path = tmp_path / "a.bin"
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"1")
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    with atomic_write(path, overwrite=True) as temporary:
        temporary.write_bytes(b"2")
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failure_leaves_everything_as_it_was(tmp_path, error, overwrite):
    path = tmp_path / "a.bin"
    if overwrite:
        path.write_bytes(b"old")
    before = names(tmp_path)
    with pytest.raises(error), atomic_write(path, overwrite) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert names(tmp_path) == before
    assert not overwrite or path.read_bytes() == b"old"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "a.bin"
    with pytest.raises(InputError, match="exists already"), atomic_write(path) as temporary:
        temporary.write_bytes(b"ours")
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL])
def test_without_hard_links(tmp_path, monkeypatch, code):
    """FAT and some network shares: the name is reserved, then replaced."""

    def refused(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("os.link", refused)
    path = tmp_path / "a.bin"
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(InputError, match="exists already"), atomic_write(tmp_path / "b") as other:
        (tmp_path / "b").write_bytes(b"theirs")
        other.write_bytes(b"ours")
    assert (tmp_path / "b").read_bytes() == b"theirs"
    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(InputError, match="cannot be written"), atomic_write(tmp_path / "c"):
        pass
    assert names(tmp_path) == ["a.bin", "b"]


def test_where_permissions_cannot_be_changed(tmp_path, monkeypatch):
    """FAT that was mounted for another user; a broken disk is still told."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def overwrite(code):
        def refused(*args, **options):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr("os.chmod", refused)
        with atomic_write(path, overwrite=True) as temporary:
            temporary.write_bytes(str(code).encode())

    for code in (errno.EPERM, errno.ENOTSUP):
        overwrite(code)
        assert path.read_bytes() == str(code).encode()
    with pytest.raises(InputError, match="cannot be written: Input/output error"):
        overwrite(errno.EIO)
    assert path.read_bytes() == str(errno.ENOTSUP).encode()
    assert names(tmp_path) == ["a.bin"]


def test_links_are_followed_when_overwriting_only(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with pytest.raises(InputError, match="exists already"), atomic_write(link):
        pass
    with atomic_write(link, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="exists already"), atomic_write(dangling):
        pass


def test_unusable_targets_are_named_in_one_line(tmp_path):
    for path, expected in [
        (tmp_path, "is a folder"),
        (tmp_path / "absent" / "a.bin", "does not exist"),
        (tmp_path / ("n" * 300), "cannot be written: File name too long"),
        (tmp_path / "two\nlines" / "a.bin", "does not exist"),
    ]:
        with pytest.raises(InputError, match=expected) as raised, atomic_write(path):
            pass
        assert str(raised.value).startswith(printable(path))
        assert "\n" not in str(raised.value)
    assert names(tmp_path) == []


def test_a_dash_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="-: is no file to write, and standard"), atomic_write("-"):
        pass
    with pytest.raises(InputError, match="-: is no folder, and standard output"):
        make_folder(Path("-"))
    assert names(tmp_path) == []


def test_an_empty_name_is_shown():
    assert printable("") == "''"
    with pytest.raises(InputError, match=r"^'': is a folder"):
        read("")


def test_long_names_that_the_file_system_takes(tmp_path):
    path = tmp_path / ("ß" * 120 + ".png")
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"x")
    assert path.read_bytes() == b"x"


def test_an_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user may write everywhere (root)")
        with pytest.raises(InputError, match="Permission denied"), atomic_write(tmp_path / "a"):
            pass
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk(tmp_path):
    """A limit on file size fails a write half-way, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with (
            pytest.raises(InputError, match=r"a\.bin: cannot be written: File too large"),
            atomic_write(tmp_path / "a.bin") as temporary,
        ):
            temporary.write_bytes(bytes(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_never_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(InputError, match="pipe: is a device or a pipe"),
        atomic_write(tmp_path / "pipe", overwrite=True),
    ):
        pass
    assert names(tmp_path) == ["pipe"] and not (tmp_path / "pipe").is_file()
