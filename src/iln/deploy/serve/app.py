"""The application: which address leads to which answer."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from iln.deploy.serve import routes
from iln.deploy.serve.openapi import description
from iln.deploy.serve.security import Guard, refusal
from iln.deploy.serve.settings import Settings
from iln.deploy.serve.store import Busy, Store
from iln.deploy.serve.worker import Worker
from iln.errors import InputError

PAGE = Path(__file__).parent / "page"
LATER = 5
"""Seconds after which a client should try again."""


def create_app(settings: Settings | None = None) -> Starlette:
    """The server as an ASGI application; its worker runs as long as its lifespan.

    `app.state.store` holds the pictures.
    """
    settings = settings or Settings()
    # Windows may have another type for it in its registry, with which browsers refuse the page.
    mimetypes.add_type("text/javascript", ".js")
    store = Store(settings)
    worker = Worker(store)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        worker.start()
        try:
            yield
        finally:
            await run_in_threadpool(worker.stop)
            store.wipe()

    app = Starlette(
        routes=[
            Route("/", routes.page),
            Mount("/page", StaticFiles(directory=PAGE)),
            Route("/health", routes.health),
            Route("/models", routes.models),
            Route("/openapi.json", routes.openapi),
            Route("/restore", routes.restore, methods=["POST"]),
            Route("/jobs", routes.create_job, methods=["POST"]),
            Route("/jobs", routes.list_jobs, methods=["GET"]),
            Route("/jobs", routes.clear_jobs, methods=["DELETE"]),
            Route("/jobs/{id}", routes.show_job, methods=["GET"]),
            Route("/jobs/{id}", routes.delete_job, methods=["DELETE"]),
            Route("/jobs/{id}/start", routes.start_job, methods=["POST"]),
            Route("/jobs/{id}/cancel", routes.cancel_job, methods=["POST"]),
            Route("/jobs/{id}/events", routes.job_events),
            Route("/jobs/{id}/result", routes.result),
            Route("/jobs/{id}/mask", routes.show_mask, methods=["GET"]),
            Route("/jobs/{id}/mask", routes.change_mask, methods=["PUT", "DELETE"]),
            Route("/jobs/{id}/tiles/{side}/{level}/{column}/{row}", routes.tile),
            Route("/events", routes.events),
            Route("/results.zip", routes.archive),
        ],
        middleware=[Middleware(Guard, settings=settings)],
        exception_handlers={
            InputError: _bad_input,
            Busy: _busy,
            HTTPException: _http_error,
            ClientDisconnect: _nobody,
            Exception: _mistake,
        },
        lifespan=lifespan,
    )
    app.state.settings, app.state.store, app.state.worker = settings, store, worker
    app.state.page, app.state.description = PAGE, description(app.routes)
    return app


async def _bad_input(request: Request, error: Exception) -> Response:
    return refusal(HTTPStatus.BAD_REQUEST, str(error))


async def _busy(request: Request, error: Exception) -> Response:
    return JSONResponse(
        {"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE, {"retry-after": str(LATER)}
    )


async def _nobody(request: Request, error: Exception) -> Response:
    """Who handed something in has gone."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _mistake(request: Request, error: Exception) -> Response:
    return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, f"a mistake of the server: {error!r}")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
