"""Weights files with any byte damaged: one clear line, or a network; never anything else."""

from __future__ import annotations

import functools
import io
import json
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutated
from published import SPECS, network

from iln.backbones import Backbone, SwinIRSpec
from iln.checkpoints.native import describe, load, save
from iln.errors import InputError

KINDS = ("zip", "legacy", "safetensors")
TINY: dict[str, Any] = {
    "scale": 1, "upsampler": "", "embed_dim": 4, "depths": (1,), "num_heads": (1,), "window": 2,
    "mlp_ratio": 1.0, "qkv_bias": False,
}  # fmt: skip


def tiny() -> Backbone:
    return network(SwinIRSpec(**TINY))


@functools.cache
def written(kind: str, folder: Path) -> bytes:
    if kind == "safetensors":
        save(tiny(), folder / "whole.safetensors")
        return (folder / "whole.safetensors").read_bytes()
    buffer = io.BytesIO()
    torch.save(tiny().state_dict(), buffer, _use_new_zipfile_serialization=kind == "zip")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


def loaded(file: Path) -> Backbone | None:
    """The network, or None if it was refused in one line that begins with the file's name."""
    try:
        return load(file)
    except InputError as error:
        assert str(error).startswith(f"{file}: ")
        assert str(error).isprintable()
        return None


def places(kind: str, data: bytes) -> Iterator[int]:
    """Every byte but of numbers and the gaps between them, of which every seventh is taken."""
    raw: list[range] = []
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            ends = [entry.header_offset for entry in entries[1:]] + [archive.start_dir]
        for entry, end in zip(entries, ends, strict=True):
            if "/data/" in entry.filename:
                raw.append(range(entry.header_offset + 30 + len(entry.filename), end - 16))
    elif kind == "legacy":
        # After the pickles, each tensor is its length in 8 bytes and its numbers.
        sizes = [8 + t.numel() * t.element_size() for t in tiny().state_dict().values()]
        raw.append(range(len(data) - sum(sizes) + 8, len(data)))
    else:
        (header,) = struct.unpack_from("<Q", data)
        raw.append(range(8 + header, len(data)))
    gaps = {at for span in raw for at in span[1:] if at % 7}
    return (at for at in range(len(data)) if at not in gaps)


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind == "safetensors" else pytest.param(kind, marks=pytest.mark.slow)
        for kind in KINDS
    ],
)
def test_any_flipped_byte(kind: str, folder: Path) -> None:
    data, weights = written(kind, folder), tiny().state_dict()
    file = folder / f"flipped.{kind}"
    file.write_bytes(data)
    assert loaded(file) is not None
    refused = 0
    for at in places(kind, data):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        file.write_bytes(damaged)
        model = loaded(file)
        refused += model is None
        if model is not None and kind != "legacy":  # which has no checksums
            found = model.state_dict()
            assert all(torch.equal(found[name], weights[name]) for name in weights), at
    assert refused > 1000


@pytest.mark.slow
def test_another_digit_in_the_description(folder: Path) -> None:
    """For safetensors such a file is whole; for us it would be another network."""
    data = written("safetensors", folder)
    start = data.index(b"backbone")
    file = folder / "digit.safetensors"
    for at in range(start, data.index(b"}}", start)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        file.write_bytes(damaged)
        model = loaded(file)
        assert model is None or model.spec == tiny().spec, damaged[start : at + 9]


@pytest.mark.parametrize("kind", KINDS)
@settings(
    deadline=timedelta(seconds=20),  # far above what any takes: against hanging
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damage_at_random(kind: str, folder: Path, data: st.DataObject) -> None:
    file = folder / f"random.{kind}"
    file.write_bytes(data.draw(mutated(written(kind, folder))))
    loaded(file)
    try:
        describe(file)
    except InputError as error:
        assert str(error).startswith(f"{file}: ")
        assert str(error).isprintable()


def test_an_entry_marked_as_a_folder(folder: Path) -> None:
    # torch.load leaves such a tensor as the memory was.
    data = bytearray(written("zip", folder))
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"archive/data/0"))
    data[entry + 38] |= 0x10
    file = folder / "marked.pth"
    file.write_bytes(data)
    with pytest.raises(InputError, match="'archive/data/0' in it is marked as a folder"):
        load(file)


@pytest.mark.parametrize(
    ("backbone", "change", "expected"),
    [
        ("swinir", {"mlp_ratio": 2e6}, "too small for a network of 12 channels and 24000000 in"),
        ("swinir", {"depths": [900, 900]}, "metadata of another network"),
        ("hat", {"overlap_ratio": 5000.0}, "metadata of another network"),
        ("drct", {"growth": 40_000_000}, "metadata of another network|not a multiple"),
    ],
)
def test_metadata_that_asks_for_a_giant(
    backbone: str, change: dict[str, Any], expected: str, folder: Path
) -> None:
    model = network(SPECS[backbone])
    card = {"format": 1, "backbone": backbone, "spec": {**asdict(model.spec), **change}}
    file = folder / "giant.safetensors"
    safetensors.torch.save_file(model.state_dict(), file, {"iln": json.dumps(card)})
    with pytest.raises(InputError, match=expected):
        load(file)


def test_shapes_that_ask_for_a_giant(folder: Path) -> None:
    weights = tiny().state_dict()
    for name in ("conv_first.weight", "conv_first.bias"):
        weights[name] = torch.zeros(40_000, *weights[name].shape[1:])
    file = folder / "giant.pth"
    torch.save(weights, file)
    with pytest.raises(InputError, match="too small for a network of 40000 channels"):
        load(file)


def test_a_position_table_without_dimensions(folder: Path) -> None:
    model = tiny()
    weights = model.state_dict()
    table = next(name for name in weights if name.endswith("relative_position_bias_table"))
    weights[table] = torch.tensor(1.0)
    card = {"format": 1, "backbone": "swinir", "spec": asdict(model.spec)}
    file = folder / "scalar.safetensors"
    safetensors.torch.save_file(weights, file, {"iln": json.dumps(card)})
    with pytest.raises(InputError, match="metadata of another network"):
        load(file)
