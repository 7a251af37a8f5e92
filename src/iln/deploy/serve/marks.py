"""Limit what was restored to a mask that somebody has painted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iln.deploy.serve.jobs import Job
from iln.deploy.serve.previews import make_tiles
from iln.images import Picture, read, write
from iln.images.libvips import libvips
from iln.images.mask import changed_mask, within_mask
from iln.images.sizing import resized

MAX_MASK_PIXELS = 4_000_000
"""The page paints on no more: phones refuse larger canvases. Soft edges hide the difference."""


def keep(folder: Path, before: Picture, after: Picture) -> None:
    """What a mask needs later: where it changed, and the result at full depth."""
    np.save(folder / "after.npy", after.pixels)
    if after.alpha is not None:
        np.save(folder / "alpha.npy", after.alpha)
    found = changed_mask(before.pixels, after.pixels)
    _to_png(found, folder / "found.png")


def forget(folder: Path) -> None:
    """Of the result before."""
    for name in ("after.npy", "alpha.npy", "found.png", "painted.png"):
        (folder / name).unlink(missing_ok=True)


def current(job: Job) -> Path | None:
    """The mask as a gray PNG: the painted one, or where the restoration changed the picture."""
    for name in ("painted.png", "found.png"):
        if (job.folder / name).is_file():
            return job.folder / name
    return None


def apply(job: Job, data: bytes | None, quality: int, max_pixels: int) -> None:
    """Write the result anew, changed only within a mask. None: as it was restored.

    Args:
        data: a picture of the mask, white where the restoration counts, of any size.

    Raises:
        InputError: if it is no picture.
    """
    assert job.result is not None
    before = read(job.source, max_pixels, allow_damaged=job.options.allow_damaged)
    after = _restored(job, before)
    painted = job.folder / "painted.png"
    if data is None:
        painted.unlink(missing_ok=True)
    else:
        small = read(data, MAX_MASK_PIXELS).rgb8()[..., :1]
        mask = resized(small, before.height, before.width)[..., 0]
        after = _limited(before, after, mask)
        _to_png(small[..., 0], painted)
    write(after, job.result.file, overwrite=True, quality=quality)
    make_tiles(after, job.folder / "after")


def _restored(job: Job, before: Picture) -> Picture:
    """At full depth, as the models left it."""
    alpha_file = job.folder / "alpha.npy"
    alpha = np.load(alpha_file) if alpha_file.is_file() else None
    return replace(before, pixels=np.load(job.folder / "after.npy"), alpha=alpha)


def _limited(before: Picture, after: Picture, mask: NDArray[np.uint8]) -> Picture:
    alpha = after.alpha
    if alpha is not None and before.alpha is not None:
        alpha = within_mask(before.alpha, alpha, mask)
    return replace(after, pixels=within_mask(before.pixels, after.pixels, mask), alpha=alpha)


def _to_png(mask: NDArray[np.uint8], file: Path) -> None:
    """No larger than the page can paint on."""
    height, width = mask.shape
    image: Any = libvips().Image.new_from_memory(
        np.ascontiguousarray(mask).data, width, height, 1, "uchar"
    )
    if width * height > MAX_MASK_PIXELS:
        image = image.resize((MAX_MASK_PIXELS / (width * height)) ** 0.5 * 0.999)
    image.copy(interpretation="b-w").pngsave(str(file), compression=3)
