"""What a training run is made of: validated data, dumped as JSON beside the weights."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from iln.atomic import printable
from iln.errors import InputError, first_complaint
from iln.lab.tasks import Task
from iln.lab.tasks import task as task_by_name

Count = Annotated[int, Field(ge=1)]
ShareBelowOne = Annotated[float, Field(ge=0, lt=1)]

LOCAL = ("data_root", "device", "threads", "workers", "tensorboard", "dynamics")
"""Where and how a run computes, not what: these may change when it is resumed."""


class Dynamics(BaseModel):
    """What is measured of the Transformer blocks while a run goes on; it changes no bit of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: Annotated[int, Field(ge=0)] = 0
    """Measure in step 1 and every so many steps; 0: never."""


class Recipe(BaseModel):
    """Everything that decides a run. Folders that are not absolute are looked up in `data_root`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    backbone: str
    """Name of a preset of `iln.backbones`."""
    norm: str = "i-ln"
    spec: dict[str, Any] = {}
    """Values that replace those of the preset, by their names in the backbone's spec."""
    task: str = "sr"
    degradation: dict[str, Any] = {}
    """The task's parameters by their names, such as `{"sigma": [0, 55]}`."""
    scale: Annotated[int, Field(ge=1, le=8)]
    init: str | Path | None = None
    """Weights whose parameters the run starts from (the optimiser starts fresh): a file, the name
    of a shipped model, or an address on the Hugging Face Hub."""
    adopt: bool = False
    """`init` is a LayerNorm network, and the run starts from an i-LN network that is close to it
    (`iln.lab.training.adoption`)."""

    data_root: Path = Path("data")
    data: Annotated[tuple[Path, ...], Field(min_length=1)]
    """Folders of clean pictures, or of pairs in subfolders `input` and `target`."""
    validation: tuple[Path, ...] = ()
    """The best weights are those with the highest mean of the task's first score over these. Sets
    that are not there when a run begins are left out, with a note."""
    hold_out: ShareBelowOne = 0.0
    """Share of the pictures in `data` that is not trained on but is one more validation set. Where
    none of the sets in `validation` is there, a tenth."""

    patch: Count = 32
    """Side of the crops in pixels of the network's input."""
    batch: Count = 8
    """Crops a step, over all processes and accumulated parts."""
    accumulate: Count = 1
    """Parts of a step's batch that are computed one after the other, to save memory."""
    progressive: tuple[tuple[int, int, int], ...] = ()
    """(step, patch, batch): from that step on; sizes before the first are `patch` and `batch`."""
    steps: Count
    """May grow when a run is resumed whose schedule does not depend on it (`open_ended`)."""
    lr: Annotated[float, Field(gt=0)] = 5e-4
    schedule: Literal["cosine", "multistep"] = "cosine"
    lr_end: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Where the cosine ends, as a fraction of `lr`; 1: the rate is constant."""
    milestones: tuple[Count, ...] = ()
    """Steps at which `multistep` multiplies the rate by `gamma`."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.5
    warmup: Annotated[int, Field(ge=0)] = 100
    """Steps over which the rate rises from near 0 in a straight line."""
    betas: tuple[ShareBelowOne, ShareBelowOne] = (0.9, 0.99)
    clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient; None leaves it as it is."""
    loss: Literal["l1", "mse"] = "l1"
    """Mean absolute or mean squared error; `mse` weighs large errors more."""
    kld: Annotated[float, Field(ge=0)] = 0.0
    """Weight, beside the loss, of the KL divergence of the blocks' outputs from a standard
    Gaussian (`iln.lab.training.penalty`), in nats."""
    ema: ShareBelowOne = 0.999

    precision: Literal["auto", "fp32", "bf16", "fp64"] = "auto"
    """`bf16`: forward pass under bfloat16 autocast; weights, optimiser and loss stay float32, the
    residual stream does not. `auto`: bf16 where the device has instructions for it, else fp32."""
    recompute: bool = False
    """Gradient checkpointing: activations are computed again in the backward pass, not kept."""
    compile: bool = False
    """torch.compile, for fixed shapes: a new size of patch or batch is compiled anew. On one GPU,
    where all steps are alike (`always_same`), each pass is a CUDA graph besides."""
    deterministic: bool | None = None
    """Sums in a fixed order, so that a run repeats bit for bit. None: on the CPU only, since on
    CUDA it costs speed."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """With several processes: `ddp` keeps the whole network on each, `fsdp` a share (FSDP2)."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    log_every: Count = 50
    save_every: Count = 250
    validate_every: Count = 500
    tensorboard: bool = True
    """Write TensorBoard files, where the package `tensorboard` is installed."""
    dynamics: Dynamics = Dynamics()
    workers: Annotated[int, Field(ge=0)] | None = None
    """Processes that prepare batches ahead; None: none on the CPU, up to 8 beside a GPU."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """CPU threads, 1024 at most; 0 leaves PyTorch's choice. Sums depend on it in the last bits."""
    device: str = "auto"
    """`auto` is CUDA where there is one, else the CPU."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        task = self.make_task()
        if task.scale != self.scale:
            raise ValueError(f"degradation.scale {task.scale}: is the recipe's; say scale=")
        if "norm" in self.spec:
            raise ValueError("spec.norm: is the recipe's; say norm=")
        if self.adopt and (self.init is None or self.norm != "i-ln"):
            raise ValueError("adopt needs a LayerNorm network, init=FILE, and norm i-ln")
        if self.schedule == "multistep" and not self.milestones:
            raise ValueError("schedule multistep needs milestones")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones must grow")
        starts = [step for step, _, _ in self.progressive]
        if starts != sorted(set(starts)) or any(min(stage) < 1 for stage in self.progressive):
            raise ValueError("progressive needs (step, patch, batch) with growing steps, all > 0")
        if self.kld and self.compile:
            raise ValueError("kld watches the blocks, which compile hides; leave one of them out")
        for size in self.batches():
            if size % self.accumulate:
                raise ValueError(f"batch {size} is not a multiple of accumulate {self.accumulate}")
        return self

    def make_task(self) -> Task:
        """The task with its parameters. Raises InputError for bad ones."""
        return task_by_name(self.task, {"scale": self.scale, **self.degradation})

    def folders(self, names: tuple[Path, ...]) -> list[Path]:
        """The folders behind `data` or `validation`."""
        return [self.data_root / name for name in names]  # an absolute name replaces the root

    def stage(self, step: int) -> tuple[int, int]:
        """(patch, batch) of step 0, 1, ..."""
        sizes = (self.patch, self.batch)
        for start, patch, size in self.progressive:
            if step >= start:
                sizes = (patch, size)
        return sizes

    def batches(self) -> set[int]:
        """All sizes of batches that occur."""
        return {self.batch, *(size for _, _, size in self.progressive)}

    def always_same(self) -> bool:
        """Whether every step is one pass over images of one shape."""
        return self.accumulate == 1 and not self.progressive and not self.recompute

    def open_ended(self) -> bool:
        """Whether more steps would leave the learning rate of all the others as it is."""
        return self.schedule == "multistep" or self.lr_end == 1

    def learning_rate(self, step: int) -> float:
        """Rate of step 0, 1, ...: a straight line up to `lr`, then down by the schedule."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.schedule == "multistep":
            return self.lr * self.gamma ** sum(step >= milestone for milestone in self.milestones)
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * share))
        return self.lr * (self.lr_end + (1 - self.lr_end) * cosine)


def load_recipe(run: str | Path) -> Recipe:
    """The recipe a run folder was made by. Raises InputError where there is none."""
    run = Path(run)
    try:
        return Recipe.model_validate_json((run / "recipe.json").read_text("utf-8"))
    except OSError:
        raise InputError(f"{printable(run)} holds no run to resume (no recipe.json)") from None
    except ValidationError as error:
        shown, said = printable(run / "recipe.json"), first_complaint(error)
        raise InputError(f"{shown} does not fit this version: {said}") from None
    except ValueError:
        raise InputError(f"{printable(run / 'recipe.json')} is damaged: no text") from None
