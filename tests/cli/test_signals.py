"""How a block ends that a signal came in."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from iln.cli import signals
from iln.cli.signals import ended_by_signals

ENDS: list[tuple[str, type[BaseException]]] = [
    ("SIGINT", KeyboardInterrupt),
    ("SIGTERM", SystemExit),
]
if sys.platform != "win32":
    ENDS.append(("SIGHUP", SystemExit))

pytestmark = pytest.mark.parametrize(("name", "end"), ENDS)


@pytest.fixture(autouse=True)
def _as_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever the tests were started by may ignore signals."""
    assert threading.current_thread() is threading.main_thread()  # else they would end the tests
    monkeypatch.setattr(signals, "_LOST", 0.05)
    usual = {name: signal.SIG_DFL for name, _ in ENDS} | {"SIGINT": signal.default_int_handler}
    numbers = {getattr(signal, name): handler for name, handler in usual.items()}
    before = {number: signal.signal(number, handler) for number, handler in numbers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def block(work: Callable[[], None]) -> None:
    before = [signal.getsignal(getattr(signal, name)) for name, _ in ENDS]
    try:
        with ended_by_signals(block.__code__):
            work()
    finally:
        assert [signal.getsignal(getattr(signal, name)) for name, _ in ENDS] == before


def raised_and_lost(name: str) -> None:
    """As in C code that clears all exceptions of what it calls."""
    with contextlib.suppress(BaseException):
        signal.raise_signal(getattr(signal, name))
        pytest.fail("nothing was raised")


def test_at_once(name: str, end: type[BaseException]) -> None:
    after = []

    def work() -> None:
        signal.raise_signal(getattr(signal, name))
        after.append(1)

    with pytest.raises(end) as ended:
        block(work)
    assert not after
    if end is SystemExit:
        assert ended.value.code == 143  # type: ignore[attr-defined]


def test_lost_it_comes_again(name: str, end: type[BaseException]) -> None:
    started = time.monotonic()

    def work() -> None:
        for _ in range(3):
            raised_and_lost(name)
        while time.monotonic() - started < 30:
            time.sleep(0.001)

    with pytest.raises(end):
        block(work)
    assert time.monotonic() - started < 20


def test_lost_just_before_the_end(name: str, end: type[BaseException]) -> None:
    with pytest.raises(end):
        block(lambda: raised_and_lost(name))


def test_lost_and_told_of_as_an_error(name: str, end: type[BaseException]) -> None:
    """As PyTorch, which takes an exception for a list whose items have no length."""

    def work() -> None:
        raised_and_lost(name)
        raise ValueError("could not determine the shape")

    with pytest.raises(end):
        block(work)


def test_not_again_while_things_are_tidied_up(name: str, end: type[BaseException]) -> None:
    tidy = []

    def work() -> None:
        try:
            signal.raise_signal(getattr(signal, name))
        finally:
            with contextlib.suppress(OSError):
                raise OSError
            time.sleep(0.3)
            tidy.append(1)

    with pytest.raises(end):
        block(work)
    assert tidy


def test_again_by_the_user_at_once(name: str, end: type[BaseException]) -> None:
    tidy = []

    def work() -> None:
        try:
            signal.raise_signal(getattr(signal, name))
        finally:
            signal.raise_signal(getattr(signal, name))
            tidy.append(1)

    with pytest.raises(end):
        block(work)
    assert not tidy


def test_taken_by_another_in_the_meantime(name: str, end: type[BaseException]) -> None:
    """A training begins: it gets the lost signal, once, and ends as it likes."""
    took = []

    def work() -> None:
        raised_and_lost(name)
        numbers = [getattr(signal, name) for name, _ in ENDS]
        before = [signal.signal(number, lambda *_: took.append(1)) for number in numbers]
        time.sleep(0.4)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

    block(work)
    assert took == [1]


def test_nothing_comes_after_the_block(name: str, end: type[BaseException]) -> None:
    with pytest.raises(end):
        block(lambda: raised_and_lost(name))
    time.sleep(0.2)
