"""Removal of additive Gaussian noise, of one known strength or of any."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np

from iln.images import psnr_rgb, psnr_y, ssim_y
from iln.lab.degradations import gaussian_noise, unrounded_noise
from iln.lab.tasks.ranges import Range, Within
from iln.lab.tasks.task import Damaged, Metric, Pixels, Task

LEVELS = (15, 25, 50)


class Denoise(Task):
    """Gaussian noise on colour or gray pictures."""

    scale: Literal[1] = 1
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

    def protocols(self) -> dict[str, Task]:
        """Sigma 15, 25 and 50, those that lie in the range."""
        fixed = self.sigma.fixed({f"sigma {level}": level for level in LEVELS})
        return {name: self.model_copy(update={"sigma": sigma}) for name, sigma in fixed.items()}

    def metrics(self) -> dict[str, Metric]:
        whole = "of the whole picture, 8 bits"
        if self.gray:
            psnr = {"psnr_y": Metric(f"PSNR in dB on gray values {whole}", psnr_y)}
        else:
            psnr = {"psnr_rgb": Metric(f"PSNR in dB on R, G and B together {whole}", psnr_rgb)}
        on = "gray values" if self.gray else "BT.601 limited-range Y, unrounded"
        window = "11x11 Gaussian window, sigma 1.5, valid region"
        return psnr | {"ssim_y": Metric(f"SSIM on {on}, {whole}; {window}", ssim_y)}
