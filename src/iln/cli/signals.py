"""Signals end a command as exceptions do, so that no half-written file stays."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, TypeAlias

_AGAIN = 0.05
"""Seconds until a signal that came while a module was being loaded comes again."""

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
    before = []
    if threading.current_thread() is threading.main_thread():
        for name, (usual, handler) in handlers.items():
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == usual:  # not with nohup
                signal.signal(number, _not_within_imports(handler, caller))
                before.append((number, usual))
    try:
        yield
    finally:
        for number, usual in before:
            signal.signal(number, usual)


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)  # for whoever handles that now: a training, the server


def _not_within_imports(handler: _Handler, caller: CodeType) -> _Handler:
    def handle(number: int, frame: FrameType | None) -> None:
        if _importing(frame, caller):
            again = threading.Timer(_AGAIN, signal.raise_signal, (number,))
            again.daemon = True
            again.start()
        else:
            handler(number, frame)

    return handle


def _importing(frame: FrameType | None, caller: CodeType) -> bool:
    while frame is not None and frame.f_code is not caller:
        if frame.f_code.co_filename.startswith("<frozen importlib."):
            return True
        frame = frame.f_back
    return False
