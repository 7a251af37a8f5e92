"""Convolution of a picture with a small kernel, exact to the last bit on every machine."""

import math

import numpy as np

from iln.lab.degradations.bands import Floats, Kernel, Pixels, reflected

_EXACT = 24
"""float32 holds whole numbers up to 2 to this power. Weights are multiples of such a power of two
that no sum of them times 8-bit values goes beyond: exact, in whatever order the processor's matrix
product adds."""
_BLOCK = 16
"""Neighbouring results in a row, which one matrix product makes of the pixels they share."""
_VALUES = 1 << 20
"""Results computed at once."""


def convolve(picture: Pixels, kernel: Kernel) -> Pixels:
    """y[i, j] = sum over a, b of kernel[r + a, r + b] * x[i - a, j - b], clipped and rounded.

    Halves are rounded up. Beyond the edges the picture is reflected, the outermost row not
    repeated.

    Args:
        kernel: (2r + 1, 2r + 1), any sign. Its weights are rounded to multiples of 2^-15 (where
            their magnitudes add up to m > 2, 2^-14 or coarser); what that changes of their sum goes
            to the largest, so that a kernel with the sum 1 keeps flat pictures as they are.
    """
    spread = math.ceil(math.log2(max(2.0, np.abs(kernel).sum() - 1e-6)))
    unit = 2 ** (_EXACT - 8 - spread)
    weights = _trimmed(_whole(kernel, unit)[::-1, ::-1])  # turned round: a correlation from here
    if weights.size == 1 and weights[0, 0] == unit:
        return picture.copy()
    height, width, channels = picture.shape
    up, left = weights.shape[0] // 2, weights.shape[1] // 2
    blocks = -(-width // _BLOCK)
    right = left + blocks * _BLOCK - width
    result = np.empty_like(picture)
    product = _products(weights)
    rows = max(2 * up + 1, _VALUES // (width * channels))
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        inside = reflected(np.arange(top - up, bottom + up), height)
        across = reflected(np.arange(-left, width + right), width)
        planes = picture[inside].transpose(0, 2, 1)[:, :, across].astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(planes, product.shape[1], axis=2)
        shared = np.ascontiguousarray(windows[:, :, ::_BLOCK])
        sums = np.full((bottom - top, channels, blocks, _BLOCK), unit // 2, np.float32)
        for y, row in enumerate(product):
            if row.any():
                sums += shared[y : y + bottom - top] @ row
        sums /= unit
        np.clip(np.floor(sums, out=sums), 0, 255, out=sums)
        whole = sums.reshape(bottom - top, channels, -1)[:, :, :width]
        result[top:bottom] = whole.transpose(0, 2, 1)
    return result


def _whole(kernel: Kernel, unit: int) -> Floats:
    """The weights as multiples of 1 / unit."""
    weights = np.rint(kernel * unit)
    weights.flat[np.argmax(weights)] += np.rint(kernel.sum() * unit) - weights.sum()
    return weights.astype(np.float32)


def _trimmed(weights: Floats) -> Floats:
    """Without outer rows and columns of zeros, as many on either side."""
    y, x = (np.abs(np.nonzero(weights)[axis] - len(weights) // 2).max() for axis in (0, 1))
    middle = len(weights) // 2
    return weights[middle - y : middle + y + 1, middle - x : middle + x + 1]


def _products(weights: Floats) -> Floats:
    """For each row of the kernel the matrix from the pixels a block sees to the block's results."""
    height, width = weights.shape
    matrices = np.zeros((height, width + _BLOCK - 1, _BLOCK), np.float32)
    for place in range(_BLOCK):
        matrices[:, place : place + width, place] = weights
    return matrices
