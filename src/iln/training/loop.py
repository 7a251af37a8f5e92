"""The training loop, from top to bottom: `train`."""

import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import l1_loss

from iln.atomic import atomic_write
from iln.errors import InputError
from iln.tasks import TASKS
from iln.training.data import batch, open_pairs
from iln.training.model import bfloat16_pays, build_model, save_weights
from iln.training.recipe import Recipe, load_recipe
from iln.training.state import load_state, save_state


def say_plainly(line: str) -> None:
    """One line of progress on standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def train(
    recipe: Recipe, run: Path, *, resume: bool = False, say: Callable[[str], None] = say_plainly
) -> bool:
    """Train by a recipe; everything about the run is kept in the folder `run`.

    `recipe.json`, `log.jsonl` (loss, learning rate, seconds a step, scores), `state.pt` and
    `state.previous.pt` (to resume from), `best.safetensors` and `last.safetensors` (averaged
    weights). Pictures are decoded into `pairs` beside `run`, for all runs there.

    Returns True when all steps are done; False when SIGINT or SIGTERM asked to stop, after the
    step under way was finished and saved. A run that was stopped or killed and then resumed
    computes what it would have computed undisturbed, on the CPU bit for bit (with the same
    number of threads).
    Raises InputError if `run` exists and `resume` is not set, or was made by another recipe, and
    FloatingPointError when the loss is no longer finite.
    """
    _check(recipe, run, resume)
    device = _device(recipe.device)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    if recipe.amp is None:
        amp = load_recipe(run).amp if resume else bfloat16_pays(recipe, device)
        recipe = recipe.model_copy(update={"amp": amp})
    torch.manual_seed(recipe.seed)

    task = TASKS[recipe.task](recipe.scale)
    pairs = open_pairs(recipe.folders(recipe.data), task, run.parent / "pairs")
    held_out = {
        str(name): open_pairs(recipe.folders((name,)), task, run.parent / "pairs")
        for name in recipe.validation
    }

    model = build_model(recipe).to(device).train()
    average = deepcopy(model).requires_grad_(False).eval()
    adam = torch.optim.Adam(model.parameters(), recipe.lr, recipe.betas, fused=True)
    done, best = 0, -math.inf
    loss_sum, loss_count = torch.zeros((), device=device), 0
    if resume and (state := load_state(run / "state.pt", say)) is not None:
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        adam.load_state_dict(state["adam"])
        torch.set_rng_state(state["rng"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(state["rng_cuda"])
        done, best = state["done"], state["best"]
        loss_sum, loss_count = state["loss_sum"].to(device), state["loss_count"]

    run.mkdir(parents=True, exist_ok=True)
    with atomic_write(run / "recipe.json", overwrite=True) as file:
        file.write_text(recipe.model_dump_json(indent=2) + "\n")
    log = _Log(run / "log.jsonl", done)
    if done == 0:
        for name, held in held_out.items():
            log.write(step=0, baseline=name, **task.validate_baseline(held))
    say(f"{run}: {recipe.backbone}, {len(pairs)} pictures, step {done} of {recipe.steps}")

    seconds, seconds_count = 0.0, 0
    with _signals() as stop, _deterministic(device):
        while done < recipe.steps:
            started = time.perf_counter()
            lr, hr = batch(
                pairs, size=recipe.batch, patch=recipe.patch, seed=recipe.seed, step=done
            )
            for group in adam.param_groups:
                group["lr"] = learning_rate(recipe, done)
            with torch.autocast(device.type, torch.bfloat16, enabled=bool(recipe.amp)):
                output = model(lr.to(device).float() / 255)
            loss = l1_loss(output.float(), hr.to(device).float() / 255)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            done += 1
            average_weights(average, model, recipe.ema, done)
            loss_sum += loss.detach()
            loss_count += 1
            seconds += time.perf_counter() - started
            seconds_count += 1

            last = done == recipe.steps or stop.is_set()
            logs = done % recipe.log_every == 0 or done == recipe.steps
            saves = done % recipe.save_every == 0 or last
            validates = done % recipe.validate_every == 0 or done == recipe.steps
            if logs or saves or validates:  # one look now and then: a look makes a GPU wait
                mean = loss_sum.item() / loss_count
                if not math.isfinite(mean):
                    raise FloatingPointError(
                        f"the loss is {mean} within the {loss_count} steps before step {done}; "
                        f"{run} holds the last good state, but resuming repeats this: try a "
                        "smaller lr, a longer warmup or amp=false in a new run"
                    )
            if logs:
                rate, pace = learning_rate(recipe, done - 1), seconds / seconds_count
                log.write(step=done, loss=mean, lr=rate, seconds=round(pace, 4))
                left = pace * (recipe.steps - done) / 60
                say(
                    f"step {done} of {recipe.steps}  loss {mean:.5f}  lr {rate:.2e}  "
                    f"{pace:.3f} s/step  {left:.0f} min left"
                )
                loss_sum.zero_()
                loss_count, seconds, seconds_count = 0, 0.0, 0
            if validates:
                scores = {name: task.validate(average, held) for name, held in held_out.items()}
                for name, score in scores.items():
                    log.write(step=done, validation=name, **score)
                    say(f"step {done}  {name}  " + ", ".join(f"{k} {score[k]:.4f}" for k in score))
                mean_psnr = sum(s["psnr_y"] for s in scores.values()) / max(1, len(scores))
                if scores and mean_psnr > best:
                    best = mean_psnr
                    save_weights(average, run / "best.safetensors", recipe, done, scores)
                if done == recipe.steps:
                    save_weights(average, run / "last.safetensors", recipe, done, scores)
            if saves:
                state = {
                    "model": model.state_dict(),
                    "average": average.state_dict(),
                    "adam": adam.state_dict(),
                    "rng": torch.get_rng_state(),
                    "done": done,
                    "best": best,
                    "loss_sum": loss_sum,
                    "loss_count": loss_count,
                }
                if device.type == "cuda":
                    state["rng_cuda"] = torch.cuda.get_rng_state()
                save_state(run / "state.pt", state)
            if stop.is_set():
                break
    say(f"{run}: step {done} of {recipe.steps}" + ("" if done == recipe.steps else ", stopped"))
    return done == recipe.steps


def learning_rate(recipe: Recipe, step: int) -> float:
    """Rate of step 0, 1, ...: a straight line up to `lr`, then a cosine to `lr * lr_end`."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    share = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * share))
    return recipe.lr * (recipe.lr_end + (1 - recipe.lr_end) * cosine)


@torch.no_grad()
def average_weights(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """average <- d average + (1 - d) model after step 1, 2, ..., for parameters and buffers.

    d is min(decay, (1 + step) / (10 + step)), so that a young average does not drag the random
    start along. What has no fraction (counters, index tables) is copied.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    new = model.state_dict()
    for name, old in average.state_dict().items():
        if old.is_floating_point():
            old.lerp_(new[name], weight)
        else:
            old.copy_(new[name])


class _Log:
    """JSON lines; lines beyond the step a run resumes from are cut off."""

    def __init__(self, file: Path, step: int) -> None:
        kept = []
        if step and file.exists():
            for line in file.read_text().splitlines():
                try:
                    if json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
                except json.JSONDecodeError:  # half a line, from a kill while writing
                    break
        with atomic_write(file, overwrite=True) as part:
            part.write_text("".join(kept))
        self._file = file

    def write(self, **values: Any) -> None:
        with self._file.open("a") as out:
            out.write(json.dumps(values) + "\n")


def _check(recipe: Recipe, run: Path, resume: bool) -> None:
    """A run folder is new or, to resume, this recipe's."""
    if resume:
        made, wanted = load_recipe(run).model_dump(), recipe.model_dump()
        if recipe.amp is None:  # it was decided when the run began
            wanted["amp"] = made["amp"]
        if differing := [key for key in made if made[key] != wanted[key]]:
            raise InputError(
                f"{run} was made by a recipe with another "
                + ", ".join(f"{k} ({made[k]}, not {wanted[k]})" for k in differing)
            )
    elif (run / "recipe.json").exists():
        raise InputError(f"{run} holds a run already; resume it, or name another folder")
    elif run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise InputError(f"{run} is not an empty folder; name a new folder for the run")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError):  # the latter from a PyTorch without CUDA
        raise InputError(f"device {name!r} cannot be used; auto and cpu always can") from None


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets; the second one of them acts as it always does."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python hands signals to the main thread only
        return
    names = (signal.SIGINT, signal.SIGTERM)
    before = {name: signal.getsignal(name) for name in names}

    def ask(*_: Any) -> None:
        stop.set()
        for name in names:
            signal.signal(name, before[name])

    for name in names:
        signal.signal(name, ask)
    try:
        yield stop
    finally:
        for name in names:
            signal.signal(name, before[name])


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """Sums in a fixed order on the CPU.

    Without it the gradient of an indexed table (relative position bias) is added up by several
    threads in whatever order they arrive. On CUDA it is left alone: some operations have no
    deterministic form there.
    """
    before = torch.are_deterministic_algorithms_enabled()
    settings: Any = torch.utils.deterministic
    fill = settings.fill_uninitialized_memory
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        settings.fill_uninitialized_memory = False  # writes all memory once more, to find bugs
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = fill
