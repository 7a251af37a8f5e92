"""Who may come in: other pages in the same browser and other computers are kept out.

A server on one's own computer is reached by every page that the browser shows. So the Host header
must be ours (a name that an attacker's DNS points here is not), and requests that another page
makes are refused. Where other computers can reach it, a visitor needs the token.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iln.deploy.serve.settings import Settings, is_loopback

FORM_ROOM = 1 << 20
"""Bytes of a request beside the picture in it."""
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Stands before the application: refuses, limits, and adds headers to every answer."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                extra = [(n.encode(), v.encode()) for n, v in HEADERS.items()]
                message["headers"] = [
                    *message["headers"],
                    *(pair for pair in extra if pair[0] not in there),
                ]
            await send(message)

        request = Request(scope)
        answer = self._refusal(request) or self._entrance(request)
        if answer is not None:
            await answer(scope, receive, send_with_headers)
        else:
            await self.app(scope, self._limited(receive), send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if not self._is_ours(host):
            return refusal(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"host {host!r}: this server is not called so; open the address that it printed",
            )
        if not _same_origin(request, host, self.settings.public_url):
            return refusal(HTTPStatus.FORBIDDEN, "requests from other pages are not answered")
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > self.settings.max_upload + FORM_ROOM:
            return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large(self.settings))
        return None

    def _is_ours(self, host: str) -> bool:
        # Nothing else: programs build an address of it, whose path it must not decide.
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].strip("[]").lower()
        public = self.settings.public_url
        if is_loopback(name) or (public is not None and name == urlsplit(public).hostname):
            return True
        if self.settings.local:
            return False
        try:
            ipaddress.ip_address(name)  # an attack by DNS needs a name
        except ValueError:
            return name in (self.settings.host.lower(), socket.gethostname().lower())
        return True

    def _entrance(self, request: Request) -> Response | None:
        """Asks for the token, and swaps one in the address for a cookie."""
        token = self.settings.token
        path = request.scope["path"]
        if token is None or path == "/health":
            return None
        cookie = f"iln-token-{port_of(request)}"
        given = request.query_params.get("token", "")
        if path == "/" and _equal(given, token):
            answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
            set_cookie(answer, cookie, quote(token, ""), self.settings)
            return answer
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and (_equal(bearer, token) or _equal(_utf8(bearer), token)):
            return None
        if _equal(request.cookies.get(cookie, ""), quote(token, "")):
            return None
        return refusal(
            HTTPStatus.UNAUTHORIZED,
            "a token is needed: open the address that `iln serve` printed, or send the header "
            "'Authorization: Bearer TOKEN'",
        )

    def _limited(self, receive: Receive) -> Receive:
        """Counts what comes: the header may say less, or nothing."""
        room = self.settings.max_upload + FORM_ROOM

        async def limited() -> Message:
            nonlocal room
            message = await receive()
            room -= len(message.get("body", b""))
            if room < 0:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large(self.settings))
            return message

        return limited


def refusal(status: HTTPStatus, words: str) -> Response:
    """An error as JSON."""
    headers = {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return JSONResponse({"error": words}, status, headers)


def too_large(settings: Settings) -> str:
    megabytes = settings.max_upload / 10**6
    return f"the file has more than {megabytes:g} MB; allow it with --max-upload"


def port_of(request: Request) -> str:
    """Cookies do not tell servers on one computer apart, so that their names have to."""
    return str(request.url.port or 80)


def set_cookie(answer: Response, name: str, value: str, settings: Settings) -> None:
    """One that no program of the page sees.

    It comes along when a link on another page opens ours ("lax"), else that would be a new visitor.
    What changes anything is a request of our own page alone, see `Guard`.
    """
    encrypted = (settings.public_url or "").startswith("https:")
    answer.set_cookie(name, value, httponly=True, samesite="lax", secure=encrypted)


def _same_origin(request: Request, host: str, public_url: str | None) -> bool:
    origin = request.headers.get("origin")
    try:
        known = origin is None or origin == public_url or urlsplit(origin).netloc == host
        if not known:
            return False
    except ValueError:  # no address at all
        return False
    site = request.headers.get("sec-fetch-site", "none")
    opened = request.method == "GET" and request.headers.get("sec-fetch-mode") == "navigate"
    return site in ("none", "same-origin") or opened


def _equal(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())


def _utf8(header: str) -> str:
    """A header as most programs mean it: the standard has Latin-1, which is what was read."""
    return header.encode("latin-1", "replace").decode("utf-8", "replace")
