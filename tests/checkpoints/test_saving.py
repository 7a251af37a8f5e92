"""Our own files: what is saved comes back, all of it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from published import SPECS, network, official, run
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from iln.backbones import Spec, from_spec
from iln.checkpoints import files as weights_file
from iln.checkpoints.native import describe, load, save, shipped
from iln.errors import InputError
from iln.norm import NORMS

VARIED: dict[str, list[dict[str, Any]]] = {
    "scale": [{"scale": 3}, {"scale": 8}],
    "in_chans": [{"in_chans": 1}],
    "embed_dim": [{"embed_dim": 18, "num_heads": (2, 2)}],
    "depths": [{"depths": (1, 3)}],
    "num_heads": [{"num_heads": (3, 1)}],
    "window": [{"window": 12}],
    "mlp_ratio": [{"mlp_ratio": 1.3}],
    "qkv_bias": [{"qkv_bias": False}],
    "upsampler": [
        {"upsampler": "pixelshuffledirect"},
        {"upsampler": "nearest+conv", "scale": 4},
        {"upsampler": "", "scale": 1},
        {"upsampler": "", "scale": 3},
    ],
    "resi_connection": [{"resi_connection": "3conv"}],
    "img_range": [{"img_range": 255.0}],
    "input_stats": [{"input_stats": "none"}, {"input_stats": "mean+std"}],
    "unshuffle": [
        {"unshuffle": 2, "upsampler": "", "scale": 1},
        {"unshuffle": 2, "upsampler": "pixelshuffledirect", "scale": 2},
        {"unshuffle": 2, "upsampler": "", "scale": 2},
    ],
    "norm": [{"norm": norm} for norm in NORMS],
    "eps": [{"eps": 0.1 + 0.2}],
    "drop_path": [{"drop_path": 0.1}],
    "stream_steps": [{"stream_steps": (0, 3)}],
    "compress_ratio": [{"compress_ratio": 5}],
    "squeeze_factor": [{"squeeze_factor": 7}],
    "conv_scale": [{"conv_scale": 0.3}],
    "overlap_ratio": [{"overlap_ratio": 1.0}],
    "growth": [{"growth": 6}],
}
CASES = [
    pytest.param(backbone, changes, id=f"{backbone}-{name}-{number}")
    for backbone, spec in SPECS.items()
    for name in (field.name for field in fields(spec))
    for number, changes in enumerate(VARIED[name])
]


@pytest.mark.parametrize(("backbone", "changes"), CASES)
def test_every_hyperparameter_comes_back(
    backbone: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    model = network(replace(SPECS[backbone], **changes))
    assert any(getattr(type(model.spec)(), name) != value for name, value in changes.items()) or (
        changes == {"norm": "ln"}
    )
    file = tmp_path / "model.safetensors"
    save(model, file)
    again = load(file)
    assert type(again) is type(model)
    assert again.spec == model.spec
    assert not again.training
    assert torch.equal(run(again), run(model))


@pytest.mark.parametrize("backbone", SPECS)
def test_the_metadata_alone_decides(backbone: str, tmp_path: Path) -> None:
    # Detection would take this for an i-LN with eps 1e-4; nothing in the names says otherwise.
    spec = replace(SPECS[backbone], norm="ln*", eps=0.5, img_range=255.0, input_stats="none")
    file = tmp_path / "model.safetensors"
    save(network(spec), file)
    assert load(file).spec == spec
    hat = tmp_path / "hat.safetensors"
    save(network(SPECS["hat"]), hat)
    assert load(hat).spec.norm == "ln"  # and nothing is asked


def test_running_averages_survive(tmp_path: Path) -> None:
    model = network(replace(SPECS["swinir"], norm="bn"))
    model.norm.running_var.fill_(1e7)  # does not fit float16
    file = tmp_path / "model.safetensors"
    save(model, file, dtype=torch.float16)
    again = load(file)
    averages = [n for n in model.state_dict() if "running" in n]
    assert len(averages) == 2 * (2 * 3 + 2)
    for name in averages:
        assert torch.equal(again.state_dict()[name], model.state_dict()[name])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_half_the_size_and_loads_as_float32(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    model = network(SPECS["swinir"])
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    save(model, full)
    save(model, half, dtype=dtype)
    assert describe(half)["dtype"] == str(dtype).removeprefix("torch.")
    assert describe(full)["dtype"] == "float32"
    weights = sum(t.numel() for t in model.state_dict().values())
    assert full.stat().st_size - half.stat().st_size == pytest.approx(2 * weights, rel=0.05)
    expected = {name: t.to(dtype).float() for name, t in model.state_dict().items()}
    for name, tensor in load(half).state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, expected[name])


def test_a_weight_too_large_for_float16_is_refused(tmp_path: Path) -> None:
    model = network(SPECS["swinir"])
    with torch.no_grad():
        model.conv_first.weight[0, 0, 0, 0] = 1e6
    file = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match=r"conv_first.weight does not fit float16"):
        save(model, file, dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []
    save(model, file, dtype=torch.bfloat16)


def test_other_number_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dtype is int8; accepted: float32, float16, bfloat16"):
        save(network(SPECS["swinir"]), tmp_path / "model.safetensors", dtype=torch.int8)


def test_the_description_comes_back_without_the_weights(tmp_path: Path) -> None:
    model = network(SPECS["hat"])
    said = {
        "task": "sr",
        "training": {"data": ["DIV2K", "BSDS500"], "steps": 300_000},
        "scores": {"Set5": 38.1, "été": None},
        "licence": "Apache-2.0",
    }
    file = tmp_path / "model.safetensors"
    save(model, file, **said)
    described = describe(file)
    assert {name: described[name] for name in said} == said
    assert described["backbone"] == "hat"
    assert described["spec"] == asdict(model.spec)
    assert described["parameters"] == sum(p.numel() for p in model.parameters())
    assert described["bytes"] == file.stat().st_size
    assert described["file"] == str(file)
    # Cut off in the middle of the weights the header is still whole, but the file is not.
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="cut off"):
        describe(file)


def test_nothing_need_be_described(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save(network(SPECS["swinir"]), file)
    assert [describe(file)[n] for n in ("task", "training", "scores", "licence")] == [None] * 4


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, torch.zeros(1)])
def test_a_description_must_be_json(value: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="scores does not fit JSON"):
        save(network(SPECS["swinir"]), tmp_path / "model.safetensors", scores=value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_files_of_others_have_no_description(kind: str, tmp_path: Path) -> None:
    state = official(network(SPECS["swinir"]))
    file = tmp_path / f"official.{kind}"
    torch.save(state, file) if kind == "pth" else safetensors.torch.save_file(state, file)
    with pytest.raises(InputError, match=r"holds no description; only files written by iln\.save"):
        describe(file)


def test_nothing_is_overwritten_unless_said_so(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"precious")
    model = network(SPECS["swinir"])
    with pytest.raises(InputError, match="exists already"):
        save(model, file)
    assert file.read_bytes() == b"precious"
    save(model, file, overwrite=True)
    assert load(file).spec == model.spec


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as opened:
            opened.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left on device"):
        save(network(SPECS["swinir"]), tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_name_must_say_what_the_file_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.pth: .* must end in \.safetensors"):
        save(network(SPECS["swinir"]), tmp_path / "model.pth")


class Wrapper(torch.nn.Module):
    """As DistributedDataParallel holds its network."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module


def test_wrapped_networks_are_saved_as_what_they_wrap(tmp_path: Path) -> None:
    model = network(SPECS["swinir"])
    file = tmp_path / "model.safetensors"
    save(Wrapper(torch.compile(model, backend="eager")), file)
    assert torch.equal(run(load(file)), run(model))
    with pytest.raises(InputError, match="Linear cannot be saved; accepted: swinir, hat, drct"):
        save(torch.nn.Linear(2, 2), tmp_path / "other.safetensors")


def test_a_network_in_any_memory_layout_is_saved(tmp_path: Path) -> None:
    model = network(SPECS["swinir"]).to(memory_format=torch.channels_last)
    file = tmp_path / "model.safetensors"
    save(model, file)
    assert torch.equal(load(file).conv_first.weight, model.conv_first.weight)


def test_saving_does_not_touch_the_network(tmp_path: Path) -> None:
    model = network(SPECS["swinir"]).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save(model, tmp_path / "model.safetensors", dtype=torch.float16)
    assert model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) and tensor.dtype == torch.float32


def test_loading_leaves_the_random_numbers_alone(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save(network(SPECS["swinir"]), file)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load(file)
    assert torch.equal(torch.rand(4), expected)


def test_a_loaded_network_does_not_hold_on_to_its_file(tmp_path: Path) -> None:
    model = network(SPECS["swinir"])
    file = tmp_path / "model.safetensors"
    save(model, file)
    again = load(file)
    with file.open("r+b") as opened:  # in place, as a careless download would
        opened.truncate(0)
    assert torch.equal(run(again), run(model))


# --- files that contradict themselves or the caller ---------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value"),
    [("norm", "i-ln"), ("eps", 1e-3), ("img_range", 255.0), ("input_stats", "none"),
     ("conv_scale", 0.5)],
)  # fmt: skip
def test_what_the_file_says_cannot_be_overridden(argument: str, value: Any, tmp_path: Path) -> None:
    model = network(SPECS["hat"])
    file = tmp_path / "model.safetensors"
    save(model, file)
    assert load(file, **{argument: getattr(model.spec, argument)}).spec == model.spec
    with pytest.raises(InputError, match=f"says {argument} .* contradicts"):
        load(file, **{argument: value})


def _edited(file: Path, **changes: Any) -> None:
    with safe_open(file, framework="pt") as opened:
        card = json.loads(opened.metadata()["iln"])
    del card["card_checksum"]  # as a program that knows what it changes would
    tensors = safetensors.torch.load_file(file)
    card |= changes
    card = {name: value for name, value in card.items() if value is not ...}
    safetensors.torch.save_file(tensors, file, {"iln": json.dumps(card)})


SMALL_SPEC = asdict(SPECS["swinir"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 4}, r"newer iln \(format 4; this one reads up to 3\); upgrade iln"),
        ({"format": "x"}, "damaged iln metadata"),
        ({"format": ...}, "damaged iln metadata"),
        ({"backbone": "dat"}, "backbone 'dat'; known: swinir, hat, drct"),
        ({"backbone": ["swinir"]}, "known: swinir, hat, drct"),
        ({"spec": ...}, "damaged iln metadata"),
        ({"spec": [1]}, "damaged iln metadata"),
        ({"spec": SMALL_SPEC | {"windows": 3}}, "SwinIRSpec has no windows"),
        ({"spec": SMALL_SPEC | {"embed_dim": "12"}}, "embed_dim is '12'; accepted: a whole number"),
        ({"spec": SMALL_SPEC | {"depths": "66"}}, "depths is '66'; accepted"),
        ({"spec": SMALL_SPEC | {"depths": [2, 1.0]}}, "depths is .*; accepted"),
        ({"spec": SMALL_SPEC | {"qkv_bias": 1}}, "qkv_bias is 1; accepted"),
        ({"spec": SMALL_SPEC | {"eps": "small"}}, "eps is 'small'; accepted"),
        ({"spec": SMALL_SPEC | {"norm": "ln2"}}, "norm is 'ln2'; accepted"),
        ({"spec": SMALL_SPEC | {"mlp_ratio": 3.0}}, "wrong shape: layers.0.* and 6 more"),
        ({"spec": SMALL_SPEC | {"embed_dim": 24}}, "metadata of another network"),
        ({"spec": SMALL_SPEC | {"depths": [10**9, 1]}}, "metadata of another network"),
        ({"spec": SMALL_SPEC | {"window": 10**5}}, "metadata of another network"),
        ({"checksum": 5}, "checksum is wrong"),
    ],
)  # fmt: skip
def test_damaged_metadata_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save(network(SPECS["swinir"]), file)
    _edited(file, **changes)
    with pytest.raises(InputError, match=message) as raised:
        load(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"format": 1e999}'])
def test_metadata_that_is_no_json_object_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, file, {"iln": text})
    for read in (load, describe):
        with pytest.raises(InputError, match="damaged iln metadata"):
            read(file)


def test_older_files_without_a_new_field_get_its_default(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    model = network(SPECS["swinir"])
    save(model, file)
    _edited(file, spec={n: v for n, v in SMALL_SPEC.items() if n != "drop_path"}, checksum=...)
    assert load(file).spec == model.spec


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save(network(SPECS["swinir"]), file)
    content = bytearray(file.read_bytes())
    content[-5000] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="checksum is wrong"):
        load(file)


# --- shipped models ----------------------------------------------------------------------------


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spec:
    """Two shipped models, sr-x2 and denoise, and a working folder that is not theirs."""
    folder, here = tmp_path / "zoo", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    spec = SPECS["swinir"]
    for name in ("sr-x2", "denoise"):
        save(network(spec), folder / f"{name}.safetensors", task=name)
    (folder / "sr-x2.md").write_text("a card")
    monkeypatch.setattr(weights_file, "_zoo", lambda: folder)
    monkeypatch.chdir(here)
    return spec


def test_a_shipped_model_loads_by_name(zoo: Spec) -> None:
    assert shipped() == ["denoise", "sr-x2"]
    assert load("sr-x2").spec == zoo
    assert describe("sr-x2")["task"] == "sr-x2"


def test_an_unknown_name_lists_the_known_ones(zoo: Spec) -> None:
    with pytest.raises(InputError) as raised:
        load("sr-x22")
    assert str(raised.value) == (
        "no shipped model and no file is called 'sr-x22'; did you mean sr-x2? "
        "shipped: denoise, old-print, sharp-x4, sr-x2; the path of a weights file and "
        "hf://OWNER/NAME are accepted as well"
    )
    for name in ("", "mine.pth", "a\0b", ".", "line\nbreak"):
        with pytest.raises(InputError) as raised:
            load(name)
        assert "\n" not in str(raised.value)


def test_a_file_without_a_folder_in_its_name_loads(zoo: Spec) -> None:
    other = replace(zoo, scale=3)
    save(network(other), "weights.safetensors")
    Path("weights.safetensors").rename("weights")
    assert load("weights").spec == other
    # A name means the shipped model; a path means the file.
    Path("weights").rename("sr-x2")
    assert load("sr-x2").spec == zoo
    assert load("./sr-x2").spec == other
    assert load(Path("sr-x2")).spec == other


def test_a_path_that_does_not_exist_is_named(zoo: Spec, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "x.pth", f"nowhere{os.sep}sr-x2", Path("sr-x2")):
        with pytest.raises(InputError, match="no such file; give a weights file"):
            load(path)


def test_an_unknown_device_is_named(zoo: Spec) -> None:
    for device in ("toaster", "cuda:77"):
        with pytest.raises(InputError, match=f"device '{device}' cannot be used") as raised:
            load("sr-x2", device=device)
        assert "\n" not in str(raised.value)


def test_the_package_itself_has_a_zoo() -> None:
    assert all(describe(name)["backbone"] for name in shipped())


def test_networks_load_as_float32_whatever_the_default(zoo: Spec) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        model = load("sr-x2")
    finally:
        torch.set_default_dtype(torch.float32)
    assert {t.dtype for t in model.parameters()} == {torch.float32}
    assert torch.equal(run(model), run(network(zoo)))


def test_from_spec_is_what_load_builds(zoo: Spec) -> None:
    assert set(load("sr-x2").state_dict()) == set(from_spec(zoo).state_dict())


# --- the description as a tensor, for programs that see no metadata --------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, True),
        ({"drop_path": 0.1}, True),  # of training alone
        ({"scale": 1, "upsampler": "", "unshuffle": 2}, True),
        ({"scale": 2, "upsampler": "pixelshuffledirect", "unshuffle": 2}, True),
        ({"scale": 2, "upsampler": "", "unshuffle": 2}, True),
        ({"eps": 1e-5}, False),
        ({"norm": "ln*"}, False),
        ({"input_stats": "none"}, False),
        ({"stream_steps": (1, 0)}, False),
        ({"scale": 1, "upsampler": "", "unshuffle": 2, "in_chans": 1}, False),
        ({"norm": "bn"}, None),
    ],
)
@pytest.mark.parametrize("bits", [None, 4])
def test_what_names_do_not_tell_outlives_the_metadata(
    changes: dict[str, Any], told: bool | None, bits: int | None, tmp_path: Path
) -> None:
    i_ln: dict[str, Any] = {"norm": "i-ln", "eps": 1e-4, "input_stats": "mean+std"}
    model = network(replace(SPECS["swinir"], **{**i_ln, **changes}))
    file, bare = tmp_path / "model.safetensors", tmp_path / "bare.safetensors"
    save(model, file, bits=bits, task="of a test")
    tensors = load_file(file)
    save_file(tensors, bare)
    with safe_open(file, framework="pt") as opened:
        version = json.loads(opened.metadata()["iln"])["format"]
    if told is None:  # no i-LN: as ever
        assert "iln" not in tensors
        assert version == (2 if bits else 1)
        return
    assert ("iln" in tensors) == (bits == 4 or not told)
    assert version == (3 if "iln" in tensors else 1)
    again, left = load(file), load(bare)
    assert replace(left.spec, drop_path=model.spec.drop_path) == again.spec == model.spec
    assert torch.equal(run(left), run(again))
    parameters = sum(tensor.numel() for tensor in model.state_dict().values())
    assert describe(file)["parameters"] == parameters
    if "iln" in tensors:
        assert describe(bare)["task"] == "of a test"
        tensors["iln"][len(tensors["iln"]) // 2] = 255
        save_file(tensors, bare)
        with pytest.raises(InputError, match="damaged iln metadata"):
            load(bare)


def test_packed_files_of_iln_0_2_load(tmp_path: Path) -> None:
    model = network(replace(SPECS["swinir"], norm="i-ln", eps=1e-4, input_stats="mean+std"))
    file, old = tmp_path / "model.safetensors", tmp_path / "old.safetensors"
    save(model, file, bits=4)
    tensors = load_file(file)
    with safe_open(file, framework="pt") as opened:
        card = json.loads(opened.metadata()["iln"])
    del tensors["iln"], card["card_checksum"]
    save_file(tensors, old, {"iln": json.dumps({**card, "format": 2})})
    assert torch.equal(run(load(old)), run(load(file)))
