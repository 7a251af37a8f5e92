"""Removal of additive Gaussian noise, of one known strength or of any."""

from typing import Annotated, ClassVar, Literal

import numpy as np

from iln.images import psnr_y, ssim_y
from iln.lab.degradations import gaussian_noise, unrounded_noise
from iln.lab.tasks.ranges import Range, Within
from iln.lab.tasks.scores import ON_GRAY, PSNR_RGB, SSIM_Y, psnr_on, ssim_on
from iln.lab.tasks.task import Damaged, Metric, Pixels, Task


class Denoise(Task):
    """Gaussian noise on colour or gray pictures."""

    scale: Literal[1] = 1
    tested: ClassVar = ("sigma", {f"sigma {level}": level for level in (15, 25, 50)})
    sigma: Annotated[Range, Within(0, 255)] = Range(0, 55)
    """Standard deviation in 8-bit levels; from a range it is drawn for each picture."""
    rounded: bool = False
    """Clip and round to 8 bits, as in a file; papers do neither."""
    gray: bool = False

    @property
    def channels(self) -> int:
        return 1 if self.gray else 3

    def degrade(self, target: Pixels, rng: np.random.Generator) -> Damaged:
        sigma = self.sigma.draw(rng)
        if self.rounded:
            return gaussian_noise(target, sigma, rng)
        return unrounded_noise(target, sigma, rng)

    def metrics(self) -> dict[str, Metric]:
        if not self.gray:
            return {"psnr_rgb": PSNR_RGB, "ssim_y": SSIM_Y}
        return {
            "psnr_y": psnr_on(ON_GRAY, psnr_y),
            "ssim_y": ssim_on(ON_GRAY, ssim_y),
        }
