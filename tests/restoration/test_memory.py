"""Sizes as people write them, what is free, and maps that lie on disk."""

import errno
import gc
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import photo, small_model, small_spec

import iln
from iln.errors import InputError
from iln.restoration import memory
from iln.restoration.memory import DiskMaps, available, in_words, parse_bytes, resident

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0.0 MiB"), (50 * 2**20, "50.0 MiB"), (2**30 // 2, "0.5 GiB"), (7 * 2**29, "3.5 GiB")],
)
def test_bytes_in_words(size: int, words: str) -> None:
    assert in_words(size) == words


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4 * 2**30),
        ("3.5 GiB", 3584 * 2**20),
        ("800M", 800 * 2**20),
        ("800m", 800 * 2**20),
        (" 1 mb ", 2**20),
        ("2048K", 2**21),
        ("2048 KiB", 2**21),
        ("1T", 2**40),
        ("0.5g", 2**29),
        ("1048576", 2**20),
        ("1048576 B", 2**20),
        (4_000_000_000, 4_000_000_000),
        (5e9, 5_000_000_000),
    ],
)
def test_sizes(text: str | int | float, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "banana", "GB", "4 XB", "4 GB 2", "-4GB", "+4GB", "1e9", "4,5GB", "4..5GB"),
        *("1KB", "0", "0GB", "1048575", "4GBB", "0x100000000", "٤GB\n٤", "99999999999T", "inf"),
        *(0, -1, 1, True, None, float("nan"), float("inf"), 2**60, 10**400),
    ],
)
def test_refused_sizes(text: str | int | float) -> None:
    with pytest.raises(InputError, match="size; accepted are such as 4GB or 800MB") as caught:
        parse_bytes(text)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc (Linux)")
def test_resident_sees_what_is_taken() -> None:
    gc.collect()  # what earlier tests left would be given back meanwhile
    before = resident()
    block = np.ones(256 * 2**20, np.uint8)
    assert resident() - before > 0.9 * block.nbytes
    assert 0 < available() < 2**50


def test_a_containers_limit(tmp_path: Path) -> None:
    def says(limit: str, used: int, cached: int) -> int:
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text(f"{used}\n")
        (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\nslab 7\n")
        return memory._container_limit(tmp_path, tmp_path / "own")

    assert says("1000", 700, 0) == 300
    assert says("1000", 990, 600) == 610  # the page cache gives way
    assert says("1000", 1200, 0) == 0
    assert says("max", 700, 0) > 2**60
    assert memory._container_limit(tmp_path / "none", tmp_path / "own") > 2**60


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_batch_job(version: int, tmp_path: Path) -> None:
    """SLURM and systemd limit the job's own group, not the topmost one."""
    names = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        2: ("memory.max", "memory.current", "inactive_file"),
    }[version]
    top = tmp_path / "memory" if version == 1 else tmp_path
    own = tmp_path / "own"
    line = "9:cpu,memory:/slurm/job_7/step" if version == 1 else "0::/slurm/job_7/step"
    own.write_text(f"8:pids:/elsewhere\n{line}\n")

    def limit(group: str, most: int, used: int) -> None:
        folder = top / group
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in zip(names, (most, used, f"anon 1\n{names[2]} 10"), strict=True):
            file = folder / (name if name != names[2] else "memory.stat")
            file.write_text(f"{value}\n")

    assert memory._container_limit(tmp_path, own) == 2**62
    limit("", 10_000, 4_000)
    assert memory._container_limit(tmp_path, own) == 6_010
    limit("slurm/job_7", 1_000, 400)
    assert memory._container_limit(tmp_path, own) == 610
    limit("slurm/job_7/step", 5_000, 400)
    assert memory._container_limit(tmp_path, own) == 610


def test_maps_on_disk_are_like_others(scratch: Path) -> None:
    allocate = DiskMaps()
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.uint8, torch.uint16):
        tensor = allocate((2, 3, 5), dtype, CPU)
        assert tensor.shape == (2, 3, 5) and tensor.dtype == dtype and tensor.is_contiguous()
        tensor.fill_(3)
        assert (tensor == 3).all()
    one, other = allocate((4,), torch.float32, CPU), allocate((4,), torch.float32, CPU)
    one.fill_(1)
    other.fill_(2)
    assert one.tolist() == [1.0] * 4


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps a mapped file's name")
def test_files_have_no_name_and_go_with_their_tensor(scratch: Path) -> None:
    tensor = DiskMaps()((1000, 1000), torch.float32, CPU)
    tensor.fill_(1)
    assert list(scratch.iterdir()) == []
    assert mapped(scratch)
    del tensor
    assert not mapped(scratch)


def test_files_that_are_kept_while_they_are_in_use(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one picture after the other, as on Windows: they go with the next one's, or at exit."""

    def kept(file: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as windows:
        windows.setattr(Path, "unlink", kept)
        for _ in range(2):
            DiskMaps()((4, 4), torch.float32, CPU)
        memory._remove_names()
        assert len(list(scratch.iterdir())) == 2
    DiskMaps()((4, 4), torch.float32, CPU)
    assert list(scratch.iterdir()) == []


def mapped(folder: Path) -> list[str]:
    """Which files of a folder the process maps, named or not."""
    gc.collect()
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("needs /proc (Linux)")
    return [line for line in maps.read_text().splitlines() if str(folder) in line]


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt()])
def test_nothing_is_left_after_an_interruption(error: BaseException, scratch: Path) -> None:
    restorer = iln.Restorer(small_model(small_spec()), memory="1MB", device="cpu")
    image = photo(16, 16)
    expected = restorer(image).copy()  # the result itself may lie on disk, too

    def stop(share: float) -> None:
        assert list(scratch.iterdir()) == []
        if share > 0.5:
            assert mapped(scratch)  # the maps do lie there
            raise error

    with pytest.raises(type(error)) as caught:
        restorer(image, progress=stop)
    assert caught.value is error
    error.__traceback__ = None
    del caught
    assert not mapped(scratch)
    assert list(scratch.iterdir()) == []
    np.testing.assert_array_equal(restorer(image), expected)  # and the restorer still works


def test_a_full_disk(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    restorer = iln.Restorer(small_model(small_spec()), memory="1MB", device="cpu")
    with pytest.raises(InputError, match=r"No space left.*TMPDIR.*--memory") as caught:
        restorer(photo(16, 16))
    assert str(scratch) in str(caught.value)
    assert list(scratch.iterdir()) == []


def test_a_disk_that_holds_no_more_files(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(InputError, match="No space left"):
        DiskMaps()((4, 4), torch.float32, CPU)


def test_the_scratch_folder_is_not_memory(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_in_memory", lambda folder: folder == scratch)
    assert memory.scratch_folder() == scratch  # asked for
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.chdir(scratch.parent)
    assert memory.scratch_folder() in (Path("/var/tmp"), scratch.parent)
