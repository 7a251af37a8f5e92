"""A picture as people have it: pixels and what must survive beside them."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.uint8] | NDArray[np.uint16]
NAMES = {
    "jpeg": "JPEG",
    "png": "PNG",
    "tiff": "TIFF",
    "webp": "WebP",
    "avif": "AVIF",
    "gif": "GIF",
    "bmp": "BMP",
    "pnm": "PPM",
    "heic": "HEIC",
    "jxl": "JPEG XL",
}
"""Formats, as people call them."""
LUMA = (0.299, 0.587, 0.114)
"""BT.601's weights of R, G and B."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels, upright, with transparency and the metadata that is worth keeping.

    `dataclasses.replace` makes the picture with other pixels.

    Attributes:
        pixels: (H, W, C), uint8 in 0..255 or uint16 in 0..65535, C = 1 (gray) or 3 (RGB).
        alpha: (H, W) of the same dtype, 0 transparent, full scale opaque; not premultiplied.
        icc: ICC profile that says what the pixel values mean; None is sRGB.
        exif: EXIF as a TIFF block (it begins with "II" or "MM"), orientation 1, no thumbnail.
        xmp: XMP packet, orientation and sizes corrected.
        iptc: IPTC records (IIM).
        text: keywords and texts, as PNG holds them; a JPEG's comments have the keyword "Comment".
        dpi: pixels per inch, horizontal and vertical; None where the file does not say it.
        source_format: what it was read from, such as "jpeg".
        notes: what was left out or assumed when it was read, each to be read after its name.

    Raises:
        ValueError: if the arrays do not fit this description.
    """

    pixels: Array
    alpha: Array | None = None
    icc: bytes | None = field(default=None, repr=False)
    exif: bytes | None = field(default=None, repr=False)
    xmp: bytes | None = field(default=None, repr=False)
    iptc: bytes | None = field(default=None, repr=False)
    text: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    dpi: tuple[float, float] | None = None
    source_format: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pixels, alpha = self.pixels, self.alpha
        if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
            raise ValueError(f"pixels must be (H, W, 1) or (H, W, 3), got {pixels.shape}")
        if pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"pixels must be uint8 or uint16, got {pixels.dtype}")
        if alpha is not None and (alpha.shape, alpha.dtype) != (pixels.shape[:2], pixels.dtype):
            raise ValueError(
                f"alpha must be {pixels.shape[:2]} {pixels.dtype}, got {alpha.shape} {alpha.dtype}"
            )

    def rgb8(self) -> NDArray[np.uint8]:
        """The stored numbers as (H, W, 3) uint8: 16 bits rounded, gray three times, no alpha."""
        pixels = self.pixels
        if pixels.dtype == np.uint16:
            pixels = np.round(pixels / 257).astype(np.uint8)
        return np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.uint8)

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        """1 for gray, 3 for RGB; alpha is not counted."""
        return int(self.pixels.shape[2])

    @property
    def bit_depth(self) -> int:
        """8 or 16."""
        return self.pixels.dtype.itemsize * 8


def icc_fits(profile: bytes | None, channels: int) -> bool:
    """Whether the profile says what gray (1 channel) or RGB (3) of a picture look like.

    ICC.1, header bytes 12 to 23: its class, which some have for other ends, the colours it is for,
    and those it leads to.
    """
    if profile is None:
        return False
    kind, colours, leads_to = profile[12:16], profile[16:20], profile[20:24]
    return (
        kind in (b"scnr", b"mntr", b"prtr", b"spac")
        and colours == (b"GRAY" if channels == 1 else b"RGB ")
        and leads_to in (b"XYZ ", b"Lab ")
    )
