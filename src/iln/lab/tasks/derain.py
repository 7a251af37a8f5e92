"""Removal of rain streaks, drawn onto clean pictures or in pairs that lie in folders."""

from functools import partial
from typing import Annotated, Literal

import numpy as np

from iln.images import psnr_y, ssim_y
from iln.lab.degradations import rain
from iln.lab.tasks.ranges import Range, Within
from iln.lab.tasks.scores import PSNR_Y, SSIM_Y, WHOLE, psnr_on, ssim_on
from iln.lab.tasks.task import Metric, Pixels, Task


class Derain(Task):
    """Streaks of rain, by default as in the set Rain100L: one direction, light to moderate."""

    scale: Literal[1] = 1
    angle: Annotated[Range, Within(-80, 80)] = Range(-30, 30)
    """Degrees from straight down, drawn for each layer."""
    length: Annotated[Range, Within(1, 200)] = Range(8, 60)
    """The least and the greatest length of streaks in pixels, all of them in each picture."""
    width: Annotated[Range, Within(0.5, 20)] = Range(1.2, 4)
    """The same of their widths."""
    density: Annotated[Range, Within(0, 0.95)] = Range(0.12, 0.45)
    """Share of the pixels that get light from a layer, drawn for each picture."""
    brightness: Annotated[Range, Within(0, 1)] = Range(0.3, 1)
    """Of the brightest streaks, white is 1; drawn for each picture."""
    layers: Annotated[Range, Within(1, 5, whole=True)] = Range(1, 1)
    """Sheets of rain, each with its direction, drawn for each picture; Rain100H has up to five."""

    def degrade(self, target: Pixels, rng: np.random.Generator) -> Pixels:
        density, brightness = self.density.draw(rng), self.brightness.draw(rng)
        damaged = target
        for _ in range(self.layers.draw_whole(rng)):
            damaged = rain(
                damaged,
                rng,
                angle=self.angle.draw(rng),
                length=(self.length.low, self.length.high),
                width=(self.width.low, self.width.high),
                density=density,
                brightness=brightness,
            )
        return damaged

    def metrics(self) -> dict[str, Metric]:
        """As in the literature on rain (Restormer's script), and as in that on resolution."""
        rounded = f"BT.601 limited-range Y, rounded to whole numbers, {WHOLE}"
        return {
            "psnr_y_rounded": psnr_on(rounded, partial(psnr_y, rounded=True)),
            "ssim_y_rounded": ssim_on(rounded, partial(ssim_y, rounded=True)),
            "psnr_y": PSNR_Y,
            "ssim_y": SSIM_Y,
        }
