"""Folders for a cluster: how they are planned, and what is refused. Nothing here needs Ray."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_helpers import Command, photo, save
from PIL import Image

from iln.deploy.cluster.running import _whole_name, room
from iln.deploy.cluster.storage import Storage, without_secrets
from iln.errors import InputError
from iln.images import Picture, encode
from iln.restoration.batch import BatchOptions, Finished, restore_job
from iln.restoration.jobs import Job, plan_jobs, plan_listed


def test_a_listing_is_planned_as_a_folder_is(tmp_path: Path) -> None:
    names = ["a.png", "b.JPG", "c.gif", "deep/a.bmp", "deep/x.txt", "deep/.hidden.png",
             "e_restored.png", "f", "g.mpo"]  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    out = tmp_path / "out"
    local = plan_jobs([str(tmp_path)], out, recursive=True, overwrite=False)
    listed = plan_listed(names, (), overwrite=False)
    assert [tmp_path / job.source for job in listed.jobs if job.source] == [
        job.source for job in local.jobs
    ]
    assert [out / job.target for job in listed.jobs if job.target] == [
        job.target for job in local.jobs
    ]
    assert listed.passed_over == local.passed_over
    assert sum(listed.passed_over.values()) == 4


def test_what_is_done_is_dropped() -> None:
    names = ["a.png", "b.gif", "c/a.png"]
    there = {"a.png", "b.png", "a.gif"}
    plan = plan_listed(names, there, overwrite=False)
    assert [job.source for job in plan.jobs] == [Path("c/a.png")]
    assert plan.finished == 2
    assert len(plan_listed(names, there, overwrite=True).jobs) == 3


def test_shards_of_a_listing_are_those_of_its_folder(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(40)]
    for name in names:
        (tmp_path / name).touch()
    for part in ((1, 3), (2, 3), (3, 3)):
        local = plan_jobs([str(tmp_path)], None, recursive=False, overwrite=True, shard=part)
        listed = plan_listed(names, (), overwrite=True, shard=part)
        assert {str(job.source) for job in listed.jobs} == {
            job.source.name for job in local.jobs if job.source
        }
        assert listed.others == 40 - len(listed.jobs) > 0


def test_two_pictures_never_share_a_result() -> None:
    plan = plan_listed(
        ["a.gif", "a.png", "b.bmp", "b.png", "c.bmp", "d.bmp", "d.jpg"], (), overwrite=True
    )
    gif, png, bmp, other, alone, first, second = plan.jobs
    assert png.problem is not None
    assert png.problem.startswith("a.png: its result a.png has the name of that of a.gif; ")
    assert gif.problem is bmp.problem is other.problem is None
    # With transparency it would become b.png, were that not another's.
    assert (bmp.named, other.named, alone.named) == (True, False, False)
    assert first.named and second.named  # both would become d.png


class Memory:
    """Files in a dictionary."""

    def __init__(self, **content: bytes) -> None:
        self.content = content

    def source(self, name: Path) -> BytesIO:
        return BytesIO(self.content[str(name)])

    def exists(self, target: Path) -> bool:
        return str(target) in self.content

    def prepare(self, target: Path) -> None:
        pass

    def write(
        self, picture: Picture, target: Path, *, overwrite: bool, quality: int
    ) -> Sequence[str]:
        parts, notes = encode(picture, target.suffix, quality)
        self.content[str(target)] = b"".join(parts)
        return notes


def test_a_job_reads_and_writes_wherever_its_files_lie(tmp_path: Path, weights: Path) -> None:
    content = save(tmp_path / "a.png", photo(10, 14)).read_bytes()
    files = Memory(**{"in/a": content})
    job = Job(Path("in/a"), Path("out/a.webp"))
    options = BatchOptions((str(weights),), {"device": "cpu"}, skip_existing=True)
    pipeline = options.pipeline()
    done = restore_job(job, options, pipeline, files=files)
    assert done.target == job.target
    assert (done.picture.width, done.result.width) == (14, 28)
    with Image.open(BytesIO(files.content["out/a.webp"])) as image:
        assert (image.format, image.size) == ("WEBP", (28, 20))
    before = files.content["out/a.webp"]
    with pytest.raises(Finished):
        restore_job(job, options, pipeline, files=files)
    with pytest.raises(InputError, match=r"out/a.webp: exists already"):
        restore_job(job, BatchOptions(options.models), pipeline, files=files)
    restore_job(job, BatchOptions(options.models, overwrite=True), pipeline, files=files)
    assert files.content["out/a.webp"] == before


@pytest.mark.parametrize(
    "words",
    [
        ("in",),
        ("in", "other", "-o", "out"),
        ("-", "-o", "out"),
        ("in", "-o", "-"),
        ("in", "-o", "out", "--compare", "both.png"),
    ],
)
def test_a_cluster_takes_one_folder_and_another(words: tuple[str, ...], restore: Command) -> None:
    done = restore(*words, "--cluster", "local")
    assert done.code == 2
    assert done.lines == ["error: --cluster: give one folder, and another for results (-o)"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--actor-cpus", 2), "only with --cluster"),
        (("--time-limit", 9), "only with --cluster"),
        (("s3://photos/old",), "s3://photos/old: addresses are for --cluster, such as local"),
        (("--cluster", "local", "--actor-gpus", 1.5), "1.5: a part of one GPU, or whole ones"),
    ],
)
def test_resources_that_cannot_be_given(
    words: tuple[object, ...], problem: str, restore: Command
) -> None:
    done = restore("in", "-o", "out", *words)
    assert (done.code, len(done.lines)) == (2, 1)
    assert done.lines[0].endswith(problem)


@pytest.mark.parametrize(
    ("node", "cpus", "gpus", "actors"),
    [
        ({"CPU": 16.0}, 1, 0, 16),
        ({"CPU": 16.0}, 5, 0, 3),
        ({"CPU": 16.0}, 17, 0, 0),
        ({"CPU": 16.0}, 1, 1, 0),
        ({"CPU": 16.0, "GPU": 2.0}, 4, 1, 2),
        ({"CPU": 16.0, "GPU": 2.0}, 1, 0.1, 16),
        ({"CPU": 64.0, "GPU": 2.0}, 1, 0.1, 20),
        ({"CPU": 64.0, "GPU": 3.0}, 1, 0.6, 3),
        ({"CPU": 64.0, "GPU": 8.0}, 1, 3, 2),
        ({}, 1, 0, 0),
    ],
)
def test_room_for_actors(node: dict[str, float], cpus: int, gpus: float, actors: int) -> None:
    assert room(node, cpus, gpus) == actors


def test_without_the_extra_one_line_says_how_to_get_it(
    restore: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("iln.deploy.cluster.running._SETTINGS", {})  # the environment stays
    done = restore("s3://photos/old", "-o", "s3://better/new", "--cluster", "auto")
    assert (done.code, len(done.lines)) == (2, 1)
    assert done.lines[0].endswith("it comes with: pip install 'iln[cluster]'")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("s3://key:secret@photos/old?scheme=http&token=secret", "s3://photos/old"),
        ("file:///a/b", "file:///a/b"),
        ("/a/what?", "/a/what?"),
        ("s3://bucket", "s3://bucket"),
        ("s3://key:sec/ret@bucket/x?a=b", "s3://bucket/x"),
        ("hdfs://host:9000/a@b", "hdfs://host:9000/a@b"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("/odd\n/x", "/odd\\n/x"),
    ],
)
def test_secrets_of_an_address_are_not_shown(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


class Store:
    """What a remote store of pyarrow is asked for; one of its doings fails."""

    type_name = "py::fsspec+sftp"

    def __init__(self, broken: str) -> None:
        self.broken = broken
        self.files: set[str] = set()

    def create_dir(self, folder: str, *, recursive: bool) -> None: ...

    def open_output_stream(self, path: str) -> BytesIO:
        self.files.add(path)
        stream = BytesIO()
        if self.broken == "write":
            stream.close()  # so that writing is a ValueError
        return stream

    def move(self, old: str, new: str) -> None:
        if self.broken != "none":
            raise OSError("the connection is lost")
        self.files.remove(old)
        self.files.add(new)

    def delete_file(self, path: str) -> None:
        self.files.remove(path)
        if self.broken == "all":
            raise OSError("the connection is lost")


@pytest.mark.parametrize("broken", ["write", "move", "all"])
def test_a_result_that_cannot_be_put_leaves_no_part_of_itself(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(broken)
    system = SimpleNamespace(from_uri=lambda address: (store, "/results"))
    fs = SimpleNamespace(FileSystem=system)
    monkeypatch.setattr("iln.deploy.cluster.storage.need", lambda package, extra: fs)
    results = Storage("sftp://host/results")
    with pytest.raises(InputError, match=r"^sftp://host/results/a\.png: cannot be written: "):
        results.put("a.png", [b"picture"])
    assert store.files == set()
    store.broken = "none"
    results.put("a.png", [b"picture"])
    assert store.files == {"/results/a.png"}


def test_actors_know_files_by_whole_names_and_shipped_models_by_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photo", "old-print", "mine.safetensors"):
        Path(name).touch()
    assert _whole_name("photo") == "photo" and _whole_name("old-print") == "old-print"
    assert _whole_name("mine.safetensors") == str(tmp_path / "mine.safetensors")
