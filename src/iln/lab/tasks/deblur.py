"""Removal of blur by a shaking camera or a lens out of focus."""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from iln.lab.degradations import JPEG_UNIT, convolve, gaussian_noise, jpeg
from iln.lab.degradations.kernels import disc, trajectory
from iln.lab.tasks.ranges import Range, Share, Within
from iln.lab.tasks.scores import PSNR_RGB, SSIM_Y
from iln.lab.tasks.task import Metric, Pair, Pixels, Task

_LONGEST = 36
_TESTED = {
    "motion": {"mild": 5.0, "medium": 10.0, "strong": 20.0},
    "defocus": {"mild": 1.0, "medium": 2.0, "strong": 4.0},
}
"""Length of the path and radius of the disc, in pixels."""


class Deblur(Task):
    """One kernel for the whole picture, then a little noise and JPEG; the kernel is unknown."""

    scale: Literal[1] = 1
    margin: ClassVar[int] = _LONGEST // 2 + 2 + JPEG_UNIT
    motion: Annotated[Range, Within(0, _LONGEST)] = Range(2, 25)
    """Length of the camera's path in pixels."""
    defocus: Annotated[Range, Within(0, _LONGEST / 2)] = Range(0.5, 5)
    """Radius of the disc in pixels."""
    shaken: Share = 0.5
    """Share of pictures with motion; the others are out of focus."""
    noise: Annotated[Range, Within(0, 50)] = Range(0, 3)
    """Standard deviation in 8-bit levels."""
    quality: Annotated[Range, Within(1, 100, whole=True)] = Range(75, 100)
    """Of the JPEG file that the picture comes in, where it comes in one."""
    compressed: Share = 0.7
    """Share of pictures that come as JPEG."""
    untouched: Share = 0.1
    """Share of pictures without any damage: a network must learn to leave those alone, too."""

    def degrade(self, target: Pixels, rng: np.random.Generator) -> Pixels:
        if rng.random() < self.untouched:
            return target.copy()
        if rng.random() < self.shaken:
            kernel = trajectory(self.motion.draw(rng), rng)
        else:
            kernel = disc(self.defocus.draw(rng))
        blurred = gaussian_noise(convolve(target, kernel), self.noise.draw(rng), rng)
        if rng.random() < self.compressed:
            return jpeg(blurred, self.quality.draw_whole(rng))
        return blurred

    def training_pair(self, crop: Pixels, rng: np.random.Generator) -> Pair:
        """The grid of JPEG's blocks begins anywhere, as it does in a crop of a picture."""
        return self.shifted_pair(crop, rng, JPEG_UNIT)

    def protocols(self) -> dict[str, Task]:
        """Motion alone and defocus alone, three of each, with noise of sigma 2 and JPEG of 90.

        Where all pictures are left untouched, these alone.
        """
        if self.untouched == 1:
            return {"": self}
        same: dict[str, Any] = {"untouched": 0.0, "compressed": float(self.compressed > 0)}
        for key, value in (("noise", 2.0), ("quality", 90)):
            (same[key],) = getattr(self, key).fixed({key: value}).values()
        found: dict[str, Task] = {}
        for kind, sizes in _TESTED.items():
            for name, size in getattr(self, kind).fixed(sizes).items():
                changes = {**same, kind: size, "shaken": float(kind == "motion")}
                found[f"{kind} {name}".strip()] = self.model_copy(update=changes)
        return found

    def metrics(self) -> dict[str, Metric]:
        return {"psnr_rgb": PSNR_RGB, "ssim_y": SSIM_Y}
