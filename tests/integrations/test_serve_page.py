"""The page of `iln serve` in a real browser, as people use it.

With ILN_SCREENSHOTS=docs/images in the environment, the pictures of docs/serve.md are made anew.
With axe-core in node_modules (npm install --no-save axe-core) the page is checked for people who
use a screen reader or the keyboard.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="Starlette is not installed")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright's Python package is not installed"
)
ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "deploy"))
from serve_helpers import pixels, save_network  # noqa: E402

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = os.environ.get("ILN_SCREENSHOTS")
pytestmark = [
    pytest.mark.skipif(
        BROWSER is None, reason="no Chromium here (Debian: apt-get install chromium)"
    ),
    pytest.mark.skipif(os.name != "posix", reason="needs SIGTERM"),
]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_network(tmp_path_factory.mktemp("networks") / "tiny.safetensors")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of our own, and its address."""
    server = subprocess.Popen(
        [sys.executable, "-m", "iln", "serve", "--no-open", "--max-upload", "20"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=20)
        server.stdout.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Visit:
    """A browser of its own, what it asked for, and what it complained of."""

    context: Any
    home: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def tab(self) -> Any:
        page = self.context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)
        page.goto(self.home)
        page.wait_for_selector("body[data-ready]")
        return page

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@contextlib.contextmanager
def visiting(chromium: Any, home: str, **options: Any) -> Iterator[Visit]:
    context = chromium.new_context(accept_downloads=True, **options)
    context.set_default_timeout(30_000)
    visit = Visit(context, home)
    try:
        yield visit
    finally:
        context.close()
    outside = [url for url in visit.requests if not url.startswith((home, "blob:", "data:"))]
    assert outside == []
    assert visit.complaints == []


@pytest.fixture
def visit(chromium: Any, home: str) -> Iterator[Visit]:
    with visiting(chromium, home, viewport={"width": 1400, "height": 900}) as found:
        yield found


def add(page: Any, *files: Path) -> None:
    """By the file chooser, until they are there."""
    there = page.locator("#list > li").count()
    page.set_input_files("#files", list(files))
    playwright.expect(page.locator("#list > li")).to_have_count(there + len(files))


def drop(page: Any, name: str, data: bytes) -> None:
    """As from another window."""
    transfer = page.evaluate_handle(
        """([name, data]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(data)], name, { type: "image/png" }));
          return transfer;
        }""",
        [name, list(data)],
    )
    page.dispatch_event("#drop", "dragover", {"dataTransfer": transfer})
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def use(page: Any, network: Path) -> None:
    """A file of weights instead of a shipped model."""
    if not page.locator("#advanced").get_attribute("open"):
        page.click("#advanced > summary")
    page.locator("#models select").last.select_option("file:")
    page.locator("#models input").last.fill(str(network))


def state(page: Any, what: str, number: int = 0) -> None:
    item = page.locator("#list > li").nth(number)
    playwright.expect(item).to_have_attribute("data-state", what, timeout=120_000)


def saved(page: Any, selector: str) -> tuple[str, bytes]:
    with page.expect_download() as waiting:
        page.click(selector)
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def by_command(folder: Path, file: Path, *words: object) -> bytes:
    target = folder / "by-command" / file.name
    command = [sys.executable, "-m", "iln", "restore", file, "-o", target, *words]
    subprocess.run(list(map(str, command)), env=ENVIRONMENT, check=True, capture_output=True)
    return target.read_bytes()


def picture(file: Path, height: int = 60, width: int = 90, dtype: Any = np.uint8) -> Path:
    from iln.images import Picture, write

    y, x = np.mgrid[:height, :width] / 20
    smooth = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], 2) * 0.3 + 0.5
    noise = pixels(height, width, dtype=dtype) / np.iinfo(dtype).max * 0.2
    array = ((smooth + noise).clip(0, 1) * np.iinfo(dtype).max).astype(dtype)
    write(Picture(array, dpi=(300.0, 300.0)), file)
    return file


def canvas(page: Any) -> Any:
    """What the canvas shows, as an array."""
    page.wait_for_timeout(300)
    return np.asarray(Image.open(io.BytesIO(page.locator("#canvas").screenshot())).convert("RGB"))


def accessible(page: Any) -> None:
    if not AXE.exists():
        return
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    bad = [
        f"{one['id']}: {[node['target'] for node in one['nodes']]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert bad == []


def test_drop_watch_slide_and_save_the_bytes_of_the_command(
    visit: Visit, network: Path, tmp_path: Path
) -> None:
    page = visit.tab()
    file = picture(tmp_path / "a cat.tif", 700, 1000, np.uint16)
    drop(page, file.name, file.read_bytes())
    state(page, "ready")
    use(page, network)
    page.click("#restore")
    page.wait_for_selector("li[data-state=running] progress")
    state(page, "done")
    before_after = canvas(page)
    page.locator("#split").fill("100")
    only_before = canvas(page)
    page.locator("#split").fill("0")
    only_after = canvas(page)
    assert np.abs(only_before.astype(int) - only_after).mean() > 1
    assert not np.array_equal(before_after, only_before)
    name, data = saved(page, "#save")
    assert name == "a cat_restored.tif"
    assert data == by_command(tmp_path, file, "--model", network)
    accessible(page)


def test_zoom_and_pan_by_mouse_and_keyboard(visit: Visit, network: Path, tmp_path: Path) -> None:
    page = visit.tab()
    add(page, picture(tmp_path / "large.png", 1500, 2200))
    playwright.expect(page.locator("#viewer")).to_be_visible()
    fitted = canvas(page)
    page.click("#full")
    playwright.expect(page.locator("#zoom")).to_have_text("100 %")
    full = canvas(page)
    assert not np.array_equal(fitted, full)
    page.focus("#canvas")
    page.keyboard.press("ArrowRight")
    moved = canvas(page)
    assert not np.array_equal(full, moved)
    box = page.locator("#canvas").bounding_box()
    middle = box["x"] + box["width"] / 3, box["y"] + box["height"] / 3
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1])
    page.mouse.up()
    page.keyboard.press("Tab")
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)
    page.mouse.move(*middle)
    page.mouse.wheel(0, -400)
    playwright.expect(page.locator("#zoom")).not_to_have_text("100 %")
    page.focus("#canvas")
    page.keyboard.press("0")
    page.keyboard.press("Tab")
    playwright.expect(page.locator("#zoom")).not_to_have_text("100 %")
    # At 100 % the screen shows the picture's own pixels.
    page.click("#full")
    tiles = [url for url in visit.requests if "/tiles/before/3/" in url]
    assert 0 < len(tiles) < 5 * 3


def test_a_folder_that_is_dropped(visit: Visit, tmp_path: Path) -> None:
    """A real one, with folders inside: pictures by their names, and no earlier results."""
    page, folder = visit.tab(), tmp_path / "album"
    (folder / "deeper").mkdir(parents=True)
    for number in range(105):  # a browser hands out a hundred entries at a time
        picture(folder / "deeper" / f"{number:03}.png", 8, 9)
    picture(folder / "top.png", 8, 9)
    picture(folder / "top_restored.png", 8, 9)
    (folder / "notes.txt").write_text("no picture")
    box = page.locator("#drop").bounding_box()
    point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    devtools = visit.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        files = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
        devtools.send("Input.dispatchDragEvent", {"type": kind, **point, "data": files})
    playwright.expect(page.locator("#list > li")).to_have_count(106)
    names = page.locator("#list > li").all_inner_texts()
    assert sum("top" in name for name in names) == 1
    assert not any("notes" in name for name in names)
    page.click("#clear")


def test_two_fingers_zoom_and_pan(chromium: Any, home: str, network: Path, tmp_path: Path) -> None:
    options = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with visiting(chromium, home, **options) as visit:
        page = visit.tab()
        add(page, picture(tmp_path / "fingers.png", 300, 300))
        state(page, "ready")
        use(page, network)
        page.click("#restore")
        state(page, "done")
        page.locator("#canvas").scroll_into_view_if_needed()
        before, box = canvas(page), page.locator("#canvas").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        devtools = visit.context.new_cdp_session(page)

        def touch(kind: str, *places: tuple[float, float]) -> None:
            points = [{"x": x + dx, "y": y + dy, "id": i} for i, (dx, dy) in enumerate(places)]
            devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        wide = [((-20.0 - step, 0.0), (20.0 + step, 0.0)) for step in range(0, 81, 20)]
        touch("touchStart", *wide[0])
        for places in wide[1:]:
            touch("touchMove", *places)
        touch("touchEnd")
        zoomed = page.locator("#zoom").inner_text()
        assert not np.array_equal(canvas(page), before)
        touch("touchStart", *wide[-1])
        for places in reversed(wide[:-1]):
            touch("touchMove", *places)
        touch("touchEnd")
        assert page.locator("#zoom").inner_text() != zoomed
        assert np.abs(canvas(page).astype(int) - before).mean() < 3  # where it was


def test_many_of_them_all_at_once_in_one_file(visit: Visit, network: Path, tmp_path: Path) -> None:
    page = visit.tab()
    files = [picture(tmp_path / f"{number}.png", 40 + number) for number in range(3)]
    add(page, *files)
    use(page, network)
    page.click("#restore-all")
    for number in range(3):
        state(page, "done", number)
    name, data = saved(page, "#save-all")
    assert name == "restored.zip"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for file in files:
            expected = by_command(tmp_path, file, "--model", network)
            assert archive.read(f"{file.stem}_restored.png") == expected
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("#clear")
    playwright.expect(page.locator("#queue")).to_be_hidden()


def test_a_broken_file_in_the_words_of_the_command(visit: Visit, tmp_path: Path) -> None:
    page = visit.tab()
    broken = tmp_path / "broken.png"
    broken.write_bytes(picture(tmp_path / "whole.png").read_bytes()[:3000])
    add(page, broken)
    state(page, "failed")
    words = page.locator("#list > li .problem")
    playwright.expect(words).to_contain_text("broken.png: is damaged or cut off")
    accessible(page)
    if SHOTS:
        shot(page, "broken")


def test_paste_and_drag_the_line(visit: Visit, network: Path, tmp_path: Path) -> None:
    page = visit.tab()
    data = picture(tmp_path / "a.png").read_bytes()
    page.evaluate(
        """(data) => {
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([new Uint8Array(data)], "image.png"));
          document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        }""",
        list(data),
    )
    state(page, "ready")
    use(page, network)
    page.click("#restore")
    state(page, "done")
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 3
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] / 4, y, steps=3)
    page.mouse.up()
    playwright.expect(page.locator("#split")).to_have_value("75")


def test_too_large_a_file_is_not_sent(visit: Visit, tmp_path: Path) -> None:
    page = visit.tab()
    large = tmp_path / "large.bmp"
    large.write_bytes(bytes(21_000_000))
    page.set_input_files("#files", [large])
    playwright.expect(page.locator("#alert")).to_contain_text("more than 20 MB")


def test_many_refused_files_are_told_in_a_few_lines(
    chromium: Any, home: str, network: Path, tmp_path: Path
) -> None:
    large = [tmp_path / f"large-{number}.bmp" for number in range(9)]
    for file in large:
        with file.open("wb") as hollow:
            hollow.truncate(21_000_000)
    small = {"width": 360, "height": 640}
    with visiting(chromium, home, viewport=small, has_touch=True, is_mobile=True) as visit:
        page = visit.tab()
        add(page, picture(tmp_path / "a.png"))
        page.set_input_files("#files", large)
        lines = page.locator("#alert li")
        playwright.expect(lines).to_have_count(6)
        playwright.expect(lines.last).to_have_text("and 4 more")
        use(page, network)
        page.click("#restore")  # which it does not cover
        state(page, "done")
        page.set_input_files("#files", large[:1])
        playwright.expect(lines).to_have_count(1)
        page.click("#alert-close")
        playwright.expect(page.locator("#alert")).to_be_hidden()


def test_long_names_and_a_window_of_middle_width(chromium: Any, home: str, tmp_path: Path) -> None:
    files = [picture(tmp_path / f"{'x' * 85}{number}.png") for number in range(3)]
    for width, height in ((320, 640), (800, 600), (1024, 768), (1100, 700)):
        with visiting(chromium, home, viewport={"width": width, "height": height}) as visit:
            page = visit.tab()
            add(page, *files)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.locator("#list li").nth(1).get_by_text("Remove").click()  # nothing lies over it
            playwright.expect(page.locator("#list > li")).to_have_count(2)
            page.click("#clear")
            playwright.expect(page.locator("#queue")).to_be_hidden()


@pytest.mark.parametrize("how", ["one", "all", "another tab"])
def test_what_is_removed_is_not_asked_for_any_more(visit: Visit, tmp_path: Path, how: str) -> None:
    page = visit.tab()
    held: list[Any] = []
    page.route("**/tiles/**", lambda route: held.append(route))
    add(page, picture(tmp_path / "a.png"), picture(tmp_path / "b.png"))
    for _ in range(100):
        if len(held) >= 2:  # a thumbnail, and the picture that is shown
            break
        page.wait_for_timeout(100)
    assert len(held) >= 2
    gone = {"one": 1, "all": 2, "another tab": 2}[how]
    if how == "one":
        page.locator("#list li").nth(0).get_by_text("Remove").click()
    elif how == "all":
        page.click("#clear")
    else:
        visit.tab().click("#clear")
    playwright.expect(page.locator("#list > li")).to_have_count(2 - gone)
    for _ in range(100):
        if len(page.request.get(f"{visit.home}jobs").json()) == 2 - gone:
            break
        page.wait_for_timeout(50)
    for request in held:
        request.continue_()
    page.wait_for_timeout(500)  # a 404 would be a complaint


def test_a_picture_that_cannot_be_removed_comes_back(visit: Visit, tmp_path: Path) -> None:
    page = visit.tab()
    add(page, picture(tmp_path / "a.png"), picture(tmp_path / "b.png"))
    held: list[Any] = []
    page.route("**/jobs/*", lambda route: held.append(route))
    page.locator("#list li").nth(1).get_by_text("Remove").click()
    playwright.expect(page.locator("#list > li")).to_have_count(1)
    playwright.expect(page.locator("#viewer-title")).to_have_text("a.png")
    held[0].abort()
    playwright.expect(page.locator("#list > li")).to_have_count(2)
    playwright.expect(page.locator("#alert")).to_contain_text("the server does not answer")
    assert visit.complaints.pop() == "Failed to load resource: net::ERR_FAILED"


def test_cleared_while_pictures_come(visit: Visit, tmp_path: Path) -> None:
    page = visit.tab()
    page.set_input_files("#files", [picture(tmp_path / f"{number}.png") for number in range(40)])
    page.wait_for_selector("#list > li")
    page.click("#clear")
    page.wait_for_timeout(1500)
    playwright.expect(page.locator("#list > li")).to_have_count(0)
    playwright.expect(page.locator("#queue")).to_be_hidden()


def test_more_tabs_than_a_browser_has_connections(visit: Visit, tmp_path: Path) -> None:
    hide = """Object.defineProperty(document, "hidden", {value: HIDDEN, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"))"""
    tabs = []
    for _ in range(7):
        tabs.append(visit.tab())
        tabs[-1].evaluate(hide.replace("HIDDEN", "true"))
    page = visit.tab()
    add(page, picture(tmp_path / "a.png"))
    playwright.expect(tabs[0].locator("#list > li")).to_have_count(1, timeout=10_000)
    tabs[1].evaluate(hide.replace("HIDDEN", "false"))
    playwright.expect(tabs[1].locator("#list > li")).to_have_count(1)


def test_two_tabs_show_the_same_and_a_reload_loses_nothing(
    visit: Visit, network: Path, tmp_path: Path
) -> None:
    one = visit.tab()
    add(one, picture(tmp_path / "a.png", 500, 800), picture(tmp_path / "b.png"))
    two = visit.tab()
    playwright.expect(two.locator("#list > li")).to_have_count(2)
    use(one, network)
    one.click("#restore-all")
    two.wait_for_selector("li[data-state=running], li[data-state=done]")
    one.reload()
    one.wait_for_selector("body[data-ready]")
    for page in (one, two):
        state(page, "done", 0)
        state(page, "done", 1)
    playwright.expect(one.locator("#models input")).to_have_value(str(network))


def test_cancel_and_start_again(visit: Visit, network: Path, tmp_path: Path) -> None:
    page = visit.tab()
    add(page, picture(tmp_path / "large.png", 1500, 2000), picture(tmp_path / "b.png"))
    use(page, network)
    page.click("#restore-all")
    page.wait_for_selector("li[data-state=running]")
    page.click("#cancel-all")
    state(page, "cancelled", 0)
    state(page, "cancelled", 1)
    page.locator("#list > li .open").nth(1).click()
    page.click("#restore")
    state(page, "done", 1)


def test_marks_are_erased_and_painted(visit: Visit, network: Path, tmp_path: Path) -> None:
    page = visit.tab()
    file = picture(tmp_path / "print.png", 60, 90)
    add(page, file)
    use(page, network)
    page.click("#restore")
    state(page, "done")
    whole = Image.open(io.BytesIO(saved(page, "#save")[1]))
    before, after = np.asarray(Image.open(file)), np.asarray(whole)
    assert (before != after).any(2).mean() > 0.9
    page.click("#marks-open")
    page.check("[name=brush][value=erase]")
    page.locator("#brush-size").fill("100")
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 2
    for _ in range(2):
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 20, y + 30, steps=4)
        page.mouse.up()
    page.click("#marks-undo")
    page.focus("#canvas")
    page.keyboard.press(" ")
    accessible(page)
    page.click("#marks-apply")
    playwright.expect(page.locator("#facts")).to_contain_text("within your marks")
    limited = np.asarray(Image.open(io.BytesIO(saved(page, "#save")[1])))
    kept = (limited == before).all(2)
    assert 0.01 < kept.mean() < 0.5
    assert (limited == after).all(2).mean() > 0.4
    assert kept[30, 45]  # by the keyboard, in the middle
    page.click("#marks-open")
    page.click("#marks-reset")
    playwright.expect(page.locator("#facts")).not_to_contain_text("within your marks")
    again = saved(page, "#save")[1]
    assert again == by_command(tmp_path, file, "--model", network)


def test_marks_of_one_step_of_several(visit: Visit, tmp_path: Path) -> None:
    """As of `old-print`: what comes after the marks is done again."""
    network = save_network(tmp_path / "marks.safetensors", task="scratches: takes marks away")
    page = visit.tab()
    file = picture(tmp_path / "print.png", 60, 90)
    add(page, file)
    use(page, network)
    page.check("[name=unfade]")
    page.click("#restore")
    state(page, "done")
    page.click("#marks-open")
    page.check("[name=brush][value=erase]")
    page.focus("#canvas")
    page.keyboard.press(" ")
    page.click("#marks-apply")
    playwright.expect(page.locator("#facts")).to_contain_text("within your marks")
    playwright.expect(page.locator("#marks")).to_be_hidden()
    state(page, "done")
    where = page.locator("#save").evaluate("link => link.href").replace("/result", "/mask")
    (tmp_path / "mask.png").write_bytes(page.context.request.get(where).body())
    words = ["--model", network, "--unfade", "--mask", tmp_path / "mask.png"]
    assert saved(page, "#save")[1] == by_command(tmp_path, file, *words)
    page.click("#marks-open")
    page.click("#marks-reset")
    playwright.expect(page.locator("#facts")).not_to_contain_text("within your marks")
    state(page, "done")


def test_everything_by_the_keyboard(visit: Visit, network: Path, tmp_path: Path) -> None:
    page = visit.tab()
    accessible(page)
    add(page, picture(tmp_path / "a.png"))
    use(page, network)
    playwright.expect(page.locator("#viewer")).to_be_visible()
    page.focus("#list .open")
    seen: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.name || ''"))
        if seen[-1] == "restore":
            break
    assert {"canvas", "zoom-in", "fit", "choice", "restore"} <= set(seen)
    page.keyboard.press("Enter")
    state(page, "done")
    page.focus("#split")
    page.keyboard.press("Home")
    playwright.expect(page.locator("#split")).to_have_value("0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(chromium: Any, home: str, network: Path, tmp_path: Path, scheme: str) -> None:
    phone = {
        "viewport": {"width": 390, "height": 844},
        "color_scheme": scheme,
        "has_touch": True,
        "is_mobile": True,
        "device_scale_factor": 2,
    }
    with visiting(chromium, home, **phone) as visit:
        page = visit.tab()
        add(page, picture(tmp_path / "a.png"))
        use(page, network)
        page.click("#restore")
        state(page, "done")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390
        accessible(page)


# What docs/serve.md shows: the shipped models at work on the demo's print.


def shot(page: Any, name: str) -> None:
    assert SHOTS is not None
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(400)
    page.screenshot(path=ROOT / SHOTS / f"serve-{name}.jpg", type="jpeg", quality=82)


@pytest.mark.skipif(not SHOTS, reason="pictures for the documents, made with ILN_SCREENSHOTS")
@pytest.mark.timeout(900)
def test_pictures_for_the_documents(chromium: Any, home: str) -> None:
    demo = ROOT / "demo"
    size = {"width": 1280, "height": 800}
    with visiting(chromium, home, viewport=size, color_scheme="light") as visit:
        page = visit.tab()
        shot(page, "empty")
        add(page, demo / "old-print.png", demo / "budgie-small.png")
        page.locator("#list .open").first.click()
        shot(page, "chosen")
        page.check("[name=choice][value=old-print]")
        page.click("#restore-all")
        while page.evaluate("document.querySelector('#list progress').value") < 0.3:
            page.wait_for_timeout(100)
        shot(page, "running")
        state(page, "done", 0)
        state(page, "done", 1)
        shot(page, "done")
        page.check("[name=choice][value=scratches]")
        page.click("#restore")
        state(page, "done", 0)
        page.wait_for_timeout(1000)
        page.click("#marks-open")
        shot(page, "marks")
        page.emulate_media(color_scheme="dark")
        page.click("#marks-open")
        shot(page, "dark")
        page.set_viewport_size({"width": 390, "height": 844})
        shot(page, "phone")
