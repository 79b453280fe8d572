"""How far a finished motion is from the truth, frame by frame, and whether it is to be kept.

Every frame counts, also those that closefit itself calls guessed: whoever looks at a result sees
them as well.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from closefit.body.model import Body
from closefit.body.skeleton import EVALUATION_JOINTS
from closefit.evaluation import metrics
from closefit.evaluation.runs import Truth
from closefit.geometry.camera import project
from closefit.records import Motion

MAX_MPJPE_MM, MAX_INTERACTION_MM, LEAST_RIGHT_ORDER = 80.0, 100.0, 0.95
"""A result is to be kept below these errors, with the right person in front this often."""


def part_of(truth: Truth, frames: slice) -> Truth:
    """The truth of a piece."""
    return replace(
        truth,
        rotations=truth.rotations[frames],
        transl=truth.transl[frames],
        joints3d=truth.joints3d[frames],
        order=truth.order[frames],
        contact=truth.contact[frames],
    )


def errors(motion: Motion, truth: Truth, body: Body) -> dict[str, list[Any]]:
    """Errors of each frame: `mpjpe_mm` of both, `interaction_mm`, and `order` (1, 0, None).

    `body` is that of the truth. The people are matched once for the whole piece, in the image.
    """
    pelvis = body.rest(torch.from_numpy(truth.betas)).joints[:, 0].numpy()
    posed = body.pose(
        *(torch.from_numpy(a) for a in (truth.rotations, truth.betas, truth.transl - pelvis))
    )
    target, found = posed.joints.double().numpy(), motion.joints.astype(np.float64)
    every = np.ones(found.shape[:2], bool)
    people = list(
        metrics.assign_people(
            _pixels(found, motion.K)[:, :, EVALUATION_JOINTS],
            _pixels(target, truth.K[None])[:, :, EVALUATION_JOINTS],
            every,
        ).people
    )
    found = found[:, people]
    points, true_points = found[:, :, EVALUATION_JOINTS], target[:, :, EVALUATION_JOINTS]
    one = np.ones((1, 2), bool)
    frames = range(len(found))

    def each(measure: Any) -> list[float]:
        return [round(measure(points[f, None], true_points[f, None], one), 2) for f in frames]

    orders = [
        metrics.depth_order_error(
            found[f, None, :, 0], target[f, None, :, 0], truth.order[f, None], one
        )
        for f in frames
    ]
    return {
        "mpjpe_mm": each(metrics.mpjpe),
        "interaction_mm": each(metrics.interaction_error),
        "order": [1 - order.wrong if order.scored else None for order in orders],
    }


def severity(errors_of_frames: dict[str, list[Any]], frames: slice = slice(None)) -> float:
    """How bad these frames are: the largest error over its limit; they are kept below 1."""
    orders = [order for order in errors_of_frames["order"][frames] if order is not None]
    wrong = 1.0 - float(np.mean(orders)) if orders else 0.0
    return max(
        float(np.mean(errors_of_frames["mpjpe_mm"][frames])) / MAX_MPJPE_MM,
        float(np.mean(errors_of_frames["interaction_mm"][frames])) / MAX_INTERACTION_MM,
        0.0 if wrong <= 1.0 - LEAST_RIGHT_ORDER else 1.0 + wrong,
    )


def is_kept(errors_of_frames: dict[str, list[Any]], frames: slice = slice(None)) -> bool:
    """Whether a careful person would keep these frames."""
    return severity(errors_of_frames, frames) < 1.0


def _pixels(joints: np.ndarray, K: np.ndarray) -> np.ndarray:
    K_of_points = torch.from_numpy(np.asarray(K, np.float64))[:, None, None]
    pixels: np.ndarray = project(torch.from_numpy(joints), K_of_points).numpy()
    return pixels
