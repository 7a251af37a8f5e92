"""Models one after the other under one name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chain:
    """What a name stands for.

    Attributes:
        models: their names, in order.
        unfade: stretch the colours of a faded print afterwards.
        does: in words.
        score: the main one of its card, in words.
    """

    models: tuple[str, ...]
    unfade: bool
    does: str
    score: str


CHAINS = {
    "old-print": Chain(
        ("scratches", "photo"),
        True,
        "restores old prints: scratches, noise, faded colours",
        "24.44 dB, Set14 worn prints",
    )
}
