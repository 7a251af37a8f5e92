"""The marks of a picture: where its restoration changed it, and the mask that somebody painted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from iln.checkpoints.files import about
from iln.deploy.serve.jobs import Job, Result
from iln.deploy.serve.previews import make_tiles
from iln.errors import InputError
from iln.images import Picture, read, write
from iln.images.libvips import libvips
from iln.images.mask import as_mask
from iln.restoration.inputs import joined
from iln.restoration.limits import Limits, Planes

MAX_MASK_PIXELS = 4_000_000
"""The page paints on no more: phones refuse larger canvases. Soft edges hide the difference."""
FOUND, PAINTED, AFTER, ALPHA = "found.png", "mask", "after.npy", "alpha.npy"
"""Files of a job. The mask is as it was handed in, of any format."""


class Seen(Limits):
    """Only looks where the picture is changed: all of the result is kept."""

    def limit(self, before: Planes, after: Planes) -> Planes:
        super().limit(before, after)
        return after


def for_run(job: Job, height: int, width: int, max_pixels: int) -> Limits:
    """What limits a restoration: a mask that was painted before it began, or nothing.

    Raises:
        InputError: for a mask that cannot be meant.
    """
    if not job.masked:
        return Seen(find=True)
    mask = joined(read(job.folder / PAINTED, max_pixels))
    with about(PAINTED):
        return Limits(as_mask(mask, height, width))


def keep(job: Job, found: Limits, after: Picture, whole: bool) -> None:
    """What a mask needs later: where it changed, and the result at full depth where a mask limits
    the whole restoration, so that it need not be done again."""
    if not job.masked and found.found is not None:
        _to_png(found.found, job.folder / FOUND)
        if whole:
            np.save(job.folder / AFTER, after.pixels)
            if after.alpha is not None:
                np.save(job.folder / ALPHA, after.alpha)


def forget(job: Job) -> None:
    """Of the result before."""
    for name in (AFTER, ALPHA, *([] if job.masked else [FOUND, PAINTED])):
        (job.folder / name).unlink(missing_ok=True)


def hand_in(job: Job, mask: BinaryIO) -> None:
    """A mask that comes with a picture whose size nobody knows yet; `for_run` looks at it."""
    with (job.folder / PAINTED).open("wb") as file:
        shutil.copyfileobj(mask, file)
    job.masked = job.mask_given = True


def paint(job: Job, data: bytes | None) -> None:
    """Take over a mask, white where the restoration counts.

    Args:
        data: None takes that of the restoration again.

    Raises:
        InputError: if it is no picture of a mask.
    """
    painted = job.folder / PAINTED
    if data is None:
        job.mask_given = False
        painted.unlink(missing_ok=True)
        return
    try:
        small = joined(read(data, MAX_MASK_PIXELS))
    except InputError as error:
        raise InputError(str(error).replace("the picture: ", "the mask: ", 1)) from None
    as_mask(small, job.height, job.width)  # is it one?
    job.mask_given = False
    _to_png(as_mask(small, *small.shape[:2], soft=0), painted)


@contextmanager
def undone_on_error(job: Job) -> Iterator[None]:
    """The mask stays as it was where the change of it, or what follows from it, fails."""
    painted = job.folder / PAINTED
    before = painted.read_bytes() if painted.is_file() else None
    said = job.masked, job.mask_given
    try:
        yield
    except BaseException:
        job.masked, job.mask_given = said
        if before is None:
            painted.unlink(missing_ok=True)
        else:
            painted.write_bytes(before)
        raise


def at_hand(job: Job) -> bool:
    """Whether `apply` limits the result; else the picture has to be restored again."""
    return (job.folder / AFTER).is_file()


def current(job: Job) -> Path | None:
    """The mask as a gray PNG: the painted one, or where the restoration changed the picture."""
    for name in (PAINTED, FOUND):
        if (job.folder / name).is_file():
            return job.folder / name
    return None


def apply(job: Job, result: Result, max_pixels: int) -> None:
    """Write the result anew, changed only within the mask that was painted, if one was."""
    before = read(job.source, max_pixels, allow_damaged=result.options.allow_damaged)
    alpha = np.load(job.folder / ALPHA) if (job.folder / ALPHA).is_file() else None
    planes: Planes = (np.load(job.folder / AFTER), alpha)
    if job.masked:
        limits = for_run(job, before.height, before.width, max_pixels)
        planes = limits.limit((before.pixels, before.alpha), planes)
    after = replace(before, pixels=planes[0], alpha=planes[1])
    write(after, result.file, overwrite=True, quality=result.options.quality)
    make_tiles(after, job.folder / "after")


def _to_png(mask: NDArray[np.uint8], file: Path) -> None:
    """No larger than the page can paint on."""
    height, width = mask.shape
    image: Any = libvips().Image.new_from_memory(
        np.ascontiguousarray(mask).data, width, height, 1, "uchar"
    )
    if width * height > MAX_MASK_PIXELS:
        image = image.resize((MAX_MASK_PIXELS / (width * height)) ** 0.5 * 0.999)
    image.copy(interpretation="b-w").pngsave(str(file), compression=3)
