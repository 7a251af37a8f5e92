"""`iln rescue`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iln.atomic import printable
from iln.cli.options import (
    Crop,
    EpsOption,
    ImgRangeOption,
    InputStatsOption,
    NormOption,
    Overwrite,
    checkpoint_overrides,
)
from iln.cli.written import check_no_input, written
from iln.errors import InputError

if TYPE_CHECKING:
    from iln.deploy.rescue import Rescued


def rescue(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A file, or a shipped model's name.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write to this file, in the format of the input."
        ),
    ],
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PICTURE]...", help="Measure on these pictures. Default: a built-in picture."
        ),
    ] = None,
    crop: Crop = 128,
    overwrite: Overwrite = False,
    norm: NormOption = None,
    input_stats: InputStatsOption = None,
    img_range: ImgRangeOption = None,
    eps: EpsOption = None,
) -> None:
    """Make a checkpoint safe for float16, without training and with the same output.

    The residual stream is divided by a power of two, chosen by running the network in float16. A
    third-party file keeps its layout, so its authors' code can still load it.
    """
    from iln.atomic import check_writable
    from iln.checkpoints.native import load_explained, said_by
    from iln.checkpoints.published import Answers
    from iln.deploy.rescue import check_rescue_target, write_rescued
    from iln.deploy.rescue import rescue as rescued_by
    from iln.images.sample_pictures import sample_pictures_of

    check_writable(output, overwrite)
    check_no_input(output, (checkpoint, *(pictures or [])))
    check_rescue_target(checkpoint, output)
    given = checkpoint_overrides(norm, input_stats, img_range, eps)
    model, _ = load_explained(checkpoint, Answers(**given))
    sample_pictures = sample_pictures_of(pictures or [], crop)
    try:
        found = rescued_by(model, [s.image(model.spec.in_chans) for s in sample_pictures])
    except InputError as error:
        raise InputError(f"{printable(checkpoint)} {error}") from None
    if found.after.nonfinite:
        raise InputError(
            f"{printable(checkpoint)} cannot be rescued: {found.after.first_module} overflows "
            "float16, and that lies outside the residual stream; use bf16 or fp32"
        )
    write_rescued(found, checkpoint, output, overwrite=overwrite)
    for line in _told(found, ours=bool(said_by(checkpoint))):
        typer.echo(line)
    typer.echo(written(output))


def _told(found: Rescued, *, ours: bool) -> list[str]:
    before, after = found.before, found.after
    was = f"{before.psnr:.1f} dB from float32"
    if before.nonfinite:
        was += f", {before.nonfinite / before.values:.0%} of its values not finite"
    lines = [
        f"float16 was {was} (largest value of the stream {found.peak:.3g}); now it is "
        f"{after.psnr:.1f} dB from it",
        f"in float32 no pixel moved by more than {found.difference:.2g} of the range 0 to 1",
    ]
    if found.in_steps:
        powers = ", ".join(map(str, found.exponents))
        lines.insert(0, f"stream divided by 2 to the {powers}, group by group: only iln loads that")
    else:
        whose = "" if ours else "; its authors' own code loads the file"
        lines.insert(0, f"stream divided by 2^{found.exponents[0]}{whose}")
    if found.difference > 1e-5:
        lines.append("that is more than 1e-5, because eps inside its norms stays as it was")
    if not found.safe:
        lines.append("float16 stays further than 50 dB from float32, not for the stream's sake")
    return lines
