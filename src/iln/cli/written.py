"""What a command writes: which file it may not be, and what is said of it."""

from collections.abc import Iterable
from pathlib import Path

from iln.atomic import printable
from iln.errors import InputError


def check_no_input(output: Path, inputs: Iterable[str | Path]) -> None:
    """Raises InputError for an output that is one of the inputs, or a picture in a folder of them,
    which --overwrite would replace."""
    if not output.is_file():
        return
    from iln.restoration.jobs import READABLE

    for one in map(Path, inputs):
        inside = one.resolve() in output.resolve().parents and output.suffix.lower() in READABLE
        if inside or (one.exists() and one.samefile(output)):
            raise InputError(f"{printable(output)}: is an input; name another output")


def written(output: Path) -> str:
    """Its name and size; the weights of an OpenVINO graph lie in a file beside it."""
    files = [path for path in output.rglob("*") if path.is_file()] or [output]
    if output.suffix == ".xml":
        files.append(output.with_suffix(".bin"))
    size = sum(path.stat().st_size for path in files if path.exists())
    return f"{printable(output)}  {size / 1e6:.1f} MB"
