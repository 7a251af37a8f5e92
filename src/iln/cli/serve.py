"""`iln serve`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer


def serve(
    host: Annotated[
        str, typer.Option(help="Listen on this address. Another than this computer needs a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Listen on this port; 0 takes a free one.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Refuse pictures and results with more pixels than this.")
    ] = 300_000_000,
    max_upload: Annotated[
        int, typer.Option(min=1, metavar="MB", help="Refuse files of more megabytes than this.")
    ] = 500,
    token: Annotated[
        str | None,
        typer.Option(
            help="Ask visitors for this word. Default: none on this computer, else a random one."
        ),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Answer to this address, too: that of a server with TLS which stands before this "
            "one, such as https://photos.example.com.",
        ),
    ] = None,
) -> None:
    """Open a page that restores pictures in the browser, and answer programs over HTTP."""
    from iln.extras import need

    for package in ("starlette", "uvicorn", "python_multipart"):
        need(package, "serve")
    import secrets
    import webbrowser

    from iln.deploy.serve.running import serve as run
    from iln.deploy.serve.settings import MEGABYTE, Settings, is_loopback

    if token is None and (public_url is not None or not is_loopback(host)):
        token = secrets.token_urlsafe(16)

    def ready(address: str) -> None:
        typer.echo(address)
        typer.echo("stop it by Ctrl-C", err=True)
        if browser and _has_screen():
            webbrowser.open(address)

    settings = Settings(
        host=host,
        token=token,
        public_url=None if public_url is None else public_url.rstrip("/").lower(),
        max_pixels=max_pixels,
        max_upload=max_upload * MEGABYTE,
    )
    run(settings, port, ready)


def _has_screen() -> bool:
    """Without one, what opens may be a browser inside the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
