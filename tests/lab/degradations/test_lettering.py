import sys

import numpy as np
import pytest
from pictures import flat

from iln.errors import InputError
from iln.lab.degradations import lettering
from iln.lab.degradations.lettering import FONTS, lettered
from iln.lab.tasks import generator


@pytest.mark.parametrize("name", FONTS)
def test_every_font_has_its_letters(name) -> None:
    pages = {
        letter: bytes(lettering._font(name, 40).getmask(letter, mode="L")) for letter in "aAzZ09"
    }
    assert all(sum(page) > 40 * 255 for page in pages.values())  # ink
    assert len(set(pages.values())) == len(pages)  # no boxes in the place of letters


def test_it_can_be_read_and_covers_a_part() -> None:
    shares = []
    for seed in range(60):
        page = lettered(flat(128, 112, 112), generator(seed)).astype(int)
        ground = np.median(page.reshape(-1, 3), 0)
        ink = np.abs(page - ground).max(2)
        assert ink.max() > 35
        shares.append((ink > 20).mean())
    assert min(shares) > 0.02 and 0.1 < np.mean(shares) < 0.4


def test_grounds_are_dark_and_light() -> None:
    means = [lettered(flat(128, 112, 112), generator(seed)).mean() for seed in range(60)]
    assert min(means) < 60 and max(means) > 190


def test_without_matplotlib_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    lettering._font.cache_clear()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"matplotlib .*iln\[train\]"):
        lettered(flat(128, 40, 40), generator(0))
