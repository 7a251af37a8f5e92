from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cli_helpers import TINY, Command, Outcome

import iln
from iln.backbones import from_spec


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that restores in milliseconds."""
    file = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        iln.save(from_spec(TINY), file)
    return file


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in this process, from the parsing of its words to its exit code."""
    from iln.cli.main import main

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["iln", *map(str, words)])
        log = logging.getLogger("iln")
        before = log.level, log.handlers[:]
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            log.level, log.handlers[:] = before[0], before[1]
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        assert "Traceback" not in printed.err
        return Outcome(ended.value.code, printed.out, printed.err)

    return run


@pytest.fixture
def restore(command: Command, weights: Path) -> Command:
    """`iln restore` with the tiny network."""

    def run(*words: object) -> Outcome:
        return command("restore", "--model", weights, "--device", "cpu", *words)

    return run


@pytest.fixture(scope="session")
def same_size(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that keeps the size and changes the picture."""
    file = tmp_path_factory.mktemp("weights") / "same.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = from_spec(replace(TINY, scale=1, upsampler=""))
        with torch.no_grad():
            model.conv_last.bias += 0.1
        iln.save(model, file)
    return file
