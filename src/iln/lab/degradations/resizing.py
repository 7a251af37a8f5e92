"""Resizing as programs on computers and phones do it, in whole numbers."""

from typing import Literal, TypeAlias, get_args

import numpy as np
from PIL import Image

from iln.lab.degradations.bands import Pixels

Method: TypeAlias = Literal["area", "bilinear", "bicubic"]
METHODS: tuple[Method, ...] = get_args(Method)

_FILTERS = {
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def resized(picture: Pixels, size: tuple[int, int], method: Method) -> Pixels:
    """The picture at `size` (height, width), both at least 1.

    Pillow's filters, widened when shrinking so that nothing aliases: the mean over a pixel's area,
    the tent, Keys' cubic with a = -0.5. Their weights are whole numbers, so nothing rounds freely.
    """
    if size == picture.shape[:2]:
        return picture.copy()
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    result = image.resize((size[1], size[0]), _FILTERS[method])
    return np.asarray(result).reshape(*size, picture.shape[2])
