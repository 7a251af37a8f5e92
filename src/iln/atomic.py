"""Write a file whole or not at all."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from iln.errors import InputError

# File systems without hard links or permissions (FAT, some network shares) say so in many ways;
# EINVAL is what Python makes of Windows' words for it.
_NOT_OFFERED = {
    *(errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.ENOSYS),
    *(errno.EMLINK, errno.EXDEV),
}


def printable(path: str | os.PathLike[str]) -> str:
    """The path on one line, where a terminal can show it: the rest escaped, an empty one as ''."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in os.fsdecode(path))
    return shown or "''"


def make_folder(path: str | os.PathLike[str]) -> None:
    """A folder, with those above it; no harm where it is there. Raises InputError if it cannot."""
    check_no_stream(path, "folder")
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{printable(path)}: the folder cannot be made: {reason}") from None


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; at the end it becomes `path` at once.

    The temporary file exists (empty) on entry and has the permissions of a new file. If the
    block raises, even KeyboardInterrupt, it is removed and `path` is as it was before. Do
    nothing but write in the block, since an OSError raised there is reported as `path`'s.

    Args:
        overwrite: False never replaces a file, not even one that appears during the block. True
            replaces it and keeps its permissions; a symbolic link stays and its target is replaced.

    Raises:
        InputError: if the file exists and overwrite is False, or if it cannot be written (no such
            folder, no permission, disk full).
    """
    check_no_stream(path, "file to write")
    shown = printable(path)
    try:
        target = Path(os.path.realpath(path)) if overwrite else Path(path)
        if target.is_dir():
            raise InputError(f"{shown}: is a folder; give the name of a file to write")
        if not target.parent.is_dir():
            raise InputError(f"{shown}: the folder {printable(target.parent)} does not exist")
        if target.exists() and not target.is_file():
            raise InputError(f"{shown}: is a device or a pipe; give the name of a file to write")
        if not overwrite and os.path.lexists(target):
            raise InputError(exists_already(shown))
        # Some file systems allow 255 bytes a name: keep only as much of it as surely fits.
        temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(6)}.part")
        try:
            # O_EXCL, so that a link planted under this name is not followed.
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            yield temporary
            _flush(temporary)
            if overwrite:
                if target.exists():
                    _copy_mode(target, temporary)
                temporary.replace(target)
            else:
                _publish(temporary, target, shown)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{shown}: cannot be written: {reason}") from error


def check_writable(path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Raises InputError if `atomic_write` could not write a file; to be known before the work."""
    with contextlib.suppress(_Trial), atomic_write(path, overwrite):
        raise _Trial


def check_no_stream(path: str | os.PathLike[str], what: str) -> None:
    """Raises InputError for `-`, by which people mean standard output."""
    if os.fspath(path) == "-":
        raise InputError(f"-: is no {what}, and standard output is not taken here; give a name")


class _Trial(Exception):
    """Takes the writing back."""


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str], overwrite: bool, mark: Path) -> Iterator[Path]:
    """The same for a folder: yield a temporary one beside it that becomes `path` at the end.

    Args:
        overwrite: replace an earlier folder of the kind.
        mark: a file inside by which one of the kind is recognised; no other is replaced.

    Raises:
        InputError: as `check_folder`, and if it cannot be written.
    """
    check_folder(path, overwrite, mark)
    target, shown = Path(os.path.realpath(path)), printable(path)
    token = f".{target.name[:40]}.{secrets.token_hex(6)}"
    temporary, before = target.with_name(f"{token}.part"), target.with_name(f"{token}.old")
    try:
        temporary.mkdir()
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _flush(file)
            check_folder(path, overwrite, mark)  # it may have appeared meanwhile
            if target.exists():
                target.rename(before)
            try:
                temporary.rename(target)
            except BaseException:
                if before.exists():
                    before.rename(target)
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{shown}: cannot be written: {reason}") from error


def check_folder(path: str | os.PathLike[str], overwrite: bool, mark: Path) -> None:
    """InputError for a folder that `atomic_folder` could not write."""
    shown, target = printable(path), Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise InputError(f"{shown}: the folder {printable(target.parent)} does not exist")
    if not os.access(target.parent, os.W_OK):
        raise InputError(f"{shown}: cannot be written: no permission for the folder")
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise InputError(exists_already(shown))
    if not (target / mark).is_file():
        raise InputError(
            f"{shown}: is no folder that was written so before, and is not replaced; "
            "choose another name"
        )


def exists_already(shown: str) -> str:
    """What to say of a file that nobody allowed to replace."""
    return f"{shown}: exists already; choose another name or allow overwriting (--overwrite)"


def _flush(path: Path) -> None:
    """Make the content reach the disk before its name does, or a power cut leaves it empty."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_mode(source: Path, target: Path) -> None:
    """The permissions of one file for another, where the file system lets them be changed."""
    try:
        shutil.copymode(source, target)
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise


def _publish(temporary: Path, target: Path, shown: str) -> None:
    """Give the file its name only if no other file has it."""
    try:
        # Unlike a rename, a hard link never replaces.
        os.link(temporary, target)
        return
    except FileExistsError:
        raise InputError(exists_already(shown)) from None
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise
    try:
        # Reserve the name with an empty file of our own, then replace that.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        raise InputError(exists_already(shown)) from None
    try:
        temporary.replace(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
