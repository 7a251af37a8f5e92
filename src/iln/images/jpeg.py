"""JPEG files: what their segments say beside the pixels, and how to add some (ITU-T T.81)."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

# A segment holds 65,535 bytes, two of which are its length.
_LIMIT = 65535 - 2
EXIF = b"Exif\0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
"""These stand before what a segment holds."""
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_IPTC_RESOURCE = 0x0404
# Photoshop's own, and those of other Adobe programs.
_RESOURCES = (b"8BIM", b"PHUT", b"AgHg", b"DCSR", b"MeSa")
_COMPRESSIONS = {
    0xC3: "lossless JPEG",
    0xC9: "JPEG with arithmetic coding",
    0xCA: "JPEG with arithmetic coding",
    0xF7: "JPEG-LS",
}
_START_OF_SCAN, _END = 0xDA, 0xD9
# But those without data after them: 0x00 makes 0xFF itself data, the others are fillers.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
GAIN_MAPS = (
    b"http://ns.adobe.com/hdr-gain-map/",
    b"urn:iso:std:iso:ts:21496:-1",
    b"urn:com:apple:photo:2020:aux:hdrgainmap",
)
"""What Google's and Adobe's, ISO's and Apple's files with a gain map for HDR screens hold."""
# What Google's and others' XMP says where a video stands behind the picture.
_VIDEOS = (b"Camera:MotionPhoto", b"Camera:MicroVideo")
# Bytes at the end of a scan that are exchanged to see whether the decoder needs them.
_PROBE = 12
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")


@dataclass
class JpegSegments:
    """What a JPEG file says before its pixels.

    Attributes:
        variant: a kind of JPEG that libvips does not read, in words.
        dpi: pixels per inch, across and down, of the JFIF header.
        comments: texts.
        iptc: IPTC records.
        extended_xmp: whether a part of the XMP has segments of its own.
        video: whether a video follows.
        more_pictures: whether others follow the first one (MPF).
        gain_map: whether one of them says how bright an HDR screen may show the first.
        baseline_scan: where the data of the only scan begin; None if there are several scans.
        padding: where bytes that belong to no segment begin and end.
    """

    variant: str | None = None
    dpi: tuple[float, float] | None = None
    comments: list[str] = field(default_factory=list)
    iptc: bytes | None = None
    extended_xmp: bool = False
    video: bool = False
    more_pictures: bool = False
    gain_map: bool = False
    baseline_scan: int | None = None
    padding: list[tuple[int, int]] = field(default_factory=list)


def look(data: bytes) -> JpegSegments:
    """Go over the segments up to the first scan; damaged ones are passed over."""
    found = JpegSegments(gain_map=any(mark in data for mark in GAIN_MAPS))
    baseline, resources = False, list[bytes]()
    components, last = 0, 2
    for marker, at, end in _segments(data):
        body = data[at:end]
        # Any number of bytes 0xFF may stand before a marker.
        if data[last : at - 4].strip(b"\xff"):
            found.padding.append((last, at - 4))
        last = end
        if marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 12:
            unit, x, y = struct.unpack_from(">BHH", body, 7)
            if unit in (1, 2) and x and y:
                per_inch = 1.0 if unit == 1 else 2.54
                found.dpi = round(x * per_inch, 2), round(y * per_inch, 2)
        elif marker == 0xE1 and body.startswith(XMP):
            found.video = any(mark in body for mark in _VIDEOS)
        elif marker == 0xE1 and body.startswith(_EXTENDED_XMP):
            found.extended_xmp = True
        elif marker == 0xED and body.startswith(_PHOTOSHOP):
            resources.append(body.removeprefix(_PHOTOSHOP))  # long ones go on in the next segment
        elif marker == 0xE2 and body.startswith(b"MPF\0"):
            found.more_pictures = True
        elif marker == 0xFE:
            found.comments += filter(None, [words(body)])
        elif marker in _COMPRESSIONS:
            found.variant = _COMPRESSIONS[marker]
        elif marker in (0xC0, 0xC1, 0xC2) and len(body) >= 6:
            if body[0] != 8:
                found.variant = f"JPEG of {body[0]} bits"
            baseline, components = marker != 0xC2, body[5]
        elif marker == _START_OF_SCAN:
            if baseline and body[:1] == bytes([components]):
                found.baseline_scan = end
            break
    found.iptc = iptc_of(b"".join(resources))
    return found


def words(comment: bytes) -> str:
    """No encoding is laid down for comments: UTF-8, or else Latin-1, which takes any byte."""
    try:
        text = comment.decode("utf-8")
    except UnicodeDecodeError:
        text = comment.decode("latin-1")
    return text.strip("\0").replace("\0", " ")


def _segments(data: bytes, start: int = 2) -> Iterator[tuple[int, int, int]]:
    """Marker, and where its data begin and end, of each; what lies between them is passed over."""
    at = start
    while (found := _MARKER.search(data, at)) is not None and found.end() <= len(data) - 2:
        at, marker = found.start(), data[found.end() - 1]
        if marker == _END:
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        yield marker, at + 4, min(end, len(data))
        at = end


def mended(data: bytes) -> bytes:
    """A file that is cut off between two scans, ended after the last whole one: libjpeg refuses
    it otherwise. Any other file as it is."""
    scan = next((end for marker, _, end in _segments(data) if marker == _START_OF_SCAN), None)
    while scan is not None:
        end = last = _end_of_scan(data, scan)
        scan = None
        for marker, _, last in _segments(data, end):
            if marker == _START_OF_SCAN and last < len(data):
                scan = last
                break
        if scan is None and data[last : last + 2] != bytes([0xFF, _END]):
            return data[:end] + bytes([0xFF, _END])
    return data


def _end_of_scan(data: bytes, start: int) -> int:
    """Where the marker after a scan stands, or the end of the data."""
    end = start
    while 0 <= (end := data.find(b"\xff", end)) < len(data) - 1:
        if data[end + 1] != 0 and not 0xD0 <= data[end + 1] <= 0xD7:
            return end
        end += 2
    return len(data)


def without(data: bytes, spans: list[tuple[int, int]]) -> bytes:
    """The file without these bytes, each from where to where."""
    edges = [0, *(edge for span in spans for edge in span), len(data)]
    return b"".join(data[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True))


def is_harmless(complaint: str, data: bytes) -> bool:
    """Whether a decoder's complaint of a file is about padding, and not about lost data.

    Cameras pad after a scan with bytes that are all 0x00 or 0xFF. Others are its data, which the
    decoder has not needed: it has lost step. Before markers to start again (RST) is no padding.
    """
    found = _EXTRANEOUS.search(complaint)
    if found is None:
        return False
    count, marker = int(found[1]), int(found[2], 16)
    if 0xD0 <= marker <= 0xD7:
        return False
    pads = (bytes([pad]) * count + bytes([0xFF, marker]) for pad in (0x00, 0xFF))
    return any(pad in data for pad in pads)


def probes(data: bytes, scan: int) -> list[bytes]:
    """Files that differ from this one in the last bytes of its only scan.

    A decoder that makes the same picture of them never came to these bytes: the code words before
    them lost step, so the picture is damaged although every word was a valid one. No file is
    returned where the scan ends in padding, as some cameras write it, or is too short.
    """
    end = _end_of_scan(data, scan)
    if end == len(data):
        return []
    start = end - _PROBE
    while start > scan and data[start - 1] == 0xFF:
        start -= 1
    tail = data[start:end]
    if start <= scan or len(set(tail)) == 1 or b"\xff" in tail[:-1].replace(b"\xff\0", b""):
        return []
    others = (b"\x5a\xa5\x3c\xc3\x69\x96", b"\x13\x57\x9b\xdf\x24\x68")
    return [data[:start] + (pattern * _PROBE)[: end - start] + data[end:] for pattern in others]


def insert(
    data: bytes,
    *,
    exif: bytes | None,
    xmp: bytes | None,
    iptc: bytes | None,
    dpi: tuple[float, float] | None,
    comments: list[bytes],
) -> list[bytes]:
    """An encoded picture with these segments and this density, as parts.

    Raises:
        ValueError: if the picture is not laid out as libvips does it.
    """
    if data[:2] != b"\xff\xd8":
        raise ValueError("unexpected JPEG layout")
    end = 2
    if data[2:4] == b"\xff\xe0":  # a JFIF header without the density
        end += 2 + int.from_bytes(data[4:6])
    x, y = (1, 1) if dpi is None else (min(65535, max(1, round(value))) for value in dpi)
    unit = 0 if dpi is None else 1
    parts = [data[:2], struct.pack(">HH5sHBHHH", 0xFFE0, 16, b"JFIF\0", 0x0101, unit, x, y, 0)]
    bodies = [(0xE1, EXIF + exif)] if exif is not None else []
    if xmp is not None:
        bodies.append((0xE1, XMP + xmp))
    if iptc is not None:
        bodies.append((0xED, _photoshop(iptc)))
    for marker, body in bodies + [(0xFE, comment) for comment in comments]:
        parts += [struct.pack(">BBH", 0xFF, marker, len(body) + 2), body]
    return [*parts, data[end:]]


def fits(kind: str, block: bytes) -> bool:
    """Whether "EXIF", "XMP", "IPTC" or a "comment" is short enough for a segment."""
    around = {"EXIF": len(EXIF), "XMP": len(XMP), "comment": 0}
    size = len(_photoshop(block)) if kind == "IPTC" else len(block) + around[kind]
    return size <= _LIMIT


def _photoshop(iptc: bytes) -> bytes:
    """IPTC as Photoshop's image resource, which a JPEG file holds it in."""
    resource = struct.pack(">4sHHI", b"8BIM", _IPTC_RESOURCE, 0, len(iptc))
    return _PHOTOSHOP + resource + iptc + bytes(len(iptc) % 2)


def iptc_of(resources: bytes) -> bytes | None:
    """The IPTC records in Photoshop's image resources, or bare; None if there are none."""
    if resources.startswith(b"\x1c"):
        return resources
    at = 0
    while resources[at : at + 4] in _RESOURCES and at + 12 <= len(resources):
        (number,) = struct.unpack_from(">H", resources, at + 4)
        name = 1 + resources[at + 6]
        size_at = at + 6 + name + name % 2
        size = int.from_bytes(resources[size_at : size_at + 4])
        start = size_at + 4
        if number == _IPTC_RESOURCE:
            return resources[start : start + size] or None
        at = start + size + size % 2
    return None
