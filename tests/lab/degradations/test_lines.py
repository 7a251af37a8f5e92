import numpy as np
import pytest
from pictures import flat

from iln.lab.degradations.lettering import lettered
from iln.lab.degradations.lines import KINDS, draw, lines
from iln.lab.tasks import generator


def test_a_line_is_as_wide_and_as_opaque_as_it_is_to_be() -> None:
    cover = np.zeros((20, 30), np.uint8)
    draw(cover, 10j + np.arange(-5.0, 40.0, 0.5), 1.5, 0.8)
    assert (cover[9:12] == round(0.8 * 255)).all()
    assert (cover[:8] == 0).all() and (cover[13:] == 0).all()
    draw(cover, 10j + np.arange(0.0, 30.0), 0.5, 0.4)  # what covers more counts
    assert (cover[9:12] == round(0.8 * 255)).all()


def test_its_width_and_opacity_may_change_along_it() -> None:
    cover = np.zeros((21, 100), np.uint8)
    along = np.arange(100.0)
    draw(cover, along + 10j, np.linspace(0, 5, 100), np.linspace(0, 1, 100))
    assert cover[10, 10] < cover[10, 50] < cover[10, 99] == 255
    assert (cover[:, 95] > 0).sum() > 2 * (cover[:, 40] > 0).sum()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_covers_a_part(kind) -> None:
    shares = []
    for seed in range(20):
        cover = np.zeros((112, 112), np.uint8)
        for path, half, opacity in kind(112, 112, generator(seed)):
            assert np.abs(np.diff(path)).max(initial=0) < 1.2
            draw(cover, path, half, opacity)
        shares.append((cover > 40).mean())
    assert 0.01 < np.mean(shares) < 0.5


@pytest.mark.parametrize("drawn", [lines, lettered])
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 90, 1), (83, 2, 3), (31, 37, 1)])
def test_any_size_and_gray(shape, drawn) -> None:
    picture = generator(9).integers(0, 256, shape, dtype=np.uint8)
    before = picture.copy()
    for seed in range(20):
        after = drawn(picture, generator(seed))
        assert (after.shape, after.dtype) == (shape, np.uint8)
        assert np.array_equal(after, drawn(picture, generator(seed)))
    assert np.array_equal(picture, before)


def test_they_are_dark_or_light() -> None:
    picture = flat(128, 112, 112)
    means = [lines(picture, generator(seed)).mean() for seed in range(60)]
    assert min(means) < 110 and max(means) > 140
