"""Sizes in words, and pictures brought to them; before and after side by side."""

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iln.errors import InputError, first_line
from iln.images.libvips import libvips
from iln.images.picture import Picture
from iln.images.transparency import grow_colours

_FORMATS = {"uint8": "uchar", "uint16": "ushort", "float32": "float", "float64": "double"}
_MAX_SIDE = 1_000_000
_MAX_PERCENT = 10_000
GAP = 8
"""Columns between before and after."""


@dataclass(frozen=True)
class Size:
    """What a result is brought to; its proportions are kept.

    Attributes:
        width: in pixels; None where it is free.
        height: the same.
        percent: of the picture as it was given, in place of both.
    """

    width: int | None = None
    height: int | None = None
    percent: float | None = None

    def of(self, result: tuple[int, int], given: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of a result of this (height, width), for a picture of that one."""
        if self.percent is not None:
            scale = self.percent / 100
            height, width = given
        else:
            height, width = result
            wanted = (self.height, height), (self.width, width)
            scale = min(want / side for want, side in wanted if want)
        return max(1, round(height * scale)), max(1, round(width * scale))


def parse_size(text: str) -> Size:
    """`4000x` is a width, `x3000` a height, `4000x3000` what a picture has to fit into, `100%` the
    size of the picture as it was given.

    Raises:
        InputError: for anything else.
    """
    if not isinstance(text, str):
        raise InputError(f"size {text!r}: is no text; give one such as '4000x', 'x3000' or '150%'")
    plain = text.strip().lower().replace("×", "x")
    if found := re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?%", plain):
        percent = float(found[1])
        if 0 < percent <= _MAX_PERCENT:
            return Size(percent=percent)
    elif found := re.fullmatch(r"([0-9]{0,9})x([0-9]{0,9})", plain):
        width, height = (int(side) if side else None for side in found.groups())
        sides = [side for side in (width, height) if side is not None]
        if sides and all(1 <= side <= _MAX_SIDE for side in sides):
            return Size(width, height)
    raise InputError(
        f"size {text!r}: accepted are a width such as 4000x, a height such as x3000, or both, "
        f"which the picture then fits into, 1 to {_MAX_SIDE}; or percent of the picture as it "
        f"was, such as 100%, up to {_MAX_PERCENT}%"
    )


def resized(array: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """(H, W, C) at another size, by libvips: smaller by Lanczos' kernel, larger bicubic."""
    if array.shape[:2] == (height, width):
        return array
    dtype = array.dtype
    source = np.ascontiguousarray(array if dtype.name in _FORMATS else array.astype(np.float32))
    stored = _FORMATS[source.dtype.name]
    image = libvips().Image.new_from_memory(
        source.data, source.shape[1], source.shape[0], source.shape[2], stored
    )
    try:
        if dtype.kind != "f":  # in whole numbers its weights do not add up to one
            image = image.cast("float")
        image = _larger(_smaller(image, height, width), height, width)
        if dtype.kind != "f":
            image = image.rint().cast(stored)
        found: NDArray[Any] = image.numpy().reshape(height, width, source.shape[2])
    except libvips().Error as error:
        raise InputError(
            f"a result of {width} x {height} pixels is too large ({first_line(error)})"
        ) from None
    if dtype.kind == "f":
        found = found.clip(0, 1)
    return found.astype(dtype)


def _smaller(image: Any, height: int, width: int) -> Any:
    """Those sides that shrink."""
    width, height = min(width, image.width), min(height, image.height)
    if (image.width, image.height) == (width, height):
        return image
    image = image.resize(width / image.width, vscale=height / image.height, kernel="lanczos3")
    # A side is rounded in libvips' own way.
    return image.gravity("north-west", width, height, extend="copy")


def _larger(image: Any, height: int, width: int) -> Any:
    """Those sides that grow; `resize` would move the picture by half a pixel of the result."""
    if (image.width, image.height) == (width, height):
        return image
    return image.affine(
        (width / image.width, 0, 0, height / image.height),
        interpolate=libvips().Interpolate.new("bicubic"),
        idx=0.5,  # centres of pixels stay centres
        idy=0.5,
        odx=-0.5,
        ody=-0.5,
        oarea=[0, 0, width, height],
        extend="copy",
    )


def resized_with_alpha(
    colours: NDArray[Any], alpha: NDArray[Any] | None, height: int, width: int
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Colours (H, W, C) and alpha (H, W) at another size; hidden colours do not bleed."""
    if alpha is None:
        return resized(colours, height, width), None
    if colours.shape[:2] != (height, width):
        colours = grow_colours(colours, alpha)
    return resized(colours, height, width), resized(alpha[..., None], height, width)[..., 0]


def side_by_side(before: Picture, after: Picture) -> Picture:
    """Before, brought to the size of the result, and after, on white, with a gap between them."""
    height, width = after.height, after.width
    halves = [_on_white(before, height, width), _on_white(after, height, width)]
    gap = np.full((height, GAP, halves[0].shape[2]), np.iinfo(after.pixels.dtype).max)
    pixels = np.concatenate([halves[0], gap.astype(after.pixels.dtype), halves[1]], 1)
    return replace(after, pixels=pixels, alpha=None, text=(), notes=())


def _on_white(picture: Picture, height: int, width: int) -> NDArray[Any]:
    colours, alpha = resized_with_alpha(picture.pixels, picture.alpha, height, width)
    if alpha is None:
        return colours
    full = np.iinfo(colours.dtype).max
    share = alpha[..., None].astype(np.float32) / full
    mixed: NDArray[Any] = np.rint(colours * share + full * (1 - share)).astype(colours.dtype)
    return mixed


def blended(before: NDArray[Any], after: NDArray[Any], strength: float) -> NDArray[Any]:
    """Of two pictures of one size: `strength` (0 to 1) of `after`, the rest of `before`."""
    result = np.empty_like(after)
    precise = np.promote_types(after.dtype, np.float32)
    for top in range(0, len(after), 64):
        rows = slice(top, top + 64)
        mixed = before[rows].astype(precise) * (1 - strength)
        mixed += after[rows].astype(precise) * strength
        result[rows] = (mixed if after.dtype.kind == "f" else np.rint(mixed)).astype(after.dtype)
    return result
