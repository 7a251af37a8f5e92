"""Files that cannot be used: each is one clear line, and nothing of it is run."""

from __future__ import annotations

import io
import os
import pickle
import re
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from published import SPECS, network, official
from torch import Tensor

from iln.checkpoints.native import describe, load, save
from iln.errors import InputError


def refused(file: Path, **arguments: Any) -> str:
    """The message with which a file is refused, without its name; warnings are errors here."""
    with pytest.raises(InputError) as raised:
        load(file, **arguments)
    message = str(raised.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    return message.removeprefix(f"{file}: ")


def torch_bytes(content: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def state() -> dict[str, Tensor]:
    return official(network(SPECS["swinir"]))


class Evil:
    """A pickle that leaves a file behind when it is executed."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("form", ["pickle", "zip", "legacy"])
def test_a_malicious_pickle_is_refused_and_not_run(
    form: str, protocol: int, tmp_path: Path
) -> None:
    trace, file = tmp_path / "trace", tmp_path / "evil.pth"
    content = {"params": state(), "extra": Evil(trace)}
    if form == "pickle":
        file.write_bytes(pickle.dumps(Evil(trace), protocol=protocol))
    else:
        file.write_bytes(
            torch_bytes(
                content,
                pickle_protocol=protocol,
                _use_new_zipfile_serialization=form == "zip",
            )
        )
    message = refused(file)
    assert not trace.exists()
    if file.read_bytes()[:1] in (b"P", b"\x80"):  # else it is not even taken for a pickle
        assert "refused" in message
    if protocol == 2:
        assert f"wants to use {os.system.__module__}.system" in message
        assert "nothing of it was run" in message


def test_the_trap_itself_works(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    pickle.loads(pickle.dumps(Evil(trace)))
    assert trace.exists()


class Large:
    """Asks for more memory than there is, by what an array is built with."""

    def __reduce__(self) -> tuple[Any, ...]:
        return np.ndarray, ((10**15,),)


class Cleared:
    """Asks for a text of numpy of any size, without its bytes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return np.float64(0).__reduce__()[0], (np.dtype("S300000000"),)


def test_what_would_take_any_amount_of_memory(tmp_path: Path) -> None:
    file = tmp_path / "large.pth"
    file.write_bytes(torch_bytes({"params": state(), "extra": [Cleared()]}))
    assert refused(file).startswith("damaged, cut off, or no PyTorch file")
    file.write_bytes(torch_bytes({"params": state(), "extra": Large()}))
    load(file)  # nothing is built
    data = torch_bytes({"params": {**state(), "zeros": torch.zeros(30_000_000)}})
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", 8) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    assert "GB large once it is unpacked" in refused(file)
    wide = torch.zeros((2 * 100 - 1) ** 2, 2)
    tables = {n: wide if n.endswith("bias_table") else t for n, t in state().items()}
    file.write_bytes(torch_bytes(tables))
    assert "has windows of 100 pixels a side; at most 64 are read" in refused(file)


def test_dictionaries_that_refer_to_each_other(tmp_path: Path) -> None:
    around: dict[str, Any] = {}
    around |= {f"key {i}": around for i in range(300)}
    around["params"] = state()
    file = tmp_path / "around.pth"
    file.write_bytes(torch_bytes(around))
    load(file)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_tensors_that_are_not_plain(tmp_path: Path) -> None:
    nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    file = tmp_path / "nested.pth"
    file.write_bytes(torch_bytes({**state(), "conv_first.bias": nested}))
    assert refused(file) == "holds a nested tensor, 'conv_first.bias'; only plain tensors are read"
    file.write_bytes(torch_bytes({"params": state(), "ema": [nested]}))
    load(file)


@pytest.mark.parametrize(
    "strange",
    [
        torch.zeros(1).expand(10**14),
        torch.ones(3).to_sparse(),
        torch.ones(3, device="meta"),
        torch.ones(3, dtype=torch.complex64).conj(),
    ],
    ids=["repeated", "sparse", "meta", "conjugate"],
)
@pytest.mark.parametrize("name", ["iln", "extra"])
def test_tensors_whose_numbers_are_not_all_in_the_file(
    strange: Tensor, name: str, tmp_path: Path
) -> None:
    """Beside our description, whose checksum is over all of them, and in its place."""
    save(network(SPECS["swinir"]), tmp_path / "ours.safetensors")
    with safetensors.safe_open(tmp_path / "ours.safetensors", "pt") as ours:
        text = ours.metadata()["iln"].encode()
    card = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    file = tmp_path / "strange.pth"
    file.write_bytes(torch_bytes({**state(), "iln": card, name: strange}))
    assert refused(file).startswith(f"holds '{name}' without all of its numbers; only plain, dense")


def test_a_small_tensor_may_repeat_its_numbers(tmp_path: Path) -> None:
    repeated = {"conv_first.bias": torch.zeros(1).expand_as(state()["conv_first.bias"])}
    file = tmp_path / "repeated.pth"
    file.write_bytes(torch_bytes({**state(), **repeated}))
    load(file)


def test_a_description_of_one_number(tmp_path: Path) -> None:
    """Which is no length to be filled with zeros."""
    file = tmp_path / "one.safetensors"
    file.write_bytes(safetensors.torch.save({**state(), "iln": torch.tensor(10**14)}))
    assert refused(file) == "has damaged iln metadata; get the file again"


def test_numbers_that_pytorch_does_not_have(tmp_path: Path) -> None:
    file = tmp_path / "long.pth"
    arrays = {name: tensor.numpy().astype(np.longdouble) for name, tensor in state().items()}
    file.write_bytes(torch_bytes({"params": arrays}))
    assert refused(file) == "holds no weights but 'params'; expected a state dict, nested or not"
    file.write_bytes(torch_bytes({"params": state(), "scores": {"psnr": np.zeros(3, ">f4")}}))
    load(file)


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_protocol_that_cannot_be_read_is_named(protocol: int, tmp_path: Path) -> None:
    file = tmp_path / "late.pth"
    file.write_bytes(torch_bytes({"params": state()}, pickle_protocol=protocol))
    assert "pickled by a protocol that cannot be read without running it" in refused(file)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_part_of_the_weights_is_called_so(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"model-00001-of-00002.{suffix}"
    safetensors.torch.save_file(dict(list(state().items())[:9]), file)
    assert refused(file).startswith("is part 1 of 2 of the weights; join")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    assert refused(tmp_path / "pipe.pth") == "is a device or a pipe; give a weights file"


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "whole.pth"
    file.write_bytes(torch_bytes(network(SPECS["swinir"])))
    assert "wants to use iln.backbones.swinir.SwinIR" in refused(file)


def _zip(**entries: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in entries.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights"))
    return buffer.getvalue()


NO_WEIGHTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"hello world", r"\(it is text\)"),
    "png": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "is a picture, no weights file"),
    "tar": (_tar, r"is no weights file \(it is a tar archive\)"),
    "zip": (lambda: _zip(a="hello"), "is a ZIP archive and no file of torch.save"),
    "zip in a folder": (
        lambda: _zip(**{"a/data.pkl": "hello", "a/version": "3"}), "refused|damage"),
    "zip cut": (lambda: torch_bytes(state())[:-2000], "cut off"),
    "zip half": (lambda: torch_bytes(state())[:9000], "cut off"),
    "zip head": (lambda: torch_bytes(state())[:40], "cut off"),
    "legacy cut": (
        lambda: torch_bytes(state(), _use_new_zipfile_serialization=False)[:-300], "cut off"),
    "legacy half": (
        lambda: torch_bytes(state(), _use_new_zipfile_serialization=False)[:3000], "cut|refused"),
    "pickle of text": (lambda: pickle.dumps({"a": 1}, protocol=2), "damaged|refused"),
    "pickle garbage": (lambda: b"\x80\x02garbage", "refused"),
    "one byte": (lambda: b"\x80", "damaged|refused"),
    "safetensors cut": (lambda: safetensors.torch.save(state())[:-7], "cut off safetensors"),
    "safetensors head": (lambda: safetensors.torch.save(state())[:500], "cut off safetensors"),
    "safetensors long": (lambda: safetensors.torch.save(state()) + b"\0", "safetensors"),
    "safetensors json": (lambda: (64).to_bytes(8, "little") + b"{" * 64, "safetensors"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NO_WEIGHTS)
def test_damaged_and_foreign_bytes(kind: str, tmp_path: Path) -> None:
    content, expected = NO_WEIGHTS[kind]
    file = tmp_path / "weights.pth"
    file.write_bytes(content())
    message = refused(file)
    assert re.search(expected, message), message
    with pytest.raises(InputError):
        describe(file)


def test_one_flipped_bit_in_a_zip_is_noticed(tmp_path: Path) -> None:
    content = bytearray(torch_bytes({"params": state()}))
    at = content.index(state()["conv_first.weight"].numpy().tobytes())
    content[at + 10] ^= 1
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    torch.load(file, weights_only=True)  # which would not notice
    assert "checksum" in refused(file)


def test_a_zip_without_checksums_loads(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state(), file)
    finally:
        torch.serialization.set_crc32_options(True)
    assert load(file).spec == SPECS["swinir"]


def test_a_folder(tmp_path: Path) -> None:
    assert refused(tmp_path) == "is a folder; give a weights file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(torch_bytes(state()))
    file.chmod(0)
    assert "Permission denied" in refused(file)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([1, 2], "holds a list, no weights"),
        (torch.zeros(3), "holds a Tensor, no weights"),
        ({}, "holds no weights but nothing"),
        ({"params": {}}, "holds no weights"),
        ({"epoch": 3, "best": 1.5}, "holds no weights but 'epoch', 'best'; expected a state dict"),
        ({"epoch": 3, "iter": 9, "optimizers": [{}], "schedulers": []}, "is a training state"),
        ({"optimizer_state": {}, "step": 1}, "is a training state without weights"),
        (
            {"optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}, "scheduler": {}},
            "is a training state without weights",
        ),
        ({"generator": {"w": torch.zeros(1)}}, "no SwinIR, HAT or DRCT (it holds w)"),
    ],
)
def test_pickles_without_weights(content: object, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(torch_bytes(content))
    assert expected in refused(file)


OTHERS: dict[str, list[str]] = {
    "edsr": ["head.0.weight", "body.0.body.0.weight", "tail.1.weight"],
    "swin2sr": ["conv_first.weight", "layers.0.residual_group.blocks.0.attn.logit_scale"],
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_network(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({name: torch.zeros(3) for name in OTHERS[kind]}, file)
    assert f"is no SwinIR, HAT or DRCT (it holds {sorted(OTHERS[kind])[0]}" in refused(file)


def test_a_variant_without_our_first_convolution(tmp_path: Path) -> None:
    """As in DiffBIR, whose SwinIR begins with a shuffle."""
    tensors = {name.replace("conv_first.", "conv_first.1."): t for name, t in state().items()}
    safetensors.torch.save_file(tensors, tmp_path / "weights.safetensors")
    assert "is a variant of SwinIR that is not supported" in refused(
        tmp_path / "weights.safetensors"
    )


Edit = Callable[[dict[str, Tensor]], Mapping[str, Tensor]]
TABLE = "layers.0.residual_group.blocks.0.attn.relative_position_bias_table"


def without(*ends: str) -> Edit:
    return lambda weights: {n: t for n, t in weights.items() if not n.endswith(ends)}


def with_(**tensors: Tensor) -> Edit:
    return lambda weights: weights | tensors


def renamed(old: str, new: str) -> Edit:
    return lambda weights: {n.replace(old, new): t for n, t in weights.items()}


VARIANTS: dict[str, tuple[str, Edit, str]] = {
    "ape": ("swinir", with_(absolute_pos_embed=torch.zeros(1, 64, 12)), "absolute position"),
    "patch_norm": (
        "swinir", without("patch_embed.norm.weight", "patch_embed.norm.bias"), "patch_norm=False"),
    "identity": (
        "swinir", without("conv_after_body.weight", "conv_after_body.bias"), "'identity'"),
    "missing": ("swinir", without("fc2.bias"), "does not fit a swinir with norm ln: missing: "
        "layers.0.residual_group.blocks.0.mlp.fc2.bias, layers.0.residual_group.blocks.1.mlp"),
    "unexpected": ("swinir", with_(lora=torch.zeros(1), extra=torch.zeros(1)),
        "unexpected: lora, extra"),
    "misshapen": ("swinir", with_(**{"conv_last.weight": torch.zeros(3, 64, 5, 5)}),
        "wrong shape: conv_last.weight (3, 64, 5, 5) instead of (3, 64, 3, 3)"),
    "integers": ("swinir", with_(**{"conv_last.bias": torch.zeros(3, dtype=torch.int8)}),
        "no floating-point numbers: conv_last.bias"),
    "sparse": ("swinir", with_(**{"conv_last.bias": torch.ones(3).to_sparse()}),
        "holds 'conv_last.bias' without all of its numbers; only plain, dense tensors are read"),
    "one group lost": ("swinir", renamed("layers.1.", "layers.2."), "lacks layers.1."),
    "table not square": ("swinir", with_(**{TABLE: torch.zeros(50, 2)}), "expected a square"),
    "table of a wrong rank": ("swinir", with_(**{TABLE: torch.zeros(49)}), "expected 2 dimensions"),
    "empty": ("swinir", with_(**{TABLE: torch.zeros(49, 0)}), "none of them 0"),
    "heads": ("swinir", with_(**{TABLE: torch.zeros(49, 5)}), "no multiple of 5|not a multiple"),
    "scale 16": ("swinir", with_(**{f"upsample.{2 * i}.weight": torch.zeros(256, 64, 3, 3)
        for i in range(4)}), "scale is 16; accepted"),
    "scale 1": ("swinir", lambda weights: {
        n: t for n, t in weights.items() if not n.startswith("upsample.")}, "go with scale 1"),
    "small windows": ("hat", with_(**{
        "layers.0.residual_group.overlap_attn.relative_position_bias_table": torch.zeros(9, 2)}),
        "windows smaller"),
    "no growth": ("drct", without("adjust1.weight"), "lacks layers.0.adjust1.weight"),
    "DRCT's rule": ("drct", with_(**{
        "layers.0.swin3.attn.relative_position_bias_table": torch.zeros(49, 1)}), "wrong shape"),
}  # fmt: skip


@pytest.mark.parametrize("kind", VARIANTS)
def test_variants_that_we_do_not_build(kind: str, tmp_path: Path) -> None:
    backbone, edit, expected = VARIANTS[kind]
    file = tmp_path / "weights.pth"
    weights = official(network(SPECS[backbone]))
    file.write_bytes(torch_bytes({"params": dict(edit(weights))}))
    message = refused(file, norm="ln")
    assert any(part in message for part in expected.split("|")), message


def test_only_the_first_few_names_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    extra = {f"extra{i}": torch.zeros(1) for i in range(5)}
    file.write_bytes(torch_bytes(state() | extra))
    assert refused(file).endswith("unexpected: extra0, extra1, extra2 and 2 more")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"norm": "batch"}, "norm 'batch'; known: ln, rms"),
        ({"norm": "rms"}, "norm rms: unexpected: "),
        ({"input_stats": "std"}, "input_stats is 'std'; accepted: 'none', 'mean', 'mean+std'"),
        ({"img_range": -1.0}, "img_range is -1.0; it must be above 0"),
        ({"eps": 0.0}, "eps is 0.0; it must be above 0"),
    ],
)
def test_wrong_answers(arguments: dict[str, Any], expected: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(torch_bytes(state()))
    assert expected in refused(file, **arguments)


def test_a_layernorm_file_is_not_taken_for_batchnorm(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(torch_bytes(network(replace(SPECS["swinir"], norm="bn")).state_dict()))
    assert "running_mean" in refused(file)


def test_names_that_would_break_the_line(tmp_path: Path) -> None:
    file = tmp_path / "weights\n.pth"
    file.write_bytes(b"hello\nworld")
    with pytest.raises(InputError) as raised:
        load(file)
    assert "\n" not in str(raised.value)
    strange = tmp_path / "strange.pth"
    strange.write_bytes(torch_bytes({"a\nb": torch.zeros(1)}))
    refused(strange)
    strange.write_bytes(torch_bytes(state() | {"a\nb": torch.zeros(1)}))
    refused(strange)
    strange.write_bytes(torch_bytes({"a\nb": 1}))
    refused(strange)
