"""Previews and archives of the server: files beside other threads, and files that go."""

from __future__ import annotations

import os
import threading
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="Starlette is not installed")
from serve_helpers import pixels

from iln.deploy.serve.archive import zipped
from iln.deploy.serve.previews import make_tiles
from iln.images import Picture
from iln.images.libvips import own_errors


def test_a_preview_does_not_take_away_what_is_said_of_another_picture(tmp_path: Path) -> None:
    """libvips has one list of errors; that of a broken profile is asked for, and so emptied."""
    broken = Picture(pixels(), icc=b"\0" * 200)
    thread = threading.Thread(target=make_tiles, args=(broken, tmp_path / "tiles"))
    with own_errors():  # as while a picture is read
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(20)
    assert (tmp_path / "tiles" / "0" / "0_0.jpg").is_file()


def test_an_archive_of_files_that_go_and_of_any_time(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.png" for name in ("old", "gone", "new")]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 100)
    os.utime(files[0], (0, 0))
    files[1].unlink()
    with zipfile.ZipFile(BytesIO(b"".join(zipped(files)))) as archive:
        assert archive.namelist() == ["old.png", "new.png"]
        assert archive.getinfo("old.png").date_time[0] == 1980
        assert archive.getinfo("new.png").date_time[0] > 2020
        assert archive.read("new.png") == b"\2" * 100
        assert archive.testzip() is None
