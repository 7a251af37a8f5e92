"""The protocols by which shipped models are scored."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest
from models import MODELS, model
from score import as_shipped, cell, measure
from small_zoo import network

import iln
from iln import InputError
from iln.checkpoints.native import describe
from iln.images import psnr_y
from iln.lab.tasks import TASKS, task
from iln.lab.tasks.folders import load_pair, sources
from iln.lab.training.recipes import RECIPES

ROWS = {
    "sr-x2": ["Set5", "Set14", "BSD100"],
    "sr-x4": ["Set5", "Set14", "BSD100"],
    "sharp": ["TaughtHeld-x1"],
    "sharp-x2": ["TaughtHeld"],
    "denoise": [f"{s} sigma {n}" for s in ("CBSD68", "McMaster") for n in (15, 25, 50)],
    "jpeg": [f"{s} q {n}" for s in ("Classic5", "Set14") for n in (10, 20, 30, 40)],
    "derain": ["Rain100L"],
    "photo": [
        *(f"{s} {n}" for s in ("Set14", "McMaster") for n in ("mild", "medium", "strong")),
        *(f"{s} processed" for s in ("Set14", "McMaster")),
        *(f"{s} undamaged{w}" for s in ("Set14", "McMaster") for w in ("", ", the worst")),
    ],
    "photo-x2": [
        *(f"{s} {n}" for s in ("Set14", "McMaster") for n in ("mild", "medium", "strong")),
        "Set14 undamaged",
        "McMaster undamaged",
    ],
    "deblur": [
        *(
            f"Set14 {kind} {n}"
            for kind in ("motion", "defocus")
            for n in ("mild", "medium", "strong")
        ),
        "Set14 undamaged",
        "Set14 undamaged, the worst",
    ],
    "scratches": [
        *(f"{s} {n}" for s in ("Set14", "McMaster") for n in ("light", "medium", "heavy")),
        *(f"{s} undamaged{w}" for s in ("Set14", "McMaster") for w in ("", ", the worst")),
    ],
}
SCALES = {"sr-x2": 2, "photo-x2": 2, "sharp-x2": 2, "sr-x4": 4}


@pytest.mark.parametrize("name", MODELS)
def test_rows(name: str, data: Path, tmp_path: Path) -> None:
    chosen = model(name)
    assert chosen.task in TASKS and name in RECIPES
    scores = measure(chosen, network(tmp_path / "m.safetensors", SCALES.get(name, 1)), data)
    assert list(scores["rows"]) == ROWS[name]
    assert scores["main"] in ROWS[name] and set(chosen.goals) <= set(ROWS[name])
    assert scores["baseline"] == ("bicubic" if name in SCALES else "input")


def test_seeds_are_averaged_and_undamaged_pictures_lose_what_is_added(
    data: Path, tmp_path: Path
) -> None:
    file = network(tmp_path / "m.safetensors", 1, kept=True)
    rows = measure(model("photo"), file, data)["rows"]
    parts = [
        iln.evaluate(file, data / "Set14", task="photo", parameters={"strength": 0.5}, seed=seed)
        for seed in range(5)
    ]
    means = [
        value
        for part in parts
        for (_, _, column, metric), value in part.means().items()
        if column == "input" and metric == "psnr_rgb"
    ]
    assert len(means) == 5
    assert rows["Set14 medium"]["before"]["psnr_rgb"] == pytest.approx(fmean(means), abs=1e-3)
    assert rows["Set14 undamaged"]["before"]["psnr_rgb"] is None
    mean, worst = (rows[f"Set14 undamaged{w}"]["after"]["psnr_rgb"] for w in ("", ", the worst"))
    assert 42 < worst <= mean < 43  # 2 levels are 42.1 dB, less where white cannot get whiter


def test_gray_pictures_are_scored_as_gray_values(data: Path, tmp_path: Path) -> None:
    rows = measure(model("jpeg"), network(tmp_path / "m.safetensors", 1, kept=True), data)["rows"]
    gray = task("jpeg", {"quality": 10, "gray": True})
    pairs = [load_pair(source, gray) for source in sources(data / "Classic5")]
    expected = fmean(psnr_y(damaged, target) for damaged, target in pairs)
    assert pairs[0][1].shape[2] == 1
    assert rows["Classic5 q 10"]["before"]["psnr_y"] == pytest.approx(expected, abs=1e-4)


def test_what_is_scored_is_what_is_shipped(tmp_path: Path) -> None:
    with as_shipped(network(tmp_path / "m.safetensors", 1), "scratches") as file:
        assert describe(file)["dtype"] == "float16" and describe(file)["task"] == "scratches"
    assert not file.exists()


def test_a_set_that_is_missing(tmp_path: Path) -> None:
    file = network(tmp_path / "m.safetensors", 1)
    with pytest.raises(InputError, match="CBSD68 is not a folder of pictures"):
        measure(model("denoise"), file, tmp_path)
    with pytest.raises(InputError, match=r"no model 'denose' .* did you mean denoise"):
        model("denose")


def test_cells() -> None:
    assert cell({"psnr_y": 37.4431, "ssim_y": 0.95861}) == "37.44 / 0.9586"
    assert cell({"psnr_rgb": None, "ssim_y": 1.0}) == "– / 1.0000"
