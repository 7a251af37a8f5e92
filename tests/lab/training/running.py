"""What the tests of training share: starting runs, and comparing what they left."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from iln.cli.main import main
from iln.lab.training import Recipe


def quiet(line: str) -> None:
    pass


def log(run: Path) -> list[dict[str, Any]]:
    """The log without the times, which may differ."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "data")} for line in lines]


def assert_same_run(one: Path, other: Path) -> None:
    assert log(one) == log(other)
    for name in ("best.safetensors", "last.safetensors"):
        weights = load_file(one / name), load_file(other / name)
        assert weights[0].keys() == weights[1].keys()
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    states = [torch.load(run / "state.pt", weights_only=True) for run in (one, other)]
    for part in ("model", "average"):
        for name, tensor in states[0][part].items():
            assert torch.equal(tensor, states[1][part][name]), name


def exit_code(arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as stopped:
        main(["train", *arguments])
    return stopped.value.code


def start(recipe: Recipe, run: Path, **options: Any) -> "subprocess.Popen[str]":
    values = recipe.model_dump(mode="json", exclude_none=True)
    return subprocess.Popen(
        [sys.executable, "-m", "iln", "train", "sr-x2", "-o", str(run)]
        + [f"{key}={json.dumps(value)}" for key, value in values.items()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def wait_for(file: Path, process: "subprocess.Popen[str]") -> None:
    for _ in range(6000):
        if file.exists():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    pytest.fail(f"{file} did not appear")


def torchrun(processes: int, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run `iln train` in several processes."""
    command = [sys.executable, "-W", "error::UserWarning:iln", "-m", "torch.distributed.run"]
    command += ["--standalone", f"--nproc_per_node={processes}", "-m", "iln", "train"]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, timeout=250
    )


def overrides(recipe: Recipe) -> list[str]:
    """A recipe as the command line takes it, on top of any other."""
    values = recipe.model_dump(mode="json", exclude_none=True)
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def draw(folder: Path, count: int, side: int = 40) -> Path:
    """Pictures of noise, named 0.png and so on."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder
