"""The answers. The first line of each function describes it in /openapi.json."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from iln import __version__
from iln.atomic import printable
from iln.checkpoints.catalogue import DEFAULT, by_picture
from iln.deploy.serve import marks, previews
from iln.deploy.serve.archive import zipped
from iln.deploy.serve.jobs import Job, State
from iln.deploy.serve.options import Options, parse_options
from iln.deploy.serve.security import port_of, set_cookie, too_large
from iln.deploy.serve.settings import Settings
from iln.deploy.serve.store import Busy, Store
from iln.errors import InputError

PAUSE = 0.2
"""Seconds between two messages on progress."""
SOON = 0.02
"""Seconds between two looks whether a picture is done."""
HEARTBEAT = 15.0
"""Seconds of silence after which a line shows that the connection lives."""
_FILES = ("file", "mask")


# The page and what it is about.


async def page(request: Request) -> Response:
    """The page for people."""
    answer = FileResponse(request.app.state.page / "index.html")
    if _visitor(request) is None:
        set_cookie(answer, _cookie(request), secrets.token_urlsafe(16), _settings(request))
    return answer


async def health(request: Request) -> Response:
    """Whether the server works, its limits, and how much waits."""
    settings, store = _settings(request), _store(request)
    found = {"status": "ok", "version": __version__, **store.summary()}
    limits = {"max_upload": settings.max_upload, "max_pixels": settings.max_pixels}
    return JSONResponse({**found, **limits, "files": settings.local})


async def models(request: Request) -> Response:
    """The shipped models: what a picture is like that each is for, and what it does."""
    found = await run_in_threadpool(by_picture)
    return JSONResponse({"default": DEFAULT, "models": [asdict(one) for one in found]})


async def openapi(request: Request) -> Response:
    """This interface, as OpenAPI 3.1."""
    return JSONResponse(request.app.state.description)


# One picture in, one picture out.


async def restore(request: Request) -> Response:
    """Restore a picture and answer with the result: form fields `file`, `mask`, and of Options."""
    job, options, _ = await _handed_in(request, None)
    store = _store(request)
    try:
        store.start(job, options, masked=job.masked)
        await _until_done(request, job)
    except BaseException:
        store.remove(job)
        raise
    if job.state is not State.done or job.result is None:
        store.remove(job)
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, job.problem or "cancelled")
    return _file(job, BackgroundTask(store.remove, job))


# Jobs.


async def create_job(request: Request) -> Response:
    """Hand in a picture: form fields `file`, `mask`, and of Options; `start=no` lets it lie."""
    job, options, start = await _handed_in(request, _visitor(request))
    store = _store(request)
    if start:
        try:
            store.start(job, options, masked=job.masked)
        except BaseException:
            store.remove(job)
            raise
    if job.owner is not None:
        request.app.state.worker.look(job)
    where = f"/jobs/{job.id}"
    return JSONResponse(job.report(), HTTPStatus.CREATED, {"location": where})


async def list_jobs(request: Request) -> Response:
    """The pictures of this browser."""
    return JSONResponse([job.report() for job in _store(request).of(_owner(request))])


async def clear_jobs(request: Request) -> Response:
    """Delete all pictures of this browser."""
    store = _store(request)
    await run_in_threadpool(store.remove, *store.of(_owner(request)))
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def show_job(request: Request) -> Response:
    """State, progress and result of a picture."""
    return JSONResponse(_job(request).report())


async def delete_job(request: Request) -> Response:
    """Delete a picture and its result."""
    await run_in_threadpool(_store(request).remove, _job(request))
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def start_job(request: Request) -> Response:
    """Restore a picture that lies here, with the Options in the body (JSON)."""
    job = _job(request)
    try:
        given = await request.json() if await request.body() else {}
    except (ValueError, RecursionError):
        raise InputError("the body is not JSON; give options such as {}") from None
    if not isinstance(given, dict):
        raise InputError('the body is no object; give options such as {"strength": 0.5}')
    options = parse_options(given, _settings(request))
    if job.state.busy:
        raise HTTPException(HTTPStatus.CONFLICT, f"{job.name}: is {job.state} already")
    _store(request).start(job, options, masked=job.mask_given)
    return JSONResponse(job.report())


async def cancel_job(request: Request) -> Response:
    """Stop restoring a picture; it stays here."""
    job = _job(request)
    _store(request).cancel(job)
    return JSONResponse(job.report())


async def job_events(request: Request) -> Response:
    """Progress of a picture as server-sent events, until it is done."""
    return _stream(request, _progress(_job(request), _store(request)))


async def result(request: Request) -> Response:
    """The restored picture."""
    return _file(_finished(request))


async def events(request: Request) -> Response:
    """What happens to the pictures of this browser, as server-sent events."""
    return _stream(request, _news(_owner(request), _store(request)))


async def archive(request: Request) -> Response:
    """All results of this browser as one ZIP file."""
    jobs = _store(request).of(_owner(request))
    files = [job.result.file for job in jobs if job.result is not None]
    if not files:
        raise HTTPException(HTTPStatus.NOT_FOUND, "no picture is restored yet")
    headers = {"content-disposition": 'attachment; filename="restored.zip"'}
    return StreamingResponse(zipped(files), media_type="application/zip", headers=headers)


# What the page shows of a picture.


async def tile(request: Request) -> Response:
    """A piece of a picture for the screen; side: before or after."""
    job, where = _job(request), request.path_params
    if where["side"] not in ("before", "after"):
        raise HTTPException(HTTPStatus.NOT_FOUND, "side: before or after")
    folder = job.folder / where["side"]
    place = [where[name] for name in ("level", "column", "row")]
    known = all(re.fullmatch("[0-9]{1,9}", number) for number in place)
    found = previews.tile(folder, *map(int, place)) if known else None
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "no such tile")
    return Response(found[0], media_type=found[1])


async def show_mask(request: Request) -> Response:
    """Where the result differs from the picture, as a gray PNG."""
    file = marks.current(_marked(request))
    if file is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "no mask")
    return Response(file.read_bytes(), media_type="image/png")


async def change_mask(request: Request) -> Response:
    """PUT a mask (a gray picture, white: restored) to limit the result to it, DELETE it again."""
    job, settings, store = _marked(request), _settings(request), _store(request)
    data = await request.body() if request.method == "PUT" else None

    def change() -> None:
        with job.changing, marks.undone_on_error(job):
            if job.state.busy or job.result is None:  # started again meanwhile
                raise HTTPException(HTTPStatus.CONFLICT, f"{job.name}: is {job.state} again")
            marks.paint(job, data)
            made = job.result
            if not marks.at_hand(job):
                store.start(job, made.options, masked=data is not None)
                return
            job.masked = data is not None
            marks.apply(job, made, settings.max_pixels)

        def changed() -> None:
            job.options = made.options
            job.result, job.run = replace(made, masked=job.masked), job.run + 1

        store.update(job, changed)

    await run_in_threadpool(change)
    return JSONResponse(job.report())


# Shared.


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _cookie(request: Request) -> str:
    return f"iln-visitor-{port_of(request)}"


def _visitor(request: Request) -> str | None:
    return request.cookies.get(_cookie(request)) or None


def _owner(request: Request) -> str:
    owner = _visitor(request)
    if owner is None:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "no cookie: this is for the page at /")
    return owner


def _job(request: Request) -> Job:
    job = _store(request).get(request.path_params["id"])
    if job is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "no such picture; it may have been cleared")
    return job


def _finished(request: Request) -> Job:
    job = _job(request)
    if job.state.busy or job.result is None:  # that of an earlier run stays where one fails
        raise HTTPException(
            HTTPStatus.CONFLICT, f"{job.name}: has no result; its state is {job.state}"
        )
    return job


def _marked(request: Request) -> Job:
    job = _finished(request)
    if job.result is None or not job.result.marks:
        raise HTTPException(
            HTTPStatus.CONFLICT,
            f"{job.name}: masks are for models that keep the size, on the page",
        )
    return job


async def _handed_in(request: Request, owner: str | None) -> tuple[Job, Options, bool]:
    """The picture and the options of a form, and whether to start."""
    settings, store = _settings(request), _store(request)
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/form-data"):
        raise InputError("give a form with the field file (curl -F file=@PICTURE)")
    # The form that is received and the copy out of it lie there together.
    store.check_room(2 * int(request.headers.get("content-length", "0")))
    async with _form(request) as form:
        for name in form:
            if name != "model" and (count := len(form.getlist(name))) > 1:
                raise InputError(f"{printable(name)}: is given {count} times; give it once")
        file, mask = form.get("file"), form.get("mask")
        if not isinstance(file, UploadFile):
            raise InputError("file: is missing; give a picture (curl -F file=@PICTURE)")
        if mask is not None and not isinstance(mask, UploadFile):
            raise InputError("mask: is no file; give a picture (curl -F mask=@PICTURE)")
        if (file.size or 0) + (0 if mask is None else mask.size or 0) > settings.max_upload:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large(settings))
        words: dict[str, Any] = {name: form.getlist(name) for name in form}
        words = {n: v if n == "model" else v[-1] for n, v in words.items() if n not in _FILES}
        for name in words:
            if any(isinstance(value, UploadFile) for value in form.getlist(name)):
                raise InputError(f"{printable(name)}: is a file; give a word")
        start = _is_yes("start", words.pop("start", "yes"))
        options = parse_options(words, settings)
        name = file.filename or "picture"
        try:
            job = await run_in_threadpool(store.add, file.file, name, options, owner)
            if mask is not None:
                try:
                    await run_in_threadpool(marks.hand_in, job, mask.file)
                except BaseException:
                    store.remove(job)
                    raise
        except OSError as error:
            raise Busy(f"the picture could not be kept: {error.strerror or error}") from error
    return job, options, start


@asynccontextmanager
async def _form(request: Request) -> AsyncIterator[FormData]:
    """What came, its files on the disk where they are large."""
    try:
        form = await request.form(max_files=2, max_fields=50)
    except (LookupError, UnicodeError):  # an encoding that there is not
        raise InputError("the form's charset is unknown; give none") from None
    except OSError as error:
        raise Busy(f"the picture could not be kept: {error.strerror or error}") from error
    try:
        yield form
    finally:
        await form.close()


def _is_yes(name: str, word: str) -> bool:
    """As options are read. Raises InputError."""
    try:
        return TypeAdapter(bool).validate_python(word)
    except ValidationError:
        raise InputError(f"{name}={word!r}: must be yes or no") from None


async def _until_done(request: Request, job: Job) -> None:
    """Waits. Cancels it where nobody waits any more."""
    looks = 0
    while job.state.busy:
        await asyncio.sleep(SOON)
        looks += 1
        if _store(request).closed:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "the server stops")
        if looks % 25 == 0 and await request.is_disconnected():
            _store(request).cancel(job)


def _file(job: Job, afterwards: BackgroundTask | None = None) -> Response:
    assert job.result is not None
    file = job.result.file
    return FileResponse(
        file,
        media_type=mimetypes.guess_type(file.name)[0] or "application/octet-stream",
        headers={
            "iln-notes": json.dumps(job.notes),
            "content-disposition": _attachment(file.name),
        },
        background=afterwards,
    )


def _attachment(name: str) -> str:
    """Of a file, in letters of ASCII too: `curl -OJ` looks at nothing else."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    plain = re.sub(r'["\\%]', "_", plain)
    exact = f"; filename*=utf-8''{quote(name, safe='')}" if plain != name else ""
    return f'attachment; filename="{plain}"{exact}'


def _stream(request: Request, messages: AsyncIterator[str]) -> Response:
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    return StreamingResponse(messages, media_type="text/event-stream")


def _message(event: str, data: dict[str, Any]) -> str:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n"


async def _progress(job: Job, store: Store) -> AsyncIterator[str]:
    seen = -1
    while not store.closed:
        busy, version = job.state.busy, job.version
        if version != seen:
            seen = version
            yield _message("job", job.report())
        if not busy:
            return
        await asyncio.sleep(PAUSE)


async def _news(owner: str, store: Store) -> AsyncIterator[str]:
    seen, quiet = -1, 0.0
    yield _message("hello", {})
    while not store.closed:
        seen, found = store.news(owner, seen)
        quiet += PAUSE
        if found is not None:
            quiet = 0.0
            yield _message("news", found)
        elif quiet >= HEARTBEAT:
            quiet = 0.0
            store.of(owner)  # an open page uses its pictures
            yield ": still here\n\n"
        await asyncio.sleep(PAUSE)
