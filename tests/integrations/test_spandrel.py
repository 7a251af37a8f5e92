"""spandrel, with which chaiNNer and ComfyUI load models, reads our files as we do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import iln
from iln.backbones import Backbone, DRCTSpec, HATSpec, Spec, SwinIRSpec, from_spec
from iln.checkpoints.native import shipped
from iln.cli.main import main
from iln.deploy.export import export
from iln.deploy.spandrel import register

pytestmark = pytest.mark.filterwarnings(
    "ignore:torch.meshgrid:UserWarning", "ignore:Importing from timm:FutureWarning"
)

SMALL: dict[str, Any] = {
    "scale": 2, "embed_dim": 12, "depths": (2, 1), "num_heads": (2, 3), "window": 4
}  # fmt: skip
SPECS: dict[str, Spec] = {
    "SwinIR": SwinIRSpec(**SMALL),
    "HAT": HATSpec(**SMALL, compress_ratio=3, squeeze_factor=4),
    "DRCT": DRCTSpec(**{**SMALL, "depths": (6, 6)}, growth=4),
}
CLEAN = {"scale": 1, "upsampler": ""}


@pytest.fixture(scope="module")
def spandrel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The real one, in a folder of its own. torchvision, which no network here needs, is empty."""
    folder = tmp_path_factory.mktemp("packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
    subprocess.run([*pip, "spandrel==0.4.2", "einops"], check=True, timeout=300)
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setitem(sys.modules, name, ModuleType(name))
        for name in ("InterpolationMode", "rotate", "normalize"):
            patch.setattr(sys.modules[names[-1]], name, None, raising=False)
        patch.syspath_prepend(folder)
        import spandrel

        yield spandrel
        for name in [n for n in sys.modules if n.partition(".")[0] in ("spandrel", "einops")]:
            patch.delitem(sys.modules, name)


@pytest.fixture
def loader(spandrel: Any) -> Any:
    """A loader that knows our networks; others are as they were."""
    registry = spandrel.MAIN_REGISTRY.copy()
    register(registry)
    register(registry)  # once more does no harm
    return spandrel.ModelLoader(registry=registry)


def network(spec: Spec) -> Backbone:
    """None of its parameters has its starting value."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = from_spec(spec).eval()
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.05 * torch.rand(tensor.shape))
    return model


def picture(channels: int, height: int = 32, width: int = 48) -> Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(1))


def farthest(model: nn.Module, other: nn.Module, image: Tensor) -> float:
    """The largest difference, as a share of the largest value where that is above 1. In float64:
    what is left is no rounding, but for the RGB mean, which others keep in float32."""
    with torch.inference_mode():
        one, two = (net.double().eval()(image.double()) for net in (model, other))
    assert one.shape == two.shape
    return float((one - two).abs().max() / two.abs().max().clamp(min=1))


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("SwinIR", {}),
        ("SwinIR", {"scale": 3}),
        ("SwinIR", {"scale": 8, "in_chans": 1}),
        ("SwinIR", {"upsampler": "pixelshuffledirect", "input_stats": "mean+std"}),
        ("SwinIR", {"upsampler": "pixelshuffledirect", "scale": 3, "in_chans": 1}),
        ("SwinIR", {"upsampler": "nearest+conv"}),
        ("SwinIR", {"upsampler": "nearest+conv", "scale": 4}),
        ("SwinIR", {**CLEAN, "window": 8}),
        ("SwinIR", {**CLEAN, "in_chans": 1, "input_stats": "none"}),
        ("SwinIR", {**CLEAN, "window": 7, "img_range": 255.0}),
        ("SwinIR", {**CLEAN, "window": 7, "input_stats": "mean+std"}),
        ("SwinIR", {**CLEAN, "depths": (1, 2)}),
        ("SwinIR", {"window": 12, "resi_connection": "3conv", "qkv_bias": False}),
        ("SwinIR", {"img_range": 255.0, "mlp_ratio": 2.7, "depths": (6, 4)}),
        ("HAT", {}),
        ("HAT", {"window": 16, "scale": 4, "in_chans": 1, "mlp_ratio": 4.0}),
        ("HAT", {"window": 8, "overlap_ratio": 0.25, "scale": 3, "qkv_bias": False}),
        ("HAT", {"input_stats": "mean+std", "img_range": 255.0, "depths": (2, 3)}),
        ("DRCT", {}),
        ("DRCT", {"window": 16, "scale": 4, "in_chans": 1, "growth": 8}),
        ("DRCT", {"input_stats": "mean+std", "scale": 3, "window": 8, "qkv_bias": False}),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_layernorm_networks_are_read_as_their_authors(
    kind: str, changes: dict[str, Any], suffix: str, tmp_path: Path, spandrel: Any
) -> None:
    spec = replace(SPECS[kind], **changes)
    file = tmp_path / f"model{suffix}"
    export(network(spec), file, to="official")
    found = spandrel.ModelLoader().load_from_file(file)
    assert found.architecture.id == kind
    assert (found.scale, found.input_channels) == (spec.scale, spec.in_chans)
    for size in ((32, 48), (37, 21)) if kind != "DRCT" else ((32, 48),):  # which pads elsewhere
        assert farthest(found.model, network(spec), picture(spec.in_chans, *size)) < 1e-6
    again = iln.load(file, norm="ln")
    assert farthest(again, network(spec), picture(spec.in_chans)) < 1e-6


@pytest.mark.parametrize("kind", SPECS)
def test_files_hold_what_the_code_of_others_holds(kind: str, tmp_path: Path, spandrel: Any) -> None:
    # Its SwinIR, HAT and DRCT are the authors' code.
    export(network(SPECS[kind]), tmp_path / "model.pth", to="official")
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    assert set(content) == ({"params"} if kind == "SwinIR" else {"params", "params_ema"})
    weights = content["params"]
    theirs = spandrel.ModelLoader().load_from_file(tmp_path / "model.pth").architecture
    fresh = theirs.load({**weights}).model
    fresh = type(fresh)(**fresh.hyperparameters).state_dict()  # its buffers are its own
    assert set(weights) == set(fresh)
    for name, tensor in weights.items():
        assert (tensor.dtype, tensor.shape) == (fresh[name].dtype, fresh[name].shape), name
        if name.endswith("attn_mask") or "relative_position_index" in name:
            assert torch.equal(tensor, fresh[name]), name


@pytest.mark.parametrize("name", shipped())
def test_shipped_models_load(name: str, loader: Any) -> None:
    found = loader.load_from_file(Path(iln.__file__).parent / "zoo" / f"{name}.safetensors")
    model = iln.load(name)
    assert found.architecture.id == "iLN"
    assert found.scale == model.spec.scale
    assert found.purpose == ("SR" if found.scale > 1 else "Restoration")
    assert found.tiling.name == "DISCOURAGED"
    assert found.input_channels == found.output_channels == 3
    image = picture(3, 37, 21)
    with torch.inference_mode():
        expected = model(image).clamp(0, 1)
    assert (found(image) - expected).abs().max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_close(dtype: torch.dtype, loader: Any) -> None:
    found = loader.load_from_file(Path(iln.__file__).parent / "zoo" / "sr-x2.safetensors")
    image = picture(3)
    full = found(image)
    narrow = found.to(dtype=dtype)(image.to(dtype))
    assert narrow.dtype == dtype
    error = (narrow.float() - full).square().mean()
    assert -10 * torch.log10(error) > (60 if dtype == torch.float16 else 40)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("SwinIR", {}),
        ("HAT", {}),
        ("DRCT", {}),
        ("SwinIR", {"in_chans": 1}),
        ("SwinIR", {**CLEAN, "unshuffle": 2}),
        ("SwinIR", {"upsampler": "", "scale": 2, "unshuffle": 2}),
        ("SwinIR", {**CLEAN, "unshuffle": 4, "in_chans": 1}),
        ("SwinIR", {"eps": 1e-2, "img_range": 255.0, "input_stats": "none"}),
        ("SwinIR", {"norm": "ln*"}),
        ("HAT", {"conv_scale": 0.5, "input_stats": "mean"}),
        ("SwinIR", {"stream_steps": (1, 0)}),
    ],
)
@pytest.mark.parametrize("bits", [None, 4])
def test_what_we_save_is_read_as_it_is(
    kind: str, changes: dict[str, Any], bits: int | None, tmp_path: Path, loader: Any
) -> None:
    i_ln: dict[str, Any] = {"norm": "i-ln", "eps": 1e-4, "input_stats": "mean+std"}
    spec = replace(SPECS[kind], **{**i_ln, **changes})
    file = tmp_path / "model.safetensors"
    iln.save(network(spec), file, bits=bits)
    found = loader.load_from_file(file)
    assert found.architecture.id == "iLN"
    model = iln.load(file)
    assert model.spec == spec
    image = picture(spec.in_chans, 21, 18)
    assert farthest(found.model, model, image) == 0
    assert found.supports_half == (spec.norm == "i-ln")
    # What converters leave of it: no metadata.
    bare = tmp_path / "bare.safetensors"
    save_file(load_file(file), bare)
    assert farthest(iln.load(bare), model, image) == 0


def test_the_authors_own_i_ln_files_load(tmp_path: Path, loader: Any) -> None:
    spec = replace(SPECS["HAT"], norm="i-ln", eps=1e-4, input_stats="mean+std")
    model = network(spec)
    index = {"relative_position_index_SA": torch.zeros(16, 16, dtype=torch.int64)}
    torch.save({"params_ema": {**model.state_dict(), **index}}, tmp_path / "net_g.pth")
    assert farthest(loader.load_from_file(tmp_path / "net_g.pth").model, model, picture(3)) == 0


def test_layernorm_stays_with_spandrel(tmp_path: Path, spandrel: Any, loader: Any) -> None:
    export(network(SPECS["HAT"]), tmp_path / "ln.pth", to="official")
    assert loader.load_from_file(tmp_path / "ln.pth").architecture.id == "HAT"
    iln.save(network(replace(SPECS["SwinIR"], norm="i-ln", eps=1e-4, input_stats="mean+std")),
             tmp_path / "i-ln.safetensors")  # fmt: skip
    with pytest.raises(spandrel.UnsupportedModelError):  # without us, rather than as LayerNorm
        spandrel.ModelLoader().load_from_file(tmp_path / "i-ln.safetensors")
    iln.save(network(SPECS["SwinIR"]), tmp_path / "ln.safetensors")
    with pytest.raises(spandrel.UnsupportedModelError):
        loader.load_from_file(tmp_path / "ln.safetensors")


def test_the_guides_lines_in_comfyui(spandrel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    comfy = ModuleType("comfy")
    comfy.model_management = ModuleType("model_management")  # type: ignore[attr-defined]
    comfy.model_management.get_torch_device = lambda: torch.device("cpu")
    monkeypatch.setitem(sys.modules, "comfy", comfy)
    page = (Path(__file__).parents[2] / "docs" / "spandrel.md").read_text("utf-8")
    values: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], values)
    # As its loader does it: tensors alone, and the registry that all use.
    tensors = load_file(Path(iln.__file__).parent / "zoo" / "photo.safetensors")
    loaded = spandrel.ModelLoader().load_from_state_dict(tensors).eval()
    node = values["NODE_CLASS_MAPPINGS"]["i-LN: whole picture"]
    assert set(node.INPUT_TYPES()["required"]) == {"upscale_model", "image"}
    images = torch.cat([picture(3, 20, 24), picture(3, 20, 24).flip(3)])
    (out,) = getattr(node(), node.FUNCTION)(loaded, images.movedim(1, -1))
    with torch.inference_mode():
        expected = iln.load("photo")(images).clamp(0, 1).movedim(1, -1)
    assert (out - expected).abs().max() < 1e-6


def test_the_plug_in_needs_no_other_package() -> None:
    code = (
        "import sys, torch, numpy, safetensors; before = set(sys.modules); "
        "import iln.deploy.spandrel; names = {n.partition('.')[0] for n in sys.modules}; "
        "print(*sorted(names & {'pydantic', 'typer', 'pyvips', 'PIL', 'openvino', 'filelock', "
        "'rich', 'jinja2', 'huggingface_hub'} - {n.partition('.')[0] for n in before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_command_writes_it(tmp_path: Path, spandrel: Any) -> None:
    hat, file = tmp_path / "hat.pth", tmp_path / "official.pth"
    torch.save(network(SPECS["HAT"]).state_dict(), hat)
    main_exits = ["export", str(hat), "--to", "official", "-o", str(file), "--norm", "ln"]
    with pytest.raises(SystemExit) as done:
        main(main_exits)
    assert not done.value.code
    found = spandrel.ModelLoader().load_from_file(file)
    assert farthest(found.model, network(SPECS["HAT"]), picture(3)) < 1e-6
