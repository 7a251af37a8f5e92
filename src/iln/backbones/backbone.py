"""What SwinIR, HAT and DRCT have in common: everything but their residual groups.

image -> conv_first -> groups of Transformer blocks -> conv_after_body -> upsampler
               |__________________________________________^

With `unshuffle`, all of it works on cells of r x r pixels: a quarter of the pixels for r = 2, and
so a quarter of the time and memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iln.backbones.shapes import Shapes
from iln.errors import InputError
from iln.layers.conv import Conv2d, PixelShuffle, residual_conv
from iln.layers.feedforward import FeedForward
from iln.layers.forward_pass import WHOLE, ForwardPass, Strips
from iln.layers.pad import crop
from iln.layers.pixel_unshuffle import pixel_repeat, pixel_shuffle, pixel_unshuffle
from iln.norm import NORMS, Norm, kind_outside

RGB_MEAN = (0.4488, 0.4371, 0.4040)
RGB_STD = (0.2842, 0.2701, 0.2920)
"""DIV2K's statistics in [0, 1]: the mean in SwinIR's, HAT's and DRCT's code, the std in i-LN's."""

UPSAMPLERS = ("pixelshuffle", "pixelshuffledirect", "nearest+conv", "")
HEAD_DIM = 64
"""Channels of the upsamplers that work in a feature space of their own."""


def _is_number(value: Any) -> bool:
    if not isinstance(value, (int, float)) or type(value) is bool:
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("a whole number", lambda v: type(v) is int),
    "float": ("a finite number", _is_number),
    "bool": ("true or false", lambda v: type(v) is bool),
    "tuple[int, ...]": (
        "a tuple of whole numbers",
        lambda v: type(v) is tuple and all(type(n) is int for n in v),
    ),
}
"""What a spec's values may be, by the type that their field declares."""


_LARGEST_STEP = 100
"""Powers of two by which the stream may be divided: beyond, float32 has no such number."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Every hyperparameter of a network: with the weights, all that is needed to rebuild it.

    Attributes:
        scale: output pixels per input pixel and side; 1, 2, 3, 4 or 8.
        in_chans: 1 (gray) or 3 (RGB).
        embed_dim: channels of the residual stream.
        depths: one entry per residual group.
        num_heads: one entry per residual group.
        window: side of an attention window in pixels.
        mlp_ratio: channels inside the feed-forward branch, as a multiple of embed_dim.
        qkv_bias: whether the layer that makes queries, keys and values has a bias.
        upsampler: `pixelshuffle`, `pixelshuffledirect`, `nearest+conv`, or "" (the network predicts
            a correction of its input, whose pixels are repeated where the size grows).
        resi_connection: `1conv` or `3conv` at the end of a group.
        img_range: the network's own value range, 1 or 255; callers always use [0, 1].
        input_stats: what is taken from RGB input: `none`, `mean`, or `mean+std` (gray: nothing).
        norm: one of `iln.norm.NORMS`.
        eps: the number inside the norm's square root.
        unshuffle: side of the cells of pixels whose colours the network sees as the channels of one
            (pixel unshuffling, as Real-ESRGAN's networks for scale 1 and 2 have it); goes with the
            upsamplers `pixelshuffledirect` and "".
        drop_path: rate of stochastic depth of the last block (DRCT: group), growing linearly from
            0; training only.
        stream_steps: one entry per group, or none: the stream is divided by 2 to this power before
            the group. Not in any published network: `iln rescue` uses it.
    """

    scale: int = 4
    in_chans: int = 3
    embed_dim: int = 180
    depths: tuple[int, ...] = (6, 6, 6, 6, 6, 6)
    num_heads: tuple[int, ...] = (6, 6, 6, 6, 6, 6)
    window: int = 8
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    upsampler: Literal["pixelshuffle", "pixelshuffledirect", "nearest+conv", ""] = "pixelshuffle"
    resi_connection: Literal["1conv", "3conv"] = "1conv"
    img_range: float = 1.0
    input_stats: Literal["none", "mean", "mean+std"] = "mean"
    unshuffle: int = 1
    norm: str = "ln"
    eps: float = 1e-5
    drop_path: float = 0.0
    stream_steps: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if str(field.type) in _KINDS:
                meaning, fits = _KINDS[str(field.type)]
                if not fits(value):
                    raise InputError(f"{field.name} is {value!r}; accepted: {meaning}")
        allowed = {
            "scale": (1, 2, 3, 4, 8),
            "in_chans": (1, 3),
            "upsampler": UPSAMPLERS,
            "resi_connection": ("1conv", "3conv"),
            "input_stats": ("none", "mean", "mean+std"),
            "unshuffle": (1, 2, 4),
            "norm": tuple(NORMS),
        }
        for name, values in allowed.items():
            value = getattr(self, name)
            if value not in values:
                raise InputError(f"{name} is {value!r}; accepted: {', '.join(map(repr, values))}")
        if self.upsampler and self.scale == 1:
            raise InputError(
                f"upsampler {self.upsampler!r} does not go with scale 1, which has upsampler ''"
            )
        if self.unshuffle > 1 and self.upsampler not in ("", "pixelshuffledirect"):
            raise InputError(
                f"unshuffle {self.unshuffle} does not go with upsampler {self.upsampler!r}; "
                "accepted: 'pixelshuffledirect' and ''"
            )
        if self.upsampler == "nearest+conv" and self.scale not in (2, 4):
            raise InputError(f"upsampler 'nearest+conv' has scale 2 or 4, not {self.scale}")
        if len(self.depths) != len(self.num_heads) or not self.depths:
            raise InputError(
                f"depths {self.depths} and num_heads {self.num_heads} need one entry per group"
            )
        for name in ("embed_dim", "window", "mlp_ratio", "img_range", "eps"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be above 0")
        for name in ("depths", "num_heads"):
            if min(getattr(self, name)) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; each must be at least 1")
        if int(self.embed_dim * self.mlp_ratio) < 1 or self.embed_dim < 4:
            raise InputError(
                f"embed_dim {self.embed_dim} with mlp_ratio {self.mlp_ratio!r} is too narrow; "
                "at least 4 channels, and 1 inside the mlp"
            )
        if any(abs(step) > _LARGEST_STEP for step in self.stream_steps):
            raise InputError(
                f"stream_steps {self.stream_steps}: each is from -{_LARGEST_STEP} to "
                f"{_LARGEST_STEP}"
            )
        if self.stream_steps and len(self.stream_steps) != len(self.depths):
            raise InputError(
                f"stream_steps {self.stream_steps} needs one entry for each of the "
                f"{len(self.depths)} groups, or none at all"
            )
        if not 0 <= self.drop_path < 1:
            raise InputError(f"drop_path is {self.drop_path!r}; it must be in [0, 1)")
        for heads in self.num_heads:
            if self.embed_dim % heads:
                raise InputError(f"embed_dim {self.embed_dim} is not a multiple of {heads} heads")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Spec:
        """A spec from JSON data; unknown names raise InputError."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InputError(
                f"{cls.__name__} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}"
            )
        frozen: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**frozen)

    @property
    def input_chans(self) -> int:
        """Numbers in a cell of pixels: what goes into the first convolution."""
        return self.in_chans * self.unshuffle**2

    windows_of_a_strip: ClassVar[int] = 1
    """Windows that a strip is high at least, if the budget allows."""

    def map_channels(self) -> int:
        """Channels of all maps that exist at once, at the worst moment."""
        return 3 * self.embed_dim  # shallow features, the group's input, the stream

    def widest_channels(self) -> int:
        """Channels per pixel of the largest tensor inside a strip."""
        return max(3 * self.embed_dim, int(self.mlp_ratio * self.embed_dim))

    def head_channels(self) -> int:
        """Channels per input pixel of all that the upsampler holds of a strip (measured)."""
        at_once = {"pixelshuffle": 2 * HEAD_DIM, "nearest+conv": 4 * HEAD_DIM}
        return at_once.get(self.upsampler, 2 * self.input_chans) * self.scale**2

    def result_maps(self) -> int:
        """Maps as large as the result that exist at once: it, and its cells where they are made by
        correcting the enlarged picture."""
        return 2 if self.upsampler == "" and self.scale > 1 else 1

    def scores(self) -> int:
        """Numbers per pixel that a graph of the network holds besides its maps."""
        return 0

    def sizes(self) -> set[tuple[str, int]]:
        """(ending of a parameter's name, a first size that one of those has): what weights are
        compared with before a network is built."""
        return {("relative_position_bias_table", (2 * self.window - 1) ** 2)}

    def drop_paths(self) -> list[list[float]]:
        """The rate of each block, by group: linear over depth from 0 to `drop_path`."""
        last = max(1, sum(self.depths) - 1)
        rates = iter(self.drop_path * i / last for i in range(sum(self.depths)))
        return [[next(rates) for _ in range(depth)] for depth in self.depths]


class Backbone(nn.Module):
    """A restoration Transformer: (B, C, H, W) in about [0, 1] -> (B, C, scale H, scale W).

    Any size goes in: the picture is padded by reflection to whole windows, and the padding's
    share of the output cut off. The output is not clamped.

    A subclass makes the groups of Transformer blocks (`groups`), and says how its published files
    are recognised (`mark`, `read_shapes`).
    """

    title: ClassVar[str]
    """In tables and on pages."""
    mark: ClassVar[str]
    """A parameter by which a published file is recognised."""
    names_tell_norm: ClassVar[bool] = True
    """Norms with `weight` and `bias` are LayerNorm in every published file."""

    @staticmethod
    def read_shapes(shapes: Shapes) -> dict[str, Any]:
        """The fields of the spec that the shapes of a published file tell. Raises InputError."""
        raise NotImplementedError

    @staticmethod
    def conventions(found: dict[str, Any]) -> dict[str, Any]:
        """Fields that no file tells, as the authors have them.

        Args:
            found: as `read_shapes` says.
        """
        return {"img_range": 1.0}

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        self.ranges: dict[str, tuple[float, float]] = {}
        """For int8: of each layer's input, as `iln quantize` measures it; else empty."""
        dim = spec.embed_dim
        rgb = spec.in_chans == 3
        # Not buffers: a picture keeps its own precision when the weights are halved.
        self.mean = RGB_MEAN if rgb and spec.input_stats != "none" else (0.0,) * spec.in_chans
        self.std = RGB_STD if rgb and spec.input_stats == "mean+std" else (1.0,) * spec.in_chans

        self.conv_first = Conv2d(spec.input_chans, dim)
        self.patch_embed = nn.ModuleDict({"norm": kind_outside(spec.norm)(dim, spec.eps)})
        self.layers = nn.ModuleList(self.groups())
        if not self.blocks():
            raise TypeError(f"{type(self).__name__}: has no block with a FeedForward called `mlp`")
        self.norm = kind_outside(spec.norm)(dim, spec.eps)
        self.conv_after_body, self.body_halo = residual_conv(dim, spec.resi_connection)
        self.head_halo = self._build_head()
        self.apply(_initialize)

    def groups(self) -> list[nn.Module]:
        """The residual groups: modules from (B, H, W, C) and a run to (B, H, W, C)."""
        raise NotImplementedError

    def blocks(self) -> dict[str, nn.Module]:
        """The Transformer blocks by their names, in the order in which they compute: modules with
        a `FeedForward` called `mlp`."""
        return {
            name: module
            for name, module in self.layers.named_modules(prefix="layers")
            if isinstance(getattr(module, "mlp", None), FeedForward)
        }

    def stages(self) -> dict[str, nn.Module]:
        """What computes one after the other: first convolution, every block, last layers."""
        first, last = {"conv_first": self.conv_first}, {"conv_after_body": self.conv_after_body}
        return {**first, **self.blocks(), "norm": self.norm, **last}

    def body_layers(self) -> dict[str, nn.Module]:
        """The layers that are quantised, by name, in the order of the network."""
        return {
            name: module
            for name, module in self.named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d)
            and name.startswith(("layers.", "conv_after_body"))
        }

    def _build_head(self) -> int:
        """Make the modules that `_head` uses, named as in the published files; its halo in rows."""
        spec = self.spec
        dim, scale, channels = spec.embed_dim, spec.scale, spec.in_chans
        if spec.upsampler == "":
            self.conv_last = Conv2d(dim, spec.input_chans * scale**2)
            return 1
        if spec.upsampler == "pixelshuffledirect":
            side = scale * spec.unshuffle  # of what a cell of pixels becomes
            self.upsample = nn.Sequential(Conv2d(dim, side * side * channels), PixelShuffle(side))
            return 1
        self.conv_before_upsample = nn.Sequential(Conv2d(dim, HEAD_DIM), nn.LeakyReLU(0.01))
        self.conv_last = Conv2d(HEAD_DIM, channels)
        factors = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
        if spec.upsampler == "pixelshuffle":
            stages: list[nn.Module] = []
            for factor in factors:
                stages += [Conv2d(HEAD_DIM, HEAD_DIM * factor**2), PixelShuffle(factor)]
            self.upsample = nn.Sequential(*stages)
            return 3  # 1 + 1 + 1/2 + 1/4 ...: each convolution reaches a row of its resolution
        for stage in range(len(factors)):
            self.add_module(f"conv_up{stage + 1}", Conv2d(HEAD_DIM, HEAD_DIM))
        self.conv_hr = Conv2d(HEAD_DIM, HEAD_DIM)
        return 3  # 1 + 1/2 + 1/4 + 1/4 + 1/4

    def _head(self, x: Tensor) -> Tensor:
        """Features (B, h, W, embed_dim) -> pixels (B, r h, r W, C) in the net's range, r = scale
        unshuffle; without an upsampler those of each cell still are channels."""
        if self.spec.upsampler == "pixelshuffledirect":
            return self.upsample(x)  # type: ignore[no-any-return]
        if self.spec.upsampler == "":
            return self.conv_last(x)  # type: ignore[no-any-return]
        x = self.conv_before_upsample(x)
        if self.spec.upsampler == "pixelshuffle":
            return self.conv_last(self.upsample(x))  # type: ignore[no-any-return]
        for stage in range(self.spec.scale.bit_length() - 1):
            x = x.repeat_interleave(2, 1).repeat_interleave(2, 2)
            x = F.leaky_relu(self.get_submodule(f"conv_up{stage + 1}")(x), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))  # type: ignore[no-any-return]

    def features(self, x: Tensor, run: ForwardPass) -> Tensor:
        """Shallow features (B, H, W, C) -> the residual stream after the last group."""
        entry = cast(Norm, self.patch_embed["norm"])
        stats = entry.statistics(x)
        x = run.map(lambda rows: entry.normalize(rows, stats), x)
        steps = self.spec.stream_steps or (0,) * len(self.layers)
        for layer, step in zip(self.layers, steps, strict=True):
            if step:
                x = run.scale(x, 2.0**-step)
            x = layer(x, run)
        return x

    def forward(self, image: Tensor, run: ForwardPass = WHOLE) -> Tensor:
        """(B, C, H, W) -> (B, C, scale H, scale W).

        Args:
            image: float32 (float64 with float64 weights), whatever the weights' precision.
        """
        self._check(image, run)
        spec = self.spec
        x = image.permute(0, 2, 3, 1).contiguous()
        _, height, width, _ = x.shape
        whole = spec.window * spec.unshuffle
        # No negative numbers here: ONNX's division rounds towards zero.
        x = run.pad(x, *((side + whole - 1) // whole * whole for side in (height, width)))
        x = run.concatenate(pixel_unshuffle(x, spec.unshuffle)) if spec.unshuffle > 1 else x
        mean, gain = _vector(self.mean, x), spec.img_range / _vector(self.std, x)
        means, gains = (values.repeat(spec.unshuffle**2) for values in (mean, gain))  # of a cell
        side = spec.scale * spec.unshuffle  # of what a cell becomes
        inner = self.conv_first.weight.dtype

        shallow = run.map(
            lambda rows: self.conv_first(((rows - means) * gains).to(inner)), x, halo=1
        )
        deep = self.features(shallow, run)
        stats = self.norm.statistics(deep)
        deep = run.add(
            shallow,
            lambda rows: self.conv_after_body(self.norm.normalize(rows, stats)),
            deep,
            self.body_halo,
        )
        if spec.upsampler == "":
            if spec.scale > 1:
                onto = run.map(lambda rows: pixel_repeat(rows, spec.unshuffle, spec.scale), x)
            else:
                onto = x if spec.unshuffle > 1 else run.copy(x)  # the caller's own tensor, perhaps
            units = gain.repeat(side**2)
            out = run.add(
                onto, lambda rows: self._head(rows).to(x.dtype) / units, deep, self.head_halo
            )
            if side > 1:
                out = run.map(lambda rows: pixel_shuffle(rows, side), out, 0, side)
        else:
            out = run.map(
                lambda rows: self._head(rows).to(x.dtype) / gain + mean,
                deep,
                self.head_halo,
                side,
            )
        return crop(out, height * spec.scale, width * spec.scale).permute(0, 3, 1, 2)

    def _check(self, image: Tensor, run: ForwardPass) -> None:
        channels = self.spec.in_chans
        if not isinstance(image, Tensor):
            raise InputError(
                f"image is of type {type(image).__name__}; a network takes a tensor "
                f"(B, {channels}, H, W) in [0, 1], and iln.restore other pictures"
            )
        if image.ndim != 4 or image.shape[1] != channels or not image.is_floating_point():
            raise InputError(
                f"image is {image.dtype} of shape {tuple(image.shape)}; "
                f"accepted is floating point (B, {channels}, H, W) in [0, 1]"
            )
        if image.numel() == 0:
            raise InputError(f"image has shape {tuple(image.shape)}: no pixels")
        if isinstance(run, Strips) and torch.is_grad_enabled():
            raise InputError("Strips are for inference; call the model in torch.inference_mode()")


def _vector(values: tuple[float, ...], like: Tensor) -> Tensor:
    """As `like.new_tensor(values)`, which waits for a GPU and so cannot be in a CUDA graph."""
    return torch.cat([like.new_full((1,), value) for value in values])


def _initialize(module: nn.Module) -> None:
    """The authors' start: Linear weights truncated normal 0.02, biases 0; the rest PyTorch's."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
