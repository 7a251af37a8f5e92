"""What holds for all tasks: sizes, types, purity, determinism, protocols."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from iln.errors import InputError
from iln.lab.tasks import TASKS, Task, generator, task

CASES: list[tuple[str, dict[str, Any]]] = [
    ("sr", {"scale": 3}),
    ("denoise", {}),
    ("denoise", {"sigma": 25, "gray": True}),
    ("denoise", {"rounded": True}),
    ("jpeg", {}),
    ("jpeg", {"gray": True, "quality": 10}),
    ("jpeg", {"subsampling": "4:4:4"}),
    ("derain", {}),
    ("derain", {"layers": [1, 5], "angle": [-60, 60]}),
    ("deblur", {}),
    ("deblur", {"shaken": 1, "motion": 36}),
    ("deblur", {"shaken": 0, "defocus": 18}),
    ("photo", {}),
    ("photo", {"scale": 2}),
    ("photo", {"processed": 1, "prints": 0.5}),
    ("photo", {"scale": 4, "strength": 1, "prints": 1}),
    ("scratches", {}),
    ("scratches", {"wear": 1, "scan": 1, "colourless": 1}),
    ("scratches", {"wear": 1, "cracks": 1, "lines": 1}),
]
SIZES = [(1, 1), (1, 19), (23, 1), (7, 5), (31, 37), (113, 101)]


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth with some detail."""
    y, x = np.mgrid[:height, :width]
    wave = 127 + 90 * np.sin(x / 7) * np.cos(y / 9)
    colours = np.stack([wave, 255 - wave, wave[::-1]], -1)
    return np.clip(colours + 20 * generator(seed).standard_normal(colours.shape), 0, 255).astype(
        np.uint8
    )


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def any_task(request: pytest.FixtureRequest) -> Task:
    return task(*request.param)


def test_whole_pictures(any_task: Task) -> None:
    for size in SIZES:
        if min(size) < any_task.scale:
            continue
        whole = picture(*size)
        before = whole.copy()
        for seed in range(3):
            damaged, target = any_task.pair(whole, generator(1, seed))
            height, width = (side // any_task.scale for side in size)
            assert damaged.shape == (height, width, any_task.channels)
            assert target.shape == (
                height * any_task.scale,
                width * any_task.scale,
                any_task.channels,
            )
            assert damaged.dtype in (np.uint8, np.float32)
            assert target.dtype == np.uint8
            again, _ = any_task.pair(whole, generator(1, seed))
            assert np.array_equal(damaged, again)
            assert any_task.baseline(damaged).dtype == np.uint8
        assert np.array_equal(whole, before)


def test_crops(any_task: Task) -> None:
    if any_task.whole:
        pytest.skip("crops are cut from whole damaged pictures")
    assert any_task.margin % any_task.scale == 0
    patch = 24
    side = patch * any_task.scale + 2 * any_task.margin
    crop = any_task.colours(picture(side, side + any_task.scale * 8))
    before = crop.copy()
    for seed in range(6):
        damaged, target = any_task.training_pair(crop, generator(2, seed))
        assert damaged.shape == (patch, patch + 8, any_task.channels)
        assert target.shape == (
            patch * any_task.scale,
            (patch + 8) * any_task.scale,
            any_task.channels,
        )
        again, same = any_task.training_pair(crop, generator(2, seed))
        assert np.array_equal(damaged, again)
        assert np.array_equal(target, same)
    assert np.array_equal(crop, before)


def test_scores(any_task: Task) -> None:
    damaged, target = any_task.pair(picture(60, 72), generator(3))
    metrics = any_task.metrics()
    scores = any_task.score(any_task.baseline(damaged), target)
    assert list(scores) == list(metrics)
    assert all(metric.definition for metric in metrics.values())
    equal = any_task.score(target, target)
    for name in scores:
        if name.startswith("psnr_"):
            assert equal[name] == np.inf
        elif name.startswith("ssim"):
            assert equal[name] == pytest.approx(1)
            assert scores[name] <= 1
        assert scores[name] <= equal[name]


def test_protocols_are_fixed_tasks(any_task: Task) -> None:
    protocols = any_task.protocols()
    assert protocols
    for fixed in protocols.values():
        assert type(fixed) is type(any_task)
        assert task(next(n for n, k in TASKS.items() if k is type(fixed)), fixed.model_dump())
        assert fixed.protocols() == protocols or len(protocols) > 1


def test_random_tasks_differ_by_seed(any_task: Task) -> None:
    if any_task.whole or repr(any_task).startswith("JPEG"):
        pytest.skip("nothing, or only the quality, is random")
    whole = picture(60, 60)
    results = {any_task.pair(whole, generator(4, s))[0].tobytes() for s in range(5)}
    assert len(results) >= 4


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("denose", {}, "there is no task 'denose'; did you mean denoise?"),
        ("jpeg", {"qualty": 3}, "task jpeg has no 'qualty'; did you mean quality?"),
        ("denoise", {"sigma": [50, 10]}, "sigma=.*the first number must not exceed"),
        ("denoise", {"scale": 2}, "task denoise: scale=2: must be 1"),
        ("jpeg", {"quality": 0}, "must be within 1..100"),
        ("photo", {"scale": 3}, "scale=3: must be 1, 2 or 4"),
        ("photo", {"strength": 1.5}, "must be within 0..1"),
        ("deblur", {"motion": 100}, "must be within 0..36"),
    ],
)
def test_bad_parameters(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("?", r"\?")) as raised:
        task(name, parameters)
    assert "\n" not in str(raised.value)


def test_what_are_no_parameters_and_no_seeds() -> None:
    with pytest.raises(InputError, match=r"parameters are a dict, .* not None"):
        task("jpeg", None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="seed -1: must be a whole number from 0 on"):
        generator(3, -1)


@pytest.mark.parametrize("name", TASKS)
def test_a_scale_is_refused_or_kept(name: str) -> None:
    """A task that does not enlarge says so, rather than making pairs of one size at scale 2."""
    try:
        enlarging = task(name, {"scale": 2})
    except InputError:
        return
    damaged, target = enlarging.pair(picture(32, 40), generator(0))
    assert (damaged.shape[:2], target.shape[:2]) == ((16, 20), (32, 40))
