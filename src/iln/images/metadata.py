"""What stands in a file beside its pixels."""

from dataclasses import dataclass, field

from iln.images import colour


@dataclass
class Found:
    """What a file says beside its pixels, as it stands there.

    Attributes:
        exif: an EXIF block, with or without "Exif" before it.
        xmp: a packet of XMP.
        iptc: IPTC records (IIM), without Photoshop's resource around them.
        icc: an ICC profile.
        icc_counts: nothing that the file says counts more than its profile.
        text: keywords and texts.
        dpi: pixels per inch, across and down, as stored.
        cleaned: the file without what the decoder would stumble over.
        premultiplied: colours are stored multiplied with their alpha.
        box: left, top, right and bottom of the pixels that are stored, where it is not all of the
            picture; there is nothing around them.
        encoding: what the pixels mean, where no profile says it; None is sRGB.
        notes: what a reader leaves out, a sentence each.
        notes_without_icc: the same, where there is no profile that counts.
    """

    exif: bytes | None = field(default=None, repr=False)
    xmp: bytes | None = field(default=None, repr=False)
    iptc: bytes | None = field(default=None, repr=False)
    icc: bytes | None = field(default=None, repr=False)
    icc_counts: bool = True
    text: list[tuple[str, str]] = field(default_factory=list)
    dpi: tuple[float, float] | None = None
    cleaned: bytes | None = field(default=None, repr=False)
    premultiplied: bool = False
    box: tuple[int, int, int, int] | None = None
    encoding: colour.Encoding | None = None
    notes: list[str] = field(default_factory=list)
    notes_without_icc: list[str] = field(default_factory=list)
