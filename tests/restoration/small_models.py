"""Networks that restore in milliseconds, and pictures for them."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from iln.backbones import Backbone, DRCTSpec, HATSpec, Spec, SwinIRSpec, from_spec
from iln.norm import NORMS

_SMALL: dict[str, Any] = {"embed_dim": 12, "depths": (2,), "num_heads": (2,), "window": 4}
SPECS: dict[str, Spec] = {
    "swinir": SwinIRSpec(**_SMALL),
    "hat": HATSpec(**_SMALL, compress_ratio=3, squeeze_factor=4, conv_scale=0.5),
    "drct": DRCTSpec(**_SMALL, growth=4),
}
UPSAMPLERS = {1: "", 2: "pixelshuffledirect", 3: "pixelshuffle", 4: "nearest+conv"}


def small_spec(
    backbone: str = "swinir", norm: str = "i-ln", scale: int = 2, **changes: Any
) -> Spec:
    values = {"upsampler": UPSAMPLERS[scale], "input_stats": "mean+std", **changes}
    return replace(SPECS[backbone], norm=norm, eps=NORMS[norm].default_eps, scale=scale, **values)


@functools.cache
def small_model(spec: Spec, seed: int = 0) -> Backbone:
    """In eval mode, with every branch of consequence: at its start a network is nearly linear."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = from_spec(spec).eval()
        for name, parameter in model.named_parameters():
            if parameter.dim() < 2:
                parameter.data += 0.1 * torch.randn(parameter.shape)
            elif "conv" not in name:
                parameter.data *= 8  # Linear weights and position tables start at 0.02
        # Most of the result should lie in [0, 1], or comparing it would say little.
        last = "upsample.0" if spec.upsampler == "pixelshuffledirect" else "conv_last"
        model.get_parameter(f"{last}.weight").data *= 0.2
    return model


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.float32]:
    """Smooth colours and some noise, in [0, 1]."""
    y, x = np.mgrid[:height, :width] / 16
    planes = [np.sin(x + c) * np.cos(y - 2 * c) for c in range(channels)]
    noise = np.random.default_rng(seed).uniform(-1, 1, (height, width, channels))
    return (0.5 + 0.35 * np.stack(planes, -1) + 0.1 * noise).clip(0, 1).astype(np.float32)


def whole(model: Backbone, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the plain forward makes of (H, W, C), everything held at once."""
    with torch.inference_mode():
        y = model(torch.from_numpy(image).permute(2, 0, 1)[None])
    result: NDArray[np.float32] = y[0].permute(1, 2, 0).clamp(0, 1).numpy()
    return result
