"""Bytes as storage and transfer damage them."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes after one to four accidents: flips, numbers overwritten, cuts, insertions."""
    damaged = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(damaged) - 1)))
        kind = draw(st.sampled_from(("flip", "flip", "number", "insert", "remove", "cut")))
        if kind == "flip":
            damaged[at : at + 1] = bytes(
                b ^ draw(st.integers(1, 255)) for b in damaged[at : at + 1]
            )
        elif kind == "number":
            # Sizes and offsets are what these bytes hold where damage does most.
            number = draw(st.sampled_from((0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**24, 2**31 - 1)))
            width = draw(st.sampled_from((2, 4)))
            order = draw(st.sampled_from(("little", "big")))
            damaged[at : at + width] = (number % 256**width).to_bytes(width, order)
        elif kind == "insert":
            damaged[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "remove":
            del damaged[at : at + draw(st.integers(1, 8))]
        else:
            del damaged[at:]
    return bytes(damaged)
