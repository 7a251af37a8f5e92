"""The comparison with other programs: what cannot be had is a row, and ours is measured."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import peers
from peer_cases import CASES, PACKAGES, Case, Program, ours
from peers import MissingError, installed, reason, run, scored

GMIC = next(p for p in CASES["denoise"].programs if p.package == "gmic")


@pytest.fixture
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.shutil, "which", lambda name: None)


def test_a_case_of_ours_beside_a_program_that_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], nothing_else: None
) -> None:
    (tmp_path / "set").mkdir()
    rng = np.random.default_rng(0)
    for number, side in enumerate((40, 48, 20, 41)):
        smooth = np.kron(rng.integers(60, 200, (side // 4 + 1,) * 2), np.ones((4, 4)))
        picture = np.repeat(smooth[:side, :side, None], 3, axis=2).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / "set" / f"{number}.png")
    case = Case("Noise", "denoise", "set", 40, (ours("denoise")[1], GMIC), {"sigma": 25})
    tiles = scored(case, tmp_path, tmp_path, 5)
    printed = capsys.readouterr().out
    assert "(3 of set, input 40x40)" in printed  # the small one is left out
    noisy, restored, missing = printed.splitlines()[4:7]
    assert float(restored.split(" | ")[1]) > float(noisy.split(" | ")[1]) + 3
    assert "not installed (apt install gmic)" in missing and missing.endswith("CeCILL |")
    assert [tile.title for tile in tiles] == ["input", "original"]  # the two ways look the same


def test_what_is_missing_is_named(tmp_path: Path, nothing_else: None) -> None:
    for name, package in PACKAGES.items():
        if package.source == "npm":
            with pytest.raises(MissingError, match=r"needs Node\.js with npm"):
                installed(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="failed: KeyError: 'nobody'"):
        run(Program("nobody", "nobody"), [np.zeros((8, 8, 3), np.uint8)] * 2, tmp_path)
    assert reason("\n  throw e\n\nRangeError: too much\n    at Error.x\n\nNode.js v20\n") == (
        "RangeError: too much"
    )
    assert reason("") == "nothing said"
