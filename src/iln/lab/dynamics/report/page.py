"""The report page: verdict, half precision, charts over depth and collapsible details."""

from __future__ import annotations

from collections.abc import Sequence

from iln import __version__
from iln.backbones import BACKBONES
from iln.images.sample_pictures import SamplePicture
from iln.lab.dynamics.drawing import HUES
from iln.lab.dynamics.report import charts, details, features
from iln.lab.dynamics.report.markup import picture, render
from iln.lab.dynamics.report.subject import Subject, comparison
from iln.lab.dynamics.verdict import judge
from iln.norm import NORMS


def page(subjects: Sequence[Subject], sample_pictures: Sequence[SamplePicture], date: str) -> str:
    """One or two subjects that saw the same pictures -> a whole HTML document.

    It asks for nothing from outside: style, drawings and pictures are in it, and there is no
    script.

    Args:
        date: as it shall be shown.
    """
    return render(
        "page.html",
        subjects=subjects,
        sample_pictures=sample_pictures,
        date=date,
        comparison=comparison(subjects),
        charts=charts,
        details=details,
        features=features,
        judge=judge,
        kind=_kind,
        picture=picture,
        hues=HUES,
        version=__version__,
    )


def _kind(subject: Subject) -> str:
    spec = subject.spec
    what = f"enlarges {spec.scale} times" if spec.scale > 1 else "keeps the size"
    return (
        f"{BACKBONES[subject.backbone][1].title} with {NORMS[spec.norm].title}, "
        f"{subject.parameters / 1e6:.2f} M parameters, {sum(spec.depths)} blocks of "
        f"{spec.embed_dim} channels, {what}"
    )
