"""Signals end a command as exceptions do, so that no half-written file stays."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, TypeAlias

_PUT_OFF = 0.05
"""Seconds until a signal that came while a module was being loaded comes again."""
_LOST = 1.0
"""Seconds until a signal comes again whose exception has not ended anything."""

_Handler: TypeAlias = Callable[[int, FrameType | None], Any]


@contextmanager
def ended_by_signals(caller: CodeType) -> Iterator[None]:
    """Ctrl-C ends the block with KeyboardInterrupt; SIGTERM, and SIGHUP of a terminal that is
    closed, with the exit code of a process that they end at once.

    Not while a module is being loaded, but right after: several, PyTorch among them, take an
    exception that comes there for a package that is missing, and go on with half of it.

    Args:
        caller: code of the function that this block stands in. Imports that are under way outside
            of it are none of its own.
    """
    handlers: dict[str, tuple[Any, _Handler]] = {
        "SIGINT": (signal.default_int_handler, signal.default_int_handler),
        "SIGTERM": (signal.SIG_DFL, _exit),
        "SIGHUP": (signal.SIG_DFL, _terminate),
    }
    came = _Came(caller)
    before = []
    if threading.current_thread() is threading.main_thread():
        for name, (usual, handler) in handlers.items():
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == usual:  # not with nohup
                signal.signal(number, came.told_by(handler))
                before.append((number, usual))
    try:
        try:
            yield
        except BaseException as error:
            came.obey_now(error)
            raise
        else:
            came.obey_now(None)
    finally:
        for number, usual in before:
            signal.signal(number, usual)


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)  # for whoever handles that now: a training, the server


class _Came:
    """The signal that was not obeyed yet. It comes again until it is.

    An exception from a handler can get lost: it comes wherever Python is just then, and C code that
    called Python there may clear it, as PyTorch's does, and go on, or tell of an error of its own.
    """

    def __init__(self, caller: CodeType) -> None:
        self._caller = caller
        self._due: tuple[int, _Handler] | None = None
        self._raised: BaseException | None = None
        self._again = self._awaited = self._over = False
        self._lock = threading.Lock()  # never taken in a handler

    def told_by(self, handler: _Handler) -> _Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            again, self._again = self._again, False
            self._due = number, handler
            if _importing(frame, self._caller):
                self._wait(_PUT_OFF)
                return
            self._wait(_LOST)
            if again and self._is_raised_by(sys.exception()):  # things are being tidied up
                return
            try:
                handler(number, frame)
            except BaseException as error:
                self._raised = error
                raise
            self._due = None  # another one took it

        return handle

    def obey_now(self, error: BaseException | None) -> None:
        """At the end of the block, which `error` has ended."""
        with self._lock:
            self._over = True
        if self._due is not None and not self._is_raised_by(error):
            number, handler = self._due
            handler(number, None)

    def _wait(self, seconds: float) -> None:
        if not self._awaited:
            self._awaited = True
            # threading.Thread takes locks, which the code that was interrupted here may hold.
            _thread.start_new_thread(self._come_again, (seconds,))

    def _come_again(self, seconds: float) -> None:
        time.sleep(seconds)
        with self._lock:
            self._awaited = False
            if self._due is not None and not self._over:
                number, _ = self._due
                self._due, self._again = None, True
                signal.raise_signal(number)

    def _is_raised_by(self, error: BaseException | None) -> bool:
        while error is not None and error is not self._raised:
            error = error.__context__
        return error is not None


def _importing(frame: FrameType | None, caller: CodeType) -> bool:
    while frame is not None and frame.f_code is not caller:
        if frame.f_code.co_filename.startswith("<frozen importlib."):
            return True
        frame = frame.f_back
    return False
