"""The scores that tasks share, with what they are, exactly."""

from collections.abc import Callable

from iln.images import psnr_rgb, psnr_y, ssim_y
from iln.lab.tasks.task import Metric, Pixels

WHOLE = "of the whole picture, 8 bits"
ON_LUMA = f"BT.601 limited-range Y, unrounded, {WHOLE}"
ON_GRAY = f"gray values {WHOLE}"


def psnr_on(what: str, function: Callable[[Pixels, Pixels], float]) -> Metric:
    return Metric(f"PSNR in dB on {what}", function)


def ssim_on(what: str, function: Callable[[Pixels, Pixels], float]) -> Metric:
    return Metric(f"SSIM on {what}; 11x11 Gaussian window, sigma 1.5, valid region", function)


PSNR_RGB = psnr_on(f"R, G and B together {WHOLE}", psnr_rgb)
PSNR_Y = psnr_on(ON_LUMA, psnr_y)
SSIM_Y = ssim_on(ON_LUMA, ssim_y)
