"""The page: whole, closed to the outside, nothing in it that a name could smuggle in; and seen."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from watched import SMALL, blown, small

from iln.backbones import Backbone
from iln.images.sample_pictures import SamplePicture, draw_sample_picture, middle
from iln.lab.dynamics import diagnose, judge
from iln.lab.dynamics.report import Subject, as_json, page
from iln.lab.dynamics.report.axes import linear, logarithmic, written

HOSTILE = "<script>alert(1)</script>\"'&.png"
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def subject(name: str, model: Backbone, backbone: str = "swinir", channels: int = 3) -> Subject:
    image = draw_sample_picture(24).image(channels)
    parameters = sum(p.numel() for p in model.parameters())
    return Subject(
        name, backbone, model.spec, parameters, {}, {"eps": 1e-5}, diagnose(model, [image])
    )


@pytest.fixture(scope="module")
def grown() -> Subject:
    return subject("grown", blown(small(norm="ln")))


@pytest.fixture(scope="module")
def calm() -> Subject:
    return subject("calm", small())


class Checked(HTMLParser):
    """All tags are closed in order; collects text and what elements would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [v or "" for k, v in attributes if k in ("src", "href", "srcset", "action")]
        assert not any(k.startswith("on") for k, _ in attributes)
        if tag not in ("meta", "img", "br", "col"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def test_one_page_stands_alone(calm: Subject) -> None:
    text = page([calm], [draw_sample_picture(24)], "today")
    found = Checked(text)
    assert "script" not in found.tags and "link" not in found.tags
    assert "http://" not in text and "https://" not in text and "@import" not in text
    assert found.loads and all(load.startswith("data:image/png;base64,") for load in found.loads)
    assert not re.search(r"url\(", text)
    assert judge(calm.found).headline in found.text
    assert "No picture was given." in found.text
    assert "eps 1e-05" in found.text


def test_two_pages_side_by_side(grown: Subject, calm: Subject) -> None:
    given = replace(draw_sample_picture(24), synthetic=False, name="mine.png")
    found = Checked(page([grown, calm], [given], "today"))
    for one in (grown, calm):
        assert judge(one.found).headline.replace("`", "") in found.text
    assert "In fp16 grown loses" in found.text
    assert "No picture was given." not in found.text
    assert found.text.count("grown, layers.0.residual_group.blocks.0: ") >= 4  # points say so


def test_json_says_the_same(grown: Subject, calm: Subject) -> None:
    sample_pictures = [draw_sample_picture(24)]
    text = json.dumps(as_json([grown, calm], sample_pictures, "today"), allow_nan=False)
    found = json.loads(text)
    shown = Checked(page([grown, calm], sample_pictures, "today")).text
    for one in found["checkpoints"]:
        assert one["verdict"]["headline"].replace("`", "") in shown
        run = one["runs"]["float16"]
        assert (f"{run['nonfinite']} of {run['values']}" in shown) == bool(run["nonfinite"])
        assert f"{one['runs']['bfloat16']['psnr']:.1f} dB" in shown
        worst = min(layer["w8a8"] for layer in one["layers"].values())
        assert f"{worst:.1f} dB" in shown
    assert found["comparison"][0] in shown
    assert found["pictures"][0]["synthetic"] and found["pictures"][0]["used_width"] == 24


def test_hostile_names_are_text(calm: Subject) -> None:
    named = replace(calm, name=HOSTILE, about={"task": HOSTILE, "licence": {HOSTILE: HOSTILE}})
    sample_picture = replace(draw_sample_picture(24), name=HOSTILE)
    text = page([named, replace(named, name="b" + HOSTILE)], [sample_picture], HOSTILE)
    assert "<script" not in text
    assert Checked(text).text.count("<script>alert(1)</script>") >= 6


@pytest.mark.parametrize("preset", SMALL)
@pytest.mark.parametrize("norm", ["rezero", "bn", "ln*"])
def test_every_kind_has_a_page(preset: str, norm: str) -> None:
    one = subject("x", small(preset, norm).eval(), preset.split("-")[0])
    Checked(page([one], [draw_sample_picture(24)], "today"))


def test_gray_and_broken_ones_too() -> None:
    gray = small("swinir-light-x2", in_chans=1, input_stats="none")
    Checked(page([subject("gray", gray, channels=1)], [draw_sample_picture(24)], "today"))
    broken = small(norm="ln")
    for parameter in broken.parameters():
        parameter.data.fill_(math.nan)
    one = subject("broken", broken)
    text = page([one, one], [draw_sample_picture(24)], "today")
    assert "Broken even in float32" in Checked(text).text
    json.dumps(as_json([one, one], [], "today"), allow_nan=False)


def test_sample_pictures() -> None:
    drawn = draw_sample_picture()
    assert drawn.pixels.shape == (128, 128, 3) and drawn.synthetic and not drawn.cropped
    assert np.array_equal(drawn.pixels, draw_sample_picture().pixels)
    assert drawn.pixels.min() >= 0 and drawn.pixels.max() <= 1
    gray = drawn.image(1)
    red, green, blue = torch.from_numpy(drawn.pixels).unbind(2)
    torch.testing.assert_close(gray[0, 0], 0.299 * red + 0.587 * green + 0.114 * blue)
    plain = SamplePicture("g", drawn.pixels[..., :1], 128, 128).image(3)
    assert torch.equal(plain[0, 0], plain[0, 2]) and plain.shape == (1, 3, 128, 128)
    rows = np.arange(10)[:, None, None].repeat(4, 1)
    assert middle(rows, 4)[:, 0, 0].tolist() == [3, 4, 5, 6]
    assert middle(rows, 0) is rows or middle(rows, 0).shape == rows.shape


def test_axes() -> None:
    assert linear([3.0, 41.0], low=0.0).ticks == (0, 20, 40, 60)
    assert linear([math.nan, None]).ticks[-1] == 1
    assert logarithmic([0.02, 3e6]).ticks[0] == pytest.approx(0.01)
    assert logarithmic([1.2, 1.9]).ticks == (1, 2)
    assert logarithmic([5.0]).high > 5
    axis = logarithmic([1.0, 1e4])
    assert axis.place(100.0) == pytest.approx(0.5)
    assert not axis.shows(0.0) and not axis.shows(math.nan) and not axis.shows(None)
    assert [written(v) for v in (0.01, 25, 1e5, 2e-7)] == ["0.01", "25", "10⁵", "2·10⁻⁷"]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here (Debian: apt-get install chromium)")
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_it(dark: bool, grown: Subject, calm: Subject, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(page([grown, calm], [draw_sample_picture(24)], "today"), "utf-8")
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER,
            "--headless=new",
            "--no-sandbox",  # which root may not have
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--window-size=1000,1400",
            f"--screenshot={tmp_path / 'page.png'}",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ":CONSOLE" not in done.stderr, done.stderr
    pixels = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"))
    assert pixels.shape == (1400, 1000, 3)
    paper = (0x14, 0x17, 0x1B) if dark else (0xFB, 0xFB, 0xFA)
    assert tuple(pixels[3, 3]) == paper
    assert 0.05 < (pixels != paper).any(2).mean() < 0.9
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 200


def test_the_documents_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    document = (Path(__file__).parents[3] / "docs" / "diagnose.md").read_text("utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", document, re.DOTALL | re.MULTILINE)
    exec(compile(example, "diagnose.md", "exec"), {})
    assert capsys.readouterr().out.startswith("Healthy: ")
