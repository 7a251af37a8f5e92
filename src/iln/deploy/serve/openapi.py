"""The HTTP interface described for programs, as OpenAPI."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from starlette.routing import BaseRoute, Route

from iln import __version__
from iln.deploy.serve.options import Options

_FORMS = {"/restore", "/jobs"}
_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string", "description": "One line, as `iln restore` says."}},
}
_START = {"type": "boolean", "default": True, "description": "Whether to restore it at once."}
_BINARY = {"type": "string", "format": "binary"}


def description(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """All routes but the page's files."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if isinstance(route, Route) and route.path != "/":
            path = route.path
            for method in sorted((route.methods or set()) - {"HEAD"}):
                operation = _operation(path, method, route.endpoint)
                paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "iln serve", "version": __version__},
        "paths": paths,
        "components": {"schemas": {"Options": Options.model_json_schema(), "Error": _ERROR}},
    }


def _operation(path: str, method: str, endpoint: Callable[..., Any]) -> dict[str, Any]:
    summary = (endpoint.__doc__ or "").splitlines()[0]
    names = re.findall(r"{(\w+)}", path)
    error = {"$ref": "#/components/schemas/Error"}
    found: dict[str, Any] = {
        "summary": summary,
        "operationId": f"{method.lower()}_{endpoint.__name__}",
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ],
        "responses": {
            "2XX": {"description": "done"},
            "4XX": {
                "description": "not accepted",
                "content": {"application/json": {"schema": error}},
            },
            "503": {"description": "too much waits; see Retry-After"},
        },
    }
    options: dict[str, Any] = {"$ref": "#/components/schemas/Options"}
    if method == "POST" and path in _FORMS:
        form = Options.model_json_schema()["properties"]
        start = {"start": _START} if path == "/jobs" else {}
        schema = {
            "type": "object",
            "required": ["file"],
            "properties": {"file": _BINARY, "mask": _BINARY, **form, **start},
        }
        found["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": {"schema": schema}},
        }
    elif path.endswith("/start"):
        found["requestBody"] = {"content": {"application/json": {"schema": options}}}
    elif method == "PUT":
        found["requestBody"] = {"required": True, "content": {"image/png": {"schema": _BINARY}}}
    return found
