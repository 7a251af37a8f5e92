"""Sizes of the published networks, from formulas that know nothing of our modules."""

from __future__ import annotations

import pytest
import torch
from tiny_networks import TINY, shared, spec

from iln.backbones import PRESETS, DRCTSpec, HATSpec, Spec, build
from iln.backbones.drct import stage_heads
from iln.norm import NORMS

PUBLISHED = {
    "swinir-light-x2": 910_152,
    "swinir-light-x3": 918_267,
    "swinir-light-x4": 929_628,
    "swinir-x4": 11_900_199,
    "hat-s-x4": 9_621_183,
    "hat-x4": 20_772_507,
    "hat-mini-x4": 4_623_807,
    "drct-x4": 14_139_579,
}


def conv(inner: int, outer: int, kernel: int = 3) -> int:
    return inner * outer * kernel**2 + outer


def linear(inner: int, outer: int) -> int:
    return inner * outer + outer


def transformer_block(dim: int, hidden: int, table: int, heads: int) -> int:
    norms = 2 * 2 * dim
    attention = linear(dim, 3 * dim) + linear(dim, dim) + table * heads
    return norms + attention + linear(dim, hidden) + linear(hidden, dim)


def residual_conv(spec: Spec) -> int:
    c, q = spec.embed_dim, spec.embed_dim // 4
    if spec.resi_connection == "1conv":
        return conv(c, c)
    return conv(c, q) + conv(q, q, 1) + conv(q, c)


def head(spec: Spec) -> int:
    c, colours, f = spec.embed_dim, spec.in_chans, 64
    if spec.upsampler == "":
        return conv(c, colours)
    if spec.upsampler == "pixelshuffledirect":
        return conv(c, colours * spec.scale**2)
    doublings = {2: 1, 4: 2, 8: 3}.get(spec.scale, 0)
    if spec.upsampler == "nearest+conv":
        return conv(c, f) + doublings * conv(f, f) + conv(f, f) + conv(f, colours)
    stages = conv(f, 9 * f) if spec.scale == 3 else doublings * conv(f, 4 * f)
    return conv(c, f) + stages + conv(f, colours)


def group(spec: Spec, depth: int, heads: int) -> int:
    c, w, hidden = spec.embed_dim, spec.window, int(spec.embed_dim * spec.mlp_ratio)
    if isinstance(spec, DRCTSpec):
        total = 0
        for stage in range(5):
            dim, ratio = c + stage * spec.growth, spec.mlp_ratio if stage < 3 else 1
            own = heads if stage == 0 else heads - dim % heads
            total += transformer_block(dim, int(dim * ratio), (2 * w - 1) ** 2, own)
            total += conv(dim, c if stage == 4 else spec.growth, 1)
        return total
    block = transformer_block(c, hidden, (2 * w - 1) ** 2, heads)
    total = depth * block + residual_conv(spec)
    if isinstance(spec, HATSpec):
        narrow, squeezed = c // spec.compress_ratio, c // spec.squeeze_factor
        branch = conv(c, narrow) + conv(narrow, c) + conv(c, squeezed, 1) + conv(squeezed, c, 1)
        larger = int(w * spec.overlap_ratio) + w
        total += depth * branch + transformer_block(c, hidden, (w + larger - 1) ** 2, heads)
    return total


def expected(spec: Spec) -> int:
    groups = sum(group(spec, *part) for part in zip(spec.depths, spec.num_heads, strict=True))
    ends = conv(spec.in_chans, spec.embed_dim) + residual_conv(spec)
    norms_outside = 2 * 2 * spec.embed_dim
    return ends + norms_outside + groups + head(spec)


@pytest.fixture
def unfilled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are not started: memory that is never written to costs next to nothing."""
    for start in ("trunc_normal_", "kaiming_uniform_", "uniform_", "zeros_"):
        monkeypatch.setattr(torch.nn.init, start, lambda tensor, *args, **settings: tensor)


@pytest.mark.usefixtures("unfilled")
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset(preset: str) -> None:
    total = sum(p.numel() for p in build(preset, "ln").parameters())
    assert total == expected(PRESETS[preset])
    assert total == PUBLISHED.get(preset, total)


@pytest.mark.parametrize("backbone", TINY)
def test_iln_adds_no_parameter(backbone: str) -> None:
    total = {n: sum(p.numel() for p in shared(spec(backbone, n)).parameters()) for n in NORMS}
    assert total["ln"] == total["ln*"] == total["in"] == total["bn"] == total["i-ln"]
    gammas = [p for n, p in shared(spec(backbone, "i-ln")).named_parameters() if "gamma" in n]
    assert total["none"] == total["ln"] - 2 * sum(p.numel() for p in gammas)
    assert total["rms"] == total["ln"] - sum(p.numel() for p in gammas)


def test_every_published_count_belongs_to_a_preset() -> None:
    assert PUBLISHED.keys() <= PRESETS.keys()
    families = {name.rpartition("-x")[0] or name for name in PRESETS}
    assert len(PRESETS) == 32
    assert {"swinir-light", "swinir", "swinir-real", "hat", "hat-s", "hat-l", "drct"} <= families


def test_builds_on_the_meta_device() -> None:
    with torch.device("meta"):
        build("swinir-light-x2")


def test_drct_head_counts() -> None:
    """heads - dim mod heads for 180 + k 32 channels and 6 heads, the sizes as published."""
    dims = [180, 212, 244, 276, 308]
    # 212 = 35 * 6 + 2, 244 = 40 * 6 + 4, 276 = 46 * 6, 308 = 51 * 6 + 2
    assert [stage_heads(d, 6, k) for k, d in enumerate(dims)] == [6, 4, 2, 6, 4]
    assert all(d % h == 0 for d, h in zip(dims, [6, 4, 2, 6, 4], strict=True))
