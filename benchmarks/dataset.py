"""Memory of `closefit dataset export`, time of `closefit dataset review`: needs Chromium.

`python -m benchmarks.dataset --out DIR` makes a batch of small results (24 frames, 160 x 120), each
of a video of its own, and then

- exports a tenth of it and all of it in each layout: memory must not grow with the clips;
- reviews 200 clips in Chromium with the keyboard alone, without a reload: from each key to the next
  clip's first picture.
"""

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import PROGRAM, publish, run_closefit, table
from closefit.batch.folder import REVIEWS, BatchFolder
from closefit.datasets.ranking import result_of
from closefit.datasets.reviews import Review, Reviews
from tests.batch_folder import make_batch, make_results

LAYOUTS = ("npz", "wds", "prior")
REVIEWED = 200
FLAGS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
SHOWN = "document.documentElement.dataset.clip"
PLAYS = "() => document.querySelector('#film video:not([hidden])').readyState >= 2"


def main() -> None:
    """Measure both and publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=1000)
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    results = make_results(options.out / "results", options.out / "clip.mp4").root
    exports, review = [], {}
    for count in (options.clips // 10, options.clips):
        place = options.out / str(count)
        folder = make_batch(place / "batch", results, [f"clip_{n:05}" for n in range(count)])
        if count == options.clips:
            review = _reviewed(folder)
        _accept_all(folder)
        exports += [_exported(folder, layout, count) for layout in LAYOUTS]
    _publish(exports, review)


def _accept_all(folder: BatchFolder) -> None:
    reviews = Reviews(folder.root / REVIEWS)
    for name, record in folder.records()[0].items():
        reviews.add(
            Review(
                clip=name,
                result=result_of(record),
                reviewer="anna",
                verdict="accept",
                reviewed="2026-11-29",
            )
        )


def _exported(folder: BatchFolder, layout: str, clips: int) -> dict[str, Any]:
    out = folder.root.parent / layout
    cost = run_closefit(
        ["dataset", "export", str(folder.root), "--out", str(out), "--format", layout]
    )
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    shutil.rmtree(out)
    return {
        "layout": layout,
        "clips": clips,
        "seconds": cost.seconds,
        "peak_gb": cost.peak_memory_gb,
        "own_gb": cost.peak_own_gb,
        "mb_on_disk": size / 1e6,
    }


def _reviewed(folder: BatchFolder) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    command = [sys.executable, *PROGRAM, "dataset", "review", str(folder.root), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    address = server.stderr.readline().split()[1]
    taken = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        page = browser.new_page()
        page.goto(address)
        page.keyboard.type("anna")
        page.keyboard.press("Enter")
        page.wait_for_function(f"() => {SHOWN}")
        page.evaluate("window.stays = true")
        for number in range(REVIEWED):
            before, started = page.evaluate(SHOWN), time.perf_counter()
            page.keyboard.press("r" if number % 5 == 0 else "a")
            page.wait_for_function(f"(before) => {SHOWN} !== before", arg=before)
            page.wait_for_function(PLAYS)
            taken.append(time.perf_counter() - started)
        stayed = page.evaluate("window.stays")
        browser.close()
    server.send_signal(signal.SIGINT)
    server.communicate()
    recorded = len(Reviews(folder.root / REVIEWS).latest())
    return {
        "keys": REVIEWED,
        "recorded": recorded,
        "reloads": 0 if stayed else 1,
        "mean_s": statistics.mean(taken),
        "max_s": max(taken),
    }


def _publish(exports: list[dict[str, Any]], review: dict[str, Any]) -> None:
    rows = [
        [e["layout"], e["clips"], e["seconds"], e["own_gb"], e["peak_gb"], e["mb_on_disk"]]
        for e in exports
    ]
    header = ["export", "clips", "seconds", "own memory (GB)", "with mapped files (GB)", "MB"]
    review_rows = [
        ["verdicts by key", review["keys"]],
        ["of them in the database", review["recorded"]],
        ["reloads of the page", review["reloads"]],
        ["seconds from key to the next film, mean", review["mean_s"]],
        ["longest", review["max_s"]],
    ]
    content = json.loads(json.dumps({"exports": exports, "review": review}))
    publish("dataset", content, [table(header, rows), table(["review", ""], review_rows)])


if __name__ == "__main__":
    main()
