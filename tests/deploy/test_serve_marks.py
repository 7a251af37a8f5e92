"""A mask over HTTP: where the result differs, limited to what was painted, and back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="Starlette is not installed")
from serve_helpers import client, encoded, finished, hand_in, pixels, visitor

from iln.images.mask import changed_mask


def array(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_mask_limits_the_result_and_can_be_taken_back(network: Path) -> None:
    before = pixels(30, 40)
    with visitor() as http:
        job = hand_in(http, encoded(before), model=str(network))
        done = finished(http, job)
        assert done["result"]["marks"] and not done["result"]["masked"]
        where = f"/jobs/{job['id']}"
        whole = http.get(f"{where}/result").content
        after = array(whole)
        mask = array(http.get(f"{where}/mask").content)
        assert np.array_equal(mask, changed_mask(before, after))

        painted = np.zeros((30, 40), np.uint8)
        painted[:, 20:] = 255
        answer = http.put(f"{where}/mask", content=encoded(painted))
        assert answer.json()["result"]["masked"] and answer.json()["run"] == done["run"] + 1
        limited = array(http.get(f"{where}/result").content)
        assert np.array_equal(limited[:, :20], before[:, :20])
        assert np.array_equal(limited[:, 20:], after[:, 20:])
        assert np.array_equal(array(http.get(f"{where}/mask").content), painted)

        assert not http.delete(f"{where}/mask").json()["result"]["masked"]
        assert http.get(f"{where}/result").content == whole
        assert np.array_equal(array(http.get(f"{where}/mask").content), mask)


def test_a_smaller_mask_and_transparency(network: Path) -> None:
    before = np.concatenate([pixels(30, 40), pixels(30, 40, seed=1)[..., :1]], 2)
    with visitor() as http:
        job = hand_in(http, encoded(before), model=str(network))
        finished(http, job)
        where = f"/jobs/{job['id']}"
        after = array(http.get(f"{where}/result").content)
        painted = np.repeat(np.uint8([[0] * 10 + [255] * 10]), 15, 0)
        http.put(f"{where}/mask", content=encoded(painted)).raise_for_status()
        limited = array(http.get(f"{where}/result").content)
        assert np.array_equal(limited[:, :14], before[:, :14])
        assert np.array_equal(limited[:, 26:], after[:, 26:])


def test_what_is_no_mask_or_has_none(network: Path, enlarging: Path) -> None:
    with visitor() as http:
        job = hand_in(http, encoded(), model=str(network))
        finished(http, job)
        answer = http.put(f"/jobs/{job['id']}/mask", content=b"hello")
        assert answer.status_code == 400 and "not a picture" in answer.json()["error"]
        larger = hand_in(http, encoded(), model=str(enlarging))
        assert not finished(http, larger)["result"]["marks"]
        answer = http.get(f"/jobs/{larger['id']}/mask")
        assert answer.status_code == 409 and "keep the size" in answer.json()["error"]
    with client() as http:
        job = hand_in(http, encoded(), model=str(network))
        finished(http, job)
        assert http.put(f"/jobs/{job['id']}/mask", content=b"").status_code == 409
