"""Score init with and without the prior on motion that the prior never saw.

    python benchmarks/prior_init.py NAME=SHARDS... [--prior FILE] [--clips 6] [--frames 96]

What was measured is kept in --out and not measured again.

SHARDS are folders of held-out motion (`closefit prior prepare`). Each clip is filmed by a virtual
camera and badly detected, three times: as it is (`seen`); with most keypoints of person 0 hidden
during the middle half (`hidden`); with person 0 never detected (`unseen`). Depth of the camera is
known, as with the true focal length.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measuring import publish, table

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.body.skeleton import EVALUATION_JOINTS
from closefit.config import InitConfig
from closefit.evaluation.metrics import interaction_error, mpjpe, pa_mpjpe
from closefit.fit.targets import MIN_NOISE_PX, NOISE_PER_HEIGHT, KeypointTargets
from closefit.geometry.rotations import matrix_from_6d
from closefit.init.clip_fit import ClipFit
from closefit.init.from_prior import PriorFit, fit_from_prior
from closefit.init.hypotheses import fit_best
from closefit.learning.motions.shards import MotionShards
from closefit.models.weights import PRIOR, locate
from closefit.prior.loading import load_prior
from closefit.prior.network import Denoiser
from closefit.prior.objective import GeometryOf
from closefit.simulation.cameras import CameraRanges, film
from closefit.simulation.detections import DetectorRanges, detect
from closefit.storage.hashing import sha256_of

CASES = ("seen", "hidden", "unseen")
MIN_CONFIDENCE = 0.3
SURE = 0.5
HEIGHT_PX = 720.0


def main() -> None:
    """Fit, score, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", nargs="+", metavar="NAME=SHARDS")
    parser.add_argument("--prior", type=Path, default=None)
    parser.add_argument("--clips", type=int, default=6, help="clips of each kind")
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--out", type=Path, default=Path("results/bench-prior-init"))
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.prior = options.prior or locate(PRIOR)
    body = Body.load(locate("closefit_body"))
    network, facts = load_prior(options.prior)
    entries = []
    for text in options.shards:
        name, _, folder = text.partition("=")
        shards = MotionShards.open(Path(folder))
        for case, method in itertools.product(CASES, options.methods):
            scores = [
                score(f"{name}-{case}-{method}-{index}", shards, body, network, options)
                for index in range(options.clips)
            ]
            mean = {key: float(np.nanmean([s[key] for s in scores])) for key in scores[0]}
            entries.append({"motion": name, "case": case, "init": method, **mean})
    header = [key.replace("_", " ") for key in entries[0]]
    rows = [list(entry.values()) for entry in entries]
    publish("prior_init", {"prior": facts.data, "rows": entries}, [table(header, rows)])


def score(
    key: str, shards: MotionShards, body: Body, network: Denoiser, options: argparse.Namespace
) -> dict[str, float]:
    """Errors of one init on one clip; what was measured before is read."""
    _, case, method, index = key.rsplit("-", 3)
    used = sha256_of(options.prior)[:8] if method == "prior" else "none"
    path: Path = options.out / f"{key}-{options.frames}-{used}.json"
    if path.is_file():
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        return found
    pose, targets, masked = make_clip(shards, int(index), case, body, options.frames)
    truth = GeometryOf(body)(pose).joints.numpy()
    started = time.perf_counter()
    fit = METHODS[method](body, targets, network)
    seconds = time.perf_counter() - started
    found = errors(fit, body, truth, masked) | {"seconds": seconds}
    path.write_text(json.dumps(found), encoding="utf-8")
    return found


def _with_prior(body: Body, targets: KeypointTargets, network: Denoiser) -> ClipFit:
    ranges = JointLimits.create("cpu", torch.float32)
    return fit_from_prior(body, targets, ranges, network, PriorFit(), lambda *_: None)


def _without_prior(body: Body, targets: KeypointTargets, network: Denoiser) -> ClipFit:
    del network
    ranges = JointLimits.create("cpu", torch.float32)
    return fit_best(body, targets, ranges, InitConfig().steps, lambda *_: None)[0]


METHODS: dict[str, Callable[[Body, KeypointTargets, Denoiser], ClipFit]] = {
    "direct": _without_prior,
    "prior": _with_prior,
}


def make_clip(
    shards: MotionShards, index: int, case: str, body: Body, frames: int
) -> tuple[PairPose, KeypointTargets, np.ndarray]:
    """Film and detect a part of held-out motion; returns truth, targets, masked frames."""
    generator = torch.Generator().manual_seed(index)
    clip = index % len(shards.starts)
    start, stop = int(shards.starts[clip]), int(shards.stops[clip])
    room = max(stop - start - frames, 0)
    start += int(room * ((index // len(shards.starts) * 0.37 + 0.2) % 1.0))
    rows = slice(start, min(start + frames, stop))
    columns = torch.as_tensor(np.asarray(shards.rotations_6d[rows], np.float32))
    pelvis = torch.as_tensor(np.array(shards.pelvis_m[rows]))
    betas = torch.as_tensor(np.asarray(shards.betas[clip])).expand(len(pelvis), 2, 10)
    world = PairPose(matrix_from_6d(columns)[None], betas[None], pelvis[None])
    pose, cameras = film(world, CameraRanges(stature_share=(0.45, 0.8)), generator)
    geometry_of, noise = GeometryOf(body), DetectorRanges(clean_probability=0.0)
    seen = geometry_of.detected(pose)
    keypoints = detect(pose, geometry_of(pose), seen, cameras, noise, generator)[0][0]
    masked = np.zeros(len(pelvis), bool)
    if case == "hidden":
        quarter = len(pelvis) // 4
        masked[quarter : 3 * quarter] = True
        hidden = torch.rand(17, generator=generator).argsort() < 11
        keypoints[quarter : 3 * quarter, 0, hidden] = 0.0
    elif case == "unseen":
        masked[:] = True
        keypoints[:, 0] = 0.0
    truth = PairPose(pose.rotations[0], pose.betas[0], pose.pelvis_m[0])
    return truth, targets_of(keypoints, float(cameras.focal[0]), float(cameras.aspect[0])), masked


def targets_of(keypoints: torch.Tensor, focal: float, aspect: float) -> KeypointTargets:
    """Normalised keypoints as fit targets of a 720 px high video."""
    K = torch.tensor([[focal * HEIGHT_PX, 0.0, 0.5 * aspect * HEIGHT_PX],
                      [0.0, focal * HEIGHT_PX, 0.5 * HEIGHT_PX], [0.0, 0.0, 1.0]])  # fmt: skip
    points = keypoints[..., :2] * K[0, 0] + K[:2, 2]
    weight = torch.where(keypoints[..., 2] >= MIN_CONFIDENCE, keypoints[..., 2], 0.0)
    shown = torch.where(weight[..., None] > 0, points, torch.nan)[..., 1]
    spread = (
        torch.nan_to_num(shown, nan=-1e9).amax(-1) - torch.nan_to_num(shown, nan=1e9).amin(-1)
    ).clamp_min(0.0)
    height = spread.quantile(0.8, dim=0).clamp_min(60.0).expand(len(keypoints), 2)
    return KeypointTargets(
        points_px=torch.where(weight[..., None] > 0, points, 0.0),
        weight=weight,
        sigma_px=NOISE_PER_HEIGHT * height + MIN_NOISE_PX,
        height_px=height,
        landmarks_m=torch.zeros(len(keypoints), 2, 0, 4),
        seen=(weight > 0).sum(-1) >= 4,
        K=K.expand(len(keypoints), 3, 3),
        fps=30.0,
        set_name="coco17",
    )


def errors(fit: ClipFit, body: Body, truth: np.ndarray, masked: np.ndarray) -> dict[str, float]:
    """Measures of a fit; `masked` ones are of person 0 in the frames that were masked."""
    v = fit.variables
    with torch.no_grad():
        joints = body.joints(v.rotations(), v.betas, v.transl(body)).numpy()
    chosen = list(EVALUATION_JOINTS)
    found, expected = joints[:, :, chosen], truth[:, :, chosen]
    everything = np.ones(found.shape[:2], bool)
    first = np.zeros_like(everything)
    first[masked, 0] = True
    return {
        "mpjpe_mm": mpjpe(found, expected, everything),
        "pa_mpjpe_mm": pa_mpjpe(found, expected, everything),
        "interaction_mm": interaction_error(found, expected, everything),
        "masked_mpjpe_mm": mpjpe(found, expected, first) if masked.any() else float("nan"),
    }


if __name__ == "__main__":
    main()
