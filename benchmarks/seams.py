"""Does a long clip show where its windows met? `python benchmarks/seams.py`.

Makes a long clip, runs it as far as `optimize`, and compares the joint jerk of the result across
the borders between windows (of the last passes, which nothing smooths any more) with the jerk
everywhere else, and with the same frames of `init`, which has no windows.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from measuring import publish, run_closefit, table

from closefit.config import Config
from closefit.demo import make_clip
from closefit.optimize.schedule import MARGIN, plan_minibatches
from closefit.pipeline.recorded import config_of
from closefit.records import Motion, OptimizedMotion
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace

LAST_PASSES = 2
ALLOWED = 1.2
"""Jerk at borders over jerk elsewhere, relative to the same ratio of `init`."""


def main() -> None:
    """Run, measure, publish."""
    options = _options()
    workspace = Workspace(options.out / f"run-{options.frames}")
    clip = make_clip(options.out / f"clip-{options.frames}", frames=options.frames)
    run_closefit(
        ["run", str(clip.video), "--out", str(workspace.root), "--until", "optimize",
         "--observations", str(clip.observations), "--preset", "draft",
         "--set", f"optimize.passes={options.passes}", "--set", "optimize.warmup_passes=1"]
    )  # fmt: skip
    start = artifacts.read(workspace.artifact("init"), Motion)
    found = artifacts.read(workspace.artifact("optimize"), OptimizedMotion)
    borders = _borders(config_of(workspace.root), len(found.joints))
    rows = [_row("init", start, borders), _row("optimize", found, borders)]
    relative = rows[1]["ratio"] / rows[0]["ratio"]
    header = list(rows[0])
    publish(
        "seams",
        {"frames": options.frames, "passes": options.passes, "borders": borders, "rows": rows,
         "relative": relative},
        [table(header, [[row[name] for name in header] for row in rows]),
         f"Ratio after optimize over ratio after init: {relative:.2f}"],
    )  # fmt: skip
    if relative > ALLOWED:
        sys.exit(f"the jerk at borders is {relative:.2f} times what it was")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("results/bench-seams"))
    return parser.parse_args()


def _borders(config: Config, frames: int) -> list[int]:
    """First frames of the windows of the last passes."""
    # How people overlap decides which frames the warm-up renders, not where windows start.
    plan = plan_minibatches(
        np.zeros(frames),
        warmup_passes=config.optimize.warmup_passes,
        passes=config.optimize.passes,
        window=config.optimize.window_frames,
        per_step=config.optimize.frames_per_step,
        seed=config.seed,
    )
    remaining, last = LAST_PASSES * frames, []
    for minibatch in reversed(plan):
        last.append(minibatch.start + MARGIN)
        remaining -= len(minibatch.rendered)
        if remaining <= 0:
            break
    return sorted(set(last) - {MARGIN})


def _jerk(joints: Float[np.ndarray, "frame person joint 3"]) -> Float[np.ndarray, " frame"]:
    """Mean length of the third difference between frames i - 2 and i + 1, mm per frame cubed."""
    jerk: Float[np.ndarray, " frame"] = 1e3 * np.linalg.norm(
        np.diff(joints, n=3, axis=0), axis=-1
    ).mean((1, 2))
    return np.concatenate([[np.nan, np.nan], jerk, [np.nan]])


def _row(name: str, motion: Motion, borders: list[int]) -> dict[str, Any]:
    """Jerk of the differences that reach over a border, and of all others."""
    jerk = _jerk(motion.joints)
    near = np.zeros(len(jerk), bool)
    for border in borders:  # frames i - 2 .. i + 1 hold both border - 1 and border
        near[border - 1 : border + 2] = True
    near[np.isnan(jerk)] = False
    across, elsewhere = jerk[near], jerk[~near & ~np.isnan(jerk)]
    return {
        "stage": name,
        "across borders (mm/frame^3)": float(across.mean()),
        "elsewhere (mm/frame^3)": float(elsewhere.mean()),
        "ratio": float(across.mean() / elsewhere.mean()),
        "borders": len(borders),
    }


if __name__ == "__main__":
    main()
