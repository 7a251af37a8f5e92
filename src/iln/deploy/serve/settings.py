"""What the server is started with."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from iln.atomic import printable
from iln.errors import InputError
from iln.images import MAX_PIXELS

MEGABYTE = 10**6
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d+)?")


@dataclass(frozen=True)
class Settings:
    """Limits and who may come in.

    Attributes:
        host: the address to listen on; other computers reach only what is not loopback.
        token: what a visitor has to know; None where only this computer can reach the server.
        public_url: how visitors call it where a server with TLS stands before it, such as
            `https://photos.example.com`.
        max_pixels: of a picture, and of its result.
        max_upload: bytes of a file.
        queue: how many pictures may wait to be restored.
        kept: how many pictures may lie here in all.
        unused: seconds after which a picture goes that nobody asks for.
    """

    host: str = "127.0.0.1"
    token: str | None = field(default=None, repr=False)
    public_url: str | None = None
    max_pixels: int = MAX_PIXELS
    max_upload: int = 500 * MEGABYTE
    queue: int = 200
    kept: int = 2000
    unused: float = 3600.0

    def __post_init__(self) -> None:
        if self.token is not None and not self.token.strip():
            raise InputError("the token is empty, and would let everybody in; give a word")
        if self.token is not None and not self.token.isprintable():
            raise InputError("the token holds what cannot be typed; give a word")
        if self.public_url is not None and not _ORIGIN.fullmatch(self.public_url):
            raise InputError(
                f"{printable(self.public_url)} is no address of a server; give one such as "
                "https://photos.example.com, without a path"
            )

    @property
    def local(self) -> bool:
        """Whether only this computer can reach it."""
        return is_loopback(self.host) and self.public_url is None


def is_loopback(host: str) -> bool:
    """Whether a name or address means this computer alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
