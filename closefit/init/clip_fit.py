"""Both bodies fitted to the keypoints of the whole clip at once."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.fit.floor import FloorPlane, typical_up
from closefit.fit.objective import SOLES, MotionObjective, total
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables

LR_POSE, LR_PLACE, LR_SHAPE, LR_FLOOR = 0.03, 0.01, 0.03, 0.01
FINAL_LR = 0.05
"""Learning rates end at this share of their start (cosine)."""

FLOOR_LOOSENESS = 10.0
"""The floor term starts this much looser, so that people reach their depth before it acts."""

FLOOR_FIXED_SHARE = 0.4
"""Share of the steps in which an unknown floor keeps its typical slope."""


@dataclass(frozen=True, eq=False)
class ClipFit:
    """Result of `fit_clip`.

    Attributes:
        variables: The fitted motion.
        floor: Plane (unit up normal, offset in metres) in the camera frame.
        energy: Final objective; comparable between hypotheses for the same clip.
    """

    variables: MotionVariables
    floor: Float[Tensor, "4"]
    energy: float


def fit_clip(
    objective: MotionObjective,
    targets: KeypointTargets,
    start: MotionVariables,
    steps: int,
    on_step: Callable[[int, int], None],
    floor_start: Float[Tensor, "4"] | None = None,
) -> ClipFit:
    """Fit both bodies to all keypoints of the clip, smooth in time, standing on one floor.

    Args:
        objective: The terms to minimise.
        targets: Observed keypoints.
        start: First poses, for example from `lifting.lift`.
        steps: Number of Adam steps; 0 only finds the floor under the start.
        on_step: Called with (steps done, steps in all).
        floor_start: A floor found before; by default it is found, loosely at first.
    """
    variables = start.detached()
    floor = _start_floor(objective, variables, floor_start)
    start_log_stature = objective.stature(start.betas.detach()).log()

    def scaled() -> tuple[MotionVariables, FloorPlane]:
        """A taller person stands farther away on a lower floor, with the same pixels."""
        growth = objective.stature(variables.betas).log() - start_log_stature
        farther = dataclasses.replace(variables, log_depth=variables.log_depth + growth)
        return farther, floor.scaled(growth.mean().exp())

    optimizer = torch.optim.Adam(
        [
            {"params": [variables.pose_6d], "lr": LR_POSE},
            {"params": [variables.pelvis_ray, variables.log_depth], "lr": LR_PLACE},
            {"params": [variables.betas], "lr": LR_SHAPE},
            {"params": floor.tensors(), "lr": LR_FLOOR},
        ]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (
            FINAL_LR + (1.0 - FINAL_LR) * 0.5 * (1.0 + math.cos(math.pi * step / max(steps, 1)))
        ),
    )
    with torch.no_grad():
        value = total(objective(*scaled(), targets))
    for step in range(steps):
        loose = 0.0 if floor_start is not None else max(0.0, 1.0 - 2.0 * step / steps)
        optimizer.zero_grad()
        value = total(objective(*scaled(), targets, FLOOR_LOOSENESS**loose))
        value.backward()
        if floor_start is None and step < FLOOR_FIXED_SHARE * steps:
            floor.slopes.grad = None
        optimizer.step()
        schedule.step()
        on_step(step + 1, steps)
    found, plane = scaled()
    return ClipFit(found.detached(), plane.plane().detach(), float(value.detach()))


def _start_floor(
    objective: MotionObjective, variables: MotionVariables, known: Tensor | None
) -> FloorPlane:
    """The known floor, or one under most feet for a camera that looks slightly down."""
    if known is not None:
        return FloorPlane.from_plane(known)
    with torch.no_grad():
        body = objective.body
        joints = body.joints(variables.rotations(), variables.betas, variables.transl(body))
        up = typical_up(joints.device)
        lowest = (joints[:, :, SOLES] @ up).amin(-1).median()
    return FloorPlane.from_plane(torch.cat([up, -lowest[None]]))
