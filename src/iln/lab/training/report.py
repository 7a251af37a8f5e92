"""Training logs: JSON log, TensorBoard, sample pictures and console progress."""

import importlib.metadata
import json
import math
import platform
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from iln import __version__
from iln.atomic import atomic_write
from iln.errors import InputError, first_line
from iln.images import Picture, write
from iln.lab.tasks import Damaged, Pixels, to_uint8
from iln.lab.training.run_folder import LOG
from iln.progress import say

Say = Callable[[str], None]
"""Shows one line to whoever watches."""
SAMPLE = 192
"""Side of the middle of a validation picture that is kept as a sample, in target pixels."""


def say_plainly(line: str) -> None:
    """One line of progress on standard output."""
    say(line, sys.stdout)


class NullReport:
    """The report of processes other than the first one: nothing."""

    def write(self, **values: Any) -> None:
        pass

    def scalars(self, step: int, values: dict[str, float]) -> None:
        pass

    def sample(self, step: int, name: str, parts: tuple[Damaged, Pixels, Pixels]) -> None:
        pass

    def close(self) -> None:
        pass


class Report(NullReport):
    """`log.jsonl`, `samples/` and, where TensorBoard is installed and wanted, its files.

    Args:
        step: where the run resumes; what was logged beyond it is cut off.
    """

    def __init__(self, run: Path, step: int, tensorboard: bool, say: Say) -> None:
        self._say, self._warned = say, False
        self._log = run / LOG
        self._samples = run / "samples"
        kept = []
        if self._log.exists():
            for line in self._log.read_text(errors="replace").splitlines(keepends=True):
                try:
                    if line.endswith("\n") and step and json.loads(line)["step"] <= step:
                        kept.append(line)
                except (ValueError, TypeError, KeyError):  # half a line, from a power cut
                    continue
        with atomic_write(self._log, overwrite=True) as file:
            file.write_text("".join(kept))
        self._board = _tensorboard(run / "tensorboard", step, say) if tensorboard else None

    def write(self, **values: Any) -> None:
        """One line of JSON; numbers that are not finite, which it does not have, become null."""
        plain = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in values.items()
        }
        with self._or_warning(), self._log.open("a") as out:
            out.write(json.dumps(plain, allow_nan=False) + "\n")

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Curves in TensorBoard."""
        if self._board is not None:
            with self._or_warning():
                for name, value in values.items():
                    self._board.add_scalar(name, value, step)

    def sample(self, step: int, name: str, parts: tuple[Damaged, Pixels, Pixels]) -> None:
        """The middle of (input, output, target) side by side, as a PNG and in TensorBoard."""
        strip = side_by_side(*parts)
        file = f"{name}-{step:07}.png".replace("/", "-").replace("\\", "-")
        with self._or_warning():
            self._samples.mkdir(exist_ok=True)
            write(Picture(strip), self._samples / file, overwrite=True)
            if self._board is not None:
                title = f"{name}: input, output, target"
                self._board.add_image(title, strip, step, dataformats="HWC")

    def close(self) -> None:
        if self._board is not None:
            with self._or_warning():
                self._board.close()

    @contextmanager
    def _or_warning(self) -> Iterator[None]:
        """What is only to be looked at ends no run: a full disk is told of once."""
        try:
            yield
        except (OSError, InputError) as error:
            if not self._warned:
                self._say(f"warning: {first_line(error)}; the log has gaps from here on")
            self._warned = True


def side_by_side(damaged: Damaged, output: Pixels, target: Pixels) -> Pixels:
    """The middles of input (enlarged by repeating pixels), output and target, in one row."""
    factor = target.shape[0] // damaged.shape[0]
    large = to_uint8(damaged).repeat(factor, 0).repeat(factor, 1)
    middles = []
    for picture in (large, output, target):
        top, left = (max(0, (side - SAMPLE) // 2) for side in target.shape[:2])
        middles.append(picture[top : top + SAMPLE, left : left + SAMPLE])
    return np.concatenate(middles, 1)


def environment(step: int) -> dict[str, Any]:
    """What a run was computed with, beside its recipe: versions, machine, git revision, date."""
    packages = ("torch", "numpy", "pillow", "pyvips", "safetensors", "pydantic")
    return {
        "step": step,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "iln": __version__,
        "git": _revision(),
        "python": platform.python_version(),
        **{name: _version(name) for name in packages},
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _version(package: str) -> str | None:
    """None for what runs from a folder without having been installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _revision() -> str | None:
    """The git revision of this code, with a `+` if it was changed; None outside a checkout."""
    here = Path(__file__).parent
    answers = []
    for command in (
        ["ls-files", "--error-unmatch", Path(__file__).name],  # else it is someone else's
        ["rev-parse", "HEAD"],
        ["status", "--porcelain", "--untracked-files=no"],
    ):
        try:
            done = subprocess.run(
                ["git", "-C", str(here), *command], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode:
            return None
        answers.append(done.stdout.strip())
    return answers[1] + ("+" if answers[2] else "")


def _tensorboard(folder: Path, step: int, say: Say) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own imports are of another time
            from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say('no TensorBoard files: it is not installed (pip install "iln[train]")')
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
