"""What each task does to pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from iln.images import psnr_rgb, psnr_y, psnrb_y, ssim_y
from iln.lab.tasks import JPEG, Deblur, Denoise, Derain, Photo, Range, Scratches, Task, generator

_Y, _X = np.mgrid[:160, :192]
WHOLE = np.stack(
    [
        120 + 55 * np.sin(_X / (6 + c)) * np.cos(_Y / (8 - c)) + 50 * (_X // 24 % 2 != _Y // 32 % 2)
        for c in range(3)
    ],
    -1,
).astype(np.uint8)
"""Soft waves and hard edges."""


def means(task, number: int = 40) -> list[float]:
    return [
        psnr_rgb(task.baseline(task.degrade(WHOLE, generator(1, s))), WHOLE) for s in range(number)
    ]


def test_blind_noise_covers_the_range() -> None:
    blind = Denoise(sigma=[10, 50])
    sigmas = [(255 * blind.degrade(WHOLE, generator(0, s)) - WHOLE).std() for s in range(80)]
    assert 9.8 < min(sigmas) < 14
    assert 46 < max(sigmas) < 50.5
    assert np.mean(sigmas) == pytest.approx(30, abs=4)


def test_noise_protocols() -> None:
    names = {n: t.sigma for n, t in Denoise(sigma=[0, 30]).protocols().items()}
    assert names == {"sigma 15": Range(15, 15), "sigma 25": Range(25, 25)}
    assert [t.sigma.low for t in Denoise(sigma=50).protocols().values()] == [50]
    (only,) = Denoise(sigma=35).protocols().values()
    assert only.sigma == Range(35, 35)
    assert all(t.rounded for t in Denoise(rounded=True).protocols().values())


def test_noise_metrics() -> None:
    other = WHOLE ^ 3
    assert Denoise().score(other, WHOLE) == {
        "psnr_rgb": psnr_rgb(other, WHOLE),
        "ssim_y": ssim_y(other, WHOLE),
    }
    gray = Denoise(gray=True)
    assert gray.score(other[..., :1], WHOLE[..., :1])["psnr_y"] == psnr_y(
        other[..., 0], WHOLE[..., 0]
    )


def test_jpeg_protocols_and_metrics() -> None:
    assert list(JPEG().protocols()) == ["q 10", "q 20", "q 30", "q 40"]
    assert list(JPEG(quality=[15, 35]).protocols()) == ["q 20", "q 30"]
    assert [t.quality for t in JPEG(quality=[50, 61]).protocols().values()] == [Range(55, 55)]
    damaged = JPEG(quality=10).degrade(WHOLE, generator(0))
    assert JPEG().score(damaged, WHOLE) == {
        "psnr_y": psnr_y(damaged, WHOLE),
        "ssim_y": ssim_y(damaged, WHOLE),
        "psnrb_y": psnrb_y(damaged, WHOLE),
    }


@pytest.mark.parametrize("gray", [True, False])
def test_training_crops_see_the_grid_in_every_phase(gray: bool) -> None:
    """Where columns jump most, modulo 8: always at 0 in whole pictures, anywhere in crops."""
    jpeg = JPEG(quality=5, gray=gray)
    y, x = np.mgrid[:112, :112]
    smooth = np.repeat((100 + x * 0.9 + y * 0.4).astype(np.uint8)[..., None], 3, 2)
    crop = jpeg.colours(smooth)

    def phases(damaged: np.ndarray) -> tuple[int, int]:
        plane = damaged[..., 0].astype(float)
        jumps = [np.abs(np.diff(plane, axis=axis)).sum(axis=1 - axis) for axis in (0, 1)]
        return tuple(int(np.argmax([j[(p - 1) % 8 :: 8].mean() for p in range(8)])) for j in jumps)

    assert phases(jpeg.degrade(crop, generator(0))) == (0, 0)
    seen = [phases(jpeg.training_pair(crop, generator(0, s))[0]) for s in range(80)]
    assert {p for p, _ in seen} == {q for _, q in seen} == set(range(8))


def test_a_training_crop_is_part_of_a_compressed_picture() -> None:
    """Input and target show the same place."""
    jpeg = JPEG(quality=95)
    inner, gray = WHOLE[16:-16, 16:-16], 0
    for seed in range(60):
        damaged, target = jpeg.training_pair(WHOLE, generator(seed))
        assert psnr_rgb(damaged, target) > 25
        if not np.array_equal(target, inner):
            gray += 1
            assert np.array_equal(
                target, jpeg.model_copy(update={"gray": True}).colours(inner).repeat(3, 2)
            )
            assert np.abs(damaged.astype(int) - damaged[..., :1]).max() <= 2  # of chroma's rounding
    assert 1 <= gray <= 15  # a tenth
    assert JPEG(colourless=1).training_pair(WHOLE, generator(0))[1].std(axis=2).max() == 0


def test_rain_metrics_name_both_protocols() -> None:
    wet = Derain().degrade(WHOLE, generator(0))
    assert Derain().score(wet, WHOLE) == {
        "psnr_y_rounded": psnr_y(wet, WHOLE, rounded=True),
        "ssim_y_rounded": ssim_y(wet, WHOLE, rounded=True),
        "psnr_y": psnr_y(wet, WHOLE),
        "ssim_y": ssim_y(wet, WHOLE),
    }
    assert next(iter(Derain().metrics())) == "psnr_y_rounded"


def test_default_rain_is_like_rain100l() -> None:
    """Over the set: 28 % of pixels lighter by 2, mean light 5.9, of one picture 1.8 to 9.8."""
    black = np.zeros((300, 400, 3), np.uint8)
    light = [Derain().degrade(black, generator(0, s)).astype(float) for s in range(60)]
    assert np.mean([(x > 2).mean() for x in light]) == pytest.approx(0.28, abs=0.06)
    assert np.mean(light) == pytest.approx(5.9, rel=0.25)
    means = np.percentile([x.mean() for x in light], [5, 95])
    assert means[0] == pytest.approx(1.8, abs=1.2)
    assert means[1] == pytest.approx(9.8, abs=3)


def test_layers_add_up() -> None:
    black = np.zeros((200, 200, 3), np.uint8)
    one, five = (Derain(layers=n).degrade(black, generator(3)) for n in (1, 5))
    assert five.mean() > 3 * one.mean()


def test_blur_protocols() -> None:
    names = [f"{kind} {how}" for kind in KINDS for how in ("mild", "medium", "strong")]
    protocols = Deblur().protocols()
    assert list(protocols) == names
    for name, task in protocols.items():
        assert task.shaken == (name[:6] == "motion")
        assert (task.noise, task.quality) == (Range(2, 2), Range(90, 90))
        assert (task.untouched, task.compressed) == (0, 1)
    sizes = [getattr(task, name.partition(" ")[0]).low for name, task in protocols.items()]
    assert sizes == [5, 10, 20, 1, 2, 4]
    own = Deblur(motion=[4, 16], defocus=3, noise=0, compressed=0).protocols()
    assert list(own) == ["motion mild", "motion medium", "defocus"]
    assert own["motion medium"].motion == Range(10, 10)
    assert own["defocus"].defocus == Range(3, 3)
    assert (own["defocus"].noise, own["defocus"].compressed) == (Range(0, 0), 0)


KINDS = ("motion", "defocus")
EXACT: dict[str, Any] = {"noise": 0, "compressed": 0, "untouched": 0}


def test_blur_blurs_without_moving() -> None:
    dot = np.zeros((61, 61, 3), np.uint8)
    dot[30, 30] = 255
    for seed in range(10):
        spread = Deblur(**EXACT, shaken=0, defocus=4).degrade(dot, generator(seed))[..., 0]
        assert np.array_equal(spread, spread[::-1, ::-1])
        moved = Deblur(**EXACT, shaken=1, motion=20).degrade(dot, generator(seed))[..., 0]
        rows, columns = np.nonzero(moved)
        assert abs(rows.min() + rows.max() - 60) <= 2
        assert abs(columns.min() + columns.max() - 60) <= 2
        assert moved.sum(dtype=int) == pytest.approx(255, rel=0.15)


def test_a_blurred_crop_does_not_see_its_border() -> None:
    whole = generator(5).integers(0, 256, (180, 190, 3), dtype=np.uint8)
    other = whole.copy()
    for seed in range(8):
        task = Deblur(**EXACT, shaken=seed % 2, motion=36, defocus=18)
        m = task.margin
        cut = np.s_[10 : 90 + 2 * m, 10 : 74 + 2 * m]
        inside = np.s_[10 + m : 90 + m, 10 + m : 74 + m]
        other[: 10 + m - 21] = 0  # what no kernel reaches
        crop, target = task.training_pair(whole[cut], generator(seed))
        assert np.array_equal(crop, task.training_pair(other[cut], generator(seed))[0])
        assert crop.shape == target.shape and not np.array_equal(crop, target)
        assert np.array_equal(target, whole[inside])


def test_the_grid_of_a_blurred_crop_begins_anywhere() -> None:
    """A flat kernel's only trace are JPEG's blocks: their edges are at all places in turn."""
    task = Deblur(shaken=0, defocus=0, noise=0, compressed=1, quality=5, untouched=0)
    m = task.margin
    crop = generator(6).integers(0, 256, (32 + 2 * m, 32 + 2 * m, 3), dtype=np.uint8)
    places = set()
    for seed in range(40):
        damaged, _ = task.training_pair(crop, generator(seed))
        steps = np.abs(np.diff(damaged[..., 1].astype(int), axis=0)).mean(1)
        places.add(int(np.argmax([steps[start::8].mean() for start in range(8)])))
    assert places == set(range(8))


@pytest.mark.parametrize("kind", [Deblur, JPEG])
def test_the_grid_of_colours_begins_anywhere(
    kind: type[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """4:2:0 encodes 16 x 16 pixels together."""
    sides: list[tuple[int, ...]] = []

    def seen(task: Task, target: Any, rng: np.random.Generator) -> Any:
        sides.append(target.shape[:2])
        return target

    monkeypatch.setattr(kind, "degrade", seen)
    crop = np.zeros((96, 96, 3), np.uint8)
    for seed in range(200):
        kind().training_pair(crop, generator(seed))
    for along in zip(*sides, strict=True):
        assert set(along) == set(range(81, 97))


def test_some_pictures_stay_as_they_are() -> None:
    task, same = Deblur(untouched=0.5), 0
    for seed in range(40):
        same += np.array_equal(task.degrade(WHOLE, generator(seed)), WHOLE)
    assert 8 < same < 32


def test_photo_strengths() -> None:
    protocols = Photo(scale=2).protocols()
    assert list(protocols) == ["mild", "medium", "strong"]
    assert all(t.scale == 2 and t.untouched == 0 for t in protocols.values())
    mild, medium, strong = (np.mean(means(t)) for t in Photo().protocols().values())
    assert mild > medium + 2 > strong + 4
    assert mild > 24
    assert strong > 12


def test_a_worn_print_may_have_a_good_scan() -> None:
    scan = {"strength": 0.01, "untouched": 0, "prints": 1}
    worn, spared = Photo(**scan, wear=1), Photo(**scan, wear=0)
    assert np.median(means(worn, 20)) + 8 < np.median(means(spared, 20))
    assert [t.wear for t in Photo().protocols().values()] == [Range(s, s) for s in (0.2, 0.5, 0.9)]
    assert all(t.wear == Range(0.7, 0.7) for t in Photo(wear=0.7).protocols().values())


def test_photo_leaves_some_pictures_alone() -> None:
    untouched = sum(score == np.inf for score in means(Photo(untouched=0.3), 150))
    assert untouched == pytest.approx(45, abs=17)
    assert all(score == np.inf for score in means(Photo(strength=0), 5))
    weak = means(Photo(strength=0.01, untouched=0, prints=0), 20)
    assert np.median(weak) > 32


def test_photo_trains_on_pictures_without_colour() -> None:
    colourless = Photo(colourless=1.0, prints=0.0)
    targets = [colourless.training_pair(WHOLE, generator(s))[1] for s in range(8)]
    assert any((t == t[..., :1]).all() for t in targets)
    kept = Photo(colourless=0.0).training_pair(WHOLE, generator(1))[1]
    assert np.array_equal(kept, WHOLE[24:-24, 24:-24])


def test_what_cameras_and_messengers_leave_comes_besides() -> None:
    usual = {"strength": 0.4, "untouched": 0, "prints": 0.5}
    more = np.mean(means(Photo(**usual, processed=1))), np.mean(means(Photo(**usual)))
    assert more[0] < more[1] - 0.5
    clean = Photo(strength=0, processed=1)
    assert np.array_equal(clean.degrade(WHOLE, generator(1)), WHOLE)
    assert all(t.processed == 0.5 for t in Photo(processed=0.5).protocols().values())


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_both_sides_of_a_training_crop_agree_wherever_its_damage_begins(scale: int) -> None:
    task = Photo(scale=scale, strength=0, colourless=0)
    for seed in range(12):
        damaged, target = task.training_pair(WHOLE, generator(seed))
        assert np.array_equal(target, WHOLE[24:-24, 24:-24])
        whole = task.degrade(WHOLE, generator(0))[
            24 // scale : -24 // scale, 24 // scale : -24 // scale
        ]
        inner = slice(8, -8)
        assert np.abs(damaged[inner, inner].astype(int) - whole[inner, inner]).max() <= 1


def test_photo_does_not_move_things() -> None:
    """The damaged picture correlates best with the original in its place."""
    for scale in (1, 2):
        task = Photo(scale=scale, strength=0.5, untouched=0, prints=0)
        for seed in range(10):
            damaged, target = task.pair(WHOLE, generator(seed))
            small = target.reshape(160 // scale, scale, 192 // scale, scale, 3).mean((1, 3))
            x, y = small[8:-8, 8:-8, 1], damaged[..., 1].astype(float)
            shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            scores = [
                np.corrcoef(x.ravel(), np.roll(y, s, (0, 1))[8:-8, 8:-8].ravel())[0, 1]
                for s in shifts
            ]
            assert shifts[int(np.argmax(scores))] == (0, 0)


def test_scratches_are_all_that_differs() -> None:
    """Noise, blur and JPEG of print and scan are on both sides."""
    unmarked = Scratches(wear=0, scan=1)
    for seed in range(10):
        damaged, target = unmarked.training_pair(WHOLE, generator(seed))
        assert np.array_equal(damaged, target)
        assert not np.array_equal(target, WHOLE[24:-24, 24:-24])
    clean, marked = Scratches(scan=0, colourless=0), []
    for seed in range(60):
        damaged, target = clean.training_pair(WHOLE, generator(seed))
        marked.append((np.abs(damaged.astype(int) - target) > 60).any(-1).mean())
    assert 0.002 < np.mean(marked) < 0.05


def test_lines_are_on_both_sides_and_untouched_crops_have_no_marks() -> None:
    lined, plain = (Scratches(wear=0, lines=share, scan=0) for share in (1, 0))
    untouched = Scratches(wear=1, cracks=1, untouched=1)
    edges = []
    for each in (lined, plain, untouched):
        pairs = [each.training_pair(WHOLE, generator(seed)) for seed in range(20)]
        assert all(np.array_equal(damaged, target) for damaged, target in pairs)
        edges.append(np.mean([np.abs(np.diff(target.astype(int), axis=1)) for _, target in pairs]))
    assert edges[0] > 1.2 * edges[1]


def test_cracks_come_besides_and_are_not_in_the_tests() -> None:
    assert all(task.cracks == 0 for task in Scratches().protocols().values())
    cracked, worn = Scratches(wear=0.9, cracks=1), Scratches(wear=0.9)
    more = [
        np.mean(cracked.pair(WHOLE, generator(s))[0] != worn.pair(WHOLE, generator(s))[0])
        for s in range(10)
    ]
    assert 0.002 < np.mean(more) < 0.5


def test_wear_is_how_many_scratches() -> None:
    light, medium, heavy = Scratches().protocols().values()

    def changed(task: Task) -> float:
        pairs = (task.pair(WHOLE, generator(seed)) for seed in range(30))
        return float(np.mean([(d != t).any(-1).mean() for d, t in pairs]))

    assert 0.005 < changed(light) < changed(medium) / 1.5
    assert changed(medium) * 1.3 < changed(heavy) < 0.3
