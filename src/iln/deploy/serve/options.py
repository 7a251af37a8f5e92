"""The options of one restoration as they come over HTTP: the names of `iln restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from iln.atomic import printable
from iln.checkpoints.catalogue import DEFAULT, names
from iln.checkpoints.hub import is_address, parsed
from iln.deploy.serve.settings import Settings
from iln.errors import InputError, first_complaint, nearest
from iln.images import SUFFIXES
from iln.images.sizing import parse_size
from iln.restoration.batch import BatchOptions
from iln.restoration.memory import parse_bytes
from iln.restoration.restorer import check_choice, find_device


class Options(BaseModel):
    """How to restore a picture; whatever is left out is as in `iln restore`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: list[str] = Field(
        default=[DEFAULT],
        min_length=1,
        max_length=8,
        description="Models in order: shipped ones, chains, files of weights, or hf:// addresses.",
    )
    strength: float = Field(
        1.0, ge=0, le=1, description="Share of the result; the rest is the picture as it was."
    )
    size: str | None = Field(None, description="Such as 4000x, x3000, 4000x3000, or 100%.")
    unfade: bool = Field(False, description="Stretch the colours of a faded print.")
    memory: str | None = Field(None, description="Peak of the process, such as 4GB.")
    precision: str = Field("auto", description="auto, fp32, bf16, fp16, or int8.")
    device: str = Field("auto", description="auto, cpu, cuda or mps.")
    engine: str = Field("auto", description="auto, torch or openvino.")
    format: str | None = Field(
        None, description="Suffix of the result, such as png; by default as the picture's."
    )
    quality: int = Field(95, ge=1, le=100, description="Of JPEG, WebP and AVIF.")
    allow_damaged: bool = Field(False, description="Restore what can be read.")

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        plain = None if value is None else value.lower().removeprefix(".")
        if plain is not None and f".{plain}" not in SUFFIXES:
            raise ValueError(f"must be one of {', '.join(s[1:] for s in SUFFIXES)}")
        return plain

    def batch(self, settings: Settings) -> BatchOptions:
        """The same as `iln restore` has them."""
        return BatchOptions(
            models=tuple(self.model),
            restore={
                "memory": self.memory,
                "precision": self.precision,
                "device": self.device,
                "engine": self.engine,
            },
            overwrite=True,
            quality=self.quality,
            unfade=self.unfade,
            strength=self.strength,
            size=self.size,
            max_pixels=settings.max_pixels,
            allow_damaged=self.allow_damaged,
        )


def parse_options(given: dict[str, Any], settings: Settings) -> Options:
    """Options from a form or from JSON; empty words count as left out.

    Raises:
        InputError: for names and values that are not accepted.
    """
    said = {name: value for name, value in given.items() if value not in ("", None, [], [""])}
    if isinstance(said.get("model"), str):
        said["model"] = [said["model"]]
    for name, value in said.items():
        for word in value if isinstance(value, list) else [value]:
            if isinstance(word, str) and not word.isprintable():  # half of a surrogate pair, say
                raise InputError(f"{printable(name)} {printable(word)!r}: is no text")
    if unknown := sorted(said.keys() - Options.model_fields.keys()):
        known = ", ".join(sorted(Options.model_fields))
        raise InputError(f"no option {unknown[0]!r}; accepted: {known}")
    try:
        options = Options.model_validate(said)
    except ValidationError as error:
        raise InputError(first_complaint(error)) from None
    _check_words(options)
    for model in options.model:
        _check_model(model, settings)
    return options


def _check_words(options: Options) -> None:
    """As they are checked when the picture's turn comes, which may be in an hour."""
    if options.size is not None:
        parse_size(options.size)
    if options.memory is not None:
        parse_bytes(options.memory)
    find_device(options.device)
    check_choice(options.precision, options.device, options.engine)


def _check_model(model: str, settings: Settings) -> None:
    """Files are for whoever sits at this computer: another could look around on its disk, or have
    it filled from the net."""
    if model in names() or (settings.local and _is_file(model)):
        return
    if settings.local and is_address(model):
        parsed(model)  # whether it is there is found out when it is fetched
        return
    files = ", or give a file of weights" if settings.local else ""
    raise InputError(f"no model {model!r} is shipped; {nearest(model, names())}{files}")


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long, or with a character that no name has
        return False
