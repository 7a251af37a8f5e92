"""Run the server until it is stopped, and leave nothing behind."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from urllib.parse import quote

import uvicorn

from iln.atomic import printable
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
        told = partial(ready, address(settings, listening.getsockname()[1]))
        _Server(config, store, told).run(sockets=[listening])
    finally:
        store.wipe()
        listening.close()


def address(settings: Settings, port: int) -> str:
    """What to open in a browser."""
    token = "" if settings.token is None else f"?token={quote(settings.token, '')}"
    if settings.public_url is not None:
        return f"{settings.public_url}/{token}"
    host = settings.host
    if host in ("0.0.0.0", "::", ""):
        host = socket.gethostname()
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/{token}"


class _Server(uvicorn.Server):
    """Ends streams of events at once, which would go on for ever."""

    def __init__(self, config: uvicorn.Config, store: Store, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.store, self.ready = store, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """As in uvicorn, which would raise the signal once more when the server has ended."""
        self.store.close()
        # What is cut off now is no error.
        for name in ("uvicorn.error", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"{printable(host)}: is no address of this computer ({_words(error)}); give one such "
            "as 127.0.0.1, or 0.0.0.0 for all of them"
        ) from None
    listening = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(128)
    except OSError as error:
        listening.close()
        other = "--port 0 takes a free port"
        if error.errno == errno.EADDRNOTAVAIL:
            other = "give an address of this computer, or 0.0.0.0 for all of them"
        raise InputError(
            f"{host}, port {port}: cannot listen there ({_words(error)}); {other}"
        ) from None
    return listening


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
