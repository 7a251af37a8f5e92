"""Scratches, cracks and dust on old prints and negatives; everything else stays as it is.

`photo` knows these marks as one damage among many, of few pixels, and so learns them last. Here
they are all that input and target differ in: noise, blur, fading and JPEG are on both.
"""

from typing import Annotated, ClassVar, Literal

import numpy as np

from iln.lab.degradations import fade, monochrome
from iln.lab.degradations.lettering import lettered
from iln.lab.degradations.lines import lines
from iln.lab.degradations.prints import cracks, dust, scratches
from iln.lab.tasks.photo import delivered, rounds, through
from iln.lab.tasks.ranges import Range, Share, Within
from iln.lab.tasks.scores import PSNR_RGB, SSIM_Y
from iln.lab.tasks.task import Metric, Pair, Pixels, Task, generator


class Scratches(Task):
    """Marks on a print, from none to a net of cracks."""

    scale: Literal[1] = 1
    margin: ClassVar[int] = 24  # as for `photo`
    tested: ClassVar = ("wear", {"light": 0.2, "medium": 0.5, "heavy": 0.9})
    wear: Annotated[Range, Within(0, 1)] = Range(0, 1)
    """The most marks there may be, drawn for each picture; scratches and dust each draw a share of
    it. At 1 that is at most about ten scratches for 100 pixels of a side and five specks for
    100 x 100 pixels."""
    cracks: Share = 0.0
    """Share of pictures with folds and tears besides, wider than any of the tests' marks."""
    lines: Share = 0.4
    """Training only: share of crops with print, handwriting, hair, wires, twigs or fences, which
    are on both sides: a network must not take those for marks."""
    untouched: Share = 0.2
    """Training only: share of crops without any mark."""
    scan: Annotated[Range, Within(0, 1)] = Range(0, 0.6)
    """Training only: how bad print and scan are but for the marks, as the strength of `photo`."""
    colourless: Share = 0.3
    """Share of training crops without colours, gray or sepia."""

    def training_pair(self, crop: Pixels, rng: np.random.Generator) -> Pair:
        """The print is blurred, noisy and faded before it is scratched, its scan after it."""
        size = crop.shape[:2]
        if rng.random() < self.colourless:
            crop = monochrome(crop, rng)
        if rng.random() < self.lines:
            crop = (lettered if rng.random() < 0.5 else lines)(crop, rng)
        strength = self.scan.draw(rng)
        before, after = rounds(strength, self.scale)
        crop = through(before, crop, size, rng)
        if rng.random() < 0.5:
            crop = fade(crop, rng.random(), rng)
        marked = crop if rng.random() < self.untouched else self.degrade(crop, rng)
        seed = int(rng.integers(2**63))

        def scanned(picture: Pixels) -> Pixels:
            again = generator(seed)  # the same scan of both
            return delivered(through(after, picture, size, again), size, strength, again)

        inner = slice(self.margin, -self.margin)
        return scanned(marked)[inner, inner], scanned(crop)[inner, inner]

    def degrade(self, target: Pixels, rng: np.random.Generator) -> Pixels:
        wear = self.wear.draw(rng)
        marked = scratches(target, wear * rng.random(), rng)
        marked = dust(marked, wear * rng.random(), rng)
        return cracks(marked, wear, rng) if rng.random() < self.cracks else marked

    def metrics(self) -> dict[str, Metric]:
        return {"psnr_rgb": PSNR_RGB, "ssim_y": SSIM_Y}
