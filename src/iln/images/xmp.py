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
        text = _with_value(text, _prefixes(text, namespace), name, str(value))
    for namespace, name in (
        (_BASIC, "Thumbnails"),
        (_CONTAINER, "Directory"),
        (_GAIN_MAP, r"\w+"),
        (_CAMERA, r"(?:MotionPhoto|MicroVideo)\w*"),
        (_NOTE, "HasExtendedXMP"),
    ):
        text = _without(text, _prefixes(text, namespace), name)
    # By its mere name programs recognise such a picture.
    return re.sub(rf"\s{_declared(_GAIN_MAP)}", "", text).encode("utf-8")


def _decoded(packet: bytes) -> str:
    encoding = "utf-8"
    for wide in _ENCODINGS:
        if packet.startswith(("<".encode(wide), "\ufeff".encode(wide))):
            encoding = wide
            break
    text = packet.decode(encoding).removeprefix("\ufeff")
    return re.sub(r"""\A(\s*<\?xml[^<>]*?)\sencoding\s*=\s*["'][^"'<>]*["']""", r"\1", text)


def _declared(namespace: str) -> str:
    """Where a prefix is declared for it, as a regular expression."""
    return rf"""xmlns:([\w.-]+)\s*=\s*["']{re.escape(namespace)}["']"""


def _prefixes(text: str, namespace: str) -> set[str]:
    return set(re.findall(_declared(namespace), text))


# In what follows any prefix is looked for, and looked up then: a packet that is made to be slow
# declares many.


def _with_value(text: str, prefixes: set[str], name: str, value: str) -> str:
    def corrected(found: re.Match[str]) -> str:
        return found[1] + value if found[2] in prefixes else found[0]

    text = re.sub(rf"""(\s([\w.-]+):{name}\s*=\s*["'])[^"']*""", corrected, text)
    element = rf"(<([\w.-]+):{name}(?:\s[^<>]*)?>)[^<]*(?=</\2:{name}\s*>)"
    return re.sub(element, corrected, text)


def _without(text: str, prefixes: set[str], name: str) -> str:
    """name: a regular expression."""

    def dropped(found: re.Match[str]) -> str:
        return "" if found[1] in prefixes else found[0]

    if not prefixes:
        return text
    name = rf"([\w.-]+):{name}"
    text = re.sub(rf"""\s{name}\s*=\s*(?:"[^"]*"|'[^']*')""", dropped, text)
    text = re.sub(rf"<{name}(?:\s[^<>]*)?/>", dropped, text)
    opening = re.compile(rf"<({name})(?:\s[^<>]*)?>")
    # All looked for at once, for the same reason.
    closing = defaultdict[str, list[tuple[int, int]]](list)
    for end in re.finditer(rf"</({name})\s*>", text):
        if end[2] in prefixes:
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
