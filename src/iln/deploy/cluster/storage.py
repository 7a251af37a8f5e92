"""A folder of files behind an address: of this computer, of an object store, of a network."""

from __future__ import annotations

import os
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from iln.atomic import atomic_write, printable
from iln.errors import InputError
from iln.extras import need
from iln.images import Picture, encode
from iln.restoration.jobs import folders_below, identity

EXTRA = "cluster"
_PUT = {"s3", "gcs"}
"""Stores whose files appear when they are complete; elsewhere they get their name then."""
_CREDENTIALS = re.compile(
    "credential|access.?denied|forbidden|unauthorized|access_key|signature", re.IGNORECASE
)


class Storage:
    """Files below the address of a folder, by names that are relative to it.

    Args:
        address: a folder's name, or `scheme://...` as pyarrow or fsspec understand it.

    Attributes:
        address: the same, of a folder of this computer its whole name.
        shown: for messages, without secrets.

    Raises:
        InputError: if nobody understands it, also later when it cannot be reached.
    """

    def __init__(self, address: str) -> None:
        if "://" not in address:
            address = os.path.abspath(address)  # noqa: PTH100 (which also resolves `..`)
        self.address, self.shown = address, without_secrets(address).rstrip("/")
        fs = need("pyarrow.fs", EXTRA)
        with self._errors():
            if "://" in address:
                system, root = _open(fs, address, self.shown)
            else:
                system, root = fs.LocalFileSystem(), address
        self.system: Any = system
        self.local = system.type_name == "local"
        self.root: str = (os.path.realpath(root) if self.local else root).rstrip("/")

    def holds(self, other: Storage) -> bool:
        """Is the other folder this one, or does it lie in it?"""
        if self.local and other.local:
            return self.has(Path(other.root))
        same = self.system.equals(other.system)
        return same and f"{other.root}/".startswith(f"{self.root}/")

    def has(self, path: Path) -> bool:
        """Is that path of this computer this folder, or does it lie in it, whatever it is called?

        A disk that is mounted twice has two names, and so has a folder where case does not matter.
        """
        own = identity(Path(self.root))
        real = Path(os.path.realpath(path))
        return any(identity(folder) == own for folder in (real, *real.parents))

    def names(self, *, recursive: bool, missing: bool = False) -> Iterator[str]:
        """Of all files, relative to the folder.

        Args:
            missing: a folder that is not there is empty.
        """
        if self.local:
            with self._errors():
                yield from self._local_names(recursive=recursive, missing=missing)
            return
        fs = need("pyarrow.fs", EXTRA)
        selector = fs.FileSelector(self.root, allow_not_found=missing, recursive=recursive)
        with self._errors():
            for info in self.system.get_file_info(selector):
                if info.type == fs.FileType.File:
                    yield info.path.removeprefix(self.root).lstrip("/")

    def _local_names(self, *, recursive: bool, missing: bool) -> Iterator[str]:
        """As `iln restore` finds them: through links, and each folder once."""
        root = Path(self.root)
        if missing and not root.exists():
            return
        any(root.iterdir())  # which raises, where there is none
        folders = folders_below(root, Counter(), {identity(root)}) if recursive else [root]
        for folder in folders:
            with suppress(PermissionError):
                for file in folder.iterdir():
                    if file.is_file():
                        yield file.relative_to(root).as_posix()

    def read(self, name: str) -> bytes:
        with self._errors(name), self.system.open_input_stream(self._path(name)) as stream:
            content: bytes = stream.readall()
        return content

    def exists(self, name: str) -> bool:
        """Is there a file? One request, where asking for what is known of it takes two."""
        with self._errors(name):
            try:
                self.system.open_input_file(self._path(name)).close()
            except FileNotFoundError:
                return False
        return True

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        """A file that appears whole, in the place of another if there is one."""
        path = self._path(name)
        with self._errors(name, "written"):
            if self.local:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(path, overwrite=True) as temporary, temporary.open("wb") as file:
                    file.writelines(parts)
                return
            if self.system.type_name in _PUT:
                self._write(path, parts)
                return
            folder, _, last = path.rpartition("/")
            self.system.create_dir(folder, recursive=True)
            part = f"{folder}/.{last[:40]}.{secrets.token_hex(6)}.part"  # others may write it, too
            try:
                self._write(part, parts)
                self.system.move(part, path)
            except BaseException:
                with suppress(Exception):  # it may not be there, nor the store any more
                    self.system.delete_file(part)
                raise

    def _write(self, path: str, parts: Sequence[bytes]) -> None:
        # In one piece: a stream that is closed after an error would leave the first parts.
        content = b"".join(parts)
        with self.system.open_output_stream(path) as stream:
            stream.write(content)

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    @contextmanager
    def _errors(self, name: str = "", done: str = "read") -> Iterator[None]:
        """Of the store, as one line that names the file."""
        shown = f"{self.shown}/{printable(name)}" if name else self.shown
        try:
            yield
        except InputError:
            raise
        except FileNotFoundError as error:
            words = "no such file or folder" if done == "read" else _one_line(error)
            raise InputError(f"{shown}: cannot be {done}: {words}") from None
        except (OSError, ValueError, ImportError) as error:
            words = _one_line(error)
            if "://" in self.address and _CREDENTIALS.search(words):
                words += "; give credentials as the store's own programs take them"
            raise InputError(f"{shown}: cannot be {done}: {words}") from None


class StoredFiles:
    """Pictures in one storage, results in another (see `iln.restoration.batch.Files`)."""

    def __init__(self, pictures: Storage, results: Storage) -> None:
        self.pictures, self.results = pictures, results

    def source(self, name: Path) -> BytesIO:
        if not (content := self.pictures.read(name.as_posix())):
            raise InputError(f"{printable(name)}: is empty; give a picture")
        return _Named(content, name.as_posix())

    def exists(self, target: Path) -> bool:
        return self.results.exists(target.as_posix())

    def prepare(self, target: Path) -> None:
        """Folders are made when a result is put; whether that is allowed was tried at the start."""

    def write(
        self, picture: Picture, target: Path, *, overwrite: bool, quality: int
    ) -> Sequence[str]:
        """A result that has appeared since the look for it is replaced: it is the same."""
        here = self.pictures.local and self.results.local
        if here and self.pictures.has(Path(self.results.root) / target):
            raise InputError(
                f"{printable(target)}: the result is a link into the folder of pictures, where it "
                "would replace one; remove the link"
            )
        parts, notes = encode(picture, target.suffix, quality)
        self.results.put(target.as_posix(), parts)
        return notes


class _Named(BytesIO):
    """An open file that messages can name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def without_secrets(address: str) -> str:
    """An address for messages: without a password, a key, or options."""
    shown = printable(address).partition("?")[0]
    scheme, found, rest = shown.partition("://")
    if not found:
        return printable(address)
    user = rest.partition("@")[0]
    if ":" in user and not re.match(r"[^/:]*:\d*/", user):  # a key may hold a slash
        return f"{scheme}://{rest.rpartition('@')[2]}"
    place, slash, path = rest.partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


def _open(fs: Any, address: str, shown: str) -> tuple[Any, str]:
    """The file system of an address by pyarrow, else by fsspec, and the path in it."""
    if address.startswith("s3://"):  # one request for a small file, not the three of a large one
        address += ("&" if "?" in address else "?") + "allow_delayed_open=true"
    try:
        return fs.FileSystem.from_uri(address)  # type: ignore[no-any-return]
    except ValueError as error:
        unknown = "Unrecognized filesystem type" in str(error)
        if not unknown:
            words = _one_line(error).replace(address, shown)
            raise InputError(f"{shown}: no address of a folder: {words}") from None
    fsspec = need("fsspec", EXTRA)
    scheme = urlsplit(address).scheme
    if scheme not in fsspec.available_protocols():
        raise InputError(
            f"{shown}: unknown scheme {scheme!r}; accepted are folders, file://, s3://, gs://, "
            "abfs://, hdfs://, and those of fsspec"
        )
    system, path = fsspec.core.url_to_fs(address)
    return fs.PyFileSystem(fs.FSSpecHandler(system)), path


def _one_line(error: BaseException) -> str:
    return printable(" ".join(str(error).split()))[:300] or type(error).__name__
