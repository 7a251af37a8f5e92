"""The scores that tasks on whole colour pictures share, with what they are, exactly."""

from __future__ import annotations

from iln.images import psnr_rgb, psnr_y, ssim_y
from iln.lab.tasks.task import Metric

_WHOLE = "of the whole picture, 8 bits"
_LUMA = f"BT.601 limited-range Y, unrounded, {_WHOLE}"

PSNR_RGB = Metric(f"PSNR in dB on R, G and B together {_WHOLE}", psnr_rgb)
PSNR_Y = Metric(f"PSNR in dB on {_LUMA}", psnr_y)
SSIM_Y = Metric(f"SSIM on {_LUMA}; 11x11 Gaussian window, sigma 1.5, valid region", ssim_y)
