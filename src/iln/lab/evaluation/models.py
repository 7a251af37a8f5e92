"""The models of an evaluation: loaded, with what their files say of themselves."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from iln.atomic import printable
from iln.backbones import Spec, name_of
from iln.checkpoints.files import located, short_name
from iln.checkpoints.native import said_by
from iln.errors import InputError
from iln.lab.evaluation.result import Tested
from iln.restoration import Restorer
from iln.restoration.options import CHECKPOINT_OVERRIDES, RestoreOptions
from iln.restoration.restorer import GRAPH_SUFFIX


@dataclass(frozen=True)
class Model:
    """A network ready to restore.

    Attributes:
        about: what `describe` says, empty for others' files.
    """

    name: str
    file: Path
    about: dict[str, Any]
    restorer: Restorer

    @property
    def spec(self) -> Spec:
        return self.restorer.model.spec

    @property
    def precision(self) -> str:
        return self.restorer.precision

    def tested(self) -> Tested:
        """For the record. (The device is where the last picture was restored.)"""
        read, parts = hashlib.sha256(), [self.file]
        if self.file.suffix == GRAPH_SUFFIX:  # the .xml may be the same for other weights
            parts.append(self.file.with_suffix(".bin"))
        for part in parts:
            with part.open("rb") as file:
                while block := file.read(2**20):
                    read.update(block)
        digest = read.hexdigest()
        device = str(self.restorer.device)
        if device.startswith("cuda"):
            device += f" ({torch.cuda.get_device_name(self.restorer.device)})"
        if self.restorer.engine != "torch":
            device += f" ({self.restorer.engine})"
        spec = self.spec
        spec_values = dict(vars(spec))
        return Tested(
            self.name, self.file, digest, name_of(spec), spec_values, device, self.precision
        )


def load_models(
    names: Sequence[str | os.PathLike[str]],
    reserved: Sequence[str],
    options: RestoreOptions,
) -> list[Model]:
    """All of them, before any is used: a bad one should not be found after hours.

    Args:
        reserved: names that no model may have.

    Raises:
        InputError: for a bad one, and for names that cannot be told apart.
    """
    about = [said_by(name) for name in names]
    given = [name for name in CHECKPOINT_OVERRIDES if options.get(name) is not None]
    rest = {name: value for name, value in options.items() if name not in CHECKPOINT_OVERRIDES}
    without = cast(RestoreOptions, rest)
    if given and all(about):
        raise InputError(
            f"{', '.join(given)}: only for files that do not say it; all of these models do"
        )
    shown = distinct(
        [short_name(name) for name in names], [os.fspath(name) for name in names], reserved, "model"
    )
    return [
        Model(
            shown[i],
            _file(name, about[i]),
            about[i],
            Restorer(name, **(without if about[i] else options)),
        )
        for i, name in enumerate(names)
    ]


def _file(name: str | os.PathLike[str], about: dict[str, Any]) -> Path:
    if about:
        return Path(about["file"])
    with located(name) as path:
        return path


def distinct(
    short: Sequence[str], long: Sequence[str], reserved: Sequence[str], what: str
) -> list[str]:
    """Short names where they tell all apart, else the long ones.

    Raises:
        InputError: for twins, and for a long name that is reserved.
    """
    for name in long:
        if long.count(name) > 1:
            raise InputError(f"the {what} {printable(name)} is given twice")
    clear = [short.count(name) == 1 and name not in reserved for name in short]
    names = [printable(s if ok else full) for s, full, ok in zip(short, long, clear, strict=True)]
    for name in names:
        if name in reserved or names.count(name) > 1:
            raise InputError(
                f"the {what} {name} cannot be called so here; say ./{name}, or rename it"
            )
    return names
