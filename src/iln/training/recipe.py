"""What a training run is made of: validated data, dumped as JSON beside the weights."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from iln.errors import InputError
from iln.tasks import TASKS

Count = Annotated[int, Field(ge=1)]


class Recipe(BaseModel):
    """Everything that decides a run. Folders that are not absolute are looked up in `data_root`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: str
    """Name of a preset of `iln.backbones`."""
    norm: str = "i-ln"
    spec: dict[str, Any] = {}
    """Values that replace those of the preset, by their names in the backbone's spec."""
    task: str = "sr"
    scale: Annotated[int, Field(ge=1, le=8)]
    init: Path | None = None
    """Weights file whose parameters the run starts from (the optimiser starts fresh)."""

    data_root: Path = Path("data")
    data: Annotated[tuple[Path, ...], Field(min_length=1)]
    validation: tuple[Path, ...] = ()
    """The best weights are those with the highest mean PSNR over these folders."""

    patch: Count = 32
    """Side of the crops in pixels of the network's input."""
    batch: Count = 8
    steps: Count
    lr: Annotated[float, Field(gt=0)] = 5e-4
    lr_end: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Where the cosine ends, as a fraction of `lr`."""
    warmup: Annotated[int, Field(ge=0)] = 100
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.99,
    )
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    amp: bool | None = None
    """Forward pass under bfloat16 autocast; weights, optimiser and loss stay float32, the residual
    stream does not. None: whichever makes the faster step here, tried when a run begins."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    log_every: Count = 50
    save_every: Count = 250
    validate_every: Count = 500
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads; 0 leaves PyTorch's choice. Sums depend on it in the last bits."""
    device: str = "auto"
    """`auto` is CUDA where there is one, else the CPU."""

    @field_validator("task")
    @classmethod
    def _known(cls, task: str) -> str:
        if task not in TASKS:
            raise ValueError(f"known tasks: {', '.join(TASKS)}")
        return task

    def folders(self, names: tuple[Path, ...]) -> list[Path]:
        """The folders behind `data` or `validation`."""
        return [self.data_root / name for name in names]  # an absolute name replaces the root


def load_recipe(run: Path) -> Recipe:
    """The recipe a run folder was made by. Raises InputError where there is none."""
    try:
        return Recipe.model_validate_json((run / "recipe.json").read_text())
    except OSError:
        raise InputError(f"{run} holds no run to resume (no recipe.json)") from None
    except ValidationError as error:
        raise InputError(f"{run / 'recipe.json'} does not fit this version: {error}") from None
