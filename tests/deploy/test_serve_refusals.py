"""What the server does not do: each refusal, in words, and nothing left behind."""

from __future__ import annotations

import errno
import io
import mimetypes
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import fields
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
import pyvips

pytest.importorskip("starlette", reason="Starlette is not installed")
from serve_helpers import HOME, client, encoded, finished, hand_in, pixels, visitor, wait_for
from starlette.testclient import TestClient
from test_serve_restoring import slow

from iln.deploy.serve import Settings, create_app
from iln.deploy.serve.jobs import Job
from iln.deploy.serve.options import Options
from iln.deploy.serve.store import Busy, safe_name
from iln.errors import InputError
from iln.restoration.batch import BatchOptions
from iln.restoration.options import CHECKPOINT_OVERRIDES, RestoreOptions


def post(http: Any, name: str = "a.png", data: bytes | None = None, **fields: Any) -> Any:
    data = encoded() if data is None else data
    return http.post("/restore", files={"file": (name, data)}, data=fields)


def test_what_is_no_name_and_no_json_is_told_as_json() -> None:
    with client() as http:
        answer = post(http, model="a" * 300)
        assert (answer.status_code, "is shipped" in answer.json()["error"]) == (400, True)
        job = hand_in(http, encoded())["id"]
        answer = http.post(f"/jobs/{job}/start", content="[" * 100_000)
        assert answer.status_code == 400 and "is not JSON" in answer.json()["error"]


def test_from_outside_only_shipped_models(network: Path) -> None:
    settings = Settings(host="0.0.0.0", token="word")
    with client(settings, "http://192.168.0.7") as http:
        http.headers["authorization"] = "Bearer word"
        answer = post(http, model=str(network))
        assert answer.status_code == 400
        assert "is shipped" in answer.json()["error"] and "file" not in answer.json()["error"]
        answer = post(http, model="hf://someone/something")
        assert answer.status_code == 400
        assert "is shipped" in answer.json()["error"]


def test_too_many_bytes_whatever_the_header_says(network: Path) -> None:
    with client(Settings(max_upload=3_000_000)) as http:
        folder = http.app.state.store.folder
        answer = post(http, data=bytes(3_100_000))
        assert answer.status_code == 413 and "--max-upload" in answer.json()["error"]
        answer = post(http, data=bytes(5_000_000))
        assert answer.status_code == 413

        def parts() -> Any:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            for _ in range(100):
                yield bytes(1 << 20)

        form = {"content-type": "multipart/form-data; boundary=x"}
        answer = http.post("/restore", content=parts(), headers=form)
        assert answer.status_code == 413
        assert list(folder.iterdir()) == []


def test_too_many_pixels_are_not_decoded(network: Path) -> None:
    with visitor(Settings(max_pixels=100)) as http:
        answer = post(http, model=str(network))
        assert answer.status_code == 422
        assert answer.json()["error"] == (
            "a.png: is 16 x 12, more than 100 pixels; allow it with --max-pixels 192"
        )
        job = hand_in(http, encoded(), start="no")
        assert finished(http, job)["state"] == "failed"


@pytest.mark.parametrize("name", ["file", "strength"])
def test_what_is_given_twice_is_not_chosen_from(name: str) -> None:
    files: list[tuple[str, Any]] = [("file", ("a.png", encoded()))]
    files.append((name, ("b.png", encoded()) if name == "file" else (None, "0.5")))
    files += [] if name == "file" else [(name, (None, "1"))]
    with client() as http:
        answer = http.post("/restore", files=files)
        assert answer.status_code == 400
        assert answer.json()["error"] == f"{name}: is given 2 times; give it once"


def test_too_large_a_result(enlarging: Path) -> None:
    with client(Settings(max_pixels=300)) as http:
        answer = post(http, model=str(enlarging))
        assert answer.status_code == 422
        assert "its result would be 32 x 24" in answer.json()["error"]
        answer = post(http, model=str(enlarging), size="1000000x")
        assert answer.status_code == 422
        answer = post(http, model=str(enlarging), size="10x")  # only afterwards
        assert answer.status_code == 422
        assert "its result would be 32 x 24" in answer.json()["error"]


def test_a_disk_that_is_full_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with client() as http:
        for place in ("store.shutil.copyfileobj", "marks.hand_in", "routes.Request.form"):
            files = {"file": ("a.png", encoded()), "mask": ("m.png", encoded())}
            with monkeypatch.context() as here:
                here.setattr(f"iln.deploy.serve.{place}", full)
                answer = http.post("/jobs", files=files)
            assert answer.status_code == 503
            assert "No space left" in answer.json()["error"]
            assert not list(http.app.state.store.folder.iterdir())


def test_a_disk_that_is_full_for_the_previews_costs_no_result(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise pyvips.Error("unable to call dzsave", "vips__file_write: write failed\n")

    with visitor() as http:
        job = hand_in(http, encoded(), start="no")
        wait_for(lambda: http.get(f"/jobs/{job['id']}").json()["width"])
        monkeypatch.setattr("iln.deploy.serve.worker.make_tiles", full)
        http.post(f"/jobs/{job['id']}/start", json={"model": [str(network)]})
        done = finished(http, job)
        assert done["state"] == "done"
        assert done["notes"] == [
            "its preview could not be kept, is the disk full? (vips__file_write: write failed)"
        ]
        assert http.get(f"/jobs/{job['id']}/result").status_code == 200


def test_a_folder_that_was_cleaned_away_is_made_again(network: Path) -> None:
    with client() as http:
        shutil.rmtree(http.app.state.store.folder)
        assert post(http, model=str(network)).status_code == 200


def test_mistakes_and_unknown_encodings_are_json() -> None:
    with TestClient(create_app(), base_url=HOME, raise_server_exceptions=False) as http:
        for charset in ("undefined", "punycode"):
            head = {"content-type": f"Multipart/Form-Data; boundary=B; charset={charset}"}
            body = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--B--\r\n'
            answer = http.post("/restore", content=body, headers=head)
            assert answer.status_code == 400 and "error" in answer.json()
        http.app.state.description = {1j: 1}  # type: ignore[attr-defined]  # a mistake of ours
        answer = http.get("/openapi.json")
        assert answer.status_code == 500 and "a mistake of the server" in answer.json()["error"]


def test_numbers_of_tiles_that_none_has() -> None:
    with visitor() as http:
        job = hand_in(http, encoded(), start="no")
        for number in ("9" * 5000, "-1", "one"):
            answer = http.get(f"/jobs/{job['id']}/tiles/before/{number}/0/0")
            assert answer.status_code == 404


def test_the_pages_programs_are_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows may have another type in its registry, with which browsers refuse them."""
    mimetypes.add_type("text/plain", ".js")
    with client() as http:
        assert http.get("/page/main.js").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"model": "nonsense"}, "no model 'nonsense'"),
        ({"model": "foo://a/b"}, "no model is fetched from foo://"),
        ({"model": "hf://a/b/c.pth"}, "only safetensors files are taken from the net"),
        ({"strength": "7"}, "strength='7': must be less than or equal to 1"),
        ({"strength": "much"}, "strength='much': must be a valid number"),
        ({"quality": "0"}, "quality='0': must"),
        ({"format": "doc"}, "format='doc': must be one of jpg, "),
        ({"colour": "red"}, "no option 'colour'"),
        ({"unfade": "perhaps"}, "unfade='perhaps': must"),
    ],
)
def test_options_that_are_none(fields: dict[str, str], words: str) -> None:
    with client() as http:
        answer = post(http, **fields)
        assert answer.status_code == 400
        assert words in answer.json()["error"]


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"size": "large"}, "size 'large'"),
        ({"precision": "fp1"}, "no precision 'fp1'; accepted"),
        ({"engine": "steam"}, "no engine 'steam'; accepted"),
        ({"memory": "much"}, "memory 'much' is no size"),
    ],
)
def test_words_are_those_of_the_command(network: Path, fields: dict[str, str], words: str) -> None:
    with client() as http:
        answer = post(http, model=str(network), **fields)
        assert answer.status_code == 400
        assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("home", "separator"), [(PurePosixPath("/jobs/k"), "/"), (PureWindowsPath(r"C:\jobs\k"), "\\")]
)
def test_our_folders_are_not_told(
    home: Any, separator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On any system."""
    job = Job("k", None, home, home / "picture" / "a.png", Options())
    monkeypatch.setattr(os, "sep", separator)
    error = InputError(f"{home / 'picture' / 'a.png'}: is none; {home / 'mask.png'}")
    assert job.words(error) == "a.png: is none; mask.png"


@pytest.mark.parametrize("name", ["a.png", "x/../a.png", "sub\\a.png"])
def test_a_broken_file_in_the_words_of_the_command(name: str, network: Path) -> None:
    with visitor() as http:
        data = encoded(pixels(60, 60))[:2000]
        answer = post(http, name, data, model=str(network))
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("a.png: is damaged or cut off")
        job = hand_in(http, b"hello", name, start="no")
        found = finished(http, job)
        assert found["problem"].startswith("a.png: is not a picture")
        assert str(http.app.state.store.folder) not in found["problem"]


def test_damaged_ones_are_restored_when_asked_for(network: Path) -> None:
    with visitor() as http:
        data = encoded(pixels(60, 60), "jpeg")[:2000]
        job = hand_in(http, data, "a.jpg", start="no")
        assert finished(http, job)["state"] == "failed"
        options = {"model": str(network), "allow_damaged": True}
        http.post(f"/jobs/{job['id']}/start", json=options)
        assert finished(http, job)["state"] == "done"


def test_requests_that_make_no_sense(network: Path) -> None:
    with client() as http:
        assert http.post("/restore", content=b"x").status_code == 400
        answer = http.post("/restore", files={"picture": ("a.png", encoded())})
        assert answer.status_code == 400 and "file: is missing" in answer.json()["error"]
        assert http.get("/jobs").status_code == 400
        assert http.get("/jobs/unknown").status_code == 404
        assert http.get("/restore").status_code == 405
        job = hand_in(http, encoded(), start="no")
        for body in (b"[]", b"{", b'{"size": "\\ud800"}', b'{"model": ["\\ud800"]}'):
            assert http.post(f"/jobs/{job['id']}/start", content=body).status_code == 400
        assert http.get(f"/jobs/{job['id']}/result").status_code == 409
        files = {"file": ("a.png", encoded()), "model": ("m", b"x")}
        answer = http.post("/restore", files=files)
        assert answer.status_code == 400
        assert answer.json()["error"] == "model: is a file; give a word"


@pytest.mark.parametrize("word", ["no", "off", "n", "False", "0"])
def test_words_for_no(word: str) -> None:
    with client() as http:
        assert hand_in(http, encoded(), start=word)["state"] == "ready"
        files = {"file": ("a.png", encoded())}
        assert http.post("/jobs", files=files, data={"start": "perhaps"}).status_code == 400


def test_a_full_queue_says_so(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow(monkeypatch)
    with client(Settings(queue=2)) as http:
        jobs = [hand_in(http, encoded(), model=str(network))]
        wait_for(lambda: http.get("/health").json()["running"])
        jobs += [hand_in(http, encoded(), model=str(network)) for _ in range(2)]
        answer = post(http, model=str(network))
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
        assert answer.json()["error"] == "2 pictures wait already; try again later"
        busy = http.post(f"/jobs/{jobs[0]['id']}/start")
        assert busy.status_code == 409
        assert len(list(http.app.state.store.folder.iterdir())) == 3


def test_no_more_than_so_many_pictures_and_no_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    with client(Settings(kept=1)) as http:
        hand_in(http, encoded(), start="no")
        assert post(http).status_code == 503
    with client() as http:
        free, half = 10**9 + 10_000, encoded() + bytes(6_000 - len(encoded()))
        usage = shutil.disk_usage(".")._replace(free=free)
        monkeypatch.setattr("iln.deploy.serve.store.shutil.disk_usage", lambda folder: usage)
        answer = http.post("/jobs", files={"file": ("a.png", half)})  # the form and its copy
        assert answer.status_code == 503 and "nearly full" in answer.json()["error"]
        store = http.app.state.store
        store.add(io.BytesIO(half), "a.png", Options(), "me")
        with pytest.raises(Busy, match="nearly full"):  # of which nobody told the size
            store.add(io.BytesIO(2 * half), "a.png", Options(), "me")


def test_files_are_private_and_go(network: Path) -> None:
    with visitor() as http:
        store = http.app.state.store
        if os.name == "posix":
            assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
        post(http, model=str(network)).raise_for_status()
        wait_for(lambda: list(store.folder.iterdir()) == [])
        jobs = [hand_in(http, encoded(), model=str(network)) for _ in range(2)]
        for job in jobs:
            finished(http, job)
        http.delete(f"/jobs/{jobs[0]['id']}")
        assert len(list(store.folder.iterdir())) == 1
        http.delete("/jobs")
        assert list(store.folder.iterdir()) == []
        hand_in(http, encoded())
    assert not store.folder.exists()


def test_unused_files_go(network: Path) -> None:
    with client(Settings(unused=0.2)) as http:
        hand_in(http, encoded(), start="no")
        folder = http.app.state.store.folder
        wait_for(lambda: list(folder.iterdir()) == [])


def test_cleared_while_it_runs(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow(monkeypatch)
    with visitor() as http:
        hand_in(http, encoded(), model=str(network))
        wait_for(lambda: http.get("/health").json()["running"])
        http.delete("/jobs")
        folder = http.app.state.store.folder
        wait_for(lambda: list(folder.iterdir()) == [])
        assert http.get("/jobs").json() == []


def test_all_are_cleared_at_once(network: Path) -> None:
    """News in between would have the page open a picture that is about to go."""
    with visitor() as http:
        for _ in range(3):
            hand_in(http, encoded(), start="no")
        wait_for(lambda: all(job["width"] for job in http.get("/jobs").json()))
        store = http.app.state.store
        owner = next(iter(store._jobs.values())).owner
        clock = store.clock
        http.delete("/jobs")
        assert store.clock == clock + 1
        assert store.news(owner, clock)[1]["ids"] == []


@pytest.mark.parametrize(
    "name, safe",
    [
        ("../../etc/passwd", "passwd"),
        ("..", "picture"),
        ("", "picture"),
        (".hidden.png", "hidden.png"),
        ("a\nb.png", "a_b.png"),
        ("C:\\pictures\\a.png", "a.png"),
        ("-", "-"),
        ("ü" * 300 + ".tiff", "ü" * 90 + ".tiff"),
        ("a[1]*.png", "a[1]_.png"),
    ],
)
def test_names_of_files(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.skipif(os.name != "posix", reason="needs SIGTERM")
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_the_command_starts_answers_and_leaves_nothing_behind(
    number: str, network: Path, tmp_path: Path
) -> None:
    import urllib.request

    environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL);"
        "from iln.cli.main import main; main()"
    )
    words = [sys.executable, "-c", program, "serve", "--no-open"]
    server = subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert server.stdout is not None and server.stderr is not None
    try:
        address = server.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")

        # An open stream of events does not hold it up.
        request = urllib.request.Request(f"{address}health")
        for _ in range(100):
            try:
                with urllib.request.urlopen(request) as answer:
                    assert answer.status == 200
                break
            except OSError:
                time.sleep(0.05)
        request = urllib.request.Request(f"{address}events")
        request.add_header("cookie", f"iln-visitor-{address.split(':')[-1].strip('/')}=me")
        stream = urllib.request.urlopen(request)
        threading.Thread(target=stream.read, daemon=True).start()
        assert [file.name for file in tmp_path.iterdir() if file.name.startswith("iln-serve-")]
        server.send_signal(getattr(signal, number))
        server.wait(timeout=60)
        assert list(tmp_path.iterdir()) == []
        assert server.returncode == 0
        assert "Traceback" not in server.stderr.read()
    finally:
        server.kill()
        server.stdout.close()
        server.stderr.close()
        server.wait()


def test_an_address_that_cannot_be_had(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from iln.cli.main import main

    monkeypatch.setattr(sys, "argv", ["iln", "serve", "--no-open", "--host", "203.0.113.1"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "203.0.113.1, port 0: cannot listen there" in said
    assert "give an address of this computer" in said


def test_the_extra_is_named_where_it_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from iln.cli.main import main

    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.setattr(sys, "argv", ["iln", "serve"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "pip install 'iln[serve]'" in capsys.readouterr().err


def test_an_option_of_the_command_is_one_of_the_server_too() -> None:
    """Or it is named here, because it is of files or of the server's own."""
    of_files = {"overwrite", "skip_existing", "compare", "mask", "save_mask", "max_pixels"}
    commands = {field.name for field in fields(BatchOptions)} - of_files - {"models", "restore"}
    how = set(RestoreOptions.__optional_keys__) - set(CHECKPOINT_OVERRIDES)
    assert {*Options.model_fields} == commands | how | {"model", "format"}
