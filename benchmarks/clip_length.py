"""Does optimising one frame cost more in a long clip? `python benchmarks/clip_length.py`.

Makes a short and a long clip, runs `track` and `init`, then times `optimize` with the same number
of passes over the frames. The run fails when time per frame or memory grows by more than 20 %.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from measuring import publish, run_closefit, stage_seconds, table

from closefit.demo import make_clip

TOLERANCE = 0.20


def main() -> None:
    """Make the clips, time them from short to long, compare."""
    options = _options()
    rows = [_time(frames, options) for frames in sorted(options.frames)]
    first, last = rows[0], rows[-1]
    growth = {
        "seconds_per_frame": last["seconds_per_frame"] / first["seconds_per_frame"] - 1.0,
        "peak_memory_gb": last["peak_memory_gb"] / first["peak_memory_gb"] - 1.0,
    }
    header = list(first)
    percent = "; ".join(f"{name}: {100 * value:+.0f} %" for name, value in growth.items())
    publish(
        "clip_length",
        {
            "passes": options.passes,
            "warmup_passes": options.warmup_passes,
            "clips": rows,
            "growth": growth,
        },
        [table(header, [[row[name] for name in header] for row in rows]), f"Growth: {percent}"],
    )
    if max(growth.values()) > TOLERANCE:
        sys.exit(f"grew by more than {100 * TOLERANCE:.0f} %")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--passes", type=int, default=4, help="over the frames, jointly")
    parser.add_argument("--warmup-passes", type=int, default=2, help="appearance only")
    parser.add_argument("--out", type=Path, default=Path("results/bench-length"))
    return parser.parse_args()


def _time(frames: int, options: argparse.Namespace) -> dict[str, Any]:
    """Time `stage optimize` on a clip of this length, in a process of its own."""
    source, folder = options.out / f"clip-{frames}", options.out / f"run-{frames}"
    shutil.rmtree(folder, ignore_errors=True)
    clip = make_clip(source, frames=frames)
    settings = ["--preset", "draft", "--set", f"optimize.passes={options.passes}"]
    settings += ["--set", f"optimize.warmup_passes={options.warmup_passes}"]
    start = ["run", str(clip.video), "--out", str(folder), "--until", "init"]
    run_closefit([*start, "--observations", str(clip.observations), *settings])
    cost = run_closefit(["stage", "optimize", str(folder)])
    seconds = stage_seconds(folder)["optimize"]
    return {
        "frames": frames,
        "seconds": seconds,
        "seconds_per_frame": seconds / frames,
        "peak_memory_gb": cost.peak_memory_gb,
    }


if __name__ == "__main__":
    main()
