"""A mask over HTTP: where the result differs, limited to what was painted, and back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="Starlette is not installed")
from serve_helpers import client, encoded, finished, hand_in, pixels, save_network, visitor

import iln
from iln.deploy.serve.options import Options
from iln.deploy.serve.store import Busy
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
        assert np.array_equal(limited[:, :16], before[:, :16])  # and a soft edge
        assert np.array_equal(limited[:, 20:], after[:, 20:])
        assert np.array_equal(array(http.get(f"{where}/mask").content), painted)

        assert not http.delete(f"{where}/mask").json()["result"]["masked"]
        assert http.get(f"{where}/result").content == whole
        assert np.array_equal(array(http.get(f"{where}/mask").content), mask)


def test_marks_are_of_the_result_that_is_there(network: Path) -> None:
    """And not of a run that was cancelled, whose options were others."""
    before = pixels(30, 40)
    with visitor() as http:
        job = hand_in(http, encoded(before, "jpeg"), "a.jpg", model=str(network))
        finished(http, job)
        where = f"/jobs/{job['id']}"
        size = len(http.get(f"{where}/result").content)
        store = http.app.state.store
        found = store.get(job["id"])
        with store._changed:  # the worker waits
            store.start(found, Options(model=[str(network)], quality=5))
            store.cancel(found)
        assert http.get(where).json()["state"] == "cancelled"
        answer = http.put(f"{where}/mask", content=encoded(np.full((30, 40), 255, np.uint8)))
        assert answer.json()["options"] == {"model": [str(network)]}
        assert len(http.get(f"{where}/result").content) > 0.9 * size


def test_a_mask_that_is_none_leaves_the_one_before(network: Path) -> None:
    black = encoded(np.zeros((30, 40), np.uint8))
    with visitor() as http:
        files = {"file": ("a.png", encoded(pixels(30, 40))), "mask": ("m.png", black)}
        job = http.post("/jobs", files=files, data={"model": str(network)}).json()
        done = finished(http, job)
        assert "its mask is black: nothing is restored" in done["notes"]
        answer = http.put(f"/jobs/{job['id']}/mask", content=b"junk")
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("the mask: is not a picture")
        http.post(f"/jobs/{job['id']}/start", json={"model": [str(network)]})
        assert finished(http, job)["result"]["masked"]


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


def test_of_several_models_the_mask_limits_the_one_for_marks(tmp_path: Path) -> None:
    """As in `old-print`: the others do the whole picture, and are done again."""
    before = pixels(30, 40)
    before[:10] = 255  # which the first cannot make brighter
    task = "scratches: takes marks away"
    names = [
        str(save_network(tmp_path / "marks.safetensors", task=task, brighter=0.5)),
        str(save_network(tmp_path / "noise.safetensors", seed=1)),
    ]
    painted = np.zeros((30, 40), np.uint8)
    painted[:, 20:] = 255
    with visitor() as http:
        job = hand_in(http, encoded(before), model=names)
        finished(http, job)
        where = f"/jobs/{job['id']}"
        whole = array(http.get(f"{where}/result").content)
        marks = iln.restore(before, names[0])
        seen = array(http.get(f"{where}/mask").content)
        assert np.array_equal(seen, changed_mask(before, marks))  # small changes are undone already
        assert not np.array_equal(seen, changed_mask(before, whole))

        http.put(f"{where}/mask", content=encoded(painted)).raise_for_status()
        assert finished(http, job)["result"]["masked"]
        limited = array(http.get(f"{where}/result").content)
        assert np.array_equal(limited, iln.restore(before, names, mask=painted))
        assert not np.array_equal(limited[:, :16], before[:, :16])
        assert not np.array_equal(limited, whole)
        assert np.array_equal(array(http.get(f"{where}/mask").content), painted)

        def full(*_: Any, **__: Any) -> None:
            raise Busy("1 pictures wait already; try again later")

        with pytest.MonkeyPatch.context() as patch:  # nothing of a refused mask stays
            patch.setattr(http.app.state.store, "start", full)
            black = encoded(np.zeros((30, 40), np.uint8))
            assert http.put(f"{where}/mask", content=black).status_code == 503
            assert http.delete(f"{where}/mask").status_code == 503
        assert http.get(where).json()["result"]["masked"]
        assert np.array_equal(array(http.get(f"{where}/mask").content), painted)

        http.delete(f"{where}/mask").raise_for_status()
        assert not finished(http, job)["result"]["masked"]
        assert np.array_equal(array(http.get(f"{where}/result").content), whole)

        http.put(f"{where}/mask", content=encoded(painted)).raise_for_status()
        finished(http, job)
        http.post(f"{where}/start", json={"model": names}).raise_for_status()  # anew, without
        assert not finished(http, job)["result"]["masked"]
        assert np.array_equal(array(http.get(f"{where}/result").content), whole)
        assert np.array_equal(array(http.get(f"{where}/mask").content), seen)


def test_what_is_no_mask_or_has_none(network: Path, enlarging: Path) -> None:
    with visitor() as http:
        job = hand_in(http, encoded(), model=str(network))
        finished(http, job)
        answer = http.put(f"/jobs/{job['id']}/mask", content=b"hello")
        assert answer.status_code == 400 and "not a picture" in answer.json()["error"]
        for wrong, words in ((pixels(), "in colour"), (np.zeros((30, 30), np.uint8), "30 x 30")):
            answer = http.put(f"/jobs/{job['id']}/mask", content=encoded(wrong))
            assert answer.status_code == 400 and words in answer.json()["error"]
        assert not http.get(f"/jobs/{job['id']}").json()["result"]["masked"]
        larger = hand_in(http, encoded(), model=str(enlarging))
        assert not finished(http, larger)["result"]["marks"]
        answer = http.get(f"/jobs/{larger['id']}/mask")
        assert answer.status_code == 409 and "keep the size" in answer.json()["error"]
    with client() as http:
        job = hand_in(http, encoded(), model=str(network))
        finished(http, job)
        assert http.put(f"/jobs/{job['id']}/mask", content=b"").status_code == 409


def test_a_mask_beside_the_picture(network: Path, enlarging: Path) -> None:
    before, painted = pixels(30, 40), np.zeros((30, 40), np.uint8)
    painted[:, 20:] = 255
    with client() as http:

        def restored(mask: bytes, model: Path) -> Any:
            files = {"file": ("a.png", encoded(before)), "mask": ("m.png", mask)}
            return http.post("/restore", files=files, data={"model": str(model)})

        for model in (network, enlarging):
            found = array(restored(encoded(painted), model).content)
            assert np.array_equal(found, iln.restore(before, model, mask=painted))
        files = {"file": ("a.png", encoded(before)), "mask": ("m.png", encoded(painted))}
        job = http.post("/jobs", files=files, data={"start": "no"}).json()
        answer = http.get(f"/jobs/{job['id']}/result")
        assert answer.status_code == 409
        assert answer.json() == {"error": "a.png: has no result; its state is ready"}
        http.post(f"/jobs/{job['id']}/start", json={"model": str(network)}).raise_for_status()
        assert finished(http, job)["result"]["masked"]
        found = array(http.get(f"/jobs/{job['id']}/result").content)
        assert np.array_equal(found, iln.restore(before, network, mask=painted))
        again = {"model": [str(network)], "strength": 0.5}
        http.post(f"/jobs/{job['id']}/start", json=again)
        assert finished(http, job)["result"]["masked"]
        half = array(http.get(f"/jobs/{job['id']}/result").content)
        assert np.array_equal(half, iln.restore(before, network, mask=painted, strength=0.5))
        for wrong, words in ((encoded(), "mask: is in colour"), (b"hello", "mask: ")):
            answer = restored(wrong, network)
            assert answer.status_code == 422 and answer.json()["error"].startswith(words)
        answer = http.post("/restore", files={"file": encoded()}, data={"mask": "m.png"})
        assert answer.status_code == 400 and "mask: is no file" in answer.json()["error"]
