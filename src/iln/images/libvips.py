"""libvips, loaded when first needed and without its chatter."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_ERRORS = threading.Lock()


def libvips() -> ModuleType:
    """The pyvips module. Its warnings go to the log, but not to stderr if no log is set up."""
    import pyvips

    log = logging.getLogger("pyvips")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    module: ModuleType = pyvips
    return module


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.heard) < 100:
            self.heard.append("".join(c for c in record.getMessage() if c.isprintable())[:120])


@contextmanager
def warnings() -> Iterator[list[str]]:
    """What libvips and the decoders in it warn of meanwhile, as long as logs are on."""
    libvips()
    log, listener = logging.getLogger("pyvips"), _Listener()
    log.addHandler(listener)
    try:
        yield listener.heard
    finally:
        log.removeHandler(listener)


@contextmanager
def own_errors() -> Iterator[None]:
    """Nobody else's errors meanwhile, and none are left.

    All threads share what libvips says of damage, and whoever asks for an error takes all of it
    away: what may fail is done within this, or another thread takes a damaged picture for a sound
    one.
    """
    with _ERRORS:
        try:
            yield
        finally:
            forget_errors()


def forget_errors() -> None:
    """Drop what libvips has said so far.

    Complaints that ended in no error stay, and would stand before the next ones. Those that quote
    bytes of the file may be no UTF-8: pyvips cannot decode them, nor any error after them.
    """
    libvips().vips_lib.vips_error_clear()


def complaints(origin: str) -> list[str]:
    """What `origin` (such as "tiff2vips"; "" is any) has said since `forget_errors`."""
    pyvips = libvips()
    said = pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer()).decode("utf-8", "replace")
    lines = (line for line in said.splitlines() if line.startswith(origin))
    said_by = (line.removeprefix(f"{origin}: ") for line in lines)
    return ["".join(c for c in line if c.isprintable())[:120] for line in said_by]


def reason(error: Exception) -> str:
    """What libvips says went wrong, on one line; empty if it says nothing useful."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # The first line names only the call we made.
    last = lines[-1] if len(lines) > 1 else ""
    return "".join(c for c in last if c.isprintable())[:120]
