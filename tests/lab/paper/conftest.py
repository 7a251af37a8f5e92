"""Runs small enough to be trained in a test."""

from pathlib import Path

import pytest

from iln.lab.paper import Store, scale_of
from iln.lab.paper.synthetic_data import draw_data
from iln.lab.training import Recipe


@pytest.fixture
def store(tmp_path: Path) -> Store:
    draw_data(tmp_path / "pictures")
    return Store(tmp_path / "runs", tmp_path / "pictures", "cpu")


@pytest.fixture
def tiny() -> Recipe:
    return scale_of("smoke").recipe("ln")
