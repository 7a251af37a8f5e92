"""Everything that can be measured of a finished network on a few pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from iln.backbones import Backbone
from iln.errors import InputError
from iln.lab.dynamics.channels import Alignment, LastMap
from iln.lab.dynamics.layer_sqnr import InputRanges, LayerNoise, NoiseMeter
from iln.lab.dynamics.measures import BlockMeasures, shares
from iln.lab.dynamics.position_bias import bias_grids, roughness
from iln.lab.dynamics.probe import Probe, backbone_of, is_compiled
from iln.restoration.half_precision import PrecisionRun, PrecisionTrial, Reference, clamp_output

SAMPLE = 192
"""Side in output pixels of the piece that is kept to be looked at."""


@dataclass(frozen=True)
class Sample:
    """The middle of the first picture, (h, w, C) uint8: as it went in, and as it came out.

    What is not finite is black.

    Attributes:
        image: `scale` times smaller than the outputs.
    """

    image: npt.NDArray[np.uint8]
    float32: npt.NDArray[np.uint8]
    float16: npt.NDArray[np.uint8]
    bfloat16: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found. All numbers are over all pictures together.

    Attributes:
        norm: one of `iln.norm.NORMS`.
        blocks: by Transformer block, in the order in which they compute, its measures.
        energies: by block, E_l[x_c^2] of each channel.
        peaks: by module, in the order in which they finish, the largest finite |output|, in
            float32.
        float32: the network as it is.
        float16: run in this type.
        bfloat16: run in this type.
        layers: by linear layer and convolution, in the order in which they compute, int8 and int4.
        bias_grids: by block, the position bias of its heads as pictures (heads, n, n).
        roughness: by block, one number a head: 0 smooth, 1 independent noise.
        alignment: the last norm's bias beside the channels' magnitude; None if it has no bias.
        sample: pixels to look at.
    """

    norm: str
    blocks: Mapping[str, BlockMeasures]
    energies: Mapping[str, tuple[float, ...]]
    peaks: Mapping[str, float]
    float32: PrecisionRun
    float16: PrecisionRun
    bfloat16: PrecisionRun
    layers: Mapping[str, LayerNoise]
    bias_grids: Mapping[str, npt.NDArray[np.float64]]
    roughness: Mapping[str, tuple[float, ...]]
    alignment: Alignment | None
    sample: Sample

    @property
    def shares(self) -> dict[str, npt.NDArray[np.float64]]:
        """By block, each channel's share p_c of the energy; NaN where there is none."""
        return {
            name: shares(torch.tensor(energy, dtype=torch.float64)).numpy()
            for name, energy in self.energies.items()
        }

    def as_json(self) -> dict[str, Any]:
        """All numbers but the pictures, for `json.dumps`.

        None where a number is NaN, which JSON cannot say; infinite ones are text, `Infinity`.
        """
        found: dict[str, Any] = {
            "norm": self.norm,
            "blocks": {name: asdict(block) for name, block in self.blocks.items()},
            "energies": {name: list(energy) for name, energy in self.energies.items()},
            "runs": {run.dtype: asdict(run) for run in (self.float32, self.float16, self.bfloat16)},
            "layers": {name: asdict(layer) for name, layer in self.layers.items()},
            "roughness": {name: list(heads) for name, heads in self.roughness.items()},
            "alignment": None,
        }
        if self.alignment is not None:
            found["alignment"] = {
                "correlation": self.alignment.correlation,
                "rank_correlation": self.alignment.rank_correlation,
                "magnitude": self.alignment.magnitude.tolist(),
                "bias": self.alignment.bias.tolist(),
            }
        return jsonable(found)  # type: ignore[no-any-return]


def diagnose(
    model: nn.Module,
    images: Sequence[Tensor],
    *,
    progress: Callable[[float], None] | None = None,
) -> Diagnosis:
    """Look into a network with pictures: its blocks, half precision, int8 and int4, its tables.

    A network that gives infinities or NaN is measured as well.

    Args:
        model: a backbone with float32 weights, or a wrapper with one as `module`, on any device. It
            is run in eval mode, and is afterwards as it was. Two copies in half precision are made.
        images: one or more (B, C, H, W) in [0, 1], of any sizes. Each passes the network five
            times, whole, so its size decides the memory: a few maps of H x W x channels.
        progress: told the share that is done, 0 to 1.

    Raises:
        InputError: for another kind of network or type of weights, and for pictures that do not fit
            it.
    """
    backbone = backbone_of(model)
    given: object = images  # a tensor alone is easily given in place of a list
    if isinstance(given, Tensor) or not images:
        raise InputError("diagnose needs a list of one picture at least, each (B, C, H, W)")
    dtype = next(backbone.parameters()).dtype
    if dtype != torch.float32:
        raise InputError(f"the weights are {dtype}; diagnose compares with float32: model.float()")
    was_training = backbone.training
    with ExitStack() as undo:
        undo.callback(backbone.train, was_training)
        if is_compiled(backbone):
            undo.enter_context(torch.compiler.set_stance("force_eager"))
        with torch.no_grad():
            return _diagnose(backbone.eval(), images, progress or (lambda share: None))


PASSES = (1.5, 2.5, 1.0, 4.0)
"""What the passes cost a picture, about: probed, in float16 (on a CPU), in bfloat16, quantised."""


def _diagnose(
    model: Backbone, images: Sequence[Tensor], progress: Callable[[float], None]
) -> Diagnosis:
    reference = Reference(model)
    half, bf16 = PrecisionTrial(model, torch.float16), PrecisionTrial(model, torch.bfloat16)
    probe, ranges, last = Probe(model), InputRanges(model), LastMap(model)
    sample: Sample | None = None
    whole, done = sum(PASSES) * len(images), 0.0

    def tell(cost: float) -> None:
        nonlocal done
        done += cost
        progress(min(1.0, done / whole))

    for image in images:
        with probe, ranges, last:
            output = reference(image)
        tell(PASSES[0])
        halved = half(image, output)
        tell(PASSES[1])
        rough = bf16(image, output)
        tell(PASSES[2])
        sample = sample or _sample(image, output, halved, rough, model.spec.scale)
    meter = NoiseMeter(model, ranges.ranges)
    for image in images:
        with meter:
            model(image)
        tell(PASSES[3])
    assert sample is not None
    grids = bias_grids(model)
    return Diagnosis(
        norm=model.spec.norm,
        blocks=probe.measures,
        energies={name: tuple(energy.tolist()) for name, energy in probe.energies.items()},
        peaks=reference.watch.peaks,
        float32=reference.result(),
        float16=half.result(),
        bfloat16=bf16.result(),
        layers=meter.noise,
        bias_grids={name: grid.numpy() for name, grid in grids.items()},
        roughness={name: tuple(roughness(grid).tolist()) for name, grid in grids.items()},
        alignment=last.alignment(),
        sample=sample,
    )


def _sample(image: Tensor, wide: Tensor, half: Tensor, bf16: Tensor, scale: int) -> Sample:
    height, width = (min(side, max(1, SAMPLE // scale)) for side in image.shape[2:])
    top, left = (image.shape[2] - height) // 2, (image.shape[3] - width) // 2

    def cut(map: Tensor, factor: int) -> npt.NDArray[np.uint8]:
        piece = map[0, :, top * factor :, left * factor :][:, : height * factor, : width * factor]
        pixels: npt.NDArray[np.uint8] = (
            (clamp_output(piece) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        )
        return pixels

    return Sample(cut(image, 1), cut(wide, scale), cut(half, scale), cut(bf16, scale))


def jsonable(value: Any) -> Any:
    """Of types that JSON has: NaN becomes None, infinity the text `Infinity` or `-Infinity`."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value).replace("inf", "Infinity")
    if isinstance(value, Mapping):
        return {str(key): jsonable(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(entry) for entry in value]
    return value
