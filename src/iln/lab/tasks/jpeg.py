"""Removal of what JPEG compression leaves: blocks, ringing, lost colour."""

from typing import Annotated, ClassVar, Literal

import numpy as np

from iln.images import psnr_y, psnrb_y, ssim_y
from iln.lab.degradations import JPEG_UNIT, Subsampling, jpeg
from iln.lab.tasks.ranges import Range, Share, Within
from iln.lab.tasks.scores import ON_GRAY, ON_LUMA, psnr_on, ssim_on
from iln.lab.tasks.task import Metric, Pair, Pixels, Task, luma


class JPEG(Task):
    """Pictures compressed by libjpeg."""

    scale: Literal[1] = 1
    margin: ClassVar[int] = JPEG_UNIT
    tested: ClassVar = ("quality", {f"q {quality}": quality for quality in (10, 20, 30, 40)})
    quality: Annotated[Range, Within(1, 100, whole=True)] = Range(5, 95)
    """libjpeg's; from a range it is drawn for each picture."""
    gray: bool = False
    subsampling: Subsampling = "4:2:0"
    """Of colour."""
    colourless: Share = 0.1
    """Share of training crops that are gray in all three channels, as files often are."""

    @property
    def channels(self) -> int:
        return 1 if self.gray else 3

    def degrade(self, target: Pixels, rng: np.random.Generator) -> Pixels:
        """The grid of blocks begins at the upper left corner, as in every file."""
        return jpeg(target, self.quality.draw_whole(rng), self.subsampling)

    def training_pair(self, crop: Pixels, rng: np.random.Generator) -> Pair:
        """The grid begins anywhere, as it does in a crop of a compressed picture."""
        if self.channels == 3 and rng.random() < self.colourless:
            crop = luma(crop).repeat(3, axis=2)
        return self.shifted_pair(crop, rng, JPEG_UNIT)

    def metrics(self) -> dict[str, Metric]:
        on = ON_GRAY if self.gray else ON_LUMA
        bef = "MSE plus the blocking effect factor of the result (Yim and Bovik, 2011; 8x8 blocks)"
        return {
            "psnr_y": psnr_on(on, psnr_y),
            "ssim_y": ssim_on(on, ssim_y),
            "psnrb_y": Metric(f"PSNR-B in dB on {on}: PSNR with {bef}", psnrb_y),
        }
