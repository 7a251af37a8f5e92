"""What the names and shapes of a published file's parameters tell of its network."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

from iln.errors import InputError

Shapes = Mapping[str, tuple[int, ...]]
"""By the name of a parameter, without what training frameworks put before it."""

_CELLS = {12: (3, 2), 48: (3, 4)}
"""Input channels that are RGB in cells of 2 x 2 or 4 x 4 pixels. Gray ones (4, 16) are not told
from pictures with alpha."""


def common_fields(shapes: Shapes, block: str) -> dict[str, Any]:
    """What all backbones have; `block` stands before the names in a group's first block."""
    dim, chans, *_ = shape_of(shapes, "conv_first.weight", 4)
    in_chans, unshuffle = _CELLS.get(chans, (chans, 1))
    if "absolute_pos_embed" in shapes:
        raise InputError("has absolute position embeddings (ape=True), which are not supported")
    if _outside("norm", shapes) and not _outside("patch_embed.norm", shapes):
        raise InputError("has no norm after the patch embedding (patch_norm=False), which is not "
                         "supported")  # fmt: skip
    groups = len(indices(shapes, "layers."))
    table = "attn.relative_position_bias_table"
    tables = [shape_of(shapes, f"layers.{group}.{block}{table}", 2) for group in range(groups)]
    side = side_of(tables[0][0], "the position table")
    hidden, _ = shape_of(shapes, f"layers.0.{block}mlp.fc1.weight", 2)
    return {
        "embed_dim": dim,
        "in_chans": in_chans,
        "unshuffle": unshuffle,
        "num_heads": tuple(heads for _, heads in tables),
        "window": (side + 1) // 2,
        "mlp_ratio": ratio_of(hidden, dim),
        "qkv_bias": f"layers.0.{block}attn.qkv.bias" in shapes,
        "resi_connection": _resi_connection(shapes),
        **_find_upsampler(shapes, in_chans, unshuffle),
    }


def _outside(norm: str, shapes: Shapes) -> bool:
    return f"{norm}.weight" in shapes or f"{norm}.gamma" in shapes


def _resi_connection(shapes: Shapes) -> str:
    if "conv_after_body.weight" in shapes:
        return "1conv"
    if "conv_after_body.0.weight" in shapes:
        return "3conv"
    raise InputError("has no conv_after_body (resi_connection 'identity'), which is not supported")


def _find_upsampler(shapes: Shapes, in_chans: int, unshuffle: int) -> dict[str, Any]:
    if "conv_up1.weight" in shapes:
        scale = 4 if "conv_up2.weight" in shapes else 2
        return {"upsampler": "nearest+conv", "scale": scale}
    stages = len(indices(shapes, "upsample."))
    if "conv_before_upsample.0.weight" in shapes:
        scale = 1
        for stage in range(stages):  # between the convolutions stand the shuffles
            wide, narrow, *_ = shape_of(shapes, f"upsample.{2 * stage}.weight", 4)
            scale *= isqrt(wide // narrow)
        return {"upsampler": "pixelshuffle", "scale": scale}
    if stages:
        wide, *_ = shape_of(shapes, "upsample.0.weight", 4)
        return {"upsampler": "pixelshuffledirect", "scale": isqrt(wide // in_chans) // unshuffle}
    wide, *_ = shape_of(shapes, "conv_last.weight", 4)
    return {"upsampler": "", "scale": isqrt(wide // in_chans) // unshuffle}


def shape_of(shapes: Shapes, name: str, dims: int) -> tuple[int, ...]:
    """The shape of a parameter without which nothing can be said."""
    if name not in shapes:
        raise InputError(f"lacks {name}")
    shape = tuple(shapes[name])
    if len(shape) != dims or 0 in shape:
        raise InputError(f"has {name} of shape {shape}; expected {dims} dimensions, none of them 0")
    return shape


def indices(shapes: Shapes, prefix: str) -> set[int]:
    """The numbers that follow `prefix` in the names."""
    tails = (name.removeprefix(prefix).split(".")[0] for name in shapes if name.startswith(prefix))
    return {int(tail) for tail in tails if tail.isdecimal()}


def side_of(entries: int, what: str) -> int:
    """Side of a position table, which has side^2 entries, side = 2 window - 1 or a little more."""
    side = isqrt(entries)
    if side * side != entries:
        raise InputError(f"has {entries} entries in {what}; expected a square number")
    return side


def ratio_of(part: int, whole: int) -> float:
    """The ratio r for which int(whole * r) is `part`, in spite of rounding."""
    ratio = part / whole
    return ratio if int(whole * ratio) == part else (part + 0.5) / whole
