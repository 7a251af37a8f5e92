"""Models one after the other under one name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chain:
    """What a name stands for.

    Attributes:
        models: their names, in order.
        does: in words.
        score: the main one of its card, in words.
        unfade: stretch the colours of a faded print afterwards.
    """

    models: tuple[str, ...]
    does: str
    score: str
    unfade: bool = False


CHAINS = {
    "old-print": Chain(
        ("scratches", "photo"),
        "restores old prints: scratches, noise, faded colours",
        "24.46 dB, Set14 worn prints",
        unfade=True,
    ),
    "sharp-x4": Chain(
        ("sharp-x2", "sr-x2"),
        "cleans, sharpens and enlarges fourfold, as Real-ESRGAN would",
        "32.19 dB, TaughtHeld-x4",
    ),
}
