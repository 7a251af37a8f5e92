"""Removal of blur by a shaking camera or a lens out of focus."""

from typing import Annotated, ClassVar, Literal

import numpy as np

from iln.lab.degradations import convolve, gaussian_noise
from iln.lab.degradations.kernels import disc, trajectory
from iln.lab.tasks.ranges import Range, Share, Within
from iln.lab.tasks.scores import PSNR_RGB, SSIM_Y
from iln.lab.tasks.task import Metric, Pixels, Task

_LONGEST = 36


class Deblur(Task):
    """One kernel for the whole picture, then a little noise; the kernel is unknown."""

    scale: Literal[1] = 1
    margin: ClassVar[int] = _LONGEST // 2 + 2
    motion: Annotated[Range, Within(0, _LONGEST)] = Range(2, 25)
    """Length of the camera's path in pixels."""
    defocus: Annotated[Range, Within(0, _LONGEST / 2)] = Range(0.5, 5)
    """Radius of the disc in pixels."""
    shaken: Share = 0.5
    """Share of pictures with motion; the others are out of focus."""
    noise: Annotated[Range, Within(0, 50)] = Range(0, 3)
    """Standard deviation in 8-bit levels."""

    def degrade(self, target: Pixels, rng: np.random.Generator) -> Pixels:
        if rng.random() < self.shaken:
            kernel = trajectory(self.motion.draw(rng), rng)
        else:
            kernel = disc(self.defocus.draw(rng))
        return gaussian_noise(convolve(target, kernel), self.noise.draw(rng), rng)

    def protocols(self) -> dict[str, Task]:
        """Motion alone and defocus alone, of the middle of their ranges, with middling noise."""
        middle = {key: getattr(self, key).middle for key in ("motion", "defocus", "noise")}
        shaken = {"motion": 1.0, "defocus": 0.0}
        return {n: self.model_copy(update={**middle, "shaken": s}) for n, s in shaken.items()}

    def metrics(self) -> dict[str, Metric]:
        return {"psnr_rgb": PSNR_RGB, "ssim_y": SSIM_Y}
