"""The documents' links lead somewhere, and nothing was left to be filled in."""

import re
import runpy
from pathlib import Path

import pytest

from iln.checkpoints.catalogue import names

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING")]
PAGES += [*sorted(ROOT.glob("docs/**/*.md"))]
PAGES += sorted(ROOT.glob("src/iln/zoo/*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_placeholders(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
    assert not re.search(r"@[A-Z]+@|TODO|FIXME", text)


def test_every_skip_is_listed_with_its_reason() -> None:
    listed = (ROOT / "docs" / "tests.md").read_text("utf-8")
    for file in (ROOT / "tests").rglob("test_*.py"):
        if file != Path(__file__):
            text = file.read_text("utf-8")
            assert not re.search(r'importorskip\("[^"]*"\)', text), file
            for found in re.finditer(r'pytest\.skip\(\s*"([^"]*)"|\breason="([^"]*)"', text):
                row = f"| {found[1] or found[2]} | "
                assert (
                    row in listed and f"`{file.relative_to(ROOT / 'tests').as_posix()}`" in listed
                )


def test_every_choice_of_the_page_has_an_example() -> None:
    examples = runpy.run_path(str(ROOT / "demo" / "examples.py"))["EXAMPLES"]
    assert set(examples) == set(names())
