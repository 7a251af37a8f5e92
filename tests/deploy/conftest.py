from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network that keeps the size."""
    from serve_helpers import save_network

    return save_network(tmp_path_factory.mktemp("networks") / "tiny.safetensors")


@pytest.fixture(scope="session")
def enlarging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, twice as large."""
    from serve_helpers import save_network

    return save_network(tmp_path_factory.mktemp("networks") / "twice.safetensors", scale=2)
