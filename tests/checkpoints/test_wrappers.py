"""Weights as other trainers wrap them: nested, prefixed, with averages beside; and what is none."""

from __future__ import annotations

import argparse
import datetime
import io
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published import SPECS, network, official, run
from safetensors.torch import save_file
from torch import Tensor

from iln.checkpoints.native import load
from iln.errors import InputError

PLAIN, AVERAGED = network(SPECS["swinir"], 1), network(SPECS["swinir"], 2)
State = dict[str, Tensor]


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def beside(first: str, second: str) -> Callable[[State, State], Any]:
    return lambda plain, averaged: {first: plain, second: averaged, "epoch": 3}


def other(state: State) -> State:
    return {name: tensor * 2 for name, tensor in state.items()}


CRITIC = {"conv_first.weight": torch.zeros(4, 3, 3, 3), "linear.weight": torch.zeros(1, 4)}

ONE = {
    **{
        f"prefix {prefix}": (lambda state, prefix=prefix: prefixed(prefix, state))
        for prefix in (
            "model.",
            "net_g.",
            "generator.",
            "netG.",
            "module.",
            "model.module.",
            "a.b.",
        )
    },
    **{
        f"under {key}": (lambda state, key=key: {key: state, "iter": 5, "lr": [0.1]})
        for key in ("net", "generator", "params", "model_state_dict", "weights", "state", "netG")
    },
    "lightning": lambda state: {
        "state_dict": {**prefixed("model.", state), "loss.weight": torch.zeros(3)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
        "epoch": 3,
    },
    "deep": lambda state: {"checkpoint": {"model": {"net_g": prefixed("module.", state)}}},
    "critic beside": lambda state: {"net_d": CRITIC, "net_g": state},
    "critic by prefix": lambda state: {**prefixed("netD.", CRITIC), **prefixed("netG.", state)},
    "momenta beside": lambda state: {
        "optimizer": {"exp_avg": other(state), "exp_avg_sq": other(state)},
        "grads": other(state),
        "model": state,
    },
    "averages under online": lambda state: {
        "ema": {**prefixed("online_model.", other(state)), **prefixed("ema_model.", state)}
    },
    "compiled": lambda state: prefixed("_orig_mod.", state),
    "averages alone": lambda state: {
        "n_averaged": torch.tensor(7),
        **prefixed("module.", state),
    },
}
TWO = {
    f"{first} and {second}": beside(first, second)
    for first, second in (
        ("params", "params_ema"),
        ("params", "params-ema"),
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("g", "g_ema"),
        ("net", "ema"),
        ("model", "swa"),
        ("model", "averaged_model"),
        ("model", "emaModel"),
        ("netG", "netEMA"),
        ("model", "shadow"),
        ("generator", "polyak"),
    )
}
TWO["ema by prefix"] = lambda plain, averaged: {
    "state_dict": {**prefixed("net.", plain), **prefixed("ema.net.", averaged)}
}


def same(file: Path, expected: Any) -> bool:
    return torch.equal(run(load(file)), run(expected))


@pytest.mark.parametrize("case", ONE)
def test_one_set_of_weights_is_found(
    case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(ONE[case](official(PLAIN)), tmp_path / "a.pth")
    assert same(tmp_path / "a.pth", PLAIN)


@pytest.mark.parametrize("order", ["as saved", "turned"])
@pytest.mark.parametrize("case", TWO)
def test_averaged_weights_are_preferred_and_a_note_says_so(
    case: str, order: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = TWO[case](official(PLAIN), official(AVERAGED))
    if order == "turned":
        content = dict(reversed(content.items()))
    torch.save(content, tmp_path / "a.pth")
    caplog.set_level(logging.INFO, "iln")
    assert same(tmp_path / "a.pth", AVERAGED)
    assert "a.pth takes the averaged weights in " in caplog.text


def test_prefixes_in_safetensors(tmp_path: Path) -> None:
    save_file(prefixed("model.", official(PLAIN)), tmp_path / "a.safetensors")
    assert same(tmp_path / "a.safetensors", PLAIN)


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    torch.save(official(PLAIN), tmp_path / "a.safetensors")
    assert same(tmp_path / "a.safetensors", PLAIN)
    save_file(official(PLAIN), tmp_path / "a.pth")
    assert same(tmp_path / "a.pth", PLAIN)


@pytest.mark.parametrize(
    "value",
    [
        np.float64(31.2),
        np.float32(31.2),
        np.int64(7),
        np.bool_(True),
        np.zeros((2, 3)),
        np.zeros(2, np.uint8),
    ],
)
@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_numbers_of_numpy_beside_the_weights(value: Any, core: str, tmp_path: Path) -> None:
    """Under the names of numpy's modules of its first version and its second."""
    buffer = io.BytesIO()
    torch.save({"params": official(PLAIN), "psnr": value}, buffer, pickle_protocol=2)
    (tmp_path / "a.pth").write_bytes(_renamed(buffer.getvalue(), core))
    assert same(tmp_path / "a.pth", PLAIN)


@pytest.mark.parametrize(
    "value",
    [
        argparse.Namespace(lr=1e-4, name="x"),
        Path("options.yml"),
        datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),  # noqa: UP017
        datetime.timedelta(hours=3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_trainers_note_beside_the_weights(value: Any, tmp_path: Path) -> None:
    torch.save({"model": official(PLAIN), "args": value}, tmp_path / "a.pth")
    assert same(tmp_path / "a.pth", PLAIN)


def _renamed(data: bytes, core: str) -> bytes:
    """A file of torch.save with numpy's modules under other names."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(result, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                content = content.replace(b"numpy._core.", core.encode() + b".")
            new.writestr(entry.filename, content)
    return result.getvalue()


def _archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


def _script() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), buffer)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (_script, "is a TorchScript program"),
        (_npz, "is a NumPy archive (npz)"),
        (
            lambda: _archive(**{"readme.txt": b"hello"}),
            "is a ZIP archive and no file of torch.save",
        ),
        (
            lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
            "is a pointer of Git LFS",
        ),
        (lambda: b"\n<!DOCTYPE html>\n<html><title>Sign in</title>", "is a web page"),
        (lambda: b"\xef\xbb\xbf<!-- x -->\n<html>", "is a web page"),
        (lambda: b"\x28\xb5\x2f\xfd" + bytes(99), "is compressed by Zstandard, no weights"),
        (lambda: bytes(257) + b"ustar" + bytes(99), "is no weights file (it is a tar archive)"),
        (lambda: "Größe\n".encode(), "is no weights file (it is text)"),
        (lambda: bytes(1000), "is no weights file; expected"),
        (
            lambda: b"\x08\x0a\x12\x07pytorch\x1a\x062.13.0",
            "is an ONNX graph, no weights file (give",
        ),
        (lambda: b"several lines\nof text\n", "is no weights file (it is text)"),
        (lambda: b"GGUF" + bytes(100), "is a GGUF file"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_file_of_weights_is_named(
    make: Callable[[], bytes], expected: str, suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"a{suffix}"
    file.write_bytes(make())
    with pytest.raises(InputError) as raised:
        load(file)
    assert str(raised.value).startswith(f"{file}: {expected}")


@pytest.mark.parametrize("other", ["teacher.", "netD."])
def test_plain_weights_beside_another_network(other: str, tmp_path: Path) -> None:
    both = {**official(PLAIN), **prefixed(other, official(AVERAGED))}
    torch.save(both, tmp_path / "a.pth")
    assert same(tmp_path / "a.pth", PLAIN)
