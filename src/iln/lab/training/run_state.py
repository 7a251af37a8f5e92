"""The full training state, saved and restored for resuming.

Random numbers are not part of it: a step's draws depend on the seed and its number alone.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint import state_dict as distributed

from iln.atomic import printable
from iln.backbones import Backbone
from iln.errors import InputError
from iln.lab.training.distributed import World
from iln.lab.training.model import build_model
from iln.lab.training.recipe import Recipe
from iln.lab.training.report import Say
from iln.lab.training.state import load_shares, load_state, previous, save_shares, save_state

_PLAIN = ("done", "best", "skipped", "in_a_row", "loss_sum", "norm_sum", "counted")


def saved_state(run: Path, recipe: Recipe) -> Path | None:
    """The newest state of a run on disk."""
    place = _place(run, recipe)
    return next((p for p in (place, previous(place)) if p.exists()), None)


def _place(run: Path, recipe: Recipe) -> Path:
    """A file, or with FSDP a folder of shares, which any number of processes, also one, reads."""
    return run / ("state" if recipe.parallel == "fsdp" else "state.pt")


class RunState:
    """A run after `done` steps: network, averaged network, optimiser, and running sums."""

    def __init__(
        self,
        recipe: Recipe,
        run: Path,
        model: Backbone,
        average: Backbone,
        optimizer: torch.optim.Optimizer,
        here: World,
        say: Say,
    ) -> None:
        self.recipe, self.run, self.here, self.say = recipe, run, here, say
        self.model, self.average, self.optimizer = model, average, optimizer
        self._shares = recipe.parallel == "fsdp"
        self._place = _place(run, recipe)
        self.done = self.skipped = self.in_a_row = self.counted = 0
        self.best = -math.inf
        self.loss_sum = self.norm_sum = 0.0

    def count(self, step: tuple[float, float] | None) -> None:
        """Take note of a step's loss and gradient norm, or (None) that it was skipped."""
        if step is None:
            self.skipped += 1
            self.in_a_row += 1
            return
        self.in_a_row = 0
        self.loss_sum += step[0]
        self.norm_sum += step[1]
        self.counted += 1

    def read(self) -> tuple[float, float]:
        """Mean loss and gradient norm since the last reading; NaN if all steps were skipped."""
        counted = self.counted or math.nan
        loss, norm = self.loss_sum / counted, self.norm_sum / counted
        self.loss_sum = self.norm_sum = 0.0
        self.counted = 0
        return loss, norm

    def saved(self) -> Path | None:
        """The newest state on disk."""
        return saved_state(self.run, self.recipe)

    def save(self, must: bool) -> None:
        """Write everything; where the disk is full, warn and keep what is there.

        Args:
            must: there will be no other chance, so that a failure raises InputError.
        """
        plain = {name: getattr(self, name) for name in _PLAIN}
        problem = ""
        try:
            if self._shares:
                save_shares(self._place, self._tensors(), plain, self.here)
            elif self.here.first:
                tensors = {
                    "model": self.model.state_dict(),
                    "average": self.average.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                }
                save_state(self._place, {**tensors, **plain})
        except OSError as error:
            problem = error.strerror or str(error).partition("\n")[0]
        if not self.here.any(bool(problem)):
            return
        line = f"{printable(self._place)} cannot be written after step {self.done}: {problem}"
        if must:
            whole = self.run / "last.safetensors"
            kept = f", and the weights of {printable(whole)} are whole" if whole.exists() else ""
            state = self.saved()
            what = "nothing" if state is None else printable(state)
            raise InputError(f"{line}; {what} is the state to resume from{kept}")
        self.say(f"warning: {line}; going on, {self.saved() or 'nothing'} is kept")

    def load(self) -> None:
        """Take over the newest whole state; a run that was never saved begins at step 0.

        Raises:
            InputError: for states of which none is whole or of this run's kind.
        """
        if self._shares and self.saved() is None and (self.run / "state.pt").exists():
            raise InputError(
                f"{printable(self.run)} was saved in one piece by an iln that could not resume "
                "that with FSDP; start a new run from its weights with init="
            )
        if self._shares:
            tensors = self._tensors()
            plain = load_shares(self._place, tensors, self.here, self.say)
            if plain is None:
                return
            distributed.set_model_state_dict(self.model, tensors["model"])
            distributed.set_model_state_dict(self.average, tensors["average"])
            distributed.set_optimizer_state_dict(self.model, self.optimizer, tensors["optimizer"])
        else:
            state = load_state(self._place, self.say, self._take)
            if state is None:
                return
            plain = state
        for name in _PLAIN:
            setattr(self, name, plain[name])

    def _take(self, state: dict[str, Any]) -> None:
        """Raises nearly anything for the state of another network."""
        missing = [name for name in _PLAIN if name not in state]
        if missing:
            raise KeyError(missing[0])
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])

    def whole_average(self) -> Backbone:
        """The averaged network in one piece; all processes call it, the first one gets it."""
        if not self._shares:
            return self.average
        options = distributed.StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights = distributed.get_model_state_dict(self.average, options=options)
        whole = build_model(self.recipe).eval()
        whole.to(self.average.conv_first.weight.dtype)
        if self.here.first:
            whole.load_state_dict(weights)
        return whole

    def _tensors(self) -> dict[str, Any]:
        return {
            "model": distributed.get_model_state_dict(self.model),
            "average": distributed.get_model_state_dict(self.average),
            "optimizer": distributed.get_optimizer_state_dict(self.model, self.optimizer),
        }
