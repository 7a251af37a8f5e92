"""The training loop, from top to bottom: `train`."""

import json
import math
from contextlib import nullcontext, suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.functional import l1_loss, mse_loss
from torch.nn.parallel import DistributedDataParallel

from iln.atomic import atomic_write, printable
from iln.cpu import slow_here
from iln.errors import InputError, first_line
from iln.lab.dynamics import BlockMeasures, Observer, as_json, scalars
from iln.lab.tasks import Task
from iln.lab.training import runtime
from iln.lab.training.adoption import CROPS, follow
from iln.lab.training.cuda_graph import CUDAGraphPass
from iln.lab.training.data import Batches, batch, in_order, open_pictures
from iln.lab.training.distributed import World, shard, world
from iln.lab.training.gradients import average_weights, gradient_norm, scale_gradient, synchronised
from iln.lab.training.model import automatic_precision, build_model, load_init, save_weights
from iln.lab.training.nonfinite import culprit
from iln.lab.training.penalty import divergences
from iln.lab.training.progress import Lines, Progress, Tick
from iln.lab.training.recipe import Recipe, load_recipe
from iln.lab.training.report import NullReport, Report, Say, environment, say_plainly
from iln.lab.training.run_folder import alone, check_run, new_run, pairs_folder
from iln.lab.training.run_state import RunState, saved_state
from iln.lab.training.sets import (
    HELD_OUT,
    PictureSet,
    Record,
    picture_sets,
    record_of,
    with_validation,
)
from iln.lab.training.sizes import check_sizes, check_tests
from iln.lab.training.validation import Scores, baselines, to_unit, validate
from iln.layers.forward_pass import WHOLE, Checkpointed

GIVE_UP = 100
"""So many steps in a row that are not finite stop a run also where they are to be skipped."""

LOSSES = {"l1": l1_loss, "mse": mse_loss}


def train(
    recipe: Recipe,
    run: str | Path,
    *,
    resume: bool = False,
    on_nonfinite: Literal["stop", "skip"] = "stop",
    say: Say = say_plainly,
    tick: Tick | None = None,
    progress: Progress | None = None,
) -> bool:
    """Train by a recipe; everything about the run is kept in the folder `run`.

    `recipe.json`, `environment.json`, `log.jsonl` (loss, learning rate, seconds a step, scores),
    `samples/`, `tensorboard/`, `state.pt` and `state.previous.pt` (to resume from; folders `state`
    with FSDP), `best.safetensors` and `last.safetensors` (averaged weights). Pictures are decoded
    into `pairs` beside `run`, for all runs there.

    Called in each of several processes (torchrun), it trains one network together; a step's batch
    is the recipe's, whatever the number of processes.

    A run that was stopped or killed and then resumed computes what it would have computed
    undisturbed, on the CPU bit for bit (with the same number of threads and processes).

    Args:
        on_nonfinite: what a step does whose loss or gradient is not finite: `stop` the run, or
            `skip` the step (it is counted in the log).
        say: shows one line.
        tick: told of each step. Where it is not given, `say` gets a line of it now and then.
        progress: told of reading and scoring pictures. Where it is not given, `say` gets a line of
            it now and then.

    Returns:
        True when all steps are done; False when SIGINT or SIGTERM asked to stop, after the step
        under way was finished and saved.

    Raises:
        InputError: if `run` exists and `resume` is not set, or was made by another recipe (only
            `steps` may grow, where the learning rate allows it), and for what cannot be trained; a
            new run's folder is gone then.
        FloatingPointError: when a step was not finite, saying where that began.
    """
    run = Path(run)
    if on_nonfinite not in ("stop", "skip"):
        raise InputError(f"on_nonfinite {on_nonfinite!r}: accepted are stop and skip")
    with world() as here:
        lines = Lines(say if here.first else _mute)
        tells = (tick or lines.tick, progress or lines.progress) if here.first else (_mute, _mute)
        check_run(recipe, run, resume)
        here.wait()  # nobody writes there before all have looked
        with (alone if resume else new_run)(run) if here.first else nullcontext():
            try:
                return _train(recipe, run, resume, on_nonfinite, lines.say, *tells, here)
            except (RuntimeError, MemoryError) as error:
                if not _is_of_memory(error):
                    raise
                raise InputError(
                    f"the memory is too small: {first_line(error).partition('. ')[0]}; try "
                    "recompute=true, a larger accumulate, or a smaller batch or patch"
                ) from None


def _is_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Of a GPU, or the computer's own, of which PyTorch speaks in words alone."""
    known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return known or "can't allocate memory" in str(error) or "not enough memory" in str(error)


def _train(
    recipe: Recipe,
    run: Path,
    resume: bool,
    on_nonfinite: str,
    say: Say,
    tick: Tick,
    progress: Progress,
    here: World,
) -> bool:
    device = runtime.find_device(recipe.device, here)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    for size in recipe.batches():
        if size % (here.size * recipe.accumulate):
            raise InputError(
                f"batch {size} cannot be shared by {here.size} process(es) in "
                f"{recipe.accumulate} part(s) each; make it a multiple of their product"
            )
    automatic = recipe.precision == "auto"
    if resume:
        begun = load_recipe(run)
        kept = {name: getattr(begun, name) for name in ("precision", "validation", "hold_out")}
        recipe, notes = recipe.model_copy(update=kept), list[str]()
    else:
        recipe, notes = with_validation(recipe)
    # The pictures, their sizes and the network: all that may be wrong comes before what is slow.
    if resume and saved_state(run, recipe) is None and (run / "last.safetensors").exists():
        raise InputError(
            f"{printable(run)} has its last weights, but no state to resume from, and would begin "
            "anew over them; start a new run from them with init="
        )
    begun_with = record_of(run) if resume else None
    found, tests, record = picture_sets(recipe, begun_with)
    if resume and begun_with is None and record.held_out:
        notes.append(
            "warning: begun.json is missing or damaged, which says what pictures are held out; "
            "those now may have been learned from"
        )
    if gone := len(record.held_out) - sum(len(t.sources) for t in tests if t.name == HELD_OUT):
        notes.append(
            f"warning: {gone} of the {len(record.held_out)} pictures that are held out are gone; "
            "scores are of the others alone"
        )
    if begun_with is not None and (differing := begun_with.other_pictures(record)):
        notes.append(
            f"warning: the pictures are not those that the run began with ({differing}); its steps "
            "are other ones from here on"
        )
    task, patches = recipe.make_task(), {recipe.patch, *(side for _, side, _ in recipe.progressive)}
    for note in notes:
        say(note)
    found = check_sizes(found, task, patches, say, progress)
    check_tests(tests, task)
    if automatic and not resume:  # the first process decides
        bf16 = here.any(here.first and automatic_precision(device) == "bf16")
        recipe = recipe.model_copy(update={"precision": "bf16" if bf16 else "fp32"})
    if not automatic and device.type == "cpu" and (line := slow_here(recipe.precision)):
        say(line)

    torch.manual_seed(recipe.seed)
    dtype = torch.float64 if recipe.precision == "fp64" else torch.float32
    sharded = here.size > 1 and recipe.parallel == "fsdp"
    # Where a state is saved the file may be gone.
    init = load_init(recipe) if saved_state(run, recipe) is None else None
    model = build_model(recipe, init).to(device, dtype).train()
    if not here.first:
        here.wait()  # the others find what the first has decoded
    pictures = open_pictures(found, task, pairs_folder(run), say, progress)
    if here.first:
        here.wait()

    if recipe.adopt and init is not None:
        crops, _ = batch(pictures, task, size=CROPS, patch=recipe.patch, seed=recipe.seed, step=0)
        follow(init.to(device, dtype), model, to_unit(crops).to(device, dtype))
    del init

    # An average of its weights, which is what gets used, and the optimiser.
    average = deepcopy(model).requires_grad_(False).eval()
    if sharded:
        shard(model)
        shard(average)
    if recipe.compile:
        runtime.own_compile_cache()
        say("the first step compiles the blocks, which can take minutes")
        for block in model.blocks().values():  # one piece of code for all of them: seconds
            block.compile(dynamic=False)
    network: nn.Module = model
    if here.size > 1 and not sharded:
        gpu = [device.index] if device.type == "cuda" else None
        network = DistributedDataParallel(model, device_ids=gpu)
    adam = torch.optim.Adam(model.parameters(), recipe.lr, recipe.betas, fused=not sharded)
    run_as = Checkpointed() if recipe.recompute else WHOLE
    amp = torch.autocast(
        device.type, torch.bfloat16, enabled=recipe.precision == "bf16", cache_enabled=False
    )  # every weight is cast once a pass anyway
    if recipe.compile and recipe.always_same() and device.type == "cuda" and here.size == 1:
        channels, (patch, size) = model.spec.in_chans, recipe.stage(0)
        image = torch.rand(size, channels, patch, patch, device=device, dtype=dtype)
        network = CUDAGraphPass(model, image, amp)

    state = RunState(recipe, run, model, average, adam, here, say)
    if resume:
        state.load()
    to_beat: Scores = {}
    if state.done == 0 and here.first:
        for chosen in tests:
            to_beat |= baselines(task, chosen, progress)
    report = _open_report(state, record)
    for name, score in to_beat.items():
        report.write(step=0, baseline=name, **score)
    say(
        f"{printable(run)}: {recipe.backbone}, {recipe.norm}, {recipe.precision}, "
        f"{len(pictures)} pictures, {here.size} process(es), step {state.done} of {recipe.steps}"
    )

    share = Batches(pictures, task, recipe.seed, recipe.stage, (here.rank, here.size))
    batches = in_order(share, range(state.done, recipe.steps), recipe.workers, device)
    observer = Observer(model, recipe.dynamics.every, partial(_observed, report))
    meter, stopping = runtime.Meter(), False
    with runtime.signals() as stop, runtime.deterministic(recipe.deterministic, device):
        while state.done < recipe.steps and not stopping:
            meter.start()
            inputs, targets = next(batches)
            meter.loaded()
            # Drop path's draws depend on the step and the process alone: nothing to save.
            torch.manual_seed(runtime.mixed(recipe.seed, state.done, here.rank))
            rate = recipe.learning_rate(state.done)
            for group in adam.param_groups:
                group["lr"] = rate

            adam.zero_grad()
            total = torch.zeros((), device=device, dtype=dtype)
            parts = zip(
                inputs.chunk(recipe.accumulate), targets.chunk(recipe.accumulate), strict=True
            )
            for number, (damaged, clean) in enumerate(parts, 1):
                image = to_unit(damaged.to(device, non_blocking=True)).to(dtype)
                target = to_unit(clean.to(device, non_blocking=True)).to(dtype)
                with synchronised(network, sharded, last=number == recipe.accumulate):
                    with amp, divergences(model, recipe.kld > 0) as divergence:
                        output = network(image, run_as)
                    loss = LOSSES[recipe.loss](output.to(dtype), target) + recipe.kld * divergence()
                    loss = loss / recipe.accumulate
                    loss.backward()  # type: ignore[no-untyped-call]
                total += loss.detach()

            loss_now, norm = total.item(), gradient_norm(model)
            skip = here.any(not (math.isfinite(loss_now) and math.isfinite(norm)))
            if skip and (on_nonfinite == "stop" or state.in_a_row + 1 >= GIVE_UP):
                raise FloatingPointError(_explain(state, image, loss_now))
            with amp:
                observer.before_update(state.done + 1, image)
            if not skip:
                if recipe.clip is not None and norm > recipe.clip:
                    scale_gradient(model, recipe.clip / norm)
                adam.step()
            observer.after_update()
            state.done += 1
            average_weights(average, model, recipe.ema, state.done)
            state.count(None if skip else (loss_now, norm))
            meter.stop()
            tick(state.done, loss_now)
            if skip:
                say(f"step {state.done}: not finite, skipped ({state.skipped} so far)")

            stopping = here.any(stop.is_set())
            over = state.done == recipe.steps
            if state.done % recipe.log_every == 0 or over:
                _log(state, meter, report)
            if state.done % recipe.validate_every == 0 or over:
                _validate(state, task, tests, record, report, progress)
            if state.done % recipe.save_every == 0 or over or stopping:
                state.save(must=over or stopping)
        report.close()
        finished = state.done == recipe.steps
        end = "" if finished else ", stopped"
        say(f"{printable(run)}: step {state.done} of {recipe.steps}{end}")
    return finished


def _log(state: RunState, meter: runtime.Meter, report: NullReport) -> None:
    """Means since the last time: one line for people, one for programs, points on curves."""
    recipe = state.recipe
    (loss, norm), (seconds, data) = state.read(), meter.read()
    values = {
        "loss": state.here.mean(loss),
        "lr": recipe.learning_rate(state.done - 1),
        "grad_norm": norm,
        "seconds": round(seconds, 4),
        "data": round(data, 4),
        "skipped": state.skipped,
    }
    report.write(step=state.done, **values)
    report.scalars(state.done, values)
    minutes = seconds * (recipe.steps - state.done) / 60
    state.say(
        f"step {state.done} of {recipe.steps}  loss {values['loss']:.5f}  lr {values['lr']:.2e}  "
        f"{seconds:.3f} s/step  {minutes:.0f} min left"
    )


def _observed(report: NullReport, step: int, measures: dict[str, BlockMeasures]) -> None:
    """What the blocks did in a step: a line in the log, points on curves."""
    report.write(step=step, dynamics=as_json(measures))
    report.scalars(step, scalars(measures))


def _validate(
    state: RunState,
    task: Task,
    tests: list[PictureSet],
    record: Record,
    report: NullReport,
    progress: Progress,
) -> None:
    """Score the averaged weights on all folders; keep the best, and those of the last step."""
    done, scores = state.done, Scores()
    for chosen in tests:
        scores |= validate(state.average, task, chosen, partial(report.sample, done), progress)
    for name, score in scores.items():
        report.write(step=done, validation=name, **score)
        report.scalars(done, {f"{name}/{key}": value for key, value in score.items()})
        state.say(f"step {done}  {name}  " + ", ".join(f"{k} {score[k]:.4f}" for k in score))
    files = ["last"] if done == state.recipe.steps else []
    deciding = next(iter(task.metrics()))
    mean = sum(score[deciding] for score in scores.values()) / max(1, len(scores))
    best = state.best
    if scores and mean > best:
        state.best = mean
        files.append("best")
    for file in files:
        weights, problem = state.whole_average(), ""
        if state.here.first:
            target = state.run / f"{file}.safetensors"
            try:
                save_weights(weights, target, state.recipe, done, scores, record.init)
            except InputError as error:
                problem = str(error)
        if not state.here.any(bool(problem)):
            continue
        if done == state.recipe.steps:
            raise InputError(f"{problem}; {state.saved() or 'nothing'} is there to resume from")
        state.best = best
        state.say(f"warning: {problem}; going on")


def _open_report(state: RunState, record: Record) -> NullReport:
    """The run's folder with its recipe and environment, and what writes into it."""
    if not state.here.first:
        return NullReport()
    recipe, run, done = state.recipe, state.run, state.done
    run.mkdir(parents=True, exist_ok=True)
    with atomic_write(run / "recipe.json", overwrite=True) as file:
        file.write_text(recipe.model_dump_json(indent=2) + "\n", "utf-8")
    record.write(run)
    starts = run / "environment.json"
    before: Any = []
    if done and starts.exists():
        with suppress(ValueError):  # damaged, as by a power cut
            before = json.loads(starts.read_text())
    before = before if isinstance(before, list) else []
    with atomic_write(starts, overwrite=True) as file:
        file.write_text(json.dumps([*before, environment(done)], indent=2) + "\n")
    return Report(run, done, recipe.tensorboard, state.say)


def _explain(state: RunState, image: torch.Tensor, loss: float) -> str:
    """Where a step went wrong and what to do."""
    return (
        f"step {state.done + 1}: the loss is {loss}; the first thing that is not finite is "
        f"{culprit(state.model, image, state.here)}. The last good state is "
        f"{state.saved() or 'none: nothing was saved yet'}; resuming repeats this. Try a smaller "
        "lr, a longer warmup, clip=1 or precision=fp32 in a new run, or go on with "
        "--on-nonfinite skip"
    )


def _mute(*_: object) -> None:
    pass
