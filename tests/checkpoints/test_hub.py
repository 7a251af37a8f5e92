"""Weights on the Hugging Face Hub, which is a server on this computer here."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import COMMITS, Hub, serving
from PIL import Image
from published import SPECS, network

import iln
from iln.checkpoints import hub as client
from iln.checkpoints.files import is_weights, short_name
from iln.checkpoints.native import describe, save
from iln.cli.main import main
from iln.errors import InputError
from iln.lab.training import Recipe
from iln.lab.training.model import build_model, load_init

REPOSITORY = "someone/old-photos_2.0"
ADDRESS = f"hf://{REPOSITORY}"


def weights(tmp_path: Path) -> bytes:
    model = network(replace(SPECS["swinir"], norm="i-ln", eps=1e-4, input_stats="mean+std"))
    save(model, tmp_path / "weights.safetensors", task="sr: of a test")
    return (tmp_path / "weights.safetensors").read_bytes()


Fresh = Callable[..., None]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fresh]:
    """Begin as a new process would, with these environment variables."""
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))

    def begin(**variables: str) -> None:
        client.fetch.cache_clear()
        for name in [n for n in sys.modules if n.partition(".")[0] == "huggingface_hub"]:
            del sys.modules[name]
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    begin()
    yield begin
    begin()


@pytest.fixture
def hub(fresh: Fresh, tmp_path: Path) -> Iterator[Hub]:
    content = weights(tmp_path)
    pickle = io.BytesIO()
    torch.save(network(SPECS["swinir"]).state_dict(), pickle)
    files = {
        REPOSITORY: {"model.safetensors": content, "README.md": b"# Old photos"},
        "someone/several": {f"{x}/x2.safetensors": content for x in "ab"},
        "someone/none": {"model.pth": pickle.getvalue()},
        "someone/hidden": {"model.safetensors": pickle.getvalue()},
        "someone/gated": {"model.safetensors": content},
        "someone/empty": {},
    }
    with serving(Hub(files, gated={"someone/gated"})) as running:
        fresh(HF_ENDPOINT=running.address)
        yield running


def refused(address: str) -> str:
    with pytest.raises(InputError) as raised:
        iln.load(address)
    message = str(raised.value)
    assert "\n" not in message
    assert address in message
    return message


@pytest.mark.parametrize(
    ("address", "commit"),
    [
        (ADDRESS, "main"),
        (f"{ADDRESS}@v1.0", "v1.0"),
        (f"{ADDRESS}/model.safetensors", "main"),
        (f"{ADDRESS}@v1.0/model.safetensors", "v1.0"),
        (f"{ADDRESS}@refs/pr/3/model.safetensors", "refs/pr/3"),
        ("hf://someone/several/b/x2.safetensors", "main"),
    ],
)
def test_addresses(
    address: str, commit: str, hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "iln"):
        model = iln.load(address)
    assert model.spec == iln.load(tmp_path / "weights.safetensors").spec
    assert f"{address}: " in caplog.text
    assert f"of revision {COMMITS[commit][:12]}" in caplog.text
    asked = len(hub.asked)
    assert describe(address)["task"] == "sr: of a test"
    assert str(tmp_path / "home") in describe(address)["file"]
    assert is_weights(address)
    assert len(hub.asked) == asked  # once in a process


def test_nothing_but_the_file_is_asked_for(hub: Hub) -> None:
    iln.load(ADDRESS)
    file = f"/{REPOSITORY}/resolve/main/model.safetensors"
    asked = [request for request, _ in hub.asked]
    assert asked == [f"GET /api/models/{REPOSITORY}", f"HEAD {file}", f"GET {file}"]
    for _, headers in hub.asked:  # with telemetry, versions of other packages were in it
        assert "torch" not in headers["user-agent"].lower()
        assert "authorization" not in headers


def test_without_the_network_the_cache_is_used(hub: Hub, fresh: Fresh, tmp_path: Path) -> None:
    iln.load(f"{ADDRESS}@v1.0")
    hub.asked.clear()
    fresh(HF_HUB_OFFLINE="1")
    for address in (f"{ADDRESS}@v1.0", f"{ADDRESS}@v1.0/model.safetensors",
                    f"{ADDRESS}@{COMMITS['v1.0']}"):  # fmt: skip
        assert iln.load(address).spec.scale == 2
    for address in (ADDRESS, f"{ADDRESS}@v1.0/other.safetensors", "hf://someone/several"):
        assert "not in the cache, and HF_HUB_OFFLINE" in refused(address)
    assert not hub.asked
    fresh(HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9")  # nobody listens
    assert iln.load(f"{ADDRESS}@v1.0").spec.scale == 2
    assert "the Hub cannot be reached" in refused(f"{ADDRESS}/other.safetensors")
    fresh(HF_HOME=str(tmp_path / "another home"))
    assert refused(ADDRESS)


def test_a_token_opens_what_is_gated(hub: Hub, fresh: Fresh) -> None:
    for address in ("hf://someone/gated", "hf://someone/gated/model.safetensors"):
        assert "accept its terms on its page, and set HF_TOKEN" in refused(address)
    fresh(HF_TOKEN="secret")
    assert iln.load("hf://someone/gated").spec.scale == 2


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://someone/nothing", "no such repository on the Hub, or a private one"),
        ("hf://someone/nothing/x.safetensors", "no such repository on the Hub"),
        (f"{ADDRESS}@v2", "has no revision v2"),
        (f"{ADDRESS}@v2/model.safetensors", "has no revision v2"),
        (f"{ADDRESS}/other.safetensors", "has no file other.safetensors"),
        ("hf://someone/several", "add one of them: /a/x2.safetensors, b/x2.safetensors"),
        ("hf://someone/none", "no safetensors file; nothing else is taken"),
        ("hf://someone/empty", "no safetensors file; nothing else is taken"),
        ("hf://someone/none/model.pth", "only safetensors files are taken from the net"),
        ("hf://someone/none/graph.xml", "only safetensors files are taken from the net"),
        ("hf://someone/hidden", "is no safetensors file; nothing else is taken from the net"),
        ("hf://some--one/a", "is no address of a model"),
    ],
)
def test_what_the_hub_does_not_have(address: str, message: str, hub: Hub) -> None:
    assert message in refused(address)


@pytest.mark.parametrize(
    "address",
    ["hf://", "hf://a", "hf://a/", "hf://a/b@", "hf://a/b@/c.safetensors", "hf://a/b/../c/d",
     "hf://a b/c", "hf:///a/b", "hf://a/b\n.safetensors"],
)  # fmt: skip
def test_malformed_addresses(address: str) -> None:
    with pytest.raises(InputError, match="is no address of a model; expected hf://OWNER/NAME"):
        iln.load(address)


@pytest.mark.parametrize(
    "address", ["foo://a/b", "https://huggingface.co/a/b", "s3://a/b", "HF://a/b"]
)
def test_other_schemes(address: str) -> None:
    with pytest.raises(InputError, match=r"is fetched from \w+://; accepted: a shipped model"):
        iln.load(address)


def test_the_package_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'iln\[hub\]'"):
        iln.load("hf://a/never-asked-for")


def test_short_names() -> None:
    assert short_name("hf://someone/old-photos_2.0@v1.0") == "old-photos_2.0"
    assert short_name("hf://someone/several@v1/a/x2.safetensors") == "x2"
    assert short_name("sr-x2") == "sr-x2"
    assert short_name(Path("folder") / "best.safetensors") == "best"


def run(*words: str | Path) -> int:
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_commands_take_addresses(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.linspace(0, 255, 96 * 96 * 3).reshape(96, 96, 3).astype(np.uint8)
    Image.fromarray(pixels).save("a.png")
    assert run("restore", "a.png", "--model", ADDRESS, "--engine", "torch") == 0
    with Image.open("a_restored.png") as restored:
        assert restored.size == (192, 192)
    capsys.readouterr()
    assert run("models", ADDRESS) == 0
    assert capsys.readouterr().out.startswith(f"# {ADDRESS}\n")
    assert run("diagnose", ADDRESS, f"{ADDRESS}@v1.0", "a.png", "--crop", "32", "-o", "d.html") == 0
    out = capsys.readouterr().out
    assert f"{ADDRESS}: " in out  # two of one repository are told apart
    assert run("diagnose", "hf://someone/several/a/x2.safetensors", "a.png", "-o", "e.html") == 0
    assert "x2: " in capsys.readouterr().out
    (tmp_path / "set").mkdir()
    Image.fromarray(pixels).save("set/a.png")
    words = ("--sets", "set", "--param", "scale=2", "--json", "scores.json")
    assert run("evaluate", ADDRESS, *words) == 0
    assert "old-photos_2.0" in capsys.readouterr().out
    assert COMMITS["main"] in Path("scores.json").read_text()  # of which revision it was


def test_training_starts_from_an_address(hub: Hub, tmp_path: Path) -> None:
    spec = asdict(network(SPECS["swinir"]).spec)
    same = {name: spec[name] for name in ("embed_dim", "depths", "num_heads", "window")}
    made = Recipe(
        backbone="swinir-x2", spec=same, task="sr", scale=2, data=(tmp_path,), steps=1, init=ADDRESS
    )
    again = Recipe.model_validate_json(made.model_dump_json())
    assert again.init == ADDRESS  # as a path, it would lose a slash
    weights = build_model(again, load_init(again)).state_dict()
    assert torch.equal(weights["conv_first.weight"], iln.load(ADDRESS).conv_first.weight)


@pytest.mark.parametrize("address", ["foo://a/b", f"{ADDRESS}@v2", "hf://someone/several"])
@pytest.mark.parametrize(
    "command",
    [
        ("restore", "a.png", "--model"),
        ("models",),
        ("export", "-o", "x.onnx"),
        ("diagnose", "-o", "x.html"),
        ("rescue", "-o", "x.safetensors"),
    ],
)
def test_errors_of_commands_are_one_line(
    command: tuple[str, ...], address: str, hub: Hub, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: Any,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("a.png")
    before = sorted(tmp_path.iterdir())
    assert run(*command, address) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {address}: ")
    assert [f for f in sorted(tmp_path.iterdir()) if f.name != "home"] == before
