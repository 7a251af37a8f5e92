"""Pictures for the screen: tiles of several sizes, so that none is too large for a browser."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from iln.images import Picture
from iln.images.libvips import libvips, own_errors

TILE = 512
"""Pixels; the page knows the same number."""
_JPEG = ".jpg[Q=95,subsample_mode=off,keep=none]"
_WEBP = ".webp[Q=95,keep=none]"
"""Where there is transparency."""


def make_tiles(picture: Picture, folder: Path) -> None:
    """Write a pyramid in the layout of Deep Zoom: `folder/LEVEL/COLUMN_ROW.SUFFIX`.

    Level 0 is one tile, and each level is twice as wide and high as the one before. Colours are
    turned to sRGB.
    """
    image = _on_screen(picture)
    base = folder.with_name(f"{folder.name}-new")
    suffix = _WEBP if picture.alpha is not None else _JPEG
    made = base.with_name(f"{base.name}_files")
    try:
        image.dzsave(str(base), tile_size=TILE, overlap=0, depth="onetile", suffix=suffix)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    except BaseException:
        for half in (made, folder):  # (that of a run before shows what is no more)
            shutil.rmtree(half, ignore_errors=True)
        raise
    finally:
        base.with_suffix(".dzi").unlink(missing_ok=True)


def tile(folder: Path, level: int, column: int, row: int) -> tuple[bytes, str] | None:
    """A tile's bytes and media type, if there is one; it may go at any time."""
    for suffix, media_type in ((".jpg", "image/jpeg"), (".webp", "image/webp")):
        with contextlib.suppress(FileNotFoundError):
            return (folder / str(level) / f"{column}_{row}{suffix}").read_bytes(), media_type
    return None


def _on_screen(picture: Picture) -> Any:
    """8 bits, sRGB."""
    pyvips = libvips()
    pixels = np.ascontiguousarray(picture.pixels)
    deep = pixels.dtype == np.uint16
    kind = "ushort" if deep else "uchar"
    gray = picture.channels == 1
    image = pyvips.Image.new_from_memory(
        pixels.data, picture.width, picture.height, picture.channels, kind
    )
    spaces = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    image = image.copy(interpretation=spaces[0 if gray else 1])
    if picture.icc is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", picture.icc)
        with own_errors(), contextlib.suppress(pyvips.Error):  # a broken profile: as they are
            image = image.icc_transform("srgb", embedded=True, depth=8)
    if image.format == "ushort":
        image = (image / 257).rint().cast("uchar").copy(interpretation="b-w" if gray else "srgb")
    if picture.alpha is not None:
        alpha = np.ascontiguousarray(picture.alpha)
        veil = pyvips.Image.new_from_memory(alpha.data, picture.width, picture.height, 1, kind)
        image = image.bandjoin((veil / 257).rint().cast("uchar") if deep else veil)
    return image
