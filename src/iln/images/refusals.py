"""Why a picture is not taken, in words."""

from iln.images import tiff
from iln.images.picture import NAMES

# Of each side: decoders keep many rows at a time, and no picture but a damaged one is wider.
_MAX_SIDE = 1_000_000


class Refused(Exception):
    """A picture we do not take; the message says why, the caller adds the file's name."""


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise Refused for a size that is no picture's, or beyond the limit."""
    if width < 1 or height < 1:
        raise Refused(f"claims a size of {width} x {height}; save it anew")
    if max(width, height) > _MAX_SIDE:
        raise Refused(
            f"claims a size of {width} x {height}; sides of up to {_MAX_SIDE:,} pixels are read"
        )
    if width * height > max_pixels:
        raise Refused(
            f"is {width} x {height}, more than {max_pixels:,} pixels; "
            f"allow it with --max-pixels {width * height}"
        )


def animated() -> Refused:
    return Refused("is animated; save the frame you want as a file of its own")


def damaged(
    kind: str, why: str, page: tiff.TiffFile | None = None, *, hint: bool = False
) -> Refused:
    """That a picture cannot be decoded: because of its kind, where that is unusual.

    Args:
        hint: that `--allow-damaged` helps.
    """
    if page is not None and page.unusual is not None:
        return Refused(
            f"{page.unusual}, which is not read here; save it as a TIFF of 8 or 16 bits, gray or "
            "RGB, compressed by LZW or deflate"
        )
    detail = f" ({why})" if why else ""
    other = ", or take what can be read by iln restore --allow-damaged" if hint else ""
    return Refused(f"is damaged or cut off{detail}; give a complete {NAMES[kind]} file{other}")
