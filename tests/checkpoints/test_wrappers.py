"""Weights as other trainers wrap them: nested, prefixed, with averages beside; and what is none."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import enum
import io
import logging
import types
import uuid
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


def numpy_of(state: State) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in state.items()}


def without_dots(state: State) -> State:
    """As LitEma keeps averages: buffers, whose names must not have dots."""
    return {name.replace(".", ""): t for name, t in state.items() if t.is_floating_point()}


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
    "adam's moments first": lambda state: {"m": other(state), "v": other(state), "model": state},
    "student and teacher": lambda state: {
        "state_dict": {**prefixed("teacher.", other(state)), **prefixed("student.", state)}
    },
    "averages of another network": lambda state: {"teacher_ema": CRITIC, "net_g": state},
    "under a single letter": lambda state: {"m": state},
    "under the name of an experiment": lambda state: {"exp": state},
    "arrays of numpy": lambda state: {"params": numpy_of(state), "losses": np.zeros(3)},
    "counters": lambda state: {
        **state,
        "total_ops": torch.zeros(1),
        "layers.0.total_params": torch.zeros(1),
    },
    "wrapped parts": lambda state: {
        name.replace("conv_first.", "conv_first._orig_mod.").replace(
            ".residual_group.", "._fsdp_wrapped_module.residual_group._checkpoint_wrapped_module."
        ): tensor
        for name, tensor in state.items()
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
        ("model", "EMAModel"),
        ("model", "emamodel"),
        ("model", "ema0.9999"),
        ("model", "moving_averages"),
        ("model", "model/ema"),
    )
}
TWO["a callback's"] = lambda plain, averaged: {
    "state_dict": prefixed("net.", plain),
    "callbacks": {"EMACallback{'decay': 0.999}": {"state": averaged}},
}
TWO["names without dots"] = lambda plain, averaged: {
    "state_dict": {
        **prefixed("model.", plain),
        "model_ema.decay": torch.tensor(0.9),
        **prefixed("model_ema.", without_dots(averaged)),
    }
}
TWO["names without dots, within"] = lambda plain, averaged: {
    **prefixed("model.net.", plain),
    **prefixed("model_ema.net", without_dots(averaged)),
}
TWO["no names"] = lambda plain, averaged: {
    "model": plain,
    "ema": {
        "decay": 0.99,
        "shadow_params": [t for n, t in averaged.items() if n in PLAIN.state_dict()],
        "collected_params": None,
    },
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
        datetime.time(1, 2),
        torch.torch_version.TorchVersion("2.13"),
        collections.defaultdict(list, a=[1]),
        argparse.Namespace(history=collections.defaultdict(list), type=int),
        collections.deque([1, 2], 5),
        frozenset([1]),
        range(3),
        slice(1, 2),
        decimal.Decimal("1.5"),
        uuid.UUID(int=3),
        types.SimpleNamespace(a=1),
        np.str_("x"),
        np.array(["a", "bc"]),
        np.datetime64("2026-01-01"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("zipped", [True, False])
def test_what_trainers_note_beside_the_weights(value: Any, zipped: bool, tmp_path: Path) -> None:
    content = {"args": value, "model": official(PLAIN), "again": [value]}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert same(tmp_path / "a.pth", PLAIN)


class Settings(dict[str, Any]):
    """A trainer's own, which also has attributes."""


class Slotted:
    __slots__ = ("rate",)


class Trainer:
    def __init__(self) -> None:
        self.settings = Settings(lr=1e-4)
        self.settings.name = "x"  # type: ignore[attr-defined]
        self.items, self.keys, self.values = [1], "a", None  # as a dictionary's methods are called
        self.slotted = Slotted()
        self.slotted.rate = 0.1


class Stage(enum.Enum):
    FIRST = 1


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_of_other_packages_are_passed_over(
    zipped: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = {"trainer": Trainer(), "stage": Stage.FIRST, "model": official(PLAIN)}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    caplog.set_level(logging.INFO, "iln")
    assert same(tmp_path / "a.pth", PLAIN)
    assert f"passes over its objects of {__name__}.Trainer, {__name__}.Settings" in caplog.text


class Hiding:
    """A dictionary with an attribute of the name of its method."""

    def __reduce__(self) -> tuple[Any, ...]:
        return collections.OrderedDict, (), {"items": [1]}, None, iter(official(PLAIN).items())


def test_an_attribute_that_hides_a_dictionarys_method(tmp_path: Path) -> None:
    torch.save({"params": Hiding()}, tmp_path / "a.pth")
    assert same(tmp_path / "a.pth", PLAIN)


def test_an_object_is_not_built_even_where_it_is_known(tmp_path: Path) -> None:
    """What a package would do on loading is not done."""
    torch.save({"model": official(PLAIN), "x": Harmful(tmp_path)}, tmp_path / "a.pth")
    assert same(tmp_path / "a.pth", PLAIN)
    assert not (tmp_path / "trace").exists()


def leave_a_trace(folder: str) -> None:
    (Path(folder) / "trace").touch()


class Harmful:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return leave_a_trace, (str(self.folder),)


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
        (
            lambda: b'<?xml version="1.0"?>\n<net name="m">',
            "is an XML file, such as a graph",
        ),
        (
            lambda: b'{\n "metadata": {"total_size": 9},\n "weight_map": {}}',
            "is the index of weights in several parts",
        ),
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


@pytest.mark.parametrize("form", [".conv_first.weight", "conv_firstweight"])
def test_more_networks_than_anyone_keeps_together(form: str, tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    many = {f"n{i}{form}": torch.zeros(1) for i in range(64)}
    torch.save(many, file)
    with pytest.raises(InputError, match=r"a\.pth: is no SwinIR, HAT or DRCT"):
        load(file)
    torch.save({**many, **official(PLAIN)}, file)
    with pytest.raises(InputError, match=r"a\.pth: holds 65 networks side by side; at most 64"):
        load(file)
