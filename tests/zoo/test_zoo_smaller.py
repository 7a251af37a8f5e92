"""Blocks that are taken out of a network, and pairs to learn from what it made of pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import distil
import mean
import numpy as np
import prune
import pytest
import torch
from PIL import Image
from small_zoo import picture

import iln
from iln.backbones import SwinIRSpec, from_spec
from iln.backbones.swinir import SwinIR
from iln.checkpoints.native import describe
from iln.errors import InputError
from iln.images import read
from iln.lab.tasks import TASKS


def network() -> SwinIR:
    """Two groups of four blocks, of which the second pair of the first group does nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        spec = SwinIRSpec(
            embed_dim=12, depths=(4, 4), num_heads=(2, 2), window=4, scale=1, upsampler="",
            norm="i-ln", input_stats="none",
        )  # fmt: skip
        model = from_spec(spec).eval()
    assert isinstance(model, SwinIR)
    for block in (2, 3):
        for layer in ("attn.proj", "mlp.fc2"):
            for kind in ("weight", "bias"):
                name = f"layers.0.residual_group.blocks.{block}.{layer}.{kind}"
                model.get_parameter(name).data.zero_()
    return model


@pytest.mark.parametrize("count", ["0", "-1"])
def test_no_pairs_at_all_are_refused(
    count: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["", "photo", "--data", str(tmp_path), "-o", str(tmp_path / "out"), "--count", count]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(InputError, match=r"--count .*: must be 1 or more"):
        distil.main()


def test_a_mean_of_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = network(), network()
    for parameter in after.parameters():
        parameter.data += 1
    names = [str(tmp_path / f"{name}.safetensors") for name in ("before", "after", "mean")]
    iln.save(before, names[0])
    iln.save(after, names[1], task="photo", training={"data": ["OpenPhotos"]})
    monkeypatch.setattr(sys, "argv", ["", *names[:2], "-o", names[2], "--share", "0.25"])
    assert mean.main() == 0
    for one, other in zip(iln.load(names[2]).parameters(), before.parameters(), strict=True):
        assert torch.allclose(one, other + 0.25, atol=1e-6)
    said = describe(names[2])
    assert said["task"] == "photo"
    assert said["training"] == {"data": ["OpenPhotos"], "share_of_mean_with_init": 0.25}
    monkeypatch.setattr(sys, "argv", ["", *names[:2], "-o", "none.safetensors", "--share", "2"])
    with pytest.raises(InputError, match="share 2: must be from 0 to 1"):
        mean.main()


def test_the_blocks_that_matter_least_go_first(capsys: pytest.CaptureFixture[str]) -> None:
    whole, crops = network(), torch.rand(2, 3, 16, 16)
    left = prune.pruned(whole, crops, 6)
    assert left.spec.depths == (2, 4)
    assert capsys.readouterr().out == "6 blocks: 100.00 dB from the whole network\n"
    with torch.inference_mode():
        assert torch.equal(left(crops), whole(crops))
    assert whole.spec.depths == (4, 4)
    again = from_spec(left.spec)
    again.load_state_dict(left.state_dict())


def test_every_group_keeps_a_pair() -> None:
    assert prune.pruned(network(), torch.rand(1, 3, 16, 16), 4).spec.depths == (2, 2)


def start(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["prune.py", *words])
    return prune.main()


@pytest.mark.parametrize("blocks", ["7", "6", "24"])
def test_a_number_of_blocks_that_cannot_be(
    blocks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["photo", "--data", str(tmp_path), "-o", str(tmp_path / "a.safetensors")]
    with pytest.raises(InputError, match=f"--blocks {blocks}: must be even, from 8 to "):
        start(*words, "--blocks", blocks, monkeypatch=monkeypatch)


def test_pairs_are_what_a_model_makes_of_damaged_crops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs, pairs = tmp_path / "photographs", tmp_path / "pairs"
    photographs.mkdir()
    Image.fromarray(picture(1, 160)).save(photographs / "a.png")
    words = ["photo", "--data", str(photographs), "--count", "2", "-o", str(pairs)]
    monkeypatch.setattr(sys, "argv", ["distil.py", *words])
    assert distil.main() == 0
    found = [sorted((pairs / part).iterdir()) for part in ("input", "target")]
    assert [file.name for file in found[0]] == ["00000.png", "00001.png"]
    task = TASKS["photo"](prints=0.6, processed=0.5)
    for number, (damaged, answer) in enumerate(zip(*found, strict=True)):
        pixels = read(damaged).rgb8()
        assert np.array_equal(pixels, distil.crop(task, [photographs / "a.png"], number))
        restored = iln.restore(pixels, "photo", device="cpu", precision="fp32")
        assert np.abs(read(answer).rgb8().astype(int) - restored).max() <= 1


def test_photographs_that_are_too_small(tmp_path: Path) -> None:
    Image.fromarray(picture(1, 100)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: is too small; photographs have 144x144 or more"):
        distil.crop(TASKS["photo"](), [tmp_path / "a.png"], 0)
