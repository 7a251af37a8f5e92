"""A server in this process with a network that restores in milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

import iln
from iln.backbones import SwinIRSpec, from_spec
from iln.deploy.serve import Settings, create_app

HOME = "http://127.0.0.1:8000"


def save_network(
    file: Path, scale: int = 1, seed: int = 0, task: str | None = None, brighter: float = 0.0
) -> Path:
    spec = SwinIRSpec(
        embed_dim=12,
        depths=(2,),
        num_heads=(2,),
        window=4,
        scale=scale,
        upsampler="" if scale == 1 else "pixelshuffledirect",
        norm="i-ln",
        eps=1e-4,
        input_stats="mean+std",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = from_spec(spec)
        for parameter in network.parameters():
            parameter.data += 0.02 * torch.randn(parameter.shape)
        if brighter:
            network.conv_last.bias.data += brighter
        iln.save(network, file, task=task)
    return file


def pixels(height: int = 12, width: int = 16, seed: int = 0, dtype: Any = np.uint8) -> Any:
    """Noise, so that no two are alike."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, 3)).astype(dtype)


def encoded(array: NDArray[Any] | None = None, suffix: str = "png", **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels() if array is None else array).save(file, suffix, **options)
    return file.getvalue()


@contextmanager
def client(settings: Settings | None = None, home: str = HOME) -> Iterator[TestClient]:
    with TestClient(create_app(settings), base_url=home) as found:
        yield found


@contextmanager
def visitor(settings: Settings | None = None) -> Iterator[TestClient]:
    """With the page's cookie."""
    with client(settings) as found:
        found.get("/")
        yield found


def hand_in(browser: TestClient, data: bytes, name: str = "a.png", **fields: Any) -> Any:
    answer = browser.post("/jobs", files={"file": (name, data)}, data=fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def wait_for(what: Callable[[], Any], seconds: float = 20) -> Any:
    """Until it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.01)
    raise AssertionError("it never happened")


def finished(browser: TestClient, job: Any) -> Any:
    def look() -> Any:
        found = browser.get(f"/jobs/{job['id']}").json()
        return found if found["state"] not in ("ready", "waiting", "running") else None

    return wait_for(look)
