from pathlib import Path
from traceback import StackSummary

import pytest
import torch
from torch.distributed.checkpoint import CheckpointException

from iln.errors import InputError
from iln.lab.training.distributed import World
from iln.lab.training.state import load_state, previous, save_shares, save_state


@pytest.fixture
def two(tmp_path: Path) -> Path:
    file = tmp_path / "state.pt"
    for step in (1, 2):
        save_state(file, {"done": step, "weights": torch.full((500,), float(step))})
    return file


def test_the_newest_is_loaded_and_the_one_before_kept(two: Path) -> None:
    said: list[str] = []
    state = load_state(two, said.append)
    assert state is not None
    assert state["done"] == 2
    assert not said
    assert sorted(f.name for f in two.parent.iterdir()) == ["state.previous.pt", "state.pt"]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[content.find(torch.tensor([2.0]).numpy().tobytes() * 8)] ^= 1
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def misname(file: Path) -> None:
    """A name in the archive that is no text."""
    content = bytearray(file.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 46] = 0x94
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, empty, misname])
def test_a_damaged_state_falls_back_to_the_one_before(two: Path, damage) -> None:  # type: ignore[no-untyped-def]
    damage(two)
    said: list[str] = []
    state = load_state(two, said.append)
    assert state is not None
    assert state["done"] == 1
    assert len(said) == 1
    assert "state.pt is damaged" in said[0]
    save_state(two, state)  # must not put the damaged file over the good one
    state = load_state(previous(two), said.append) or load_state(two, said.append)
    assert state is not None
    assert state["done"] == 1


def test_killed_between_the_two_renames(two: Path) -> None:
    two.replace(previous(two))
    state = load_state(two, pytest.fail)
    assert state is not None
    assert state["done"] == 2


def test_nothing_saved_is_none_and_all_damaged_is_an_error(two: Path, tmp_path: Path) -> None:
    assert load_state(tmp_path / "other.pt", pytest.fail) is None
    cut(two)
    cut(previous(two))
    with pytest.raises(InputError, match="damaged and there is no older state"):
        load_state(two, lambda line: None)


def test_another_process_may_remove_the_damaged_one_first(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(two)
    removed = Path.unlink

    def late(file: Path, missing_ok: bool = False) -> None:
        removed(file)
        removed(file, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", late)
    state = load_state(two, lambda line: None)
    assert state is not None and state["done"] == 1


def test_a_full_disk_is_told_of_shares_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise CheckpointException("", {0: (RuntimeError("no room"), StackSummary())})

    monkeypatch.setattr("iln.lab.training.state.save_distributed", full)
    with pytest.raises(OSError, match="no room"):
        save_shares(tmp_path / "shares", {}, {}, World())
