"""The report page: verdict, half precision, charts over depth and collapsible details."""

from __future__ import annotations

from collections.abc import Sequence

from iln import __version__
from iln.backbones import BACKBONES
from iln.images.synthetic import SamplePicture
from iln.lab.dynamics.drawing import HUES
from iln.lab.dynamics.report.charts import Limit, Series, depth_chart
from iln.lab.dynamics.report.details import details
from iln.lab.dynamics.report.markup import Markup, picture, render
from iln.lab.dynamics.report.subject import Subject, comparison
from iln.lab.dynamics.report.tables import Row
from iln.lab.dynamics.verdict import FP16_END, Level, judge
from iln.norm import NORMS

_ICONS: dict[Level, str] = {"good": "✓", "warning": "!", "bad": "✕"}


def page(subjects: Sequence[Subject], sample_pictures: Sequence[SamplePicture], date: str) -> str:
    """One or two subjects that saw the same pictures -> a whole HTML document.

    It asks for nothing from outside: style, drawings and pictures are in it, and there is no
    script. date: as it shall be shown.
    """
    return render(
        "page.html",
        title=" and ".join(subject.name for subject in subjects),
        named=len(subjects) > 1,
        subjects=[
            {
                "name": subject.name,
                "kind": _kind(subject),
                "verdict": judge(subject.found),
                "samples": _samples(subject),
                "runs": _runs(subject),
            }
            for subject in subjects
        ],
        icons=_ICONS,
        hues=HUES,
        synthetic=any(one.synthetic for one in sample_pictures),
        comparison=comparison(subjects),
        charts=_charts(subjects),
        details=details(subjects, sample_pictures),
        version=__version__,
        date=date,
        pictures=", ".join(one.name for one in sample_pictures),
    )


def _kind(subject: Subject) -> str:
    spec = subject.spec
    what = f"enlarges {spec.scale} times" if spec.scale > 1 else "keeps the size"
    return (
        f"{BACKBONES[subject.backbone][1].title} with {NORMS[spec.norm].title}, "
        f"{subject.parameters / 1e6:.2f} M parameters, {sum(spec.depths)} blocks of "
        f"{spec.embed_dim} channels, {what}"
    )


def _samples(subject: Subject) -> dict[str, Markup]:
    sample = subject.found.sample
    pieces = {
        "input": sample.image,
        "float32": sample.float32,
        "fp16": sample.float16,
        "bf16": sample.bfloat16,
    }
    return {
        name: picture(pixels, f"{name} of {subject.name}, the middle of the picture", "sample")
        for name, pixels in pieces.items()
    }


def _runs(subject: Subject) -> list[Row]:
    """PSNR, values that are not finite, and where they begin, in three types of number."""
    found = subject.found
    rows = []
    for name, run in (
        ("float32", found.float32),
        ("fp16", found.float16),
        ("bf16", found.bfloat16),
    ):
        psnr = (
            "–"
            if run.psnr is None
            else "identical"
            if run.psnr == float("inf")
            else f"{run.psnr:.1f} dB"
        )
        lost = f"{run.nonfinite} of {run.values}" if run.nonfinite else "none"
        cells = [psnr, lost, run.first_module or "–"]
        rows.append(Row(name, cells, bool(run.nonfinite or run.first_module)))
    return rows


def _charts(subjects: Sequence[Subject]) -> list[Markup]:
    def blocks(measure: str) -> list[Series]:
        return [
            Series(
                s.name, [getattr(b, measure) for b in s.found.blocks.values()], list(s.found.blocks)
            )
            for s in subjects
        ]

    def layers(bits: str) -> list[Series]:
        return [
            Series(
                s.name, [getattr(n, bits) for n in s.found.layers.values()], list(s.found.layers)
            )
            for s in subjects
        ]

    return [
        depth_chart(
            "Size of the features",
            "Mean square of each block's output, on a logarithmic axis.",
            blocks("mean_square"),
            log=True,
        ),
        depth_chart(
            "Largest feature",
            f"max |x| of each block's output; fp16 ends at {FP16_END:.0f}.",
            blocks("max_abs"),
            log=True,
            limit=Limit(FP16_END, "fp16 ends"),
        ),
        depth_chart(
            "How many channels work",
            "Channel entropy / ln C: 1 where all carry alike, 0 where one carries all.",
            blocks("relative_entropy"),
            low=0.0,
        ),
        depth_chart(
            "Strongest channel",
            "Its share of the block's energy.",
            [
                Series(s.label, [None if v is None else 100 * v for v in s.values], s.names)
                for s in blocks("top_share")
            ],
            low=0.0,
            unit=" %",
        ),
        depth_chart(
            "Predicted int8",
            "What is left of each layer's signal with 8-bit weights and activations, in dB.",
            layers("w8a8"),
            lines=False,
            low=0.0,
            across="layer",
            unit=" dB",
        ),
        depth_chart(
            "Predicted int4",
            "The same with 4 bits. At 0 dB the noise is as large as the signal.",
            layers("w4a4"),
            lines=False,
            low=0.0,
            across="layer",
            unit=" dB",
        ),
    ]
