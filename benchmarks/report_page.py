"""How quick and how small the page of a result is: `python -m benchmarks.report_page`.

Runs the demo's clip at 10 seconds through all stages with settings that take minutes (or takes a
results folder: `python -m benchmarks.report_page DIR`), then measures

- `closefit report`: seconds of the whole command, and of its processors,
- the size of `report.html` and `preview.gif`,
- frames per second of scrubbing in Chromium with the software renderer: `show` is called for one
  frame after the other, and the next one waits until this one is drawn (a pixel is read back),
- `closefit view`: seconds from the start of the command to the address, and to the first bodies
  that a browser's client receives.

Writes `benchmarks/results/report_page.json` and `.md`.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measuring import publish, table
from closefit.demo import make_clip
from closefit.events import ignore
from closefit.pipeline import runner
from closefit.settings import build_config
from closefit.storage.workspace import Workspace

FRAMES, SIZE_WH = 300, (640, 480)
"""Ten seconds of the demo's clip."""

QUICK = ("device=cpu", "offline=true", "init.prior_steps=8", "init.prior_samples=1",
         "optimize.passes=2", "optimize.warmup_passes=1", "optimize.image_size_px=96",
         "optimize.check_depth_order=false")  # fmt: skip
PROGRAM = [sys.executable, "-c", "from closefit.cli.main import main; main()"]
CHROMIUM = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
SCRUBBED = 60
REPEATS = 3

SCRUB = """async (count) => {
  const gl = document.getElementById("canvas").getContext("webgl2"), pixel = new Uint8Array(4);
  const times = [];
  let before = performance.now();
  for (let i = 0; i < count; i++) {
    show((i * 7) % frames);
    await new Promise(requestAnimationFrame); // the page has asked for its own before
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel); // waits for the drawing
    const now = performance.now();
    times.push(now - before);
    before = now;
  }
  return times;
}"""


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="a finished results folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or demo_results(Path(temporary))
        found = {**report_figures(folder), **scrubbing(folder), **viewer_seconds(folder)}
    found["load of the machine"] = round(os.getloadavg()[0], 1)
    publish("report_page", found, [table(("figure", "value"), list(found.items()))])


def demo_results(root: Path) -> Path:
    """Run the demo's clip through all stages, quickly."""
    clip = make_clip(root / "clip", frames=FRAMES, size=SIZE_WH)
    config = build_config(assignments=(*QUICK, f"track.observations={clip.observations}"))
    runner.run(clip.video, root / "results", config, ignore)
    return root / "results"


def report_figures(folder: Path) -> dict[str, float | int]:
    """Time the command, and weigh what it writes."""
    workspace, walls, processors = Workspace(folder), [], []
    for _ in range(REPEATS):
        before, started = os.times(), time.monotonic()
        subprocess.run([*PROGRAM, "report", str(folder)], check=True, capture_output=True)
        walls.append(time.monotonic() - started)
        after = os.times()
        processors.append(
            after.children_user + after.children_system
            - before.children_user - before.children_system
        )  # fmt: skip
    with np.load(workspace.motion) as motion:
        seconds = len(motion["valid"]) / float(motion["fps"])
    return {
        "seconds of video": round(seconds, 2),
        "closefit report: seconds (fastest of 3)": round(min(walls), 2),
        "closefit report: processor seconds": round(min(processors), 2),
        "report.html: MB": round(workspace.report.stat().st_size / 1e6, 2),
        "preview.gif: MB": round(workspace.preview_gif.stat().st_size / 1e6, 2),
    }


def scrubbing(folder: Path) -> dict[str, float | str]:
    """Scrub through the page in Chromium."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(CHROMIUM))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        started = time.monotonic()
        page.set_default_timeout(180_000)
        page.goto(Workspace(folder).report.absolute().as_uri())
        page.wait_for_selector("html[data-ready=yes]")
        ready = time.monotonic() - started
        page.evaluate(SCRUB, 5)
        times = np.array(page.evaluate(SCRUB, SCRUBBED))
        size = page.evaluate("[canvas.width, canvas.height]")
        browser.close()
    return {
        "page: seconds until it can be used": round(ready, 2),
        "canvas": f"{size[0]} x {size[1]} px",
        "scrubbing: frames per second (median)": round(1000.0 / float(np.median(times)), 1),
        "scrubbing: frames per second (slowest tenth)": round(
            1000.0 / float(np.percentile(times, 90)), 1
        ),
    }


def viewer_seconds(folder: Path) -> dict[str, float]:
    """Start the viewer, and wait for its first bodies as a browser does."""
    import viser
    from websockets.sync.client import connect

    from tests.viewer.conftest import Page

    started = time.monotonic()
    command = [*PROGRAM, "view", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            found = (re.search(r"http://127\.0\.0\.1:(\d+)", text) for text in process.stderr)
            port = next(match[1] for match in found if match)
            address = time.monotonic() - started
            protocol = f"viser-v{viser.__version__}"
            with connect(
                f"ws://127.0.0.1:{port}", subprotocols=[protocol], max_size=None
            ) as socket:
                Page(socket).until(lambda p: sum(name.endswith("/body") for name in p.nodes) >= 2)
            first = time.monotonic() - started
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
    return {
        "viewer: seconds to the address": round(address, 2),
        "viewer: seconds to the first bodies": round(first, 2),
    }


if __name__ == "__main__":
    main()
