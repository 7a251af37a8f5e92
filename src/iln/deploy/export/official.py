"""LayerNorm networks as files of their authors' code, for it and for all that loads its files.

Whoever reads such a file (spandrel, and so chaiNNer and ComfyUI) takes from names and shapes what
network it is, and the rest as its authors have it. So a file is written only where that is true:

    range of values   1; 255 for a SwinIR with window 7. Another one, and the division by the
                      RGB standard deviation, go into the first and the last convolution.
    RGB mean          subtracted
    eps, conv_scale   1e-5, 0.01
    biases of q, k, v are there; a network without them gets zeros
"""

from __future__ import annotations

import io
from dataclasses import fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from iln.atomic import atomic_write
from iln.backbones import Backbone, DRCTSpec, HATSpec, Spec, SwinIRSpec, name_of
from iln.errors import InputError
from iln.layers.position_bias import relative_position_index, signed_overlapping_position_index
from iln.layers.windows import seam_masks
from iln.norm import NORMS

_CONV_SCALE = 0.01
_EPS = 1e-5
_TOLD = {
    *("scale", "in_chans", "embed_dim", "depths", "num_heads", "window", "mlp_ratio", "qkv_bias"),
    *("upsampler", "resi_connection", "compress_ratio", "squeeze_factor", "overlap_ratio"),
    *("conv_scale", "growth", "img_range", "norm", "drop_path"),
}
"""What names and shapes tell, what is worked into the weights, and what is looked at by itself; all
else has to be as it is by default."""


def write_official(model: Backbone, file: Path, *, overwrite: bool = False) -> None:
    """Write a network as its authors' code does: a dictionary for `torch.load`, or safetensors.

    Args:
        file: the name to write; what it ends in decides.

    Raises:
        InputError: for a network that such a file cannot hold, and a file that cannot be written.
    """
    weights = official_weights(model)
    if file.suffix == ".safetensors":
        content = safetensors.torch.save(weights)
    else:
        buffer = io.BytesIO()
        torch.save(dict.fromkeys(_keys(model.spec), weights), buffer)
        content = buffer.getvalue()
    with atomic_write(file, overwrite) as temporary:
        temporary.write_bytes(content)


def official_weights(model: Backbone) -> dict[str, Tensor]:
    """Parameters and buffers by their names in the authors' code, float32 and int64.

    Raises:
        InputError: for a network that their code cannot hold.
    """
    _check(model.spec)
    weights = {name: tensor.detach().cpu().float() for name, tensor in model.state_dict().items()}
    weights |= _rescaled(model, weights)
    if not model.spec.qkv_bias:
        for name in [name for name in weights if name.endswith("qkv.weight")]:
            bias = torch.zeros(len(weights[name]))
            weights[f"{name.removesuffix('weight')}bias"] = bias
    weights |= _indices(model) | _masks(model)
    # Safetensors takes no two names for one piece of memory.
    return {name: tensor.clone().contiguous() for name, tensor in weights.items()}


def _check(spec: Spec) -> None:
    kind = name_of(spec)
    if type(spec) not in (SwinIRSpec, HATSpec, DRCTSpec):
        raise InputError(f"nobody else's code has a {kind}; --to onnx is for other programs")
    if spec.norm != "ln":
        norm = NORMS[spec.norm]
        plugin = "for spandrel (chaiNNer, ComfyUI) there is the plug-in iln.deploy.spandrel, and "
        raise InputError(
            f"the authors' code for {kind} has LayerNorm and cannot hold {norm.title}; "
            f"{plugin if norm.holistic else ''}--to onnx is for other programs"
        )
    problems: dict[str, tuple[Any, bool]] = {
        field.name: (getattr(spec, field.name), getattr(spec, field.name) == field.default)
        for field in fields(spec)
        if field.name not in _TOLD
    }
    problems["eps"] = (spec.eps, spec.eps == _EPS)
    stats = spec.input_stats
    problems["input_stats"] = (stats, stats != "none" or spec.in_chans == 1)
    problems["stream_steps"] = (spec.stream_steps, not any(spec.stream_steps))
    if spec.upsampler == "":
        problems["upsampler"] = (spec.upsampler, spec.scale == 1)
    if not isinstance(spec, SwinIRSpec):
        problems["upsampler"] = (spec.upsampler, spec.upsampler == "pixelshuffle")
        problems["resi_connection"] = (spec.resi_connection, spec.resi_connection == "1conv")
    if isinstance(spec, HATSpec):
        problems["conv_scale"] = (spec.conv_scale, spec.conv_scale == _CONV_SCALE)
    found = [f"{name} {value!r}" for name, (value, fits) in problems.items() if not fits]
    if found:
        raise InputError(
            f"files of the authors' code for {kind} cannot say {', '.join(found)}, and programs "
            "would compute another picture; --to onnx can"
        )


def _keys(spec: Spec) -> tuple[str, ...]:
    """Under which the authors' test code looks for the weights."""
    if isinstance(spec, SwinIRSpec):
        return ("params_ema",) if spec.upsampler == "nearest+conv" else ("params",)
    return "params", "params_ema"  # the one or the other; in the file they are one


def _rescaled(model: Backbone, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """First and last convolution, where the network's range of values is not the authors'."""
    spec = model.spec
    theirs = 255.0 if isinstance(spec, SwinIRSpec) and spec.window == 7 else 1.0
    gain = spec.img_range / theirs / torch.tensor(model.std, dtype=torch.float64)
    if (gain == 1).all():
        return {}
    last, out = "conv_last", gain
    if spec.upsampler == "pixelshuffledirect":
        last, out = "upsample.0", gain.repeat_interleave(spec.scale**2)
    return {
        "conv_first.weight": (weights["conv_first.weight"] * gain[:, None, None]).float(),
        f"{last}.weight": (weights[f"{last}.weight"] / out[:, None, None, None]).float(),
        f"{last}.bias": (weights[f"{last}.bias"] / out).float(),
    }


def _indices(model: Backbone) -> dict[str, Tensor]:
    """Tables of which row of the position bias stands for which two pixels."""
    spec = model.spec
    index = relative_position_index(spec.window)
    if isinstance(spec, HATSpec):
        overlapping = signed_overlapping_position_index(spec.window, spec.window + spec.overlap)
        return {"relative_position_index_SA": index, "relative_position_index_OCA": overlapping}
    return {f"{block}.attn.relative_position_index": index for block in model.blocks()}


def _masks(model: Backbone) -> dict[str, Tensor]:
    """Of shifted windows, for a picture of the size for which the authors' code is set up."""
    spec = model.spec
    if isinstance(spec, HATSpec):  # which computes them anew
        return {}
    bottom, right = seam_masks(spec.window, spec.window // 2, torch.zeros(()))
    windows = _picture_side(spec) // spec.window
    masks = torch.zeros(windows, windows, *bottom.shape)
    masks[-1] = bottom
    masks[:, -1] = torch.minimum(masks[:, -1], right)
    shifted = [name for name, block in model.blocks().items() if block.shift]
    return {f"{name}.attn_mask": masks.flatten(0, 1) for name in shifted}


def _picture_side(spec: Spec) -> int:
    """`img_size` of their code, as published, in whole windows, and two of them at least.

    128 for noise and 126 for JPEG are those of SwinIR's test code; 64 is the others'. A file whose
    first group has one block does not tell it to spandrel, which then takes 64.
    """
    side = 64
    if isinstance(spec, SwinIRSpec) and spec.scale == 1 and spec.depths[0] > 1:
        side = 126 if spec.window == 7 else 128
    return max(2, -(-side // spec.window)) * spec.window
