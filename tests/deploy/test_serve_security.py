"""Who may come in: names of the host, other pages, tokens, cookies, a server with TLS before it."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason="Starlette is not installed")
from serve_helpers import HOME, client
from starlette.datastructures import URL
from starlette.requests import Request

from iln.deploy.serve import Settings
from iln.deploy.serve.running import address
from iln.deploy.serve.security import Guard
from iln.errors import InputError


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "192.168.0.7",
        "[::1",
        "",
        "localhost:x",
        "127.0.0.1/health?",
        "127.0.0.1?",
        "127.0.0.1#",
        "user@127.0.0.1",
        "127.0.0.1\\health",
    ],
)
def test_another_host_name_is_refused(host: str) -> None:
    with client() as http:
        answer = http.get("/models", headers={"host": host})
        assert answer.status_code == 421
        assert "not called so" in answer.json()["error"]


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000"])
def test_our_own_names_are_taken(host: str) -> None:
    with client() as http:
        assert http.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://["},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
    ],
)
def test_other_pages_are_refused(headers: dict[str, str]) -> None:
    with client() as http:
        assert http.post("/jobs", headers=headers).status_code == 403
        assert http.get("/models", headers=headers).status_code == 403


def test_our_page_and_links_to_it_are_let_in() -> None:
    with client() as http:
        assert http.get("/models", headers={"origin": HOME}).status_code == 200
        link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        assert http.get("/", headers=link).status_code == 200


def test_the_path_that_needs_no_token_is_not_read_from_the_host() -> None:
    """Older versions of Starlette put what stands in Host into the request's URL as it is."""

    class Fooled(Request):
        @property
        def url(self) -> URL:
            return URL("http://127.0.0.1/health")

    scope = {"type": "http", "path": "/models", "query_string": b"", "headers": []}
    guard = Guard(lambda *_: None, Settings(host="0.0.0.0", token="word"))  # type: ignore[arg-type,return-value]
    answer = guard._entrance(Fooled(scope))
    assert answer is not None and answer.status_code == 401


def test_a_server_with_tls_before_it() -> None:
    settings = Settings(token="word", public_url="https://photos.example.com")
    assert address(settings, 8000) == "https://photos.example.com/?token=word"
    assert not settings.local  # others come through it
    bearer = {"authorization": "Bearer word"}
    for host in ("photos.example.com", "127.0.0.1:8000"):  # as the proxy sends it
        with client(settings) as http:
            asked = {**bearer, "host": host, "origin": "https://photos.example.com"}
            assert http.get("/models", headers=asked).status_code == 200
            assert http.get("/models", headers={"host": host}).status_code == 401
            other = {**asked, "origin": "https://other.example.com"}
            assert http.get("/models", headers=other).status_code == 403
    with client(settings, "https://photos.example.com") as http:
        answer = http.get("/?token=word", follow_redirects=False)
        assert "secure" in answer.headers["set-cookie"].lower()
        assert http.get("/models", headers={"host": "www.example.com"}).status_code == 421


@pytest.mark.parametrize(
    "url", ["photos.example.com", "https://photos.example.com/iln", "ftp://a", "https://a b"]
)
def test_a_public_url_is_an_origin(url: str) -> None:
    with pytest.raises(InputError, match="is no address of a server; give one such as https://"):
        Settings(token="word", public_url=url)


def test_cookies_come_along_with_a_link_from_another_page() -> None:
    """Else the page would take its visitor for a new one, or ask for the token again."""
    settings = Settings(host="0.0.0.0", token="word")
    with client(settings, "http://192.168.0.7:8000") as http:
        answer = http.get("/?token=word", follow_redirects=False)
        assert "samesite=lax" in answer.headers["set-cookie"].lower()
        assert "samesite=lax" in http.get("/").headers["set-cookie"].lower()


def test_a_token_where_others_can_come() -> None:
    settings = Settings(host="0.0.0.0", token="wordß")
    home = "http://192.168.0.7:8000"
    with client(settings, home) as http:
        assert http.get("/health").status_code == 200
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic x"}):
            answer = http.get("/models", headers=headers)
            assert answer.status_code == 401
            assert "Authorization: Bearer" in answer.json()["error"]
        assert http.get("/?token=wrong").status_code == 401
        assert http.get("/models", headers={"host": "evil.example"}).status_code == 421
        answer = http.get("/?token=word%C3%9F", follow_redirects=False)
        assert answer.status_code == 303 and "httponly" in answer.headers["set-cookie"].lower()
    settings = Settings(host="0.0.0.0", token="word")
    with client(settings, home) as http:
        assert http.get("/models", headers={"authorization": "Bearer word"}).status_code == 200
        assert http.get("/?token=word").status_code == 200
        assert http.get("/models").status_code == 200  # by the cookie


@pytest.mark.parametrize("token", ["a&b", "a#b", "a+b c", "c;d=e", "ж", "ß", "%41", '"x"'])
def test_any_word_is_a_token_by_its_address_and_by_its_header(token: str) -> None:
    settings = Settings(host="0.0.0.0", token=token)
    home = "http://192.168.0.7:8000"
    path = address(settings, 8000).partition(":8000")[2]
    with client(settings, home) as http:
        assert http.get(path).status_code == 200
        assert http.get("/models").status_code == 200  # by the cookie
    with client(settings, home) as http:
        assert http.get("/models").status_code == 401
        header = f"Bearer {token}".encode()
        assert http.get("/models", headers={"authorization": header}).status_code == 200


@pytest.mark.parametrize("token", ["", " "])
def test_an_empty_token_is_refused(token: str) -> None:
    with pytest.raises(InputError, match="the token is empty"):
        Settings(host="0.0.0.0", token=token)
    with pytest.raises(InputError, match="the token holds what cannot be typed"):
        Settings(host="0.0.0.0", token="\udcff")


def test_headers_keep_the_page_closed() -> None:
    with client() as http:
        for path in ("/", "/page/index.html", "/health", "/nowhere"):
            headers = http.get(path).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
        assert http.get("/page/../app.py").status_code == 404
        assert http.get("/page/..%2fapp.py").status_code == 404
