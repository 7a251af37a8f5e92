"""One picture's trouble is its own."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

from iln.images import Picture, read, write
from iln.restoration.batch import BatchOptions, run_jobs
from iln.restoration.jobs import Job, JobPlan, plan_jobs


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        write(Picture(np.full((3, 4, 3), 90, np.uint8)), tmp_path / name)
    return tmp_path


class Fake:
    """A pipeline that runs out of memory at the first picture."""

    scale = 2
    calls = 0

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def result_size(self, height: int, width: int) -> tuple[int, int]:
        return 2 * height, 2 * width

    def restore_picture(self, picture: Picture, progress: object, limits: object) -> Picture:
        Fake.calls += 1
        if Fake.calls == 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes\nbacktrace")
        return picture


def test_out_of_memory_does_not_stop_the_others(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("iln.restoration.Pipeline", Fake)
    monkeypatch.setattr(Fake, "calls", 0)
    plan = plan_jobs([str(pictures)], None, recursive=False, overwrite=False)
    assert run_jobs(plan, BatchOptions(models=("any",))) == 1
    error = capsys.readouterr().err
    assert "a.png: out of memory (DefaultCPUAllocator" in error
    assert "backtrace" not in error
    assert (pictures / "b_restored.png").exists()


def test_too_large_for_the_format_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Picture(np.zeros((1, 9000, 3), np.uint8)), tmp_path / "wide.png")
    monkeypatch.setattr("iln.restoration.Pipeline", Fake)
    monkeypatch.setattr(Fake, "calls", 0)
    job = Job(tmp_path / "wide.png", tmp_path / "wide.webp", named=True)
    assert run_jobs(JobPlan([job]), BatchOptions(models=("any",))) == 2
    assert Fake.calls == 0
    assert "18000 x 2 is too large for WebP (at most 16383 a side)" in capsys.readouterr().err


def test_an_empty_pattern_beside_a_picture_is_one_more_problem(pictures: Path) -> None:
    words = [str(pictures / "a.png"), str(pictures / "no*.png")]
    jobs = plan_jobs(words, None, recursive=False, overwrite=False).jobs
    assert jobs[0].problem == f"{pictures / 'no*.png'} matches no file"
    assert [job.source.name for job in jobs if job.problem is None] == ["a.png"]


@pytest.mark.parametrize("skip", [False, True])
def test_a_png_in_place_of_another_format_is_nobody_elses(
    skip: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture with alpha cannot be a JPEG: its result would be a.png, as another's is."""
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    clear = Picture(np.full((3, 4, 3), 90, np.uint8), np.full((3, 4), 128, np.uint8))
    write(clear, tmp_path / "clear.png")
    (tmp_path / "clear.png").rename(pictures / "a.jpg")
    write(Picture(np.full((3, 4, 3), 7, np.uint8)), pictures / "a.png")

    class Same(Fake):
        def restore_picture(self, picture: Picture, progress: object, limits: object) -> Picture:
            return picture

    monkeypatch.setattr("iln.restoration.Pipeline", Same)
    options = BatchOptions(models=("photo",), overwrite=not skip, skip_existing=skip)
    plan = plan_jobs([str(pictures)], out, recursive=False, overwrite=not skip, skip_existing=skip)
    assert run_jobs(plan, options) == 1
    assert (read(out / "a.png").pixels == 7).all()
    assert "a.jpg" in capsys.readouterr().err
    # Nor is it an input.
    both = [str(pictures / "a.jpg"), str(out / "a.png")]
    plan = plan_jobs(both, out, recursive=False, overwrite=True)
    assert run_jobs(plan, BatchOptions(models=("photo",), overwrite=True)) == 2
    assert (read(out / "a.png").pixels == 7).all()


def test_a_picture_that_is_done_is_let_go(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large ones are worked on alone, and alone in memory."""
    done: list[weakref.ref[Picture]] = []
    alive = []

    class Watched(Fake):
        def restore_picture(self, picture: Picture, progress: object, limits: object) -> Picture:
            gc.collect()
            alive.append(sum(result() is not None for result in done))
            result = Picture(picture.pixels.repeat(2, 0).repeat(2, 1))
            done.append(weakref.ref(result))
            return result

    monkeypatch.setattr("iln.restoration.Pipeline", Watched)
    monkeypatch.setattr("iln.restoration.batch._BESIDE", 0)
    plan = plan_jobs([str(pictures)], None, recursive=False, overwrite=False)
    assert run_jobs(plan, BatchOptions(models=("photo",))) == 0
    assert alive == [0, 0]
