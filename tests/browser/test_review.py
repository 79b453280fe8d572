"""`closefit dataset review` in a real browser: two at once, with the keyboard alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from closefit.batch.folder import REVIEWS, BatchFolder
from closefit.datasets.reviews import Review, Reviews
from tests.batch_folder import FRAMES, make_batch, make_results

PROGRAM = (sys.executable, "-c", "from closefit.cli.main import main; main()")
CLIPS = [f"clip {number:02}" for number in range(16)]
SHOWN = "document.documentElement.dataset.clip"


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> BatchFolder:
    place = tmp_path_factory.mktemp("review")
    results = make_results(place / "results", place / "clip.mp4").root
    scored = {"frames": FRAMES, "score": 0.6, "reasons": ["a floor"], "good_frames": [5, 20]}
    words = {name: {"quality": scored} for name in CLIPS}
    return make_batch(place / "batch", results, CLIPS, words)


@pytest.fixture
def address(batch: BatchFolder) -> Iterator[str]:
    """The command in a process of its own, ended with Ctrl-C."""
    command = [*PROGRAM, "dataset", "review", str(batch.root), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("open http://127.0.0.1:"), line + process.stderr.read()
    yield line.split()[1]
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    process.stderr.close()
    assert (process.wait(20), rest) == (0, "the review has ended\n")


@pytest.fixture
def open_page(browser, address: str) -> Iterator[Callable]:
    contexts = []

    def open_as(reviewer: str):
        context = browser.new_context(viewport={"width": 1200, "height": 800})
        contexts.append(context)
        page = context.new_page()
        page.said = []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(address)
        page.keyboard.type(reviewer)
        page.keyboard.press("Enter")
        page.wait_for_function(f"() => {SHOWN}")
        page.evaluate("window.stays = true")
        return page

    yield open_as
    for context in contexts:
        context.close()


def press(page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def decide(page, key: str) -> None:
    """Press a key that ends with a clip, and wait for the next one."""
    before = page.evaluate(SHOWN)
    page.keyboard.press(key)
    page.wait_for_function(f"(before) => {SHOWN} !== before", arg=before)


def latest(batch: BatchFolder) -> dict[tuple[str, str], Review]:
    reviews = Reviews(batch.root / REVIEWS).latest()
    return {(review.reviewer, review.clip): review for review in reviews}


def test_two_reviewers_at_once_with_the_keyboard(open_page, batch: BatchFolder) -> None:
    pages = {"anna": open_page("anna"), "ben": open_page("ben")}
    done: dict[str, list[str]] = {"anna": [], "ben": []}
    for turn in range(len(CLIPS)):
        for reviewer, page in pages.items():
            done[reviewer].append(page.evaluate(SHOWN))
            decide(page, "a" if turn % 3 else "r")
    for reviewer, page in pages.items():
        assert page.inner_text("#name") == "All clips are reviewed."
        assert page.evaluate("window.stays"), "it was loaded again"
        assert page.said == []
        assert sorted(done[reviewer]) == CLIPS
    first_half = len(CLIPS) // 2
    assert not set(done["anna"][:first_half]) & set(done["ben"][:first_half])
    found = latest(batch)
    assert found.keys() == {(who, clip) for who in pages for clip in CLIPS}
    for (who, clip), review in found.items():
        assert review.verdict == ("accept" if done[who].index(clip) % 3 else "reject")


def test_trim_flag_note_report_and_back(open_page, batch: BatchFolder) -> None:
    page = open_page("carl")
    page.wait_for_function("() => document.querySelector('#film video').readyState > 1")
    page.wait_for_function("() => document.querySelector('#film video').currentTime > 0.2")
    press(page, " ")
    assert page.evaluate("document.querySelector('#film video').paused")
    clip = page.evaluate(SHOWN)

    def frame() -> int:
        page.wait_for_function("() => !document.querySelector('#film video').seeking")
        return int(page.evaluate("frame()"))

    page.evaluate("document.querySelector('#film video').currentTime = 0.02")
    press(page, "Shift+ArrowLeft", "ArrowRight", "ArrowRight", "ArrowRight")
    assert frame() == 3
    press(page, "[", "Shift+ArrowRight", "ArrowRight")
    assert frame() == 14
    press(page, "]", "i", "n")
    page.keyboard.type("a r [ ] i: only text here")
    press(page, "Enter")
    assert "keeps frames 3 to 14 · mixed up" in page.inner_text("#verdict")
    assert page.inner_text("#score") == "score 0.60 · good: frames 5 to 20"
    press(page, "g")
    assert "keeps frames 5 to 20" in page.inner_text("#verdict")
    press(page, "o")
    report = page.frame_locator("#report")
    report.locator("#play").wait_for()
    inside = page.frames[-1]
    inside.wait_for_function("() => document.documentElement.dataset.ready")
    assert inside.evaluate("location.origin !== 'null' && self.origin") in (False, "null")
    blocked = inside.evaluate("fetch('/api/next', {method: 'POST'}).then(() => 'sent', () => 'no')")
    assert blocked == "no"
    inside.wait_for_function("() => document.hasFocus()")  # the page gives it on load
    page.keyboard.press("End")  # its own keys work
    at_the_end = "(last) => document.documentElement.dataset.frame === last"
    inside.wait_for_function(at_the_end, arg=str(FRAMES - 1))
    press(page, "Escape")
    page.wait_for_function("() => document.getElementById('report').hidden")
    page.evaluate("window.focus()")
    decide(page, "a")
    found = latest(batch)["carl", clip]
    assert (found.first, found.last, found.identity) == (5, 20, True)
    assert found.note == "a r [ ] i: only text here"
    decide(page, "b")
    assert page.evaluate(SHOWN) == clip
    assert "your verdict: accept" in page.inner_text("#verdict")
    press(page, "c", "i")
    decide(page, "r")
    found = latest(batch)["carl", clip]
    assert (found.verdict, found.first, found.last, found.identity) == ("reject", None, None, False)


def test_a_decision_that_cannot_be_recorded_stays_on_the_screen(
    open_page, batch: BatchFolder
) -> None:
    page = open_page("dora")
    clip = page.evaluate(SHOWN)
    path = batch.root / REVIEWS
    kept = path.read_bytes() if path.exists() else None
    path.write_bytes(b"no database" * 100)
    page.keyboard.press("a")
    page.wait_for_selector("#problem:not([hidden])")
    assert "reviews.sqlite" in page.inner_text("#problem")
    assert page.evaluate(SHOWN) == clip
    os.unlink(path)
    if kept is not None:
        path.write_bytes(kept)
    decide(page, "a")
    assert page.is_hidden("#problem")
    assert latest(batch)["dora", clip].verdict == "accept"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, address: str, node_modules: Path, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(f"{address}?reviewer=eve")
    page.wait_for_function(f"() => {SHOWN}")
    page.evaluate((node_modules / "axe-core" / "axe.min.js").read_text())
    found = page.evaluate("axe.run()")["violations"]
    assert [entry["id"] for entry in found if entry["impact"] in ("serious", "critical")] == []
    context.close()
