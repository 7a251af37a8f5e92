"""XMP: the few edits that a packet needs when its picture has been restored.

A packet is a text in XML (ISO 16684-1). Namespaces have prefixes of the writer's choice, and a
simple property is an attribute or an element. What is not named here stays as it is.
"""

import re
from bisect import bisect_left
from collections import defaultdict

_TIFF = "http://ns.adobe.com/tiff/1.0/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_BASIC = "http://ns.adobe.com/xap/1.0/"
_GAIN_MAP = "http://ns.adobe.com/hdr-gain-map/1.0/"
_CONTAINER = "http://ns.google.com/photos/1.0/container/"
_CAMERA = "http://ns.google.com/photos/1.0/camera/"
_NOTE = "http://ns.adobe.com/xmp/note/"
_ENCODINGS = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")


def upright(packet: bytes, width: int, height: int) -> bytes | None:
    """The packet of a picture that stands upright and is width x height pixels.

    Orientation becomes 1, sizes are corrected, thumbnails taken out, and so is what announces more
    in the file (the gain map of a picture for HDR screens, a video, further XMP). It becomes UTF-8.
    None if it is no text.
    """
    try:
        text = _decoded(packet)
    except UnicodeDecodeError:
        return None
    for namespace, name, value in (
        (_TIFF, "Orientation", 1),
        (_TIFF, "ImageWidth", width),
        (_TIFF, "ImageLength", height),
        (_EXIF, "PixelXDimension", width),
        (_EXIF, "PixelYDimension", height),
    ):
        for prefix in _prefixes(text, namespace):
            text = _with_value(text, f"{prefix}:{name}", str(value))
    for namespace, names in (
        (_BASIC, ["Thumbnails"]),
        (_CONTAINER, ["Directory"]),
        (_GAIN_MAP, [r"\w+"]),
        (_CAMERA, [r"(?:MotionPhoto|MicroVideo)\w*"]),
        (_NOTE, ["HasExtendedXMP"]),
    ):
        for prefix in _prefixes(text, namespace):
            for name in names:
                text = _without(text, f"{prefix}:{name}")
            if namespace == _GAIN_MAP:  # by its mere name programs recognise such a picture
                text = _without(text, f"xmlns:{prefix}")
    return text.encode("utf-8")


def _decoded(packet: bytes) -> str:
    encoding = "utf-8"
    for wide in _ENCODINGS:
        if packet.startswith(("<".encode(wide), "\ufeff".encode(wide))):
            encoding = wide
            break
    text = packet.decode(encoding).removeprefix("\ufeff")
    return re.sub(r"""\A(\s*<\?xml[^<>]*?)\sencoding\s*=\s*["'][^"'<>]*["']""", r"\1", text)


def _prefixes(text: str, namespace: str) -> set[str]:
    return set(re.findall(rf"""xmlns:([\w.-]+)\s*=\s*["']{re.escape(namespace)}["']""", text))


def _with_value(text: str, name: str, value: str) -> str:
    name = re.escape(name)
    text = re.sub(rf"""(\s{name}\s*=\s*["'])[^"']*""", rf"\g<1>{value}", text)
    return re.sub(rf"(<{name}(?:\s[^<>]*)?>)[^<]*(?=</{name}\s*>)", rf"\g<1>{value}", text)


def _without(text: str, name: str) -> str:
    """name: a regular expression."""
    text = re.sub(rf"""\s{name}\s*=\s*(?:"[^"]*"|'[^']*')""", "", text)
    text = re.sub(rf"<({name})(?:\s[^<>]*)?/>", "", text)
    opening = re.compile(rf"<({name})(?:\s[^<>]*)?>")
    # All looked for at once: a packet may be made to be slow.
    closing = defaultdict[str, list[tuple[int, int]]](list)
    for end in re.finditer(rf"</({name})\s*>", text):
        closing[end[1]].append(end.span())
    kept, at = list[str](), 0
    while (start := opening.search(text, at)) is not None:
        ends = closing[start[1]]
        place = bisect_left(ends, (start.end(), 0))
        if place < len(ends):
            kept.append(text[at : start.start()])
            at = ends[place][1]
        else:  # it is not closed
            kept.append(text[at : start.end()])
            at = start.end()
    return "".join([*kept, text[at:]])
