"""Colours that a file describes by numbers beside the pixels, and not by an ICC profile.

PNG does so by its chunks cICP, gAMA and cHRM (PNG, third edition, 11.3.2), AVIF and HEIC by a
`colr` box of kind nclx. Both use the code points of ITU-T H.273. Such pixels become sRGB.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iln.images.picture import Array

Primaries = tuple[float, float, float, float, float, float, float, float]
"""Chromaticities x, y of white, red, green and blue."""

PROFILE_LEFT_OUT = "its colour profile does not fit its pixels and is left out"
"""A note."""

_D65 = (0.3127, 0.3290)
SRGB: Primaries = (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
# H.273, table 2. 2 is "unspecified".
_PRIMARIES: dict[int, Primaries] = {
    1: SRGB,
    2: SRGB,
    4: (0.310, 0.316, 0.670, 0.330, 0.210, 0.710, 0.140, 0.080),
    5: (*_D65, 0.640, 0.330, 0.290, 0.600, 0.150, 0.060),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
# H.273, table 3: what the linear value is raised to. 0 stands for sRGB's curve, with which
# programs also show the curves of video, made for darker rooms.
_VIDEO = (1, 6, 7, 11, 12, 14, 15)
_EXPONENTS: dict[int, float] = dict.fromkeys((2, 13, *_VIDEO), 0) | {4: 2.2, 5: 2.8, 8: 1}
_HDR = {16: "PQ", 18: "HLG"}
_ROWS = 64
# What a decoder makes of the numbers of the sRGB standard in a file: they count as sRGB.
_NEAR_EXPONENT = 0.1
_NEAR_CHROMATICITY = 0.005
# From XYZ to the answers of the eye's cones (Bradford), in which white points are exchanged.
_CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


class UnknownColours(ValueError):
    """Colours that cannot be turned to sRGB; the message says which, after "holds"."""


@dataclass(frozen=True)
class Encoding:
    """What pixel values mean.

    Attributes:
        primaries: the colours of white, red, green and blue.
        exponent: the linear value is the pixel's, in [0, 1], raised to it; 0 means sRGB's curve.
    """

    primaries: Primaries = SRGB
    exponent: float = 0

    @property
    def is_srgb(self) -> bool:
        """Whether the values mean what sRGB's do, as far as 8 bits tell."""
        distance = max(abs(a - b) for a, b in zip(self.primaries, SRGB, strict=True))
        return distance < _NEAR_CHROMATICITY and self.exponent == 0


def of_code_points(primaries: int, transfer: int) -> Encoding:
    """The encoding that H.273 gives these numbers.

    Raises:
        UnknownColours: for high dynamic range, and for numbers that are in no common use.
    """
    if transfer in _HDR:
        raise UnknownColours(
            f"high dynamic range ({_HDR[transfer]}); save it as a standard picture (sRGB)"
        )
    if primaries not in _PRIMARIES or transfer not in _EXPONENTS:
        raise UnknownColours(
            f"colours of an unusual kind (H.273 primaries {primaries}, transfer {transfer}); "
            "save it as sRGB"
        )
    return Encoding(_PRIMARIES[primaries], _EXPONENTS[transfer])


def of_gamma(gamma: float | None, primaries: Primaries | None) -> Encoding:
    """The encoding of PNG's gAMA (the exponent of the encoder, such as 1 / 2.2) and cHRM.

    A gamma of 0 has no meaning and says nothing.

    Raises:
        UnknownColours: for numbers that are no colours.
    """
    exponent = 0.0
    if gamma:
        if not 0.05 <= gamma <= 5:
            raise UnknownColours(f"a gamma of {gamma:g}; save it as sRGB")
        exponent = 0 if abs(1 / gamma - 2.2) < _NEAR_EXPONENT else 1 / gamma
    encoding = Encoding(primaries or SRGB, exponent)
    try:
        usable = bool(np.isfinite(_matrix(encoding.primaries)).all())
    except (np.linalg.LinAlgError, ZeroDivisionError):
        usable = False
    if not usable:
        raise UnknownColours("primaries that are no colours; save it as sRGB")
    return encoding


def notes_of_numbers(chromaticities: Sequence[float], exponents: Sequence[float] = ()) -> list[str]:
    """A note where numbers that viewers pass over, in TIFF and BMP, are not sRGB's.

    Args:
        chromaticities: x, y of white, red, green and blue; of another count they say nothing.
        exponents: of the linear value, near 2.2 for sRGB.
    """
    if len(chromaticities) != len(SRGB) or min(chromaticities) <= 0:
        return []
    distance = max(abs(a - b) for a, b in zip(chromaticities, SRGB, strict=True))
    off = max((abs(exponent - 2.2) for exponent in exponents), default=0)
    if distance < _NEAR_CHROMATICITY and off < 2 * _NEAR_EXPONENT:
        return []
    return ["its white point, primaries or gamma are left out: its colours are taken for sRGB's"]


def to_srgb(pixels: Array, encoding: Encoding) -> None:
    """Turn (H, W, 1 or 3) uint8 or uint16 to sRGB, in place; what sRGB cannot show is clipped."""
    full = int(np.iinfo(pixels.dtype).max)
    values: NDArray[np.float32] = np.linspace(0, 1, full + 1, dtype=np.float32)
    exponent = encoding.exponent
    linear = np.power(values, np.float32(exponent)) if exponent else _srgb_to_linear(values)
    if pixels.shape[2] == 1:
        table = np.rint(_linear_to_srgb(linear) * full).astype(pixels.dtype)
        pixels[...] = table[pixels]
        return
    matrix = (np.linalg.inv(_matrix(SRGB)) @ _matrix(encoding.primaries)).astype(np.float32)
    for top in range(0, pixels.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        colours = np.clip(linear[pixels[rows]] @ matrix.T, 0, 1)
        pixels[rows] = np.rint(_linear_to_srgb(colours) * full).astype(pixels.dtype)


def _matrix(primaries: Primaries) -> NDArray[np.float64]:
    """Linear RGB to XYZ under D65 (3, 3)."""
    white, *colours = ((x / y, 1.0, (1 - x - y) / y) for x, y in _pairs(primaries))
    columns = np.array(colours).T
    matrix = columns * np.linalg.solve(columns, np.array(white))
    x, y = _D65
    there, here = _CONES @ np.array(white), _CONES @ np.array((x / y, 1.0, (1 - x - y) / y))
    adapted: NDArray[np.float64] = np.linalg.inv(_CONES) @ np.diag(here / there) @ _CONES @ matrix
    return adapted


def _pairs(primaries: Primaries) -> list[tuple[float, float]]:
    return list(zip(primaries[::2], primaries[1::2], strict=True))


def _srgb_to_linear(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """IEC 61966-2-1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _linear_to_srgb(values: NDArray[np.float32]) -> NDArray[np.float32]:
    curve = 1.055 * np.maximum(values, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(values <= 0.0031308, values * 12.92, curve)
