"""The promise of bounded memory, measured in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads the kernel's figures in /proc (Linux)"
)
HEIGHT, WIDTH = 200, 400
MAPS = HEIGHT * WIDTH * 3 * 60 * 4
"""Bytes of swinir-light's three maps: 55 MiB."""


def measure(
    mebibytes: int,
    scratch: Path,
    engine: str = "torch",
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> dict[str, Any]:
    script = Path(__file__).with_name("peak_of_restoring.py")
    done = subprocess.run(
        [sys.executable, script, *map(str, (*size, mebibytes)), engine],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"},
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_strips_keep_the_budget(scratch: Path) -> None:
    report = measure(170, scratch)
    rows, on_disk = report["plans"][0]
    assert 8 <= rows <= 40 and not on_disk  # strips were needed, and enough
    assert report["taken"] > MAPS  # the measurement sees the maps
    assert max(report["peaks"]) <= report["budget"]
    assert report["messages"] == []
    # What the first picture left in the C library's hands does not send the second to the disk.
    second, on_disk = report["plans"][1]
    assert second >= rows - 8 and not on_disk


def test_maps_on_disk_keep_the_budget(scratch: Path) -> None:
    report = measure(90, scratch)
    assert [on_disk for _, on_disk in report["plans"]] == [True, True]
    assert report["anonymous"] <= report["budget"]
    # Less than the maps alone: they did lie somewhere else.
    assert report["taken"] < MAPS
    assert len(report["messages"]) == 2  # one a picture
    assert all("temporary files" in message for message in report["messages"])
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_what_compiled_graphs_keep_is_in_the_budget(scratch: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    report = measure(360, scratch, "openvino", (96, 640))
    assert [on_disk for _, on_disk in report["plans"]] == [False, False]
    assert max(report["peaks"]) <= report["budget"]
    assert report["messages"] == []
    # What they keep by then is not counted once more.
    before, after = report["unused"]
    assert before > 2**22 and after == 0
    assert report["plans"][1][0] >= report["plans"][0][0]
