"""Pictures as people have them: read, write, resize, measure."""

from iln.images.levels import unfade
from iln.images.metrics import luma, psnr_rgb, psnr_y, psnrb_y, ssim_y
from iln.images.picture import LUMA, Picture
from iln.images.reading import MAX_PIXELS, read
from iln.images.resize import resize, resize_to
from iln.images.writing import SUFFIXES, check_suffix, encode, write

__all__ = [
    "LUMA",
    "MAX_PIXELS",
    "SUFFIXES",
    "Picture",
    "check_suffix",
    "encode",
    "luma",
    "psnr_rgb",
    "psnr_y",
    "psnrb_y",
    "read",
    "resize",
    "resize_to",
    "ssim_y",
    "unfade",
    "write",
]
