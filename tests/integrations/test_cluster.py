"""`iln restore --cluster` on two Ray nodes, where workers, a node and the driver go."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import venv
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import iln
from iln.backbones import SwinIRSpec, from_spec

ROOT = Path(__file__).parents[2]
COUNT = 300
SIDE = 64
PACKAGES = ("ray[data]>=2.60,<2.64", "moto[server]>=5")

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="finds Ray's processes in /proc (Linux)"),
]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with Ray, and with all that this one has. ILN_RAY names one that is ready."""
    if ready := os.environ.get("ILN_RAY"):
        return Path(ready)
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text("\n".join(p for p in sys.path if "site-packages" in p))
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *PACKAGES]
    done = subprocess.run(pip, capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.skip("Ray cannot be installed here")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Everything listens on this computer alone: that is what Ray's variable is for."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "PYTHONPATH": str(ROOT / "src"),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "AWS_EC2_METADATA_DISABLED": "true",
        "OMP_NUM_THREADS": "1",
    }


@dataclass
class Outcome:
    code: int
    err: str

    @property
    def lines(self) -> list[str]:
        """Ours: Ray's begin with a date."""
        return [line for line in self.err.splitlines() if line and not line.startswith("[20")]


class Command:
    """`iln restore` of that interpreter, with a network that takes milliseconds."""

    def __init__(self, python: Path, environment: dict[str, str], model: Path) -> None:
        self.python, self.environment, self.model = python, environment, model

    def start(self, *words: object, **more: str) -> subprocess.Popen[str]:
        model = () if "--model" in words else ("--model", self.model)
        given = [self.python, "-m", "iln", "restore", "--engine", "torch"]
        given += [*model, *map(str, words)]
        environment = {**self.environment, **more}
        return subprocess.Popen(given, env=environment, stderr=subprocess.PIPE, text=True)

    def __call__(self, *words: object, **more: str) -> Outcome:
        process = self.start(*words, **more)
        _, err = process.communicate(timeout=300)
        return Outcome(process.returncode, err)

    def python_says(self, program: str, *words: object) -> Any:
        given = [self.python, "-c", program, *map(str, words)]
        return json.loads(subprocess.check_output(given, env=self.environment, text=True))

    def report(self, results: Path) -> list[dict[str, Any]]:
        """Its rows."""
        program = (
            "import json, sys, pyarrow.parquet as parquet\n"
            "print(json.dumps(parquet.read_table(sys.argv[1]).to_pylist()))"
        )
        rows: list[dict[str, Any]] = self.python_says(program, results / "_report")
        return rows


@pytest.fixture(scope="module")
def restore(
    python: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Command:
    file = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    sizes: dict[str, Any] = {"embed_dim": 12, "depths": (2,), "num_heads": (2,), "window": 4}
    spec = SwinIRSpec(
        **sizes, scale=2, upsampler="pixelshuffledirect", norm="i-ln", eps=1e-4,
        input_stats="mean+std",
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        iln.save(from_spec(spec), file)
    return Command(python, environment, file)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each of another colour; one of them is damaged."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0).integers(0, 30, (SIDE, SIDE, 3))
    for number in range(COUNT):
        file = folder / f"{number % 7}" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        colour = (number % 16 * 15, number // 16 * 11, 100)
        Image.fromarray((noise + colour).astype(np.uint8)).save(file)
    (folder / "0" / "bad.png").write_bytes(b"no picture")
    (folder / "0" / "notes.txt").write_text("passed over")
    return folder


class Nodes:
    """A cluster of two nodes, in a process that obeys."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.address = process.stdout.readline().strip()
        assert self.address.startswith("127.0.0.1:")

    def order(self, word: str) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "done"

    def processes(self, word: str) -> list[int]:
        """Of this cluster, those whose command line holds the word."""
        parents = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                parents[int(folder.name)] = int(fields[1]), (folder / "cmdline").read_text()
            except (OSError, ValueError):
                continue
        ours = {self.process.pid}
        while more := {pid for pid, (parent, _) in parents.items() if parent in ours} - ours:
            ours |= more
        return sorted(pid for pid in ours if pid in parents and word in parents[pid][1])


@pytest.fixture(scope="module")
def nodes(python: Path, environment: dict[str, str]) -> Iterator[Nodes]:
    program = [python, Path(__file__).with_name("two_nodes.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Nodes(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.05)


def results(folder: Path) -> list[Path]:
    """But for what a process that was killed while it wrote has left under a hidden name."""
    files = [file for file in folder.rglob("*") if file.is_file() and "_report" not in file.parts]
    return [file for file in files if not (file.name.startswith(".") and file.suffix == ".part")]


def check_complete(folder: Path, restore: Command, pictures: Path) -> None:
    """Every picture once, whole, the right one; and nothing else."""
    files = results(folder)
    assert len(files) == COUNT
    restorer = iln.Restorer(restore.model, device="cpu")
    for file in files:
        expected = restorer(pictures / file.relative_to(folder))
        with Image.open(file) as image:
            assert np.abs(np.asarray(image, int) - expected).max() <= 1, file


def test_workers_nodes_and_the_driver_may_go(
    nodes: Nodes, restore: Command, pictures: Path, tmp_path: Path
) -> None:
    words = (f"file://{pictures}", "-o", tmp_path, "-r", "--cluster", nodes.address)
    driver = restore.start(*words)
    wait_for(lambda: len(results(tmp_path)) > 10)
    driver.kill()
    driver.communicate()
    wait_for(lambda: not nodes.processes("MapWorker"))
    done = len(results(tmp_path))
    assert done < COUNT - 60, "too fast to be disturbed"

    second = restore.start(*words)
    wait_for(lambda: len(results(tmp_path)) > done + 10)
    os.kill(nodes.processes("ray::MapWorker")[0], signal.SIGKILL)
    wait_for(lambda: len(results(tmp_path)) > done + 30)
    os.kill(nodes.processes("spawn_main")[0], signal.SIGKILL)
    wait_for(lambda: len(results(tmp_path)) > done + 40)
    nodes.order("remove")
    _, err = second.communicate(timeout=200)
    assert second.returncode == 1, err
    check_complete(tmp_path, restore, pictures)
    assert "error: 0/bad.png: is not a picture" in err
    assert "1 passed over: 1 .txt" in err

    # The second run's report: each picture that was not there once, the bad one among them.
    rows = restore.report(tmp_path)
    assert max(Counter(row["source"] for row in rows).values()) == 1
    assert len(rows) >= COUNT + 1 - done - 2
    assert [row["source"] for row in rows if row["state"] == "failed"] == ["0/bad.png"]
    (restored, *_) = [row for row in rows if row["state"] == "restored"]
    assert restored["target"] == restored["source"]
    assert (restored["width"], restored["result_height"]) == (SIDE, 2 * SIDE)
    nodes.order("add")


def test_a_picture_that_hangs_or_kills_costs_itself_alone(
    nodes: Nodes, restore: Command, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (2000, 2000)).save(tmp_path / "in" / "large.png")
    for name in "abc":
        Image.new("RGB", (16, 16)).save(tmp_path / "in" / f"{name}.png")
    words = (tmp_path / "in", "--cluster", nodes.address, "-o")

    late = restore(*words, tmp_path / "one", "--time-limit", 1)
    assert late.code == 1
    assert "error: large.png: took more than 1 s; allow more by --time-limit" in late.lines
    assert "3 restored, 1 failed" in late.lines

    for name in "abc":
        (tmp_path / "in" / f"{name}.png").unlink()
    driver = restore.start(*words, tmp_path / "two")
    killed = set[int]()
    for _ in range(2):  # once, it might be the doing of others

        def at_work() -> set[int]:
            return {p for p in nodes.processes("spawn_main") if seconds_of(p) > 1} - killed

        wait_for(at_work)
        for process in at_work():
            os.kill(process, signal.SIGKILL)
            killed.add(process)
    _, err = driver.communicate(timeout=100)
    assert driver.returncode == 2, err
    assert "error: large.png: its process was killed, which is how systems" in err
    assert results(tmp_path / "two") == []


def seconds_of(process: int) -> float:
    """Of processor time that it has taken."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_refusals_on_a_running_cluster(
    nodes: Nodes, restore: Command, pictures: Path, tmp_path: Path
) -> None:
    words = (pictures, "-o", tmp_path / "new", "-r", "--cluster", nodes.address)
    model = restore(*words, "--model", "sr-x5")
    assert (model.code, len(model.lines)) == (2, 2)
    assert "no shipped model and no file is called 'sr-x5'" in model.lines[1]
    room = restore(*words[:-1], "auto", "--actor-cpus", 3, RAY_ADDRESS=nodes.address)
    assert (room.code, len(room.lines)) == (2, 1)
    assert "room for an actor of 3 CPUs and 0 GPUs; there are at most 1 CPUs" in room.lines[0]
    assert results(tmp_path) == []


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def object_store(python: Path, environment: dict[str, str]) -> Iterator[str]:
    """moto's server; gives what has to be added to an address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(given, env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(lambda: answers(port))
            yield f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
        finally:
            server.terminate()


FILL = """
import sys
from pyarrow import fs
store, root = fs.FileSystem.from_uri(sys.argv[1])
for bucket in ("photos", "better"):
    store.create_dir(bucket)
fs.copy_files(sys.argv[2], "photos/old", destination_filesystem=store)
print("[]")
"""
LOOK = """
import json, sys
from pyarrow import fs
store, root = fs.FileSystem.from_uri(sys.argv[1])
found = store.get_file_info(fs.FileSelector(root, recursive=True))
print(json.dumps({f.path: f.size for f in found if f.is_file}))
fs.copy_files(root, sys.argv[2], source_filesystem=store)
"""


def test_from_bucket_to_bucket(
    nodes: Nodes,
    restore: Command,
    python: Path,
    environment: dict[str, str],
    pictures: Path,
    tmp_path: Path,
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    with object_store(python, environment) as query:
        # The cluster's nodes have no keys of their own: they are in the address.
        photos, better = (f"s3://key:secret@{b}?{query}" for b in ("photos/old", "better/new"))
        restore.python_says(FILL, f"{photos}&allow_bucket_creation=true", pictures)
        words = (photos, "-o", better, "-r", "--cluster", nodes.address)
        done = restore(*words)
        assert done.code == 1, done.err
        assert f"{COUNT} restored, 1 failed" in done.lines
        assert "report: s3://better/new/_report" in done.lines
        found = restore.python_says(LOOK, better, tmp_path)
        assert len([name for name in found if "_report" not in name]) == COUNT
        check_complete(tmp_path, restore, pictures)
        again = restore(*words)
        assert f"{COUNT} skipped: their results exist" in again.lines
        missing = restore(photos.replace("photos/old", "photos/other"), *words[1:], **keys)
        assert (missing.code, len(missing.lines)) == (2, 1)
        assert "s3://photos/other: cannot be read: no such file or folder" in missing.lines[0]


MEMORY = """
import json
from iln.deploy.cluster.storage import Storage
store = Storage("memory://a/b")
for content in (b"first", b"second"):
    store.put("c/d.txt", [content[:3], content[3:]])
print(json.dumps([list(store.names(recursive=True)), store.read("c/d.txt").decode(),
    store.exists("c/d.txt"), store.exists("c/e.txt"), store.holds(Storage("memory://a/b/c")),
    store.holds(Storage("memory://a/bc"))]))
"""


def test_addresses_that_fsspec_knows(restore: Command) -> None:
    assert restore.python_says(MEMORY) == [["c/d.txt"], "second", True, False, True, False]


LINKED = """
import json, sys
from pathlib import Path
import numpy as np
from iln.deploy.cluster.storage import Storage, StoredFiles
from iln.errors import InputError
from iln.images import Picture
pictures, results = map(Path, sys.argv[1:])
files = StoredFiles(Storage(str(pictures)), Storage(str(results)))
picture, said = Picture(np.zeros((2, 2, 3), np.uint8)), []
for name in ("link.png", "deep/a.png", "own.png"):
    try:
        files.write(picture, Path(name), overwrite=True, quality=95)
    except InputError as error:
        said.append(str(error))
print(json.dumps([said, Storage(str(pictures)).holds(Storage(str(pictures / "in" / "new")))]))
"""


def test_a_result_is_never_a_link_into_the_pictures(restore: Command, tmp_path: Path) -> None:
    pictures, results = tmp_path / "pictures", tmp_path / "results"
    (pictures / "in").mkdir(parents=True)
    results.mkdir()
    for name in ("one.png", "in/a.png"):
        (pictures / name).write_bytes(b"mine")
    (results / "link.png").symlink_to(pictures / "one.png")
    (results / "deep").symlink_to(pictures / "in")
    said, holds = restore.python_says(LINKED, pictures, results)
    assert [line.partition(":")[0] for line in said] == ["link.png", "deep/a.png"]
    assert holds
    assert (
        (pictures / "one.png").read_bytes() == (pictures / "in" / "a.png").read_bytes() == b"mine"
    )
    assert (results / "own.png").stat().st_size > 40


@contextmanager
def refusing_store() -> Iterator[str]:
    """Answers as an object store does to those who give no credentials."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"endpoint_override=127.0.0.1:{server.server_address[1]}&scheme=http"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_links_in_a_circle_and_names_that_are_no_text(restore: Command, tmp_path: Path) -> None:
    """As without a cluster: each picture once; and what cannot be told is told by its place."""
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    for name in (b"a.png", b"sub/b.png", b"c\xff.png"):
        image = Image.new("RGB", (16, 16), "gray")
        with (folder / os.fsdecode(name)).open("wb") as file:
            image.save(file, "PNG")
    for link, target in (("sub/loop", ".."), ("one", "."), ("two", ".")):
        (folder / link).symlink_to(target)
    done = restore(folder, "-o", out, "-r", "--cluster", "local", "--time-limit", "600")
    assert done.code == 1
    assert "2 restored, 1 failed" in done.err and "its name is not UTF-8; rename it" in done.err
    found = list(out.rglob("*.png"))
    assert sorted(path.relative_to(out).as_posix() for path in found) == ["a.png", "sub/b.png"]
    done = restore(folder, "-o", out, "--cluster", "local", "--time-limit", "inf")
    assert done.code == 2 and "--time-limit inf: accepted are seconds up to 1,000,000" in done.err


def test_refusals_before_the_start(restore: Command, pictures: Path, tmp_path: Path) -> None:
    def refused(*words: object) -> str:
        started = time.monotonic()
        done = restore(*words)
        assert (done.code, len(done.lines)) == (2, 1), done.err
        assert time.monotonic() - started < 30
        return done.lines[0]

    def at(address: str) -> tuple[object, ...]:
        return (pictures, "-o", tmp_path / "new", "-r", "--cluster", address)

    assert "cluster 127.0.0.1:9: does not answer" in refused(*at("127.0.0.1:9"))
    assert "accepted are auto, local, and HOST:PORT" in refused(*at("head"))
    assert "start iln on a node of the cluster" in refused(*at("ray://127.0.0.1:10001"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "cluster 127.0.0.1:" in refused(*at(f"127.0.0.1:{silent.getsockname()[1]}"))

    def between(one: object, other: object) -> str:
        return refused(one, "-o", other, "--cluster", "local")

    assert "unknown scheme 'ftps3'; accepted are" in between("ftps3://a/b", tmp_path)
    assert "is the folder of the pictures, or one lies in" in between(pictures, pictures / "new")
    line = between("s3://key:secret@bad bucket/a", tmp_path)
    assert "no address of a folder" in line and "secret" not in line
    assert "holds no pictures" in between(tmp_path, tmp_path.with_name("other"))
    assert "no such file or folder" in between(tmp_path / "none", tmp_path / "new")
    assert "cannot be written" in between(pictures / "1", "/proc/new")
    with refusing_store() as query:
        line = between(f"s3://photos/old?{query}&region=us-east-1", tmp_path)
    assert line.startswith("error: s3://photos/old: cannot be read")
    assert line.endswith("; give credentials as the store's own programs take them")
