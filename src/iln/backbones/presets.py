"""The networks as published: names and hyperparameters (with LayerNorm; `build` sets the norm)."""

from __future__ import annotations

from typing import Any

from iln.backbones.backbone import Spec
from iln.backbones.drct import DRCTSpec
from iln.backbones.hat import HATSpec
from iln.backbones.swinir import SwinIRSpec

_LIGHT: dict[str, Any] = {
    "embed_dim": 60,
    "depths": (6, 6, 6, 6),
    "num_heads": (6, 6, 6, 6),
    "upsampler": "pixelshuffledirect",
}
_SWINIR_L: dict[str, Any] = {
    "embed_dim": 240,
    "depths": (6,) * 9,
    "num_heads": (8,) * 9,
    "resi_connection": "3conv",
}
_SAME_SIZE: dict[str, Any] = {"scale": 1, "upsampler": ""}
_JPEG: dict[str, Any] = {**_SAME_SIZE, "window": 7, "img_range": 255.0}
_REAL: dict[str, Any] = {"upsampler": "nearest+conv"}
_HAT_S: dict[str, Any] = {"embed_dim": 144, "compress_ratio": 24, "squeeze_factor": 24}
_HAT_L: dict[str, Any] = {"depths": (6,) * 12, "num_heads": (6,) * 12}
_HAT_MINI: dict[str, Any] = {"embed_dim": 96, "compress_ratio": 24, "squeeze_factor": 24}
_DRCT_L: dict[str, Any] = {"depths": (6,) * 12, "num_heads": (6,) * 12}

PRESETS: dict[str, Spec] = {
    **{f"swinir-light-x{s}": SwinIRSpec(scale=s, **_LIGHT) for s in (2, 3, 4)},
    **{f"swinir-x{s}": SwinIRSpec(scale=s) for s in (2, 3, 4, 8)},
    "swinir-denoise": SwinIRSpec(**_SAME_SIZE),
    "swinir-denoise-gray": SwinIRSpec(in_chans=1, **_SAME_SIZE),
    "swinir-jpeg": SwinIRSpec(**_JPEG),
    "swinir-jpeg-gray": SwinIRSpec(in_chans=1, **_JPEG),
    **{f"swinir-real-x{s}": SwinIRSpec(scale=s, **_REAL) for s in (2, 4)},
    "swinir-real-large-x4": SwinIRSpec(**_REAL, **_SWINIR_L),
    **{f"hat-x{s}": HATSpec(scale=s) for s in (2, 3, 4)},
    **{f"hat-s-x{s}": HATSpec(scale=s, **_HAT_S) for s in (2, 3, 4)},
    **{f"hat-l-x{s}": HATSpec(scale=s, **_HAT_L) for s in (2, 3, 4)},
    **{f"hat-mini-x{s}": HATSpec(scale=s, **_HAT_MINI) for s in (2, 3, 4)},
    **{f"drct-x{s}": DRCTSpec(scale=s) for s in (2, 3, 4)},
    **{f"drct-l-x{s}": DRCTSpec(scale=s, **_DRCT_L) for s in (2, 3, 4)},
}
"""`hat-mini` is the i-LN paper's HAT1. SwinIR's files for denoising and JPEG are `swinir-denoise`
and `swinir-jpeg`; those trained for real photographs with a GAN, `swinir-real`."""
