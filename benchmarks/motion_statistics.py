"""How generated motion differs from motion capture: speeds, joint ranges, distances.

    python benchmarks/motion_statistics.py salsa=FOLDER singles=FOLDER generated=FOLDER

Folders of `closefit prior prepare`. Windows of 16 frames that do not overlap. The table of measures
has each set's quantiles. For each two sets there are the Kolmogorov-Smirnov distance of each
measure (0: the same distribution, 1: nothing in common) and the nearest-neighbour test over all of
them (Schilling 1986): the share of windows whose nearest neighbour, in other clips, is of the same
set; 0.5: the sets cannot be told apart, 1: always.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from measuring import publish, table
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp

from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.body.skeleton import JOINT_INDEX
from closefit.geometry.rotations import matrix_from_6d
from closefit.learning.motions.shards import MotionShards
from closefit.models.weights import locate
from closefit.prior.network import WINDOW
from closefit.prior.objective import GeometryOf

QUANTILES = (0.1, 0.5, 0.9)
MOST_WINDOWS = 400
"""Of each set, drawn evenly: nearest neighbours are compared among equal numbers."""
HANDS = [JOINT_INDEX[f"{side}_wrist"] for side in ("left", "right")]
FEET = [JOINT_INDEX[f"{side}_ankle"] for side in ("left", "right")]
RANGES = {"elbow": ("left_elbow", "right_elbow"), "shoulder": ("left_shoulder", "right_shoulder"),
          "hip": ("left_hip", "right_hip"), "knee": ("left_knee", "right_knee"),
          "spine": ("spine1", "spine2", "spine3")}  # fmt: skip
NEAREST = "nearest neighbour of the same set (share)"
PAIR = ("pelvises apart (m)", "nearest joints apart (m)")


def main() -> None:
    """Measure, compare, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--alone", nargs="*", default=["singles"],
                        help="sets whose pairs were put together")  # fmt: skip
    options = parser.parse_args()
    geometry_of = GeometryOf(Body.load(locate("closefit_body")))
    named = dict(text.split("=", 1) for text in options.sets)
    found = {name: measured(MotionShards.open(Path(folder)), geometry_of)
             for name, folder in named.items()}  # fmt: skip
    measures = list(next(iter(found.values()))[0])
    quantiles = [[measure, *(_quantiles(values[measure]) for values, _ in found.values())]
                 for measure in measures]  # fmt: skip
    data: dict[str, dict[str, float]] = {}
    for one, other in itertools.combinations(named, 2):
        of_pairs = not {one, other} & set(options.alone)
        used = [measure for measure in measures if of_pairs or measure not in PAIR]
        (first, clip_of_first), (second, clip_of_second) = found[one], found[other]
        share = nearest_of_the_same(
            np.stack([first[measure] for measure in used], -1),
            np.stack([second[measure] for measure in used], -1),
            clip_of_first,
            clip_of_second,
        )
        distances = {measure: _ks(first[measure], second[measure]) for measure in used}
        data[f"{one}, {other}"] = {NEAREST: share} | distances
    rows = [[measure, *(values.get(measure) for values in data.values())]
            for measure in (NEAREST, *measures)]  # fmt: skip
    tables = [table(["10 / 50 / 90 % of the windows", *named], quantiles),
              table(["distance between", *data], rows)]  # fmt: skip
    publish("motion_statistics", data, tables)


def measured(
    shards: MotionShards, geometry_of: GeometryOf
) -> tuple[dict[str, Float[np.ndarray, " window"]], Int[np.ndarray, " window"]]:
    """Measures of each window, and the clip that it is of."""
    spans = enumerate(zip(shards.starts, shards.stops, strict=True))
    first = [(clip, row) for clip, (start, stop) in spans
             for row in range(start, stop - WINDOW + 1, WINDOW)]  # fmt: skip
    chosen = np.linspace(0, len(first) - 1, min(MOST_WINDOWS, len(first))).astype(int)
    clip, rows = np.array(first)[chosen].T
    rows = rows[:, None] + np.arange(WINDOW)
    rotations = matrix_from_6d(torch.as_tensor(shards.rotations_6d[rows].astype(np.float32)))
    pelvis = torch.as_tensor(shards.pelvis_m[rows])
    betas = torch.as_tensor(shards.betas[clip])[:, None].expand(-1, WINDOW, -1, -1)
    joints = geometry_of(PairPose(rotations, betas, pelvis)).joints
    moved = joints.diff(dim=1) * shards.fps
    speed, push = moved.norm(dim=-1), (moved.diff(dim=1) * shards.fps).norm(dim=-1)
    apart = torch.cdist(joints[:, :, 0], joints[:, :, 1])
    turned = torch.linalg.matrix_norm(rotations[:, :1] - rotations)
    turned = torch.rad2deg(2 * torch.asin((turned / 8**0.5).clamp(max=1.0))).amax(1)
    values = {
        "speed of joints (m/s)": speed.mean((1, 2, 3)),
        "fastest hand (m/s)": speed[..., HANDS].amax((1, 2, 3)),
        "fastest foot (m/s)": speed[..., FEET].amax((1, 2, 3)),
        "acceleration (m/s²)": push.mean((1, 2, 3)),
        "height of the pelvis (m)": pelvis[..., 1].mean((1, 2)),
        **{f"{name} turns (degrees)": turned[..., [JOINT_INDEX[j] for j in names]].mean((1, 2))
           for name, names in RANGES.items()},
        "pelvises apart (m)": apart[..., 0, 0].mean(1),
        "nearest joints apart (m)": apart.amin((1, 2, 3)),
    }  # fmt: skip
    return {name: value.numpy() for name, value in values.items()}, clip


def nearest_of_the_same(
    one: Float[np.ndarray, "window measure"],
    other: Float[np.ndarray, "window2 measure"],
    clip_of_one: Int[np.ndarray, " window"],
    clip_of_other: Int[np.ndarray, " window2"],
) -> float:
    """Mean over the sets of the share of windows with a neighbour of their set."""
    count = min(len(one), len(other))
    parts = [np.linspace(0, len(part) - 1, count).astype(int) for part in (one, other)]
    values = np.concatenate([np.log1p(one[parts[0]]), np.log1p(other[parts[1]])])
    values = (values - values.mean(0)) / values.std(0)
    label = np.repeat([0, 1], count)
    clip = np.concatenate([clip_of_one[parts[0]], clip_of_other[parts[1]]])
    distance = cdist(values, values)
    distance[(label[:, None] == label) & (clip[:, None] == clip)] = np.inf
    return round(float((label[distance.argmin(1)] == label).mean()), 3)


def _quantiles(values: Float[np.ndarray, " window"]) -> str:
    return " / ".join(f"{value:.2g}" for value in np.quantile(values, QUANTILES))


def _ks(one: Float[np.ndarray, " window"], other: Float[np.ndarray, " window2"]) -> float:
    return round(float(ks_2samp(one, other).statistic), 3)


if __name__ == "__main__":
    main()
