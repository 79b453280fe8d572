"""How fast the choreography makes motion, and how good the motion is.

    python benchmarks/choreography.py --count 128

Prints a table by kind and writes `benchmarks/results/choreography.md`. The speed is per processor
second, so that other work on the machine does not change it: two cores make twice as much. A-PD is
the exact measure (`geometry.penetration`) on every 15th frame; contact gaps are the distances of
the two skin vertices of each contact in the frames that require it.
"""

import argparse
import resource
import time
from pathlib import Path

import torch
from measuring import RESULTS

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.body.skeleton import JOINT_INDEX
from closefit.geometry.penetration import average_penetration_depth_mm
from closefit.learning.choreography import KINDS
from closefit.learning.choreography.generator import Solved, solve
from closefit.learning.choreography.scripts import FPS, Scripts, sample_scripts

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
FRAMES, BATCH, EVERY = 150, 64, 15
HANDS = [JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]]
COLUMNS = (
    "A-PD mean, mm", "A-PD worst frame, mm", "contact gap mean, cm", "gap median, cm",
    "gaps under 2 cm", "frames in contact", "hands fastest, m/s", "acceleration mean, m/s2",
    "feet slide 99 %, m/s", "over joint limits mean, deg", "lowest skin, cm",
)  # fmt: skip


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=128, help="motions of 5 s (default: 128)")
    parser.add_argument("--seed", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    body = Body.load(WEIGHTS / "closefit_body.npz")
    rows: list[tuple[str, torch.Tensor]] = []
    seconds = 0.0
    for start in range(0, options.count, BATCH):
        indices = range(start, min(start + BATCH, options.count))
        started = time.process_time()
        scripts = sample_scripts(body, FRAMES, options.seed, indices, KINDS)
        solved = solve(body, scripts)
        seconds += time.process_time() - started
        rows += measure(body, scripts, solved)
    memory_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    hours = options.count * FRAMES / FPS / seconds
    table = report(rows, options, hours, memory_gb)
    print(table)
    (RESULTS / "choreography.md").write_text(table, encoding="utf-8")


def measure(body: Body, scripts: Scripts, solved: Solved) -> list[tuple[str, torch.Tensor]]:
    """Return the kind and the figures of each motion of a batch."""
    posed = solved.bodies.pose(solved.rotations, solved.pelvis)
    weight = solved.draft.constraints.touching
    gap, _ = solved.bodies.contact_gaps(posed, scripts.constraints.sites)
    joints = posed.transforms[..., :3, 3]
    speed = FPS * joints.diff(dim=0).norm(dim=-1)
    acceleration = FPS**2 * joints.diff(n=2, dim=0).norm(dim=-1)
    prior = JointLimits.create("cpu", torch.float32)
    deviation = prior.deviation(solved.rotations)
    excess = torch.relu(prior.low[1:] - deviation) + torch.relu(deviation - prior.high[1:])
    balls = joints[:, :, :, [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]]
    slide = FPS * balls.diff(dim=0)[..., (0, 2)].norm(dim=-1)
    steps = solved.steps
    stands = (steps.weight[1:] > 0.99) & (steps.lift_m[1:] == 0) & (steps.lift_m[:-1] == 0)
    rows = []
    for pair, name in enumerate(scripts.names):
        frames = torch.arange(0, FRAMES, EVERY)
        transl = solved.pelvis[frames, pair] - solved.bodies.rest_joints[pair, :, 0]
        skin = body.pose(solved.rotations[frames, pair], scripts.betas[pair], transl).vertices
        depth = average_penetration_depth_mm(skin, body.faces)
        gaps = 100.0 * gap[:, pair][weight[:, pair] > 0]
        gaps = gaps if len(gaps) else torch.full((1,), torch.nan)
        sliding = slide[:, pair][stands[:, pair]]
        sliding = sliding if len(sliding) else torch.zeros(1)
        figures = [
            depth.mean(), depth.max(), gaps.mean(), gaps.median(), (gaps < 2.0).float().mean(),
            (weight[:, pair] > 0).any(-1).float().mean(), speed[:, pair][..., HANDS].max(),
            acceleration[:, pair].mean(), sliding.quantile(0.99),
            torch.rad2deg(excess[:, pair].mean()), 100.0 * skin[..., 1].min(),
        ]  # fmt: skip
        rows.append((name, torch.stack(figures)))
    return rows


def report(
    rows: list[tuple[str, torch.Tensor]],
    options: argparse.Namespace,
    hours: float,
    memory_gb: float,
) -> str:
    """Return the text of the results file."""
    lines = [
        "# Choreography: speed and quality",
        "",
        f"`python benchmarks/choreography.py --count {options.count} --seed {options.seed}`: "
        f"{options.count} motions of {FRAMES / FPS:.0f} s, all kinds.",
        "",
        f"- {hours:.1f} hours of motion per hour on one core",
        f"- peak memory {memory_gb:.1f} GB",
        "",
        "| kind | motions | " + " | ".join(COLUMNS) + " |",
        "|" + " --- |" * (len(COLUMNS) + 2),
    ]
    for kind in (*KINDS, "all"):
        values = torch.stack([row for name, row in rows if kind in (name, "all")] or [rows[0][1]])
        if kind != "all" and not any(name == kind for name, _ in rows):
            continue
        shown = values.nanmean(dim=0)
        shown[1], shown[6], shown[10] = values[:, 1].max(), values[:, 6].max(), values[:, 10].min()
        cells = " | ".join(f"{value:.2f}" for value in shown.tolist())
        lines.append(f"| {kind} | {len(values)} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
