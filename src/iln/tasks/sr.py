"""Super-resolution of pictures shrunk by MATLAB's antialiased bicubic, the field's classical task.

The low-resolution side is made from the whole picture and only then cut: cutting first would
let the resizer see a border that no picture has. Both sides are uint8, as in the published
training and test files.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from iln.errors import InputError
from iln.images import psnr_y, resize, ssim_y

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""Height, width, three colours; 0 to 255."""


@dataclass(frozen=True)
class SuperResolution:
    """Bicubic super-resolution by a whole factor."""

    scale: int

    def __post_init__(self) -> None:
        if self.scale < 2:
            raise InputError(f"super-resolution needs a scale of 2 or more, not {self.scale}")

    def pair(self, picture: Pixels) -> tuple[Pixels, Pixels]:
        """Input (h, w, 3) and target (scale h, scale w, 3) of a whole picture.

        The target is the picture without the last rows and columns that `scale` does not divide.
        """
        height, width = (side - side % self.scale for side in picture.shape[:2])
        target = np.ascontiguousarray(picture[:height, :width])
        return resize(target, Fraction(1, self.scale)), target

    def baseline(self, picture: Pixels) -> Pixels:
        """What a network has to beat: the input enlarged by the same bicubic."""
        return resize(picture, self.scale)

    def score(self, output: Pixels, target: Pixels) -> dict[str, float]:
        """Y-PSNR in dB and Y-SSIM, without the outermost `scale` pixels, as the field reports."""
        return {
            "psnr_y": psnr_y(output, target, border=self.scale),
            "ssim_y": ssim_y(output, target, border=self.scale),
        }

    def validate(
        self, model: torch.nn.Module, pairs: Iterable[tuple[Pixels, Pixels]]
    ) -> dict[str, float]:
        """Mean scores of a model over whole pictures, its output clamped and rounded to uint8.

        The model runs in its own precision and is left in the mode (training or not) it was in.
        """
        device = next(model.parameters()).device
        training = model.training
        model.eval()
        try:
            with torch.inference_mode():
                scores = [
                    self.score(_pixels(model(_tensor(lr).to(device))), hr) for lr, hr in pairs
                ]
        finally:
            model.train(training)
        return _mean(scores)

    def validate_baseline(self, pairs: Iterable[tuple[Pixels, Pixels]]) -> dict[str, float]:
        """Mean scores of `baseline` over the same pictures."""
        return _mean([self.score(self.baseline(lr), hr) for lr, hr in pairs])


def _tensor(picture: Pixels) -> torch.Tensor:
    return torch.tensor(picture).permute(2, 0, 1)[None].float() / 255


def _pixels(output: torch.Tensor) -> Pixels:
    rounded = (output[0].float().clamp(0, 1) * 255).round().to(torch.uint8)
    array: Pixels = rounded.permute(1, 2, 0).contiguous().cpu().numpy()
    return array


def _mean(scores: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(s[name] for s in scores) / len(scores) for name in scores[0]}
