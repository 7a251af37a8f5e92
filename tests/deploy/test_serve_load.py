"""Many requests at once, and many pictures after each other: none is lost, memory stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="Starlette is not installed")
import httpx2 as httpx
import numpy as np
from serve_helpers import encoded, pixels

import iln
from iln.images import read

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs SIGTERM"),
]


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    """A process of its own: its address and number."""
    process = subprocess.Popen(
        [sys.executable, "-m", "iln", "serve", "--no-open"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        process.stdout.close()


def resident(process: int) -> int:
    """Bytes that a process holds."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def test_200_requests_of_8_clients_none_lost_none_mixed_up(
    server: tuple[str, int], network: Path
) -> None:
    home, _ = server
    restorer = iln.Restorer(network, device="cpu")

    def one(number: int) -> bool:
        array = pixels(16 + number % 7, 20, seed=number)
        answer = http.post(
            "restore",
            files={"file": (f"{number}.png", encoded(array))},
            data={"model": str(network), "device": "cpu"},
        )
        assert answer.status_code == 200, answer.text
        assert f"{number}_restored.png" in answer.headers["content-disposition"]
        return np.array_equal(read(answer.content).pixels, restorer(array))

    with httpx.Client(base_url=home, timeout=120) as http, ThreadPoolExecutor(8) as clients:
        assert all(clients.map(one, range(200)))
        assert http.get("health").json()["waiting"] == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc (Linux)")
def test_memory_does_not_grow_over_500_pictures(server: tuple[str, int], network: Path) -> None:
    home, process = server
    sizes = []
    with httpx.Client(base_url=home, timeout=60) as http:
        http.get("")  # with the page's cookie: previews are made, too
        for number in range(500):
            answer = http.post(
                "jobs",
                files={"file": ("a.png", encoded(pixels(48, 64, seed=number)))},
                data={"model": str(network), "device": "cpu"},
            )
            where = answer.headers["location"].strip("/")
            while http.get(where).json()["state"] in ("waiting", "running"):
                pass
            assert http.get(f"{where}/result").status_code == 200
            http.delete(where)
            if number >= 100:
                sizes.append(resident(process))
    growth = max(sizes[-100:]) - max(sizes[:100])
    assert growth < 24 << 20, f"{sizes[0] >> 20} MB after 100, {sizes[-1] >> 20} MB after 500"
