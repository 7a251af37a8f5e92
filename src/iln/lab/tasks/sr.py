"""Super-resolution of pictures shrunk by MATLAB's antialiased bicubic, the field's classical task.

The low-resolution side is made from the whole picture and only then cut: cutting first would
let the resizer see a border that no picture has. Both sides are uint8, as in the published
training and test files.
"""

from fractions import Fraction
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from iln.images import psnr_y, resize, ssim_y
from iln.lab.tasks.scores import psnr_on, ssim_on
from iln.lab.tasks.task import Metric, Pixels, Task


class SuperResolution(Task):
    """Bicubic super-resolution by a whole factor."""

    scale: Annotated[int, Field(ge=2, le=8)] = 2
    whole: ClassVar[bool] = True

    def degrade(self, target: Pixels, rng: np.random.Generator) -> Pixels:
        """The picture shrunk by `scale`; nothing is random."""
        return resize(target, Fraction(1, self.scale))

    def metrics(self) -> dict[str, Metric]:
        border = self.scale
        on = f"BT.601 limited-range Y, unrounded, without the outermost {border} pixels"
        return {
            "psnr_y": psnr_on(on, partial(psnr_y, border=border)),
            "ssim_y": ssim_on(on, partial(ssim_y, border=border)),
        }
