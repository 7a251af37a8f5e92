"""The same numbers as the authors' code: outputs recorded with random weights, in float32."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from iln.backbones import Backbone, DRCTSpec, HATSpec, SwinIRSpec, convert, from_spec
from iln.layers.forward_pass import Strips

HERE = Path(__file__).parents[1] / "data" / "golden"
SHARED = Path(__file__).parents[3] / "shared" / "golden"
TINY = ["swinir", "hat", "hat_iln", "drct"]
LARGER = [
    "swinir_classical_x4",
    "swinir_lightweight_x2",
    "swinir_color_dn",
    "hat_x4",
    "hat_iln_x4",
    "drct_x4",
]
BUFFERS = ("relative_position_index", "attn_mask")
TOLERANCE = 3e-6


@dataclass
class Golden:
    model: Backbone
    input: Tensor
    output: Tensor
    buffers: dict[str, Tensor]


def spec_of(architecture: str, config: dict[str, Any]) -> SwinIRSpec | HATSpec | DRCTSpec:
    common = {
        "scale": config["upscale"],
        "in_chans": config["in_chans"],
        "embed_dim": config["embed_dim"],
        "depths": tuple(config["depths"]),
        "num_heads": tuple(config["num_heads"]),
        "window": config["window_size"],
        "mlp_ratio": config["mlp_ratio"],
        "upsampler": config["upsampler"],
        "resi_connection": config["resi_connection"],
        "img_range": config["img_range"],
    }
    if architecture == "SwinIR":
        return SwinIRSpec(**common)
    if architecture == "DRCT":
        return DRCTSpec(**common, growth=config["gc"])
    if architecture == "HAT_iLN":
        common |= {"norm": "i-ln", "eps": config["eps"], "input_stats": "mean+std"}
    names = ("compress_ratio", "squeeze_factor", "conv_scale", "overlap_ratio")
    return HATSpec(**common, **{name: config[name] for name in names})


def read(file: Path) -> Golden:
    if not file.exists():
        pytest.skip(f"{file} is not there: the larger reference outputs are not in the repository")
    with safe_open(file, "pt") as handle:
        metadata = handle.metadata()
        tensors = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118
    model = from_spec(spec_of(metadata["architecture"], json.loads(metadata["config"]))).eval()
    state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
    buffers = {k: v for k, v in state.items() if any(b in k.split(".")[-1] for b in BUFFERS)}
    buffers = {k: v for k, v in buffers.items() if not k.endswith("bias_table")}
    # Every other key is there under the authors' name, and no more than those.
    model.load_state_dict({k: v for k, v in state.items() if k not in buffers}, strict=True)
    return Golden(model, tensors["input"], tensors["output"], buffers)


def check(golden: Golden, strips: tuple[int, ...]) -> None:
    def agrees(y: Tensor) -> None:
        torch.testing.assert_close(y, golden.output, rtol=0, atol=TOLERANCE)

    agrees(golden.model(golden.input))  # explicit attention, as in training
    with torch.no_grad():
        agrees(golden.model(golden.input))  # fused attention
        for rows in strips:
            agrees(golden.model(golden.input, Strips(rows)))


@pytest.mark.parametrize("name", TINY)
def test_tiny(name: str) -> None:
    file = HERE / f"{name}.safetensors"
    assert file.exists()
    check(read(file), strips=(1, 9, 1000))


@pytest.mark.parametrize("name", LARGER)
def test_larger(name: str) -> None:
    check(read(SHARED / f"{name}.safetensors"), strips=(9,))


@pytest.mark.parametrize("name", TINY)
def test_position_indices_are_the_stored_ones(name: str) -> None:
    golden = read(HERE / f"{name}.safetensors")
    ours = dict(golden.model.named_buffers())
    stored = {k: v for k, v in golden.buffers.items() if "index" in k}
    if name.startswith("hat"):  # stored once, at the top
        group = "layers.0.residual_group"
        stored = {
            f"{group}.blocks.0.attn.relative_position_index": stored["relative_position_index_SA"],
            f"{group}.overlap_attn.relative_position_index": stored["relative_position_index_OCA"],
        }
        assert stored[f"{group}.overlap_attn.relative_position_index"].min() < 0
    assert stored
    for key, index in stored.items():
        table = key.replace("position_index", "position_bias_table")
        entries = golden.model.get_parameter(table).shape[0]
        # Negative ones count from the table's end; ours are counted from the beginning.
        assert torch.equal(ours[key], index % entries), key


def test_the_wrong_norm_would_be_noticed() -> None:
    golden = read(HERE / "hat_iln.safetensors")
    for norm in ("ln", "ln*", "in"):
        with torch.no_grad():
            wrong = convert(golden.model, norm)(golden.input)
        assert (wrong - golden.output).abs().max() > 100 * TOLERANCE
