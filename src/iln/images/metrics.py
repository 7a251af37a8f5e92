"""Quality against the original, with every choice that changes the number spelled out.

Pictures are uint8, (H, W, 3) RGB or gray as (H, W) or (H, W, 1). For gray ones the value
itself is compared, 0..255: so do the papers on gray pictures. (A gray picture stored as RGB
scores 1.32 dB more in Y, whose range is 219 and not 255.)
"""

import math

import numpy as np
from numpy.typing import NDArray

from iln.errors import InputError

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float64]

_WINDOW = 11
_SIGMA = 1.5
_BAND = 32
_BLOCK = 8


def luma(rgb: Pixels) -> Plane:
    """Y of BT.601 in limited range, 16..235, unrounded float64, as MATLAB's rgb2ycbcr has it.

    Args:
        rgb: (H, W, 3) uint8. Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise InputError(f"luma needs (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    weighted: Plane = rgb.astype(np.float64) @ np.array([65.481, 128.553, 24.966])
    return 16 + weighted / 255


def psnr_y(a: Pixels, b: Pixels, border: int = 0, *, rounded: bool = False) -> float:
    """Peak signal-to-noise ratio in dB on Y (gray pictures: on their values); inf if equal.

    Args:
        border: pixels left out on each side; papers on super-resolution leave out `scale`.
        rounded: Y rounded to whole numbers first, as papers on deraining do.

    Raises:
        InputError: if the shapes differ, are no pictures, or the border leaves nothing.
    """
    return _psnr(*_planes(a, b, border, rounded))


def psnrb_y(a: Pixels, b: Pixels) -> float:
    """PSNR-B of the result `a` against the original `b`, in dB on Y (gray: on their values).

    Yim and Bovik, Quality assessment of deblocked images, 2011: PSNR with MSE + BEF in place of the
    MSE. The blocking effect factor looks at the result alone: D is the mean squared difference of
    neighbours (left and right, above and below) across the edges of 8 x 8 blocks, D' that of all
    other neighbours; BEF = log2(8) / log2(min(H, W)) * (D - D') where D > D', else 0. Peak 255,
    also on Y. All whole and broken blocks from the upper left corner on are counted. At equal
    pictures without visible blocks inf. Not symmetric.

    Raises:
        InputError: as `psnr_y`.
    """
    x, y = _planes(a, b, 0)
    mse = float(np.mean(np.square(x - y))) + _blocking(x)
    return math.inf if mse == 0 else 10 * math.log10(255**2 / mse)


def _blocking(x: Plane) -> float:
    """The blocking effect factor."""
    edges, others = [0.0, 0], [0.0, 0]
    for plane in (x, x.T):
        squares = np.square(np.diff(plane, axis=0)).sum(axis=1)
        on_edge = np.arange(1, len(plane)) % _BLOCK == 0
        for kind, here in ((edges, on_edge), (others, ~on_edge)):
            kind[0] += squares[here].sum()
            kind[1] += int(here.sum()) * plane.shape[1]
    if not edges[1]:
        return 0.0
    difference = float(edges[0] / edges[1] - others[0] / others[1])
    weight = math.log2(_BLOCK) / math.log2(min(x.shape)) if min(x.shape) > 1 else 0.0
    return weight * max(0.0, difference)


def psnr_rgb(a: Pixels, b: Pixels, border: int = 0) -> float:
    """Peak signal-to-noise ratio in dB over all channels together; inf if equal.

    As papers on colour denoising measure it.

    Raises:
        InputError: as `psnr_y`.
    """
    a, b = _cropped(a, b, border)
    return _psnr(a.astype(np.float64), b.astype(np.float64))


def ssim_y(a: Pixels, b: Pixels, border: int = 0, *, rounded: bool = False) -> float:
    """Structural similarity on Y (gray pictures: on their values); 1 if equal.

    Wang et al., 2004: Gaussian window of 11 x 11 with sigma 1.5, where it fits wholly inside; K1 =
    0.01, K2 = 0.03, dynamic range 255.

    Args:
        border: as in `psnr_y`; what it leaves must be at least 11 x 11.
        rounded: as in `psnr_y`.

    Raises:
        InputError: as `psnr_y`.
    """
    x, y = _planes(a, b, border, rounded)
    if min(x.shape) < _WINDOW:
        raise InputError(
            f"SSIM needs at least {_WINDOW} x {_WINDOW} pixels inside the border, "
            f"got {x.shape[0]} x {x.shape[1]}"
        )
    # In bands of rows that stay in the processor's cache; each needs ten rows of the next.
    rows = range(0, x.shape[0] - _WINDOW + 1, _BAND)
    bands = (slice(top, top + _BAND + _WINDOW - 1) for top in rows)
    total = sum(float(_similarity(x[band], y[band]).sum()) for band in bands)
    windows: int = (x.shape[0] - _WINDOW + 1) * (x.shape[1] - _WINDOW + 1)
    return total / windows


def _similarity(x: Plane, y: Plane) -> Plane:
    """The local similarity at every whole window."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x * mean_x
    var_y = _blur(y * y) - mean_y * mean_y
    covariance = _blur(x * y) - mean_x * mean_y
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    bottom = (mean_x * mean_x + mean_y * mean_y + c1) * (var_x + var_y + c2)
    similarity: Plane = top / bottom
    return similarity


def _psnr(x: Plane, y: Plane) -> float:
    mse = float(np.mean(np.square(x - y)))
    return math.inf if mse == 0 else 10 * math.log10(255**2 / mse)


def _planes(a: Pixels, b: Pixels, border: int, rounded: bool = False) -> tuple[Plane, Plane]:
    a, b = _cropped(a, b, border)
    if a.ndim == 3 and a.shape[2] == 3:
        x, y = luma(a), luma(b)
        # Halves up, as MATLAB rounds; Y is positive.
        return (np.floor(x + 0.5), np.floor(y + 0.5)) if rounded else (x, y)
    height, width = a.shape[:2]
    return (
        a.reshape(height, width).astype(np.float64),
        b.reshape(height, width).astype(np.float64),
    )


def _cropped(a: Pixels, b: Pixels, border: int) -> tuple[Pixels, Pixels]:
    if a.shape != b.shape:
        raise InputError(f"pictures of different shape: {a.shape} and {b.shape}")
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise InputError(f"pictures must be uint8, got {a.dtype} and {b.dtype}")
    if a.ndim not in (2, 3) or (a.ndim == 3 and a.shape[2] not in (1, 3)):
        raise InputError(f"pictures must be gray or RGB, (H, W[, C]), got {a.shape}")
    height, width = a.shape[:2]
    if border < 0 or 2 * border >= min(height, width):
        raise InputError(f"border {border}: leaves nothing of {height} x {width} pixels")
    inside = slice(border, height - border), slice(border, width - border)
    return a[inside], b[inside]


def _blur(plane: Plane) -> Plane:
    """Gaussian mean over every whole window: (H, W) to (H - 10, W - 10), one axis at a time."""
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    for _ in range(2):
        height = plane.shape[0] - _WINDOW + 1
        total = weights[0] * plane[:height]
        for k in range(1, _WINDOW):
            total += weights[k] * plane[k : k + height]
        plane = total.T
    return plane
