"""Compression by the real encoder."""

from io import BytesIO
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from iln.errors import InputError
from iln.lab.degradations.bands import Pixels

Subsampling: TypeAlias = Literal["4:2:0", "4:4:4"]
"""Colour at half the resolution in both directions, as nearly every program writes it, or whole."""
JPEG_UNIT = 16
"""Pixels a side that 4:2:0 encodes together: four 8x8 blocks of luma, one of each colour."""

_LONGEST = 65500


def jpeg(
    picture: Pixels,
    quality: int,
    subsampling: Subsampling = "4:2:0",
    origin: tuple[int, int] = (0, 0),
) -> Pixels:
    """Encoded and decoded by libjpeg: (H, W, 1) as a gray file, (H, W, 3) as YCbCr.

    Args:
        quality: 1..100 in libjpeg's scale of the tables of the standard (ITU-T T.81, annex K).
        origin: rows and columns of the first blocks that a former crop has cut off; what lay
            there is taken for a repetition of the outermost pixels.

    Raises:
        InputError: a side above 65,500 pixels.
    """
    if origin != (0, 0):
        (top, left), whole = origin, ((origin[0], 0), (origin[1], 0), (0, 0))
        return jpeg(np.pad(picture, whole, "edge"), quality, subsampling)[top:, left:]
    if max(picture.shape) > _LONGEST:
        height, width = picture.shape[:2]
        raise InputError(f"{width} x {height} is too large for JPEG (at most {_LONGEST} a side)")
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    file = BytesIO()
    if picture.shape[2] == 1:
        image.save(file, "JPEG", quality=quality)
    else:
        image.save(file, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(file) as decoded:
        return np.asarray(decoded).reshape(picture.shape)
