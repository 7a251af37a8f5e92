"""Put an EXIF block, byte for byte, into an encoded WebP or AVIF picture."""

import struct

# What stands in for the block while libvips lays out an AVIF file.
_FILLER = b"\xa5 iln exif \xa5"


def into_webp(data: bytes, block: bytes, *, alpha: bool) -> list[bytes]:
    """The WebP file with the block inside, as parts to write one after the other.

    WebP container specification: an extended header announces the chunk at the end.

    Raises:
        ValueError: if the picture is not laid out as expected.
    """
    flags = 0x08 | (0x10 if alpha else 0)
    if data[12:16] == b"VP8X":
        flags |= data[20]
        size, rest = data[24:30], data[30:]
    else:
        size, rest = _webp_canvas(data), data[12:]
    header = b"VP8X" + struct.pack("<II", 10, flags) + size
    chunk = b"EXIF" + struct.pack("<I", len(block)) + block + bytes(len(block) % 2)
    length = 4 + len(header) + len(rest) + len(chunk)
    return [b"RIFF" + struct.pack("<I", length) + b"WEBP", header, rest, chunk]


def _webp_canvas(data: bytes) -> bytes:
    """Width and height, less one, in 24 bits each, from the frame header of a plain file."""
    if data[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = bits & 0x3FFF, bits >> 14 & 0x3FFF
    elif data[12:16] == b"VP8 ":
        width, height = (side % 0x4000 - 1 for side in struct.unpack_from("<HH", data, 26))
    else:
        raise ValueError("unexpected WebP layout")
    canvas: bytes = width.to_bytes(3, "little") + height.to_bytes(3, "little")
    return canvas


def avif_placeholder(block: bytes) -> bytes:
    """An EXIF block for libvips to embed, with room for `block`: a field of filler bytes.

    The boxes of an AVIF file point to one another, so it is easier to have the encoder make
    room and then to fill it (`fill_avif`) than to make room afterwards.
    """
    filler = _FILLER * (len(block) // len(_FILLER) + 1)
    # One undefined-type field, MakerNote, in an Exif directory.
    main = struct.pack("<HHHIIIHHHIII", 1, 0x8769, 4, 1, 26, 0, 1, 0x927C, 7, len(filler), 44, 0)
    return b"II*\0\x08\0\0\0" + main + filler


def fill_avif(data: bytes, block: bytes) -> list[bytes]:
    """The AVIF file made with `avif_placeholder`, with the block in its place."""
    filler = _FILLER * (len(block) // len(_FILLER) + 1)
    found = data.find(filler)
    start = max(data.rfind(b"II*\0", 0, found), data.rfind(b"MM\0*", 0, found))
    end = found + len(filler)
    if found < 0 or start < 0:
        raise ValueError("unexpected AVIF layout")
    # Zeros after the block are outside every directory, so readers do not see them.
    return [data[:start], block.ljust(end - start, b"\0"), data[end:]]
