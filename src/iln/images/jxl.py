"""JPEG XL files: what their header says of colours and transparency (ISO/IEC 18181-1).

The decoder gives the pixels and a profile if one is embedded, but not what the file says of its
colours by numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from iln.images import colour

_CODESTREAM = b"\xff\x0a"
_PRIMARIES = {1: 1, 9: 9, 11: 12}
"""Enumerated primaries as code points of H.273; white is told apart, DCI's by another number."""
_RGB, _GRAY, _XYB = 0, 1, 2
_CUSTOM = 2
_DCI = 17
_WHITES = {1: (0.3127, 0.3290), 10: (1 / 3, 1 / 3), 11: (0.314, 0.351)}
_ALPHA, _SPOT, _CFA = 0, 2, 5
_GAMMA_UNIT = 1e-7


@dataclass(frozen=True)
class JxlHeader:
    """What a JPEG XL file says.

    Attributes:
        encoding: what the values mean; None where a profile says it, or nothing is known.
        premultiplied: whether colours are stored multiplied with their alpha.
    """

    encoding: colour.Encoding | None = None
    premultiplied: bool = False


def look(data: bytes) -> JxlHeader:
    """Read the header of the codestream, bare or in a container; of a damaged one nothing.

    Raises:
        UnknownColours: if the colours cannot be turned to sRGB.
    """
    try:
        return _header(_Bits(_codestream(data)))
    except IndexError:  # cut off, for the decoder to refuse
        return JxlHeader()


def _codestream(data: bytes) -> bytes:
    """The beginning of the codestream: of a container its first part."""
    at = 0
    while not data.startswith(_CODESTREAM) and at + 8 <= len(data):
        size, kind, head = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16]), 16
        if kind in (b"jxlc", b"jxlp"):
            return data[at + head + (4 if kind == b"jxlp" else 0) :]
        if size < head:
            break
        at += size
    return data


class _Bits:
    """Numbers of few bits, the lowest ones first."""

    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data[:4096], "little"), 8 * min(4096, len(data))

    def u(self, count: int) -> int:
        """An unsigned number of so many bits. Raises IndexError at the end."""
        self.left -= count
        if self.left < 0:
            raise IndexError
        found = self.value & ((1 << count) - 1)
        self.value >>= count
        return found

    def u32(self, *choices: tuple[int, int]) -> int:
        """One of four (offset, bits), by two bits before it."""
        offset, bits = choices[self.u(2)]
        return offset + self.u(bits)

    def enum(self) -> int:
        return self.u32((0, 0), (1, 0), (2, 4), (18, 6))

    def xy(self) -> tuple[float, float]:
        """A chromaticity in millionths, signed by its lowest bit."""
        choices = (0, 19), (524288, 19), (1048576, 20), (2097152, 21)
        x, y = (self.u32(*choices) for _ in range(2))
        return tuple(((v >> 1) ^ -(v & 1)) / 1e6 for v in (x, y))  # type: ignore[return-value]


def _header(bits: _Bits) -> JxlHeader:
    bits.u(16)  # the signature
    _size(bits)
    premultiplied = False
    if bits.u(1):  # all as usual: 8 bits, sRGB
        return JxlHeader(colour.Encoding())
    if bits.u(1):
        bits.u(3)  # orientation, which the decoder applies
        if bits.u(1):
            _size(bits)
        if bits.u(1):
            _preview(bits)
        if bits.u(1):  # an animation, which is refused
            return JxlHeader()
    _depth(bits)
    bits.u(1)
    for _ in range(bits.u32((0, 0), (1, 0), (2, 4), (1, 12))):
        premultiplied |= _extra_channel(bits)
    bits.u(1)  # whether it is encoded as XYB; the decoder gives what is told here
    return JxlHeader(_colours(bits), premultiplied)


def _size(bits: _Bits) -> None:
    small = bits.u(1)

    def side() -> None:
        bits.u(5) if small else bits.u32((0, 9), (0, 13), (0, 18), (0, 30))

    side()
    if bits.u(3) == 0:
        side()


def _preview(bits: _Bits) -> None:
    eighths = bits.u(1)

    def side() -> None:
        if eighths:
            bits.u32((16, 0), (32, 0), (1, 5), (33, 9))
        else:
            bits.u32((1, 6), (65, 8), (321, 10), (1345, 12))

    side()
    if bits.u(3) == 0:
        side()


def _depth(bits: _Bits) -> None:
    if bits.u(1):
        bits.u32((32, 0), (16, 0), (24, 0), (1, 6))
        bits.u(4)
    else:
        bits.u32((8, 0), (10, 0), (12, 0), (1, 6))


def _extra_channel(bits: _Bits) -> bool:
    """Whether it is an alpha that colours are multiplied with."""
    if bits.u(1):  # a usual alpha
        return False
    kind = bits.enum()
    _depth(bits)
    bits.u32((0, 0), (3, 0), (4, 0), (1, 3))
    for _ in range(bits.u32((0, 0), (0, 4), (16, 5), (48, 10))):
        bits.u(8)
    if kind == _ALPHA:
        return bool(bits.u(1))
    if kind == _SPOT:
        bits.u(64)
    elif kind == _CFA:
        bits.u32((1, 0), (0, 2), (3, 4), (19, 8))
    return False


def _colours(bits: _Bits) -> colour.Encoding | None:
    if bits.u(1):  # sRGB
        return colour.Encoding()
    by_profile, space = bits.u(1), bits.enum()
    if by_profile or space not in (_RGB, _GRAY):
        return None
    kind = bits.enum()
    white = bits.xy() if kind == _CUSTOM else _WHITES.get(kind)
    primaries = colour.SRGB
    if space == _RGB:
        kind = bits.enum()
        if kind == _CUSTOM:
            colours = [value for _ in range(3) for value in bits.xy()]
        else:
            colours = list(colour.of_code_points(_PRIMARIES.get(kind, 2), 13).primaries[2:])
        if white is None:
            raise colour.UnknownColours("colours of an unusual kind; save it as sRGB")
        primaries = (*white, *colours)  # type: ignore[assignment]
    if bits.u(1):
        return colour.of_gamma(bits.u(24) * _GAMMA_UNIT, primaries)
    transfer = bits.enum()
    exponent = 2.6 if transfer == _DCI else colour.of_code_points(1, transfer).exponent
    return colour.Encoding(primaries, exponent)
