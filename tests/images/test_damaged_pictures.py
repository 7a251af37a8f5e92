"""Damaged pictures, at random: one clear line, or a picture; never anything else."""

from __future__ import annotations

import functools
import io
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutated
from PIL import Image
from samples import SRGB, exif_block, photo

from iln.errors import InputError
from iln.images import read
from iln.images.reading import _complaints, size_of

KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("JPEG", "RGB", {"exif": exif_block(), "icc_profile": SRGB}),
    "progressive jpeg": ("JPEG", "L", {"progressive": True}),
    "cmyk jpeg": ("JPEG", "CMYK", {}),
    "png": ("PNG", "RGBA", {"exif": exif_block(orientation=1)}),
    "palette png": ("PNG", "P", {}),
    "tiff": ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
    "plain tiff": ("TIFF", "RGBA", {"exif": exif_block()}),
    "webp": ("WEBP", "RGB", {"exif": exif_block()}),
    "lossless webp": ("WEBP", "RGBA", {"lossless": True}),
    "bmp": ("BMP", "RGB", {}),
    "ppm": ("PPM", "RGB", {}),
    "palette bmp": ("BMP", "P", {}),
    "gif": ("GIF", "P", {}),
    "avif": ("AVIF", "RGB", {"exif": exif_block(), "speed": 9}),
}


@functools.cache
def encoded(kind: str) -> bytes:
    form, mode, options = KINDS[kind]
    buffer = io.BytesIO()
    image = Image.fromarray(photo(24, 32)).convert(mode)
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture
def nothing_on_stderr(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """The C libraries keep quiet, whatever they are given."""
    yield
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("nothing_on_stderr")
@pytest.mark.parametrize("kind", KINDS)
@settings(
    deadline=timedelta(seconds=20),  # far above what any takes: against hanging
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # one file, written anew
)
@given(data=st.data())
def test_a_damaged_picture_is_one_line_or_a_picture(
    kind: str, tmp_path: Path, data: st.DataObject
) -> None:
    file = tmp_path / "picture"
    file.write_bytes(data.draw(mutated(encoded(kind))))
    try:
        picture = read(file)
    except InputError as error:
        assert str(error).startswith(f"{file}: ")
        assert str(error).isprintable()
    else:
        assert picture.pixels.dtype in (np.uint8, np.uint16)


@pytest.mark.usefixtures("nothing_on_stderr")
def test_an_error_that_is_no_text_does_not_spoil_the_next(tmp_path: Path) -> None:
    # The decoder names the box that it cannot read, and this name is no UTF-8.
    file = tmp_path / "picture"
    file.write_bytes(encoded("avif").replace(b"irot", b"\xe9rot"))
    with pytest.raises(InputError, match="damaged or cut off; give a complete AVIF"):
        read(file)
    file.write_bytes(encoded("tiff")[:-20])
    with pytest.raises(InputError, match=r"cut off \(vips__tiff_openin_source: unable"):
        read(file)


@pytest.mark.usefixtures("nothing_on_stderr")
def test_sides_that_no_picture_has(tmp_path: Path) -> None:
    file = tmp_path / "picture"
    wide = struct.pack(">II", 12_000_000, 24)
    png = bytearray(encoded("png"))
    png[16:24] = wide
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    file.write_bytes(png)
    with pytest.raises(InputError, match="claims a size of 12000000 x 24; sides of up to"):
        read(file)
    avif = bytearray(encoded("avif"))
    at = avif.index(b"ispe") + 8
    avif[at : at + 8] = struct.pack(">II", 2**31 - 1, 24)
    file.write_bytes(avif)
    with pytest.raises(InputError, match="claims a size of 2147483647 x 24; sides of up to"):
        read(file)


def test_looking_at_a_size_does_not_disturb_a_picture_that_is_read(tmp_path: Path) -> None:
    """libvips has one list of errors for all threads."""
    (tmp_path / "text.jpg").write_text("no picture")
    found = []
    looking = threading.Thread(target=lambda: found.append(size_of(tmp_path / "text.jpg")))
    with _complaints():
        looking.start()
        looking.join(0.3)
        assert not found
    looking.join(10)
    assert found == [None]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_the_size_of_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert size_of(tmp_path / "pipe.png") is None
