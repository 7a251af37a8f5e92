"""Run the server until it is stopped, and leave nothing behind."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from urllib.parse import quote

import uvicorn

from iln.deploy.serve.app import create_app
from iln.deploy.serve.settings import Settings
from iln.deploy.serve.store import Store
from iln.errors import InputError

LAST_WORDS = 3
"""Seconds for answers that are being sent when the server is stopped."""


def serve(settings: Settings, port: int, ready: Callable[[str], None]) -> None:
    """Listen and answer until SIGINT or SIGTERM.

    Args:
        settings: who may come in, and limits.
        port: 0 takes a free one.
        ready: told the address, once the server listens.

    Raises:
        InputError: if the address cannot be had.
    """
    listening = _listen(settings.host, port)
    app = create_app(settings)
    store: Store = app.state.store
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=LAST_WORDS,
    )
    try:
        with _ended_by_signals():
            ready(address(settings, listening.getsockname()[1]))
            _Server(config, store).run(sockets=[listening])
    except (KeyboardInterrupt, SystemExit):
        pass  # asked for
    finally:
        store.wipe()
        listening.close()


def address(settings: Settings, port: int) -> str:
    """What to open in a browser."""
    host = settings.host
    if host in ("0.0.0.0", "::", ""):
        host = socket.gethostname()
    shown = f"[{host}]" if ":" in host else host
    token = "" if settings.token is None else f"?token={quote(settings.token, '')}"
    return f"http://{shown}:{port}/{token}"


class _Server(uvicorn.Server):
    """Ends streams of events at once, which would go on for ever."""

    def __init__(self, config: uvicorn.Config, store: Store) -> None:
        super().__init__(config)
        self.store = store

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.store.close()
        super().handle_exit(sig, frame)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does; by default it would end the process at once."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, OverflowError) as error:
        raise _cannot_listen(host, port, error) from None
    listening = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        raise _cannot_listen(host, port, error) from None
    return listening


def _cannot_listen(host: str, port: int, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(
        f"{host}, port {port}: cannot listen there ({reason}); --port 0 takes a free port"
    )
