"""Optional dependencies: imported on demand, with a clear error if they are missing."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from iln.errors import InputError


def need(package: str, extra: str) -> ModuleType:
    """The package, imported. Raises InputError with the pip line that installs it."""
    try:
        return import_module(package)
    except ImportError as error:
        raise InputError(
            f"{package} cannot be imported ({error}); it comes with: pip install 'iln[{extra}]'"
        ) from None


@cache
def openvino_core() -> Any:
    """OpenVINO's one entry, kept for good: with the last of them its plugin would be unloaded,
    whose threads may still run (that ends in a crash, some time later).

    Raises:
        InputError: where openvino is missing.
    """
    return need("openvino", "openvino").Core()
