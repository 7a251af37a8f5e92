"""What a command says of the file or folder that it wrote."""

from pathlib import Path

from iln.atomic import printable


def written(output: Path) -> str:
    """Its name and size; the weights of an OpenVINO graph lie in a file beside it."""
    files = [path for path in output.rglob("*") if path.is_file()] or [output]
    if output.suffix == ".xml":
        files.append(output.with_suffix(".bin"))
    size = sum(path.stat().st_size for path in files if path.exists())
    return f"{printable(output)}  {size / 1e6:.1f} MB"
