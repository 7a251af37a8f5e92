"""The page: a verdict, what half precision does, charts over depth, and the rest to unfold."""

from __future__ import annotations

from collections.abc import Sequence

from iln import __version__
from iln.backbones import BACKBONES
from iln.images.synthetic import SamplePicture
from iln.lab.dynamics.report.charts import Limit, Series, depth_chart
from iln.lab.dynamics.report.details import details
from iln.lab.dynamics.report.markup import Markup, element, picture, prose
from iln.lab.dynamics.report.style import STYLE
from iln.lab.dynamics.report.subject import Subject, comparison
from iln.lab.dynamics.report.tables import Row, table
from iln.lab.dynamics.verdict import FP16_END, Level, Verdict, judge
from iln.norm import NORMS

_ICONS: dict[Level, tuple[str, str]] = {
    "good": ("✓", "good"),
    "warning": ("!", "warning"),
    "bad": ("✕", "bad"),
}


def page(subjects: Sequence[Subject], sample_pictures: Sequence[SamplePicture], date: str) -> str:
    """One or two subjects that saw the same pictures -> a whole HTML document.

    It asks for nothing from outside: style, drawings and pictures are in it, and there is no
    script. date: as it shall be shown.
    """
    title = " and ".join(subject.name for subject in subjects)
    head = [
        element("meta", {"charset": "utf-8"}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "color-scheme", "content": "light dark"}),
        element("title", {}, f"{title} – iln diagnose"),
        element("style", {}, Markup(STYLE)),
    ]
    body = [
        _header(subjects, title),
        element(
            "main",
            {},
            _verdicts(subjects),
            _notice(sample_pictures),
            _comparison(subjects),
            _half(subjects),
            _charts(subjects),
            element("h2", {}, "Details"),
            *details(subjects, sample_pictures),
        ),
        _footer(sample_pictures, date),
    ]
    root = element("html", {"lang": "en"}, element("head", {}, *head), element("body", {}, *body))
    return f"<!DOCTYPE html>\n{root}\n"


def _header(subjects: Sequence[Subject], title: str) -> Markup:
    lines = [
        element("p", {"class": "quiet"}, (f"{s.name}: " if len(subjects) > 1 else "") + _kind(s))
        for s in subjects
    ]
    return element(
        "header",
        {},
        element("p", {"class": "over"}, "iln diagnose"),
        element("h1", {}, title),
        *lines,
    )


def _kind(subject: Subject) -> str:
    spec = subject.spec
    what = f"enlarges {spec.scale} times" if spec.scale > 1 else "keeps the size"
    return (
        f"{BACKBONES[subject.backbone][1].title} with {NORMS[spec.norm].title}, "
        f"{subject.parameters / 1e6:.2f} M parameters, {sum(spec.depths)} blocks of "
        f"{spec.embed_dim} channels, {what}"
    )


def _verdicts(subjects: Sequence[Subject]) -> Markup:
    cards = [_card(subject, judge(subject.found), len(subjects) > 1) for subject in subjects]
    return element("div", {"class": "pair", "style": "margin-top:1.4rem"}, *cards)


def _card(subject: Subject, verdict: Verdict, named: bool) -> Markup:
    whose = element("p", {"class": "whose"}, subject.name) if named else Markup()
    rows = []
    for finding in verdict.findings:
        icon, word = _ICONS[finding.level]
        sign = {"class": "icon", "role": "img", "aria-label": word}
        rows.append(
            element(
                "li",
                {"class": finding.level},
                element("span", sign, icon),
                element("span", {"class": "topic"}, finding.topic),
                element("span", {}, prose(finding.text)),
            )
        )
    # What the headline says already need not be said twice.
    shown = [
        row for row, f in zip(rows, verdict.findings, strict=True) if f.text != verdict.headline
    ]
    return element(
        "section",
        {"class": f"verdict {verdict.level}", "aria-label": f"verdict on {subject.name}"},
        whose,
        element("p", {"class": "headline"}, prose(verdict.headline)),
        element("ul", {"class": "findings"}, *shown) if shown else Markup(),
    )


def _notice(sample_pictures: Sequence[SamplePicture]) -> Markup:
    if not any(sample_picture.synthetic for sample_picture in sample_pictures):
        return Markup()
    return element(
        "p",
        {"class": "notice"},
        element("strong", {}, "No picture was given. "),
        "These numbers come from a built-in test picture of gradients, edges and texture. "
        "Features depend on the picture: for a verdict that counts, give pictures of your own.",
    )


def _comparison(subjects: Sequence[Subject]) -> Markup:
    sentences = comparison(subjects)
    if not sentences:
        return Markup()
    points = [element("li", {}, sentence) for sentence in sentences]
    return element(
        "section",
        {},
        element("h2", {}, "Side by side"),
        element("ul", {"class": "comparison"}, *points),
    )


def _half(subjects: Sequence[Subject]) -> Markup:
    """Pictures and numbers of fp16 and bf16."""
    shown = [_shown(subject, len(subjects) > 1) for subject in subjects]
    return element(
        "section",
        {},
        element("h2", {}, "What half precision makes of it"),
        element("div", {"class": "pair"}, *shown),
    )


def _shown(subject: Subject, named: bool) -> Markup:
    sample = subject.found.sample
    pieces = (
        ("input", sample.image),
        ("float32", sample.float32),
        ("fp16", sample.float16),
        ("bf16", sample.bfloat16),
    )
    figures = [
        element(
            "figure",
            {},
            picture(pixels, f"{name} of {subject.name}, the middle of the picture", "sample"),
            element("figcaption", {}, name),
        )
        for name, pixels in pieces
    ]
    name = element("h3", {}, subject.name) if named else Markup()
    return element("div", {}, name, element("div", {"class": "samples"}, *figures), _runs(subject))


def _runs(subject: Subject) -> Markup:
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
    head = ("run in", "PSNR", "not finite", "first at")
    return table(
        f"{subject.name} in three types of number: PSNR against float32, values not finite",
        head,
        rows,
        words=(3,),
    )


def _charts(subjects: Sequence[Subject]) -> Markup:
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

    charts = [
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
    return element(
        "section",
        {},
        element("h2", {}, "Over depth"),
        element(
            "p",
            {"class": "quiet"},
            "Each point is a block or a layer, and says its name when pointed at. Upright lines "
            "part the residual groups.",
        ),
        element("div", {"class": "charts"}, *charts),
    )


def _footer(sample_pictures: Sequence[SamplePicture], date: str) -> Markup:
    names = ", ".join(sample_picture.name for sample_picture in sample_pictures)
    return element("footer", {}, f"Made by iln {__version__} on {date}, with {names}.")
