"""Image restoration with Transformers that train stably and run anywhere.

import iln
better = iln.restore("photo.jpg", model="sr-x2")       # an array; or the `iln restore` command
model = iln.build("hat-mini-x4", norm="i-ln")          # an untrained network
model = iln.load("SwinIR_lightweight_x2.pth")          # a published or our own file
converted = iln.convert(model, "i-ln")                 # replace its normalisation
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iln.backbones import BACKBONES, PRESETS, build, convert
    from iln.checkpoints.native import load, save
    from iln.errors import InputError
    from iln.lab.evaluation import evaluate
    from iln.restoration import Pipeline, Restorer, restore

__version__ = "0.3.0.dev0"
__all__ = [
    "BACKBONES",
    "PRESETS",
    "InputError",
    "Pipeline",
    "Restorer",
    "build",
    "convert",
    "evaluate",
    "load",
    "restore",
    "save",
]

_HOMES = {
    "BACKBONES": "iln.backbones",
    "PRESETS": "iln.backbones",
    "InputError": "iln.errors",
    "Pipeline": "iln.restoration",
    "Restorer": "iln.restoration",
    "build": "iln.backbones",
    "convert": "iln.backbones",
    "evaluate": "iln.lab.evaluation",
    "load": "iln.checkpoints.native",
    "restore": "iln.restoration",
    "save": "iln.checkpoints.native",
}


def __getattr__(name: str) -> Any:
    """Import on first use: PyTorch takes seconds, and `iln --help` does not need it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'iln' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
