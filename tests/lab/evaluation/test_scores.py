"""The numbers: against ones computed by hand, and against the functions that define them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from known_networks import flat, folder, network, pairs, photo

import iln
from iln.images import psnr_rgb, psnr_y, ssim_y
from iln.lab.evaluation import Group, evaluate
from iln.lab.tasks import task, to_uint8
from iln.lab.tasks.folders import Source, load_pair


def test_means_of_pairs_computed_by_hand(tmp_path: Path) -> None:
    """Every pixel is 10 and 20 levels off, so the squared errors are 100 and 400."""
    place = pairs(tmp_path / "set", a=(flat(110), flat(100)), b=(flat(70), flat(50)))
    result = evaluate(network(tmp_path / "minus5.safetensors", -5), place, task="denoise")
    decibels = [10 * math.log10(255**2 / error) for error in (100, 400, 25, 225)]
    found = {(s.picture, s.model): s.value for s in result.scores if s.metric == "psnr_rgb"}
    assert list(found) == [
        ("a.png", "input"),
        ("a.png", "minus5"),
        ("b.png", "input"),
        ("b.png", "minus5"),
    ]
    wanted = [decibels[0], decibels[2], decibels[1], decibels[3]]
    assert list(found.values()) == pytest.approx(wanted)
    means = result.means()
    assert means[Group("set", "pairs", "input", "psnr_rgb")] == pytest.approx(sum(decibels[:2]) / 2)
    assert means[Group("set", "pairs", "minus5", "psnr_rgb")] == pytest.approx(
        sum(decibels[2:]) / 2
    )


def test_equal_pictures_are_infinitely_good_and_so_is_their_mean(tmp_path: Path) -> None:
    place = pairs(tmp_path / "set", a=(flat(110), flat(100)), b=(flat(70), flat(50)))
    result = evaluate(network(tmp_path / "minus10.safetensors", -10), place, task="jpeg")
    means = result.means()
    assert means[Group("set", "pairs", "minus10", "psnr_y")] == math.inf
    assert math.isfinite(means[Group("set", "pairs", "input", "psnr_y")])
    assert means[Group("set", "pairs", "minus10", "ssim_y")] < 1


def test_protocols_of_a_task(tmp_path: Path) -> None:
    """A network that changes nothing has the scores of the input, by every protocol."""
    place = folder(tmp_path / "set", a=photo(), b=photo(seed=3))
    result = evaluate(network(tmp_path / "same.safetensors"), place, task="denoise")
    assert list(result.sets[0].protocols) == ["sigma 15", "sigma 25", "sigma 50"]
    means = result.means()
    kept = {g: v for g, v in means.items() if g.model == "input"}
    assert len(kept) == 3 * 2
    for group, value in kept.items():
        assert means[group._replace(model="same")] == value
    psnr = [means[Group("set", f"sigma {s}", "input", "psnr_rgb")] for s in (15, 25, 50)]
    # 20 log10(255 / sigma), and a little more because what lies outside 0..255 is clipped.
    for sigma, value in zip((15, 25, 50), psnr, strict=True):
        assert 0 < value - 20 * math.log10(255 / sigma) < 2.5


def test_noise_reaches_the_network_unclipped_and_unrounded(tmp_path: Path) -> None:
    """A network that takes 128 levels off shows what lay above 255."""
    place = folder(tmp_path / "set", white=flat(255))
    result = evaluate(
        network(tmp_path / "darker.safetensors", -128),
        place,
        task="denoise",
        parameters={"sigma": 100},
    )
    damaged, target = load_pair(Source(place / "white.png"), task("denoise", {"sigma": 100}))
    assert damaged.max() > 1.5  # more than `Restorer` takes for a picture
    wanted = to_uint8(damaged - np.float32(128 / 255))
    assert (wanted > 127).any()
    scores = {s.metric: s.value for s in result.scores if s.model == "darker"}
    assert scores["psnr_rgb"] == pytest.approx(psnr_rgb(wanted, target), abs=1e-3)
    assert scores["ssim_y"] == pytest.approx(ssim_y(wanted, target), abs=1e-4)


def test_restorer_takes_far_floats_only_if_told(tmp_path: Path) -> None:
    restorer = iln.Restorer(network(tmp_path / "darker.safetensors", -255), device="cpu")
    image = np.linspace(-3, 4, 8 * 8 * 3, dtype=np.float32).reshape(8, 8, 3)
    with pytest.raises(iln.InputError, match="divide by 255"):
        restorer(image)
    np.testing.assert_allclose(
        restorer(image, unclipped=True), np.clip(image - 1, 0, 1), atol=1e-6, rtol=0
    )


def test_super_resolution(tmp_path: Path) -> None:
    """Odd sides are cut, the baseline is bicubic, the border is left out."""
    place = folder(tmp_path / "set", a=photo(31, 33))
    file = network(tmp_path / "x2.safetensors", scale=2)
    result = evaluate(file, place)
    assert (result.task_name, result.baseline) == ("sr", "bicubic")
    assert [list(s.protocols) for s in result.sets] == [[""]]
    sr = task("sr", {"scale": 2})
    small, target = load_pair(Source(place / "a.png"), sr)
    assert small.shape == (15, 16, 3)
    outputs = {"bicubic": sr.baseline(small), "x2": iln.Restorer(file)(small)}
    for name, output in outputs.items():
        found = {s.metric: s.value for s in result.scores if s.model == name}
        assert found == {
            "psnr_y": psnr_y(output, target, border=2),
            "ssim_y": ssim_y(output, target, border=2),
        }


def test_gray_networks_see_gray_pictures(tmp_path: Path) -> None:
    place = folder(tmp_path / "set", a=photo())
    file = network(tmp_path / "gray.safetensors", channels=1)
    result = evaluate(file, place, task="denoise", parameters={"sigma": 25})
    gray = task("denoise", {"sigma": 25, "gray": True})
    assert result.task == gray
    damaged, target = load_pair(Source(place / "a.png"), gray)
    assert target.shape == (20, 24, 1)
    found = {s.metric: s.value for s in result.scores if s.model == "gray"}
    assert found["psnr_y"] == psnr_y(to_uint8(damaged), target)


def test_colour_networks_see_gray_pictures_three_times(tmp_path: Path) -> None:
    place = folder(tmp_path / "set", a=photo())
    file = network(tmp_path / "colour.safetensors", None)
    result = evaluate(file, place, task="jpeg", parameters={"quality": 10, "gray": True})
    damaged, target = load_pair(Source(place / "a.png"), task("jpeg", result.task.model_dump()))
    assert damaged.shape == target.shape == (20, 24, 1)
    three = iln.Restorer(file)(damaged.repeat(3, 2).astype(np.float64) / 255)
    output = np.rint(three.mean(2, keepdims=True) * 255)
    found = {s.metric: s.value for s in result.scores if s.model == "colour"}
    mse = float(np.mean(np.square(output - target)))
    assert found["psnr_y"] == pytest.approx(10 * math.log10(255**2 / mse), abs=0.01)


def test_models_side_by_side_have_the_scores_they_have_alone(tmp_path: Path) -> None:
    sets = [
        folder(tmp_path / "one", a=photo(), b=photo(seed=3)),
        folder(tmp_path / "two", a=photo(24, 20)),
    ]
    files = [
        network(tmp_path / "a.safetensors", 3, task="denoise"),
        network(tmp_path / "b.safetensors", None, task="denoise"),
    ]
    both = evaluate(files, sets)
    for file in files:
        alone = evaluate(file, sets).scores
        assert alone == tuple(s for s in both.scores if s.model in ("input", file.stem))
    assert len(both.scores) == 3 * 3 * 3 * 2  # pictures, protocols, columns, metrics
    assert both.columns == ["input", "a", "b"]


def test_the_seed_decides_the_damage(tmp_path: Path) -> None:
    place = folder(tmp_path / "set", a=photo())
    file = network(tmp_path / "m.safetensors", task="denoise")
    first, again, other = (evaluate(file, place, seed=seed).scores for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_progress_goes_from_nothing_to_all(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    evaluate(
        [network(tmp_path / f"{n}.safetensors", task="denoise") for n in ("a", "b")],
        folder(tmp_path / "set", a=photo(), b=photo(12, 40)),
        progress=lambda what, share: told.append((what, share)),
    )
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[0] == 0 and shares[-1] == pytest.approx(1)
    assert told[0][0] == "reading set" and told[-1][0] == "set sigma 50 b"
