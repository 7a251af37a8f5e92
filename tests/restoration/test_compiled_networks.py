"""Networks whose layers OpenVINO computes."""

from __future__ import annotations

import copy
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import photo, small_model, small_spec
from torch import nn

import iln
from iln.backbones import Backbone
from iln.cpu import instructions
from iln.deploy.openvino import choice as choosing
from iln.deploy.openvino import (
    compiled,
    modules,
    network,
    operations,
    programs,
    scratch_bytes,
    supported_precisions,
)
from iln.deploy.openvino.shifted_windows import regions
from iln.deploy.quantization import HALF_RANGE, bits_of, calibrate, quantized
from iln.errors import InputError
from iln.extras import openvino_core
from iln.layers.forward_pass import InPlaceBranch, Strips
from iln.layers.windows import to_windows
from iln.norm import NORMS

pytest.importorskip("openvino", reason="OpenVINO is not installed")

CORE = openvino_core()
"""Held, because one test forgets it: the plugin must not be unloaded."""
BACKBONES = ["swinir", "hat", "drct"]


def tensor(height: int = 14, width: int = 22, channels: int = 3) -> torch.Tensor:
    return torch.from_numpy(photo(height, width, channels)).permute(2, 0, 1)[None]


@torch.inference_mode()
def run(model: Backbone, rows: int = 4, channels: int = 3) -> torch.Tensor:
    result: torch.Tensor = model(tensor(channels=channels), Strips(rows))
    return result


def decibels(one: Any, other: Any) -> float:
    return float(-10 * torch.log10((one - other).double().square().mean() + 1e-30))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_same_picture_as_pytorch(backbone: str, norm: str) -> None:
    model = small_model(small_spec(backbone, norm))
    fast, expected = compiled(model), run(model)
    for rows in (4, 8, 1000):
        assert decibels(run(fast, rows), expected) > 110, rows


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": 1},
        {"scale": 3},
        {"scale": 4},
        {"scale": 2, "upsampler": "", "unshuffle": 2},
        {"in_chans": 1, "input_stats": "none"},
        {"qkv_bias": False},
        {"resi_connection": "3conv", "embed_dim": 16},
        {"stream_steps": (2,)},
    ],
)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_shape(backbone: str, changes: dict[str, Any]) -> None:
    spec = small_spec(backbone, **changes)
    model = small_model(spec)
    assert decibels(run(compiled(model), 4, spec.in_chans), run(model, 4, spec.in_chans)) > 110


@pytest.mark.parametrize("norm", ["i-ln", "ln", "bn"])
def test_one_picture_at_a_time_in_strips(norm: str) -> None:
    fast = compiled(small_model(small_spec(norm=norm)))
    with torch.inference_mode():
        with pytest.raises(InputError, match="one picture at a time, not 2"):
            fast(tensor(8, 8).expand(2, -1, -1, -1), Strips(4))
        with pytest.raises(InputError, match="computes in strips"):
            fast(tensor(8, 8))


def test_two_in_two_threads_leave_pytorch_its_threads() -> None:
    """PyTorch has one number for all: the second may not begin with that of the first."""
    restorers = [iln.Restorer(small_model(small_spec()), engine="openvino") for _ in range(2)]
    image = (np.random.default_rng(0).random((64, 64, 3)) * 255).astype(np.uint8)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with ThreadPoolExecutor(2) as pool:

            def work(restorer: iln.Restorer) -> int:
                for _ in range(10):
                    restorer(image)
                return torch.get_num_threads()

            assert list(pool.map(work, restorers)) == [4, 4]
    finally:
        torch.set_num_threads(before)


def test_a_picture_lower_and_narrower_than_a_window() -> None:
    model = small_model(small_spec())
    image, walk = tensor(2, 3), Strips(4)
    with torch.inference_mode():
        assert decibels(compiled(model)(image, walk), model(image, walk)) > 110


def as_constants(monkeypatch: pytest.MonkeyPatch, constants: bool) -> None:
    """Weights in the graphs, as without AVX-512, or given to shared graphs, as with it."""
    found = instructions()._replace(avx512=not constants)
    monkeypatch.setattr(network, "instructions", lambda: found)


@pytest.mark.parametrize("constants", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_pieces_do_not_show(
    backbone: str, constants: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_constants(monkeypatch, constants)
    model = small_model(small_spec(backbone))
    expected = run(model, 1000)
    assert decibels(run(compiled(model), 1000), expected) > 110
    before = scratch_bytes(compiled(model))
    for module in (programs, modules):
        monkeypatch.setattr(module, "PIECE", 1 << 11)
    pieces = compiled(model)
    assert scratch_bytes(pieces) < before - 2**22
    counts = [m.program.counts for m in pieces.modules() if isinstance(m, InPlaceBranch)]
    assert max(max(some) for some in counts) < 14 * 22
    assert decibels(run(pieces, 1000), expected) > 110


@pytest.mark.parametrize(("constants", "graphs"), [(True, 8), (False, 4)])
def test_layers_of_one_shape_share_their_graphs(
    constants: bool, graphs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four blocks: eight layers, or two kinds of them, each for two numbers of windows."""
    as_constants(monkeypatch, constants)
    compilers = []

    class Watched(programs.Compiler):
        def __init__(self, hint: str, *, constants: bool) -> None:
            super().__init__(hint, constants=constants)
            compilers.append(self)

    monkeypatch.setattr(network, "Compiler", Watched)
    model = small_model(small_spec("swinir", depths=(4,)))
    fast = compiled(model)
    assert len(compilers[0]._all) == graphs
    assert decibels(run(fast), run(model)) > 110


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("size", [(4, 4), (4, 12), (12, 4), (8, 20)])
def test_windows_are_those_of_the_rolled_map(size: tuple[int, int], shift: int) -> None:
    x = torch.randn(*size, 3)
    rolled = torch.roll(x, (-shift, -shift), (0, 1))
    expected = to_windows(rolled[None], 4)[0].flatten(0, 1)
    found, out = [], torch.zeros_like(x)
    for region, target in zip(regions(x, 4, shift), regions(out, 4, shift), strict=True):
        windows = torch.empty(region.rows * region.columns, 4, 4, 3)
        for start in range(0, len(windows), 2):  # pieces that end inside a row, too
            region.gather(start, windows[start : start + 2])
        target.scatter(0, windows)
        found += [window.flatten(0, 1) for window in windows]
    assert len(found) == len(expected)
    for window in expected:
        assert sum(torch.equal(window, other) for other in found) == 1
    assert torch.equal(out, x)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_bf16(backbone: str) -> None:
    if "bf16" not in supported_precisions():
        pytest.skip("this CPU has no bfloat16")
    model = small_model(small_spec(backbone))
    found = decibels(run(compiled(model, "bf16")), run(model))
    assert 35 < found < 100  # close, and not float32 by mistake


@pytest.mark.parametrize("half_range", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_int8_is_what_fake_quantisation_foretells(
    backbone: str, half_range: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not half_range and not instructions().int8:
        pytest.skip("this CPU has no 8-bit dot products, so it never uses the full range")
    monkeypatch.setattr(
        network, "supported_precisions", lambda: ["fp32", "int8"]
    )  # no bf16 between them
    model = small_model(small_spec(backbone))
    ranges = calibrate(model, [tensor()])
    foreteller = quantized(model, bits_of("W8A8"), ranges, half_range=half_range)
    for name, layer in foreteller.body_layers().items():
        if isinstance(layer, nn.Conv2d):  # those stay in float here
            layer._forward_pre_hooks.clear()
            layer.load_state_dict(model.get_submodule(name).state_dict())
    exact, foretold = run(model), run(foreteller)
    found = run(compiled(model, "int8", ranges, half_range=half_range))
    assert decibels(found, exact) > 25
    assert abs(decibels(found, exact) - decibels(foretold, exact)) < 1
    # Values half-way between two steps may fall either way, so they are not equal.
    assert decibels(found, foretold) > decibels(foretold, exact) + 3


def test_int8_never_saturates_by_default() -> None:
    """Inputs and weights at the ends of their ranges: the largest sums that there can be."""
    layer = nn.Linear(64, 64, bias=False).requires_grad_(False)
    layer.weight.fill_(1.0)
    for half_range in {True, not instructions().int8}:
        rounding = operations.Rounding(0.0, 1.0, HALF_RANGE if half_range else 127)
        with programs.Compiler("f32", constants=True) as compile_graph:
            run_it = modules.CompiledLinear(layer, {"": rounding}, compile_graph)
        assert torch.allclose(run_it(torch.ones(16, 64)), torch.full((16, 64), 64.0), rtol=1e-3)


def test_a_layer_that_sees_only_zeros() -> None:
    model = small_model(small_spec())
    ranges = dict.fromkeys(calibrate(model, [tensor()]), (0.0, 0.0))
    assert run(compiled(model, "int8", ranges)).isfinite().all()


def test_the_model_stays_and_so_do_the_threads() -> None:
    model = small_model(small_spec())
    expected = run(model)
    fast = compiled(model)
    before = torch.get_num_threads()
    run(fast)
    with pytest.raises(InputError):
        run(fast, channels=1)
    assert torch.get_num_threads() == before
    assert torch.equal(run(model), expected)


def test_missing_ranges() -> None:
    model = small_model(small_spec())
    with pytest.raises(InputError, match="this model has none; `iln quantize"):
        compiled(model, "int8")
    ranges = calibrate(model, [tensor()])
    ranges.popitem()
    with pytest.raises(InputError, match="none for conv_after_body; `iln quantize"):
        compiled(model, "int8", ranges)


def test_numbers_that_the_cpu_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "supported_precisions", lambda: ["fp32", "int8"])
    with pytest.raises(InputError, match="has no 'bf16' on this CPU; it has fp32, int8"):
        compiled(small_model(small_spec()), "bf16")


# --- restoring -----------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [None, 2**20])
def test_a_restorer_with_the_engine(memory: int | None, scratch: Path) -> None:
    model, image = small_model(small_spec()), (photo(21, 26, 4) * 255).astype(np.uint8)
    plain = iln.Restorer(model, device="cpu")
    fast = iln.Restorer(model, engine="openvino", precision="fp32", memory=memory)
    ticks: list[float] = []
    result = fast(image, progress=ticks.append)
    assert np.abs(result.astype(int) - plain(image)).max() <= 1
    assert (result != plain(image)).mean() < 0.001
    assert ticks[-1] == 1 and len(ticks) > 5
    assert fast.precision == "fp32"


def test_auto_is_bf16_where_it_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model(small_spec())
    safe = (
        decibels(run(compiled(model, "bf16")), run(model))
        if "bf16" in supported_precisions()
        else 0
    )
    chosen = iln.Restorer(model, engine="openvino").precision
    assert chosen == ("bf16" if safe > choosing.SAFE else "fp32")
    for needed, expected in ((10.0, "bf16"), (200.0, "fp32")):
        monkeypatch.setattr(choosing, "SAFE", needed)
        if expected in supported_precisions():
            assert iln.Restorer(model, engine="openvino").precision == expected
    monkeypatch.setattr(choosing, "supported_precisions", lambda: ["fp32", "int8"])
    assert iln.Restorer(model, engine="openvino").precision == "fp32"


def test_int8_from_a_file(tmp_path: Path) -> None:
    model = small_model(small_spec())
    file = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match="this model has none"):
        iln.Restorer(model, engine="openvino", precision="int8")
    copied = copy.deepcopy(model)  # others use the same
    copied.ranges = calibrate(model, [tensor()])
    iln.save(copied, file)
    restorer = iln.Restorer(file, engine="openvino", precision="int8")
    assert restorer.model.ranges == copied.ranges
    image = photo(14, 22)
    expected = iln.Restorer(model, device="cpu")(image)
    error = np.abs(restorer(image) - expected).mean()
    assert 0 < error < 0.05


def test_a_choice_that_cannot_be() -> None:
    model = small_model(small_spec())
    for words, message in (
        ({"engine": "steam"}, "no engine 'steam'; accepted: auto, torch, openvino"),
        ({"precision": "int8"}, "add --engine openvino"),
        ({"engine": "openvino", "precision": "int7"}, "accepted: auto, fp32, bf16, fp16, int8"),
        ({"engine": "openvino", "device": "cuda"}, "for CPUs, not cuda"),
    ):
        with pytest.raises(InputError, match=message):
            iln.Restorer(model, **words)  # type: ignore[arg-type]


def test_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    openvino_core.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'iln\[openvino\]'"):
        iln.Restorer(small_model(small_spec()), engine="openvino")


def test_infinite_results_are_done_again_in_float32() -> None:
    if "bf16" not in supported_precisions():
        pytest.skip("this CPU has no bfloat16")
    restorer = iln.Restorer(small_model(small_spec()), engine="openvino")
    restorer.precision, restorer._spare = "bf16", small_model(small_spec())
    with torch.no_grad():
        restorer.model.conv_first.weight.fill_(np.inf)
    image = photo(9, 9)
    assert np.array_equal(restorer(image), iln.Restorer(small_model(small_spec()))(image))
    assert restorer.precision == "fp32"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_without_instructions_is_float32_after_one_line(
    precision: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choosing, "supported_precisions", lambda: ["fp32", "int8"])
    caplog.set_level("INFO", "iln")
    restorer = iln.Restorer(small_model(small_spec()), engine="openvino", precision=precision)
    assert restorer.precision == "fp32"
    expected = f"this CPU has no instructions for {precision}, so OpenVINO computes in fp32"
    assert caplog.messages == [expected]


def test_pytorch_says_what_it_has_no_instructions_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    caplog.set_level("INFO", "iln")
    model = small_model(small_spec())
    assert iln.Restorer(model, device="cpu").precision == "fp32"
    assert not caplog.messages
    assert iln.Restorer(model, device="cpu", precision="bf16").precision == "bf16"
    if not instructions().bf16:
        assert caplog.messages == [
            "this CPU has no instructions for bf16: fp32 is faster, often many times"
        ]
