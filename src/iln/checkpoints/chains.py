"""Models one after the other, and what is done after them, under one name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chain:
    """What a name stands for.

    Attributes:
        models: their names, in order.
        does: in words.
        score: the main one of its card, in words.
        unfade: stretch the colours of a faded print afterwards.
        same_size: bring what each model makes back to the size of what it was given.
    """

    models: tuple[str, ...]
    does: str
    score: str
    unfade: bool = False
    same_size: bool = False


CHAINS = {
    "old-print": Chain(
        ("scratches", "photo"),
        "restores old prints: scratches, noise, faded colours",
        "24.44 dB, Set14 worn prints",
        unfade=True,
    ),
    "sharp": Chain(
        ("sharp-x2",),
        "cleans and sharpens, as Real-ESRGAN would",
        "35.32 dB, TaughtHeld-x1",
        same_size=True,
    ),
    "sharp-x4": Chain(
        ("sharp-x2", "sr-x2"),
        "cleans, sharpens and enlarges fourfold, as Real-ESRGAN would",
        "32.19 dB, TaughtHeld-x4",
    ),
}
