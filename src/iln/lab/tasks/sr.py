"""Super-resolution of pictures shrunk by MATLAB's antialiased bicubic, the field's classical task.

The low-resolution side is made from the whole picture and only then cut: cutting first would
let the resizer see a border that no picture has. Both sides are uint8, as in the published
training and test files.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from iln.images import psnr_y, resize, ssim_y
from iln.lab.tasks.task import Damaged, Metric, Pixels, Task, to_uint8


class SuperResolution(Task):
    """Bicubic super-resolution by a whole factor."""

    scale: Annotated[int, Field(ge=2, le=8)] = 2
    whole: ClassVar[bool] = True

    def degrade(self, target: Pixels, rng: np.random.Generator) -> Pixels:
        """The picture shrunk by `scale`; nothing is random."""
        return resize(target, Fraction(1, self.scale))

    def baseline(self, damaged: Damaged) -> Pixels:
        """The input enlarged by the same bicubic."""
        return resize(to_uint8(damaged), self.scale)

    def metrics(self) -> dict[str, Metric]:
        border = self.scale
        on = f"on BT.601 limited-range Y, unrounded, without the outermost {border} pixels"
        return {
            "psnr_y": Metric(f"PSNR in dB {on}", lambda a, b: psnr_y(a, b, border=border)),
            "ssim_y": Metric(
                f"SSIM {on}; 11x11 Gaussian window, sigma 1.5, valid region",
                lambda a, b: ssim_y(a, b, border=border),
            ),
        }
