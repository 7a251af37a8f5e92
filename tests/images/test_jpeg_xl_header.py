"""What the header of a JPEG XL file says, written here bit by bit (ISO/IEC 18181-1)."""

from __future__ import annotations

import numpy as np
import pytest
from samples import photo

from iln.errors import InputError
from iln.images import colour, jxl, read

Bits = list[tuple[int, int]]
"""Numbers, and how many bits each has."""
USUAL = [(1, 1)]
SIZES: dict[str, Bits] = {
    "small and square": [(1, 1), (4, 5), (1, 3)],
    "small": [(1, 1), (4, 5), (0, 3), (6, 5)],
    "large": [(0, 1), (2, 2), (70_000, 18), (0, 3), (1, 2), (900, 13)],
}
DEPTHS: dict[str, Bits] = {
    "8 bits": [(0, 1), (0, 2)],
    "9 bits": [(0, 1), (3, 2), (8, 6)],
    "floats": [(1, 1), (0, 2), (7, 4)],
}
SRGB_COLOURS: Bits = [(1, 1)]


def enum(value: int) -> Bits:
    if value < 2:
        return [(value, 2)]
    return [(2, 2), (value - 2, 4)] if value < 18 else [(3, 2), (value - 18, 6)]


def xy(x: int, y: int) -> Bits:
    """In millionths, from 0 to 524,287."""
    split = (divmod(2 * v, 1 << 19) for v in (x, y))
    parts = [((choice, 2), (rest, 19)) for choice, rest in split]
    return [number for part in parts for number in part]


def colours(*rest: Bits, space: int = 0, profile: int = 0) -> Bits:
    return [(0, 1), (profile, 1), *enum(space), *(part for bits in rest for part in bits)]


def file(
    encoding: Bits,
    *,
    size: str = "small",
    depth: str = "8 bits",
    before: Bits | None = None,
    channels: Bits | None = None,
    xyb: bool = True,
) -> bytes:
    numbers: Bits = [(0x0AFF, 16), *SIZES[size], (0, 1), *(before or [(0, 1)]), *DEPTHS[depth]]
    numbers += [(1, 1), *(channels or [(0, 2)])]
    return packed([*numbers, (int(xyb), 1), *encoding, (0, 2), (1, 1)])


def packed(numbers: Bits) -> bytes:
    value = at = 0
    for number, bits in numbers:
        assert 0 <= number < 1 << bits
        value |= number << at
        at += bits
    return value.to_bytes((at + 7) // 8, "little")


D65, RGB_PRIMARIES = enum(1), enum(1)


def by_curve(number: int) -> Bits:
    return colours(D65, RGB_PRIMARIES, [(0, 1)], enum(number), enum(1))  # and an intent


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_colours_are_found_behind_any_size_and_depth(size: str, depth: str) -> None:
    linear = jxl.look(file(by_curve(8), size=size, depth=depth))
    assert linear == jxl.JxlHeader(colour.Encoding(exponent=1))
    assert jxl.look(file(SRGB_COLOURS, size=size, depth=depth)).encoding == colour.Encoding()


@pytest.mark.parametrize(("number", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused_by_name(number: int, name: str) -> None:
    with pytest.raises(colour.UnknownColours, match=name):
        jxl.look(file(by_curve(number)))


def test_primaries_and_gamma() -> None:
    wide = jxl.look(file(colours(D65, enum(11), [(0, 1)], enum(13)))).encoding
    assert wide is not None and wide.exponent == 0
    assert wide.primaries == pytest.approx((0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06))
    points = [xy(500_000, 330_000), xy(210_000, 520_000), xy(150_000, 60_000)]
    own = colours(enum(2), xy(345_700, 358_500), enum(2), *points, [(1, 1), (5_555_556, 24)])
    found = jxl.look(file(own)).encoding
    assert found is not None
    assert found.primaries == pytest.approx((0.3457, 0.3585, 0.5, 0.33, 0.21, 0.52, 0.15, 0.06))
    assert found.exponent == pytest.approx(1.8, abs=1e-3)


def test_gray_has_no_primaries_and_a_profile_says_all() -> None:
    gray = colours(D65, [(0, 1)], enum(8), space=1)
    assert jxl.look(file(gray)).encoding == colour.Encoding(exponent=1)
    assert jxl.look(file(colours(profile=1))).encoding is None


@pytest.mark.parametrize("associated", [0, 1])
def test_premultiplied_alpha(associated: int) -> None:
    name: Bits = [(1, 2), (3, 4), *((ord(c), 8) for c in "abc")]
    alpha: Bits = [(0, 1), *enum(0), *DEPTHS["8 bits"], (0, 2), *name, (associated, 1)]
    depth: Bits = [(0, 1), *enum(1), *DEPTHS["floats"], (0, 2), (0, 2)]
    two: Bits = [(2, 2), (0, 4), *depth, *alpha]
    found = jxl.look(file(by_curve(8), channels=two))
    assert found.premultiplied == bool(associated) and found.encoding == colour.Encoding(exponent=1)
    assert not jxl.look(file(by_curve(8), channels=[(1, 2), *USUAL])).premultiplied


def test_what_stands_before_and_a_container() -> None:
    before: Bits = [(1, 1), (5, 3), (1, 1), *SIZES["large"], (1, 1), (1, 1), (2, 2), (3, 5), (1, 3)]
    data = file(by_curve(8), before=[*before, (0, 1)])
    assert jxl.look(data).encoding == colour.Encoding(exponent=1)
    boxes = b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
    size = (len(data) + 12).to_bytes(4)
    assert jxl.look(boxes + size + b"jxlp\0\0\0\0" + data) == jxl.look(data)


def test_a_cut_off_header_says_nothing() -> None:
    data = file(by_curve(8))
    assert all(
        jxl.look(data[:end]) in (jxl.JxlHeader(), jxl.look(data)) for end in range(len(data))
    )


def test_colours_by_numbers_become_srgb() -> None:
    """A file of the package, whose header is exchanged."""
    pylibjxl = pytest.importorskip("pylibjxl", reason="pylibjxl is not installed")
    array = photo()
    data = pylibjxl.encode(array, lossless=True)
    header = file(SRGB_COLOURS, xyb=False)
    assert data.startswith(header)
    frame = data[len(header) :]
    assert read(data).notes == () and np.array_equal(read(data).pixels, array)
    found = read(file(by_curve(8), xyb=False) + frame)
    assert found.notes == ("its colours are turned to sRGB",)
    linear = array / 255
    expected = np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(found.pixels - 255 * expected).max() <= 0.51
    with pytest.raises(InputError, match="high dynamic range"):
        read(file(by_curve(16), xyb=False) + frame)
