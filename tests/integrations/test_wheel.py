"""The wheel in an empty environment, away from the repository: it restores a picture."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(1200)
def test_a_wheel_restores_a_picture(tmp_path: Path) -> None:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*words: str | Path) -> str:
        done = subprocess.run(words, cwd=tmp_path, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("iln-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        page = {name for name in archive.namelist() if "/serve/page/" in name}
    assert {Path(name).suffix for name in page} == {".html", ".css", ".js", ".svg", ".webp"}
    run(sys.executable, "-m", "venv", tmp_path / "empty")
    programs = tmp_path / "empty" / ("Scripts" if os.name == "nt" else "bin")
    run(programs / "python", "-m", "pip", "install", wheel)
    Image.new("RGB", (24, 20), (90, 120, 150)).save(tmp_path / "a.png")
    run(programs / "iln", "restore", "a.png", "--model", "sr-x2")
    with Image.open(tmp_path / "a_restored.png") as result:
        assert result.size == (48, 40)
        assert np.abs(np.asarray(result, int) - (90, 120, 150)).max() < 12
    where = run(programs / "python", "-c", "import iln; print(iln.__file__)")
    assert str(tmp_path) in where
    assert "scratches" in run(programs / "iln", "models")
    run(programs / "iln", "diagnose", "sr-x2", "a.png", "-o", "page.html")
    assert "sr-x2" in (tmp_path / "page.html").read_text("utf-8")
