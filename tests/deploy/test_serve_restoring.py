"""Over HTTP a picture becomes what `iln restore` makes of it, byte for byte."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="Starlette is not installed")
from serve_helpers import client, encoded, finished, hand_in, pixels, visitor, wait_for

from iln.deploy.serve import worker
from iln.deploy.serve.options import Options
from iln.images import Picture, write


def by_command(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, data: bytes, *words: object
) -> tuple[str, bytes]:
    """Name and bytes of the result."""
    from iln.cli.main import main

    folder.mkdir()
    (folder / name).write_bytes(data)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["iln", "restore", name, *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    (found,) = [file for file in folder.iterdir() if file.name != name]
    return found.name, found.read_bytes()


def deep_tiff(file: Path) -> bytes:
    """16 bits, EXIF and XMP."""
    exif = Image.Exif()
    exif[0x010E] = "a cat"
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    picture = Picture(pixels(dtype=np.uint16), exif=block, dpi=(300.0, 300.0))
    write(picture, file)
    return file.read_bytes()


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("a.png", {}),
    "jpeg": ("b c.jpg", {"quality": 80}),
    "tiff of 16 bits": ("grün.tif", {}),
    "gif becomes png": ("d.gif", {}),
    "format": ("e.png", {"format": "webp"}),
    "strength and unfade": ("f.png", {"strength": 0.5, "unfade": "true"}),
    "size": ("g.png", {"size": "20x"}),
    "memory": ("h.png", {"memory": "1GB"}),
}


@pytest.mark.parametrize("case", CASES)
def test_bytes_are_those_of_the_command(
    case: str, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, options = CASES[case]
    kind = {"jpg": "jpeg"}.get(name[-3:], name[-3:])
    data = deep_tiff(tmp_path / "deep.tif") if kind == "tif" else encoded(suffix=kind)
    words = ["--model", network, "--device", "cpu"]
    for key, value in options.items():
        if key == "format":
            words += ["-o", f"{Path(name).stem}_restored.{value}"]
        else:
            words += [f"--{key}"] if value == "true" else [f"--{key}", str(value)]
    expected = by_command(monkeypatch, tmp_path / "command", name, data, *words)
    fields = {"model": str(network), "device": "cpu", **options}
    with client() as http:
        answer = http.post("/restore", files={"file": (name, data)}, data=fields)
        assert answer.status_code == 200, answer.text
        assert answer.content == expected[1]
        job = hand_in(http, data, name, **fields)
        done = finished(http, job)
        assert done["state"] == "done", done
        assert done["result"]["name"] == expected[0]
        assert http.get(f"/jobs/{job['id']}/result").content == expected[1]


def test_several_models_in_order(
    network: Path, enlarging: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded()
    words = ["--model", network, "--model", enlarging, "--device", "cpu"]
    _, expected = by_command(monkeypatch, tmp_path / "command", "a.png", data, *words)
    fields = {"model": [str(network), str(enlarging)], "device": "cpu"}
    with client() as http:
        answer = http.post("/restore", files={"file": ("a.png", data)}, data=fields)
        assert answer.content == expected


def test_notes_are_told(network: Path) -> None:
    with client() as http:
        data = encoded(pixels()[..., :3])
        fields = {"model": str(network), "format": "bmp"}
        exif = Image.Exif()
        exif[0x010E] = "a cat"
        data = encoded(exif=exif)
        answer = http.post("/restore", files={"file": ("a.png", data)}, data=fields)
        assert "BMP holds no metadata" in json.loads(answer.headers["iln-notes"])[0]


def test_models_are_loaded_once(network: Path, enlarging: Path) -> None:
    with client() as http:
        held, first = http.app.state.worker.models.held, None
        for strength in (1, 0.5, 1):
            fields = {"model": str(network), "strength": strength}
            files = {"file": ("a.png", encoded())}
            assert http.post("/restore", files=files, data=fields).status_code == 200
            (one,) = held.values()
            first = first or one
            assert one is first
        files = {"file": ("a.png", encoded())}
        http.post("/restore", files=files, data={"model": str(enlarging)})
        assert len(held) == 2 and first in held.values()


def test_models_are_dropped_when_memory_is_short(
    network: Path, enlarging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iln.deploy.serve.models.available", lambda: 1)
    with client() as http:
        for model in (network, enlarging):
            files = {"file": ("a.png", encoded())}
            assert http.post("/restore", files=files, data={"model": str(model)}).is_success
        assert len(http.app.state.worker.models.held) == 1


def test_without_memory_it_is_tried_again_with_one_model(
    network: Path, enlarging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from iln.restoration import Pipeline

    usual, tried = Pipeline.restore_picture, []

    def short(self: Pipeline, *words: Any, **more: Any) -> Any:
        tried.append(1)
        if len(tried) == 2:
            raise RuntimeError("can't allocate memory: you tried to allocate 1 bytes")
        return usual(self, *words, **more)

    monkeypatch.setattr(Pipeline, "restore_picture", short)
    with client() as http:
        for _ in range(2):
            files = {"file": ("a.png", encoded())}
            assert http.post("/restore", files=files, data={"model": str(network)}).is_success
        assert len(tried) == 3


def test_a_queue_in_order_with_progress(network: Path) -> None:
    with client() as http:
        jobs = [hand_in(http, encoded(), f"{n}.png", model=str(network)) for n in range(4)]
        shares = []
        with http.stream("GET", f"/jobs/{jobs[-1]['id']}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    shares.append(json.loads(line[6:]))
        assert shares[-1]["state"] == "done"
        assert all(finished(http, job)["state"] == "done" for job in jobs)


def test_a_visitor_sees_all_of_it_and_saves_it_as_one_file(network: Path) -> None:
    with visitor() as http:
        for seed in (1, 2):
            hand_in(http, encoded(pixels(seed=seed)), "a.png", model=str(network))
        jobs = http.get("/jobs").json()
        assert [job["name"] for job in jobs] == ["a.png", "a.png"]
        results = [finished(http, job) for job in jobs]
        with zipfile.ZipFile(io.BytesIO(http.get("/results.zip").content)) as archive:
            assert archive.namelist() == ["a_restored.png", "a_restored (2).png"]
            for entry, job in zip(archive.namelist(), results, strict=True):
                assert archive.read(entry) == http.get(f"/jobs/{job['id']}/result").content
    with visitor() as other:
        assert other.get("/jobs").json() == []
        assert other.get("/results.zip").status_code == 404


def test_tiles_show_both_sides(enlarging: Path) -> None:
    with visitor() as http:
        job = hand_in(http, encoded(pixels(400, 600)), start="no")
        wait_for(lambda: http.get(f"/jobs/{job['id']}").json()["width"])
        where = f"/jobs/{job['id']}/tiles"
        assert http.get(f"{where}/before/1/1/0").status_code == 200
        assert http.get(f"{where}/after/0/0/0").status_code == 404
        assert http.get(f"{where}/picture/0/0/0").status_code == 404
        http.post(f"/jobs/{job['id']}/start", json={"model": [str(enlarging)], "size": "700x"})
        assert finished(http, job)["result"]["width"] == 700
        piece = Image.open(io.BytesIO(http.get(f"{where}/after/1/1/0").content))
        assert piece.size == (700 - 512, 467)


def test_cancelled_while_it_waits_and_while_it_runs(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch)
    with visitor() as http:
        jobs = [hand_in(http, encoded(), model=str(network)) for _ in range(2)]
        wait_for(lambda: http.get(f"/jobs/{jobs[0]['id']}").json()["share"] > 0)
        for job in reversed(jobs):
            http.post(f"/jobs/{job['id']}/cancel")
            assert finished(http, job)["state"] == "cancelled"
            assert http.get(f"/jobs/{job['id']}/result").status_code == 409


def test_cancelled_when_the_result_is_written_already(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays: the one before is gone."""
    usual = worker.make_tiles
    with visitor() as http:
        job = hand_in(http, encoded(), model=str(network))
        finished(http, job)
        store = http.app.state.store

        def tiles(picture: Picture, folder: Path) -> None:
            usual(picture, folder)
            store.cancel(store.get(job["id"]))

        monkeypatch.setattr(worker, "make_tiles", tiles)
        http.post(f"/jobs/{job['id']}/start", json={"model": [str(network)]})
        wait_for(lambda: http.get(f"/jobs/{job['id']}").json()["run"] == 2)
        assert finished(http, job)["result"] is not None
        assert http.get(f"/jobs/{job['id']}/result").status_code == 200


def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture takes up to ten seconds, step by step."""
    import time

    from iln.restoration import Pipeline

    usual = Pipeline.restore_picture

    def steps(self: Pipeline, picture: Picture, *, progress: Any, limits: Any) -> Picture:
        for step in range(1000):
            progress(step / 1000)
            time.sleep(0.01)
        return usual(self, picture, progress=progress, limits=limits)

    monkeypatch.setattr(Pipeline, "restore_picture", steps)


def test_restored_again_with_other_options(network: Path) -> None:
    with visitor() as http:
        job = hand_in(http, encoded(), model=str(network))
        first = finished(http, job)
        http.post(
            f"/jobs/{job['id']}/start", json={"model": str(network), "format": "jpg"}
        ).raise_for_status()
        second = finished(http, job)
        assert (first["result"]["name"], second["result"]["name"]) == (
            "a_restored.png",
            "a_restored.jpg",
        )
        assert second["run"] == first["run"] + 1


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("my photo (1).png", "my photo (1)_restored.png"),
        ("Großmutter.png", "Gro_mutter_restored.png"),
        ("50%.png", "50__restored.png"),
        ("a;b='c'.png", "a;b='c'_restored.png"),
    ],
)
def test_every_program_finds_the_name_of_the_result(name: str, plain: str, network: Path) -> None:
    with client() as http:
        job = hand_in(http, encoded(), name, model=str(network))
        finished(http, job)
        found = http.get(f"/jobs/{job['id']}/result").headers["content-disposition"]
        assert found.startswith(f'attachment; filename="{plain}"')
        whole = f"{name.removesuffix('.png')}_restored.png"
        assert ("filename*" in found) == (whole != plain)
        assert quote(whole, safe="") in found or whole == plain


def test_a_page_is_told_at_once_that_it_has_no_pictures() -> None:
    """The server may have been started again, while it shows those from before."""
    with visitor() as http:
        store = http.app.state.store
        seen, found = store.news("me", -1)
        assert found is not None and found["ids"] == found["jobs"] == []
        assert store.news("me", seen) == (seen, None)
        for path in ("/events", f"/jobs/{hand_in(http, encoded(), start='no')['id']}/events"):
            assert http.head(path).status_code == 200  # and it ends


def test_a_look_comes_late(network: Path) -> None:
    """The notes of a result stay, and what was cancelled is looked at all the same."""
    with visitor() as http:
        worker, store = http.app.state.worker, http.app.state.store
        data = encoded(pixels(dtype=np.uint16)[..., 0])
        job = hand_in(http, data, "a.png", model=str(network), format="jpg")
        notes = finished(http, job)["notes"]
        assert notes
        worker._look(store.get(job["id"]))
        assert http.get(f"/jobs/{job['id']}").json()["notes"] == notes
        found = store.add(io.BytesIO(encoded()), "b.png", Options(), "me")
        with store._changed:  # the worker waits
            store.start(found, Options(model=[str(network)]))
            store.cancel(found)
        worker._look(found)
        assert (found.width, found.height) == (16, 12)
        assert (found.folder / "before").is_dir()


def test_events_of_a_visitor(network: Path) -> None:
    with visitor() as http:
        job = hand_in(http, encoded(), model=str(network))
        finished(http, job)
        store = http.app.state.store
        owner = next(iter(store._jobs.values())).owner
        now, found = store.news(owner, -1)
        assert found["ids"] == [job["id"]] and found["jobs"][0]["state"] == "done"
        assert store.news(owner, now) == (now, None)
        http.delete(f"/jobs/{job['id']}")
        _, found = store.news(owner, now)
        assert found["ids"] == []


def test_what_there_is(network: Path) -> None:
    with client() as http:
        assert http.get("/health").json()["status"] == "ok"
        found = http.get("/models").json()
        assert found["models"][0]["name"] == found["default"] == "photo"
        described = http.get("/openapi.json").json()
        assert set(described["paths"]["/jobs"]) == {"get", "post", "delete"}
        form = described["paths"]["/restore"]["post"]["requestBody"]["content"]
        assert {"file", "model", "strength"} <= set(
            form["multipart/form-data"]["schema"]["properties"]
        )
        for path in described["paths"].values():
            assert all(operation["summary"].endswith((".", "`.")) for operation in path.values())


def test_a_result_stays_where_the_next_run_fails(network: Path) -> None:
    with visitor() as http:
        job = hand_in(http, encoded(), model=str(network))
        first = finished(http, job)
        result = http.get(f"/jobs/{job['id']}/result").content
        http.post(f"/jobs/{job['id']}/start", json={"model": [str(network)], "size": "90000x"})
        assert finished(http, job)["state"] == "failed"
        assert http.get(f"/jobs/{job['id']}").json()["result"] == first["result"]
        assert http.get(f"/jobs/{job['id']}/result").content == result


def test_a_result_is_kept_from_when_it_is_there(network: Path) -> None:
    with visitor() as http:
        job = hand_in(http, encoded(), start="no")
        found = http.app.state.store.get(job["id"])
        http.post(f"/jobs/{job['id']}/start", json={"model": [str(network)]})
        found.used -= 2 * 3600  # it waited and was computed for hours
        wait_for(lambda: found.state == "done")
        http.app.state.store.remove_unused()
        assert http.get(f"/jobs/{job['id']}").status_code == 200
