"""Pages of `iln export --to web` in a real browser, against `iln restore`.

With ILN_SCREENSHOTS=docs/images in the environment, the picture of docs/web.md is made anew. With
axe-core in node_modules (npm install --no-save axe-core) the page is checked for people who use a
screen reader or the keyboard.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import iln
from iln.deploy.export import export
from iln.deploy.export.web import runtime
from iln.errors import InputError

playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright's Python package is not installed"
)
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "deploy"))
from serve_helpers import pixels, save_network  # noqa: E402

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = os.environ.get("ILN_SCREENSHOTS")
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here (Debian: apt-get install chromium)"
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """onnxruntime-web, fetched once."""
    try:
        files = runtime.runtime_files(None)
    except InputError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("onnxruntime-web")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | str]:
    """What is restored with, by name."""
    folder = tmp_path_factory.mktemp("networks")
    small = {"norm": "i-ln", "embed_dim": 12, "depths": (2,), "num_heads": (2,), "window": 4}
    direct = {"squeeze_factor": 4, "upsampler": "pixelshuffledirect"}
    made = {
        "gray": iln.build("swinir-light-x2", in_chans=1, **{**small, "norm": "ln"}),
        "hat": iln.build("hat-x2", **small, **direct),
    }
    for name, network in made.items():
        iln.save(network, folder / f"{name}.safetensors")
    return {
        "tiny": save_network(folder / "tiny.safetensors"),
        **{name: folder / f"{name}.safetensors" for name in made},
        "photo": "photo",
    }


class Folders:
    """A page of each network, made when it is asked for."""

    def __init__(self, root: Path, engine: Path, networks: dict[str, Path | str]) -> None:
        self.root, self.engine, self.networks = root, engine, networks

    def __getitem__(self, name: str) -> Path:
        folder = self.root / name
        if not folder.exists():
            precision = "fp32" if name in ("gray", "hat") else "fp16"
            network = self.networks[name]
            export(network, folder, to="web", runtime=self.engine, precision=precision)
        return folder


@pytest.fixture(scope="module")
def folders(
    engine: Path, networks: dict[str, Path | str], tmp_path_factory: pytest.TempPathFactory
) -> Folders:
    return Folders(tmp_path_factory.mktemp("pages"), engine, networks)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def served(folder: Path, *command: object) -> Iterator[str]:
    """The folder's address, by its own server unless told otherwise."""
    words = command or (folder / "serve.py", 0)
    server = subprocess.Popen(
        [sys.executable, "-u", *map(str, words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    try:
        found = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
        assert found is not None
        yield found[0]
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@contextlib.contextmanager
def visiting(
    chromium: Any, folder: Path, query: str = "?engine=wasm", home: str = "", **options: Any
) -> Iterator[Any]:
    """A tab with the page, ready; whatever it asked for came from the folder."""
    requests: list[str] = []
    complaints: list[str] = []
    with contextlib.ExitStack() as stack:
        home = home or stack.enter_context(served(folder))
        context = chromium.new_context(accept_downloads=True, **options)
        stack.callback(context.close)
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(f"{home}/{query}")
        page.wait_for_selector("body[data-ready=yes]")
        yield page
    assert [url for url in requests if not url.startswith((home, "blob:"))] == []
    assert complaints == []


def restored(page: Any, *files: Any) -> tuple[str, Image.Image]:
    """By the file chooser: the name of the result, and it."""
    page.set_input_files("#files", list(files))
    page.wait_for_selector("#viewer[data-state=done]")
    with page.expect_download() as waiting:
        page.click("#save")
    data = Path(waiting.value.path()).read_bytes()
    return waiting.value.suggested_filename, Image.open(io.BytesIO(data))


def accessible(page: Any) -> None:
    if AXE.exists():
        page.evaluate(AXE.read_text("utf-8"))
        bad = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        assert [one["id"] for one in bad if one["impact"] in ("serious", "critical")] == []


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth, with noise."""
    y, x = np.mgrid[:height, :width] / 20
    smooth = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], 2) * 0.3 + 0.5
    noise = pixels(height, width, seed) / 255 * 0.2
    return np.asarray((smooth + noise).clip(0, 1) * 255, np.uint8)


def saved(array: NDArray[np.uint8], file: Path, **options: Any) -> Path:
    Image.fromarray(array).save(file, **options)
    return file


def decibels(one: Any, other: Any) -> float:
    error = np.square(np.asarray(one, np.float64) - np.asarray(other, np.float64)).mean()
    return float(-10 * np.log10(error + 1e-20))


PRECISIONS = """async () => (await (await fetch("model/model.json")).json()).precisions"""
FLOATS = """
async ([precision, width, height, data]) => {
  const { start } = await import("./page/engine.js");
  const { toMap } = await import("./page/pixels.js");
  const model = await (await fetch("model/model.json")).json();
  const wanted = { engine: "wasm", precision };
  window.engines ??= {};
  const { program } = (window.engines[precision] ??= await start(model, wanted, () => {}));
  const channels = model.channels === 1 ? [0] : [0, 1, 2];
  const map = await program.run(toMap({ data, width, height }, model, channels));
  return { ...map, data: [...map.data] };
}
"""
"""What the page's own modules give before it is rounded to 8 bits."""


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("tiny", ((1, 1), (7, 8), (300, 310))),
        ("gray", ((7, 8), (50, 61))),
        ("hat", ((7, 8), (300, 310))),
        ("photo", ((66, 83),)),
    ],
)
def test_the_same_numbers_as_by_command(
    name: str,
    sizes: tuple[tuple[int, int], ...],
    folders: Folders,
    networks: dict[str, Path | str],
    chromium: Any,
) -> None:
    restorer = iln.Restorer(networks[name])
    with visiting(chromium, folders[name]) as page:
        for precision, least in (("fp32", 90), ("fp16", 60)):
            if precision not in page.evaluate(PRECISIONS):
                continue
            for height, width in sizes:
                colours = picture(height, width)
                if name == "gray":
                    colours = colours[..., :1].repeat(3, 2)
                rgba = np.dstack([colours, np.full((height, width), 255, np.uint8)])
                found = page.evaluate(FLOATS, [precision, width, height, rgba.flatten().tolist()])
                shape = found["height"], found["width"], found["channels"]
                map_ = np.asarray(found["data"]).reshape(shape)
                given = colours[..., :1] if name == "gray" else colours
                expected = restorer(given.astype(np.float32) / 255)
                expected = expected.reshape(*expected.shape[:2], -1)
                size = expected.shape[:2]
                assert decibels(map_[: size[0], : size[1]].clip(0, 1), expected) >= least


def test_drop_and_save_what_the_command_writes(
    folders: Folders, networks: dict[str, Path | str], chromium: Any, tmp_path: Path
) -> None:
    file = saved(picture(300, 310), tmp_path / "a cat.png")
    with visiting(chromium, folders["tiny"], viewport={"width": 1200, "height": 800}) as page:
        page.context.set_offline(True)  # whatever it needs is there
        transfer = page.evaluate_handle(
            """(data) => {
              const transfer = new DataTransfer();
              const bytes = new Uint8Array(data);
              transfer.items.add(new File([bytes], "a cat.png", { type: "image/png" }));
              return transfer;
            }""",
            list(file.read_bytes()),
        )
        page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
        page.wait_for_selector("#viewer[data-state=done]")
        name, found = restored(page, file)
        expect = playwright.expect
        expect(page.locator("#facts")).to_contain_text("310 × 300 → 310 × 300")
        expect(page.locator("#model")).to_have_text("tiny.safetensors")
        expect(page.locator("#licence")).to_contain_text("not told by its file")
        middle = page.locator("#canvas").screenshot()
        page.locator("#split").fill("0")
        page.wait_for_timeout(200)
        assert page.locator("#canvas").screenshot() != middle
        accessible(page)
    assert name == "a cat_restored.png"
    expected = iln.restore(picture(300, 310), networks["tiny"])
    difference = np.abs(np.asarray(found).astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001  # a number that lies between two


def test_orientation_gray_and_transparency(
    folders: Folders, networks: dict[str, Path | str], chromium: Any, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    turned = saved(picture(40, 60), tmp_path / "turned.png", exif=exif)
    gray = saved(picture(40, 60)[..., 0], tmp_path / "gray.png")
    alpha = np.full((40, 60), 255, np.uint8)
    alpha[:, 20:] = 3  # where a canvas would leave next to nothing of the colours
    alpha[:, 40:] = 0
    clear = saved(np.dstack([picture(40, 60), alpha]), tmp_path / "clear.png")
    with visiting(chromium, folders["tiny"]) as page:
        for file, mode in ((turned, "RGB"), (gray, "L"), (clear, "RGBA")):
            target = tmp_path / f"by-command-{file.name}"
            command = [sys.executable, "-m", "iln", "restore", file, "-o", target, "--model"]
            words = [*command, networks["tiny"], "--engine", "torch"]
            subprocess.run(list(map(str, words)), check=True, capture_output=True)
            _, found = restored(page, file)
            expected = Image.open(target)
            assert found.mode == mode
            assert found.size == expected.size
            difference = np.abs(np.asarray(found).astype(int) - np.asarray(expected.convert(mode)))
            assert difference.max() <= 1, file.name


def test_refusals_in_words(folders: Folders, chromium: Any, tmp_path: Path) -> None:
    large = saved(np.zeros((1449, 1449), np.uint8), tmp_path / "large.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    words = {
        large: "large.png: The picture has 1449 × 1449 pixels",
        broken: "broken.png: This browser cannot read this file as a picture",
    }
    with visiting(chromium, folders["tiny"]) as page:
        for file, said in words.items():
            page.set_input_files("#files", [file])
            playwright.expect(page.locator("#alert")).to_contain_text(said)
            assert not page.locator("#viewer").is_visible()
        # And goes on with the next one.
        restored(page, saved(picture(8, 9), tmp_path / "good.png"))
        assert page.locator("#alert").inner_text() == ""


def test_a_page_that_is_not_whole(folders: Folders, chromium: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folders["gray"], broken)
    (broken / "model" / "fp32" / "1.onnx").unlink()
    with served(broken) as home:
        page = chromium.new_page()
        page.goto(f"{home}/?engine=wasm")
        page.wait_for_selector("body[data-ready=no]")
        playwright.expect(page.locator("#alert")).to_contain_text("1.onnx cannot be loaded (404)")
        page.close()


def test_cancel_and_another_one(folders: Folders, chromium: Any, tmp_path: Path) -> None:
    with visiting(chromium, folders["photo"]) as page:
        page.set_input_files("#files", [saved(picture(900, 900), tmp_path / "large.png")])
        page.wait_for_selector("#working progress[value]")
        page.click("#cancel")
        page.wait_for_selector("#viewer[data-state=cancelled]")
        _, found = restored(page, saved(picture(16, 20), tmp_path / "small.png"))
        assert found.size == (20, 16)


def test_on_a_phone_and_without_the_headers(
    folders: Folders, chromium: Any, tmp_path: Path
) -> None:
    file = saved(picture(30, 40), tmp_path / "a.png")
    phone = {"viewport": {"width": 360, "height": 700}, "has_touch": True, "color_scheme": "dark"}
    plain = ("-m", "http.server", "--bind", "127.0.0.1", "0")
    with (
        served(folders["gray"], *plain) as home,
        visiting(chromium, folders["gray"], home=home, **phone) as page,
    ):
        playwright.expect(page.locator("#engine")).to_contain_text("one thread")
        _, found = restored(page, file)
        assert found.size == (80, 60)
        assert found.mode == "RGB"  # each colour by itself
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        accessible(page)
    with visiting(chromium, folders["gray"]) as page:
        threads = "one thread" if os.cpu_count() == 1 else "threads"
        playwright.expect(page.locator("#engine")).to_contain_text(threads)


@pytest.mark.skipif(not SHOTS, reason="pictures for the documents, made with ILN_SCREENSHOTS")
def test_screenshot(folders: Folders, chromium: Any, tmp_path: Path) -> None:
    demo = ROOT / "demo" / "old-print.png"
    window = {"width": 1100, "height": 720}
    with visiting(chromium, folders["photo"], viewport=window) as page:
        restored(page, demo)
        page.wait_for_timeout(500)
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shot.save(Path(str(SHOTS)) / "web.webp", quality=80)
