"""SwinIR and HAT step by step as their papers draw them: what `train_step.py` compares with.

Written for comparison only, in plain eager PyTorch and without any of the package's kernels: maps
go back and forth between (B, C, H, W) for convolutions and (B, L, C) for everything else; windows
are rolled, cut out, attended to with a mask for every window, and put back; i-LN is `var_mean`
and a multiplication. Parameters are named as the package's, so one state dict serves both.

    twin = port(model)      # the same function and the same weights as `model`, norms ln and i-ln
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from iln.backbones import Backbone, HATSpec, Spec
from iln.layers.position_bias import overlapping_position_index, relative_position_index

Size = tuple[int, int]


def port(model: Backbone) -> nn.Module:
    """The eager twin of a SwinIR or HAT with `ln` or `i-ln`, with a copy of its weights."""
    spec = model.spec
    if spec.norm not in ("ln", "i-ln") or spec.upsampler not in ("pixelshuffle", PSD):
        raise ValueError(f"no eager port of {spec.norm} with upsampler {spec.upsampler!r}")
    twin = EagerHAT(spec) if isinstance(spec, HATSpec) else EagerSwinIR(spec)
    twin.load_state_dict(model.state_dict())
    return twin.train(model.training)


PSD = "pixelshuffledirect"


def tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H W, C)."""
    return x.flatten(2).transpose(1, 2)


def picture(x: Tensor, size: Size) -> Tensor:
    """(B, H W, C) -> (B, C, H, W)."""
    return x.transpose(1, 2).contiguous().view(x.shape[0], x.shape[2], *size)


def partition(x: Tensor, window: int) -> Tensor:
    """(B, H, W, C) -> (windows of all pictures, w, w, C)."""
    b, h, w, c = x.shape
    x = x.view(b, h // window, window, w // window, window, c)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, window, window, c)


def reverse(windows: Tensor, window: int, size: Size) -> Tensor:
    """The inverse of `partition`: (B, H, W, C)."""
    h, w = size
    x = windows.view(-1, h // window, w // window, window, window, windows.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, h, w, windows.shape[-1])


def shift_mask(size: Size, window: int, shift: int, device: torch.device) -> Tensor:
    """(windows of one picture, w w, w w): -100 between pixels that the roll brought together."""
    regions = torch.zeros(1, *size, 1, device=device)
    bands = (slice(0, -window), slice(-window, -shift), slice(-shift, None))
    for i, rows in enumerate(bands):
        for j, columns in enumerate(bands):
            regions[:, rows, columns] = 3 * i + j
    cells = partition(regions, window).flatten(1)
    apart = cells[:, None, :] != cells[:, :, None]
    return apart * -100.0


class EagerILN(nn.Module):
    """LN* on (B, L, C): the whole picture's mean and sigma; `sigma` goes back to the block."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(dim))
        self.beta = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | float]:
        variance, mean = torch.var_mean(x, (1, 2), correction=0, keepdim=True)
        sigma = torch.sqrt(variance + self.eps)
        return (x - mean) / sigma * self.gamma + self.beta, sigma


class EagerLN(nn.LayerNorm):
    """LayerNorm on (B, L, C), with the 1 that i-LN's sigma takes the place of."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | float]:  # type: ignore[override]
        return super().forward(x), 1.0


class EagerAffine(nn.Module):
    """gamma x + beta: i-LN outside a residual branch."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))
        self.beta = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | float]:
        return x * self.gamma + self.beta, 1.0


def make_norm(spec: Spec, outside: bool = False) -> nn.Module:
    """The norm before a residual branch, or outside of one."""
    if spec.norm == "ln":
        return EagerLN(spec.embed_dim, spec.eps)
    return EagerAffine(spec.embed_dim) if outside else EagerILN(spec.embed_dim, spec.eps)


def scaled(branch: Tensor, sigma: Tensor | float) -> Tensor:
    """The branch times sigma, where there is one."""
    return branch * sigma if isinstance(sigma, Tensor) else branch


class EagerMlp(nn.Module):
    """fc1, GELU, fc2."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        hidden = int(spec.embed_dim * spec.mlp_ratio)
        self.fc1 = nn.Linear(spec.embed_dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, spec.embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc2(self.act(self.fc1(x))))


class EagerAttention(nn.Module):
    """Attention inside windows (windows, w w, C), masked for every window or for none."""

    relative_position_index: Tensor

    def __init__(self, spec: Spec, heads: int) -> None:
        super().__init__()
        dim, window = spec.embed_dim, spec.window
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(dim, 3 * dim, bias=spec.qkv_bias)
        self.proj = nn.Linear(dim, dim)
        index = relative_position_index(window)
        self.register_buffer("relative_position_index", index, persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        count, n, dim = x.shape
        qkv = self.qkv(x).reshape(count, n, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = (q * self.scale) @ k.transpose(-2, -1)
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)]
        scores = scores + bias.view(n, n, -1).permute(2, 0, 1).contiguous()[None]
        if mask is not None:
            scores = scores.view(-1, mask.shape[0], self.heads, n, n) + mask[None, :, None]
            scores = scores.view(count, self.heads, n, n)
        out = torch.softmax(scores, -1) @ v
        return cast(Tensor, self.proj(out.transpose(1, 2).reshape(count, n, dim)))


class EagerBlock(nn.Module):
    """A Swin block on (B, L, C); with `conv_block`, HAT's hybrid block."""

    def __init__(self, spec: Spec, heads: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = spec.window, shift
        self.norm1 = make_norm(spec)
        self.attn = EagerAttention(spec, heads)
        self.norm2 = make_norm(spec)
        self.mlp = EagerMlp(spec)
        if isinstance(spec, HATSpec):
            self.conv_block = EagerConvBranch(spec)
            self.conv_scale = spec.conv_scale

    def forward(self, x: Tensor, size: Size, mask: Tensor) -> Tensor:
        b, _, c = x.shape
        y, sigma = self.norm1(x)
        y = y.view(b, *size, c)
        attended = self.attention(y, size, mask)
        if hasattr(self, "conv_block"):
            convolved = self.conv_block(y.permute(0, 3, 1, 2))
            convolved = convolved.permute(0, 2, 3, 1).contiguous().view(x.shape)
            attended = attended + convolved * self.conv_scale
        x = x + scaled(attended, sigma)
        y, sigma = self.norm2(x)
        return x + scaled(self.mlp(y), sigma)

    def attention(self, y: Tensor, size: Size, mask: Tensor) -> Tensor:
        """Roll, cut out the windows, attend, put them back, roll back: (B, L, C)."""
        b, c, w = y.shape[0], y.shape[-1], self.window
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        windows = partition(y, w).view(-1, w * w, c)
        out = self.attn(windows, mask if self.shift else None)
        y = reverse(out.view(-1, w, w, c), w, size)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        return y.view(b, -1, c)


class EagerGate(nn.Module):
    """HAT's channel attention on (B, C, H, W)."""

    def __init__(self, dim: int, narrow: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(dim, narrow, 1),
            nn.ReLU(),
            nn.Conv2d(narrow, dim, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x * self.attention(x))


class EagerConvBranch(nn.Module):
    """HAT's conv branch on (B, C, H, W)."""

    def __init__(self, spec: HATSpec) -> None:
        super().__init__()
        dim, narrow = spec.embed_dim, spec.embed_dim // spec.compress_ratio
        self.cab = nn.Sequential(
            nn.Conv2d(dim, narrow, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(narrow, dim, 3, padding=1),
            EagerGate(dim, dim // spec.squeeze_factor),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.cab(x))


class EagerOverlap(nn.Module):
    """HAT's overlapping attention: keys unfolded from a zero-padded picture."""

    relative_position_index: Tensor

    def __init__(self, spec: HATSpec, heads: int) -> None:
        super().__init__()
        dim, self.window = spec.embed_dim, spec.window
        self.extended, self.heads = spec.window + spec.overlap, heads
        self.scale = (dim // heads) ** -0.5
        self.norm1 = make_norm(spec)
        self.qkv = nn.Linear(dim, 3 * dim, bias=spec.qkv_bias)
        self.unfold = nn.Unfold(self.extended, stride=self.window, padding=spec.overlap // 2)
        entries = (self.window + self.extended - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.zeros(entries, heads))
        self.proj = nn.Linear(dim, dim)
        self.norm2 = make_norm(spec)
        self.mlp = EagerMlp(spec)
        index = overlapping_position_index(self.window, self.extended)
        self.register_buffer("relative_position_index", index, persistent=False)

    def forward(self, x: Tensor, size: Size) -> Tensor:
        y, sigma = self.norm1(x)
        x = x + scaled(self.attention(y, size), sigma)
        y, sigma = self.norm2(x)
        return x + scaled(self.mlp(y), sigma)

    def attention(self, y: Tensor, size: Size) -> Tensor:
        """Normalised (B, L, C) -> the branch's output."""
        b, _, dim = y.shape
        n, m, d = self.window**2, self.extended**2, dim // self.heads
        qkv = self.qkv(y).reshape(b, *size, 3, dim).permute(3, 0, 4, 1, 2)
        q = partition(qkv[0].permute(0, 2, 3, 1), self.window).view(-1, n, dim)
        kv = self.unfold(torch.cat((qkv[1], qkv[2]), 1))
        kv = kv.view(b, 2, dim, m, -1).permute(1, 0, 4, 3, 2).contiguous().view(2, -1, m, dim)
        q = q.view(-1, n, self.heads, d).permute(0, 2, 1, 3)
        k, v = kv.view(2, -1, m, self.heads, d).permute(0, 1, 3, 2, 4)
        scores = (q * self.scale) @ k.transpose(-2, -1)
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)]
        scores = scores + bias.view(n, m, -1).permute(2, 0, 1).contiguous()[None]
        out = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(-1, n, dim)
        out = out.view(-1, self.window, self.window, dim)
        return cast(Tensor, self.proj(reverse(out, self.window, size).view(b, -1, dim)))


def make_conv(spec: Spec) -> nn.Module:
    """The convolution that ends a group, on (B, C, H, W)."""
    dim = spec.embed_dim
    if spec.resi_connection == "1conv":
        return nn.Conv2d(dim, dim, 3, padding=1)
    return nn.Sequential(
        nn.Conv2d(dim, dim // 4, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(dim // 4, dim // 4, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(dim // 4, dim, 3, padding=1),
    )


class EagerGroup(nn.Module):
    """Blocks, HAT's overlapping block, a convolution on the unflattened map, and the skip."""

    def __init__(self, spec: Spec, depth: int, heads: int) -> None:
        super().__init__()
        blocks = [EagerBlock(spec, heads, spec.window // 2 * (i % 2)) for i in range(depth)]
        parts: dict[str, nn.Module] = {"blocks": nn.ModuleList(blocks)}
        if isinstance(spec, HATSpec):
            parts["overlap_attn"] = EagerOverlap(spec, heads)
        self.residual_group = nn.ModuleDict(parts)
        self.conv = make_conv(spec)

    def forward(self, x: Tensor, size: Size, mask: Tensor) -> Tensor:
        y = x
        for block in cast(nn.ModuleList, self.residual_group["blocks"]):
            y = block(y, size, mask)
        if "overlap_attn" in self.residual_group:
            y = self.residual_group["overlap_attn"](y, size)
        return tokens(self.conv(picture(y, size))) + x


class EagerSwinIR(nn.Module):
    """(B, C, H, W) -> (B, C, scale H, scale W), H and W multiples of the window."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec, dim = spec, spec.embed_dim
        self.conv_first = nn.Conv2d(spec.in_chans, dim, 3, padding=1)
        self.patch_embed = nn.ModuleDict({"norm": make_norm(spec, outside=True)})
        parts = zip(spec.depths, spec.num_heads, strict=True)
        self.layers = nn.ModuleList(EagerGroup(spec, *part) for part in parts)
        self.norm = make_norm(spec, outside=True)
        self.conv_after_body = make_conv(spec)
        self._build_head()

    def _build_head(self) -> None:
        spec, dim = self.spec, self.spec.embed_dim
        scale, channels = spec.scale, spec.in_chans
        if spec.upsampler == PSD:
            conv = nn.Conv2d(dim, scale * scale * channels, 3, padding=1)
            self.upsample = nn.Sequential(conv, nn.PixelShuffle(scale))
            return
        self.conv_before_upsample = nn.Sequential(
            nn.Conv2d(dim, 64, 3, padding=1), nn.LeakyReLU(0.01)
        )
        stages: list[nn.Module] = []
        for factor in [3] if scale == 3 else [2] * (scale.bit_length() - 1):
            stages += [nn.Conv2d(64, 64 * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
        self.upsample = nn.Sequential(*stages)
        self.conv_last = nn.Conv2d(64, channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        mean, gain = self._input_statistics(image)
        shallow = self.conv_first((image - mean) * gain)
        x = self.conv_after_body(self.features(shallow)) + shallow
        if self.spec.upsampler == PSD:
            x = self.upsample(x)
        else:
            x = self.conv_last(self.upsample(self.conv_before_upsample(x)))
        out: Tensor = x / gain + mean
        return out

    def features(self, x: Tensor) -> Tensor:
        """All groups: (B, C, H, W) -> (B, C, H, W)."""
        size = (x.shape[2], x.shape[3])
        window = self.spec.window
        mask = shift_mask(size, window, window // 2, x.device)
        x, _ = self.patch_embed["norm"](tokens(x))
        for layer in self.layers:
            x = layer(x, size, mask)
        x, _ = self.norm(x)
        return picture(x, size)

    def _input_statistics(self, image: Tensor) -> tuple[Tensor, Tensor]:
        kind = self.spec.input_stats if self.spec.in_chans == 3 else "none"
        values: dict[str, Any] = {"mean": (0.4488, 0.4371, 0.4040), "std": (0.2842, 0.2701, 0.2920)}
        mean = image.new_tensor(values["mean"] if kind != "none" else (0.0,))
        std = image.new_tensor(values["std"] if kind == "mean+std" else (1.0,))
        return mean.view(1, -1, 1, 1), self.spec.img_range / std.view(1, -1, 1, 1)


class EagerHAT(EagerSwinIR):
    """The same frame; the groups build HAT's blocks from a `HATSpec`."""
