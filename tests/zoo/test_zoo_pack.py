"""Training pictures that travel."""

from __future__ import annotations

from pathlib import Path

import pack
import pytest
from PIL import Image
from small_zoo import picture

from iln.errors import InputError
from iln.images import psnr_rgb, read


def test_copies_and_what_is_left_out(tmp_path: Path) -> None:
    pictures = {f"{name}_{i}": picture(i, 64) for name in ("bird", "sea") for i in range(3)}
    for stem, pixels in pictures.items():
        Image.fromarray(pixels).save(tmp_path / f"{stem}.png")
    folder = tmp_path / "pack"
    files = [pack.packed(tmp_path / f"{stem}.png", folder) for stem in pictures]
    for file in files:
        assert psnr_rgb(read(file).rgb8(), pictures[file.stem]) > 35
    made = files[0].stat().st_mtime_ns
    assert pack.packed(tmp_path / "bird_0.png", folder).stat().st_mtime_ns == made

    sizes = sum(file.stat().st_size for file in files)
    assert pack.thin(files, folder, sizes) == 0
    assert pack.thin(files, folder, sizes - 2) in (1, 2)
    left = [file for file in files if file.exists()]
    assert {file.stem.partition("_")[0] for file in left} == {"bird", "sea"}
    with pytest.raises(InputError, match="a tile of each photograph"):
        pack.thin(left, folder, 1)
