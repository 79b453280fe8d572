"""Starting points that lead a whole-clip fit into different basins, and the choice among them."""

import dataclasses
from collections.abc import Callable

import torch

from closefit.body.model import Body
from closefit.body.pose_prior import PosePrior
from closefit.fitting.clip_fit import ClipFit, fit_clip
from closefit.fitting.lifting import lift, lifting_steps
from closefit.fitting.motion_objective import MotionObjective, MotionWeights
from closefit.fitting.targets import KeypointTargets
from closefit.fitting.variables import MotionVariables

TRIAL_SHARE = 0.4
"""Share of the steps that each depth-order hypothesis gets before the better one continues."""

CLOSE_LOG_DEPTH = 0.2
"""People farther apart than this (20 percent in depth) have a clear order."""


def fit_best(
    body: Body,
    targets: KeypointTargets,
    prior: PosePrior,
    steps: int,
    on_step: Callable[[int, int], None],
) -> tuple[ClipFit, str]:
    """Lift every frame, then fit the clip from both depth orders and keep the better one.

    Returns:
        The fit, and the name of the depth order it started from: `as lifted` or `swapped`.
    """
    trial = max(1, round(TRIAL_SHARE * steps))
    objective = MotionObjective(body, prior, targets.set_name, MotionWeights())
    total = lifting_steps(targets.num_frames) + 2 * trial + steps
    done = 0

    def told(_: int, __: int) -> None:
        nonlocal done
        done += 1
        on_step(done, total)

    lifted = lift(body, targets, prior, told)
    starts = {"as lifted": lifted}
    if (lifted.log_depth[:, 0] - lifted.log_depth[:, 1]).mean().abs() < CLOSE_LOG_DEPTH:
        starts["swapped"] = _swap_depth_order(lifted)
    else:
        total -= trial
    fits = {
        name: fit_clip(objective, targets, start, trial, told) for name, start in starts.items()
    }
    chosen = min(fits, key=lambda name: fits[name].energy)
    best = fits[chosen]
    final = fit_clip(objective, targets, best.variables, steps, told, floor_start=best.floor)
    return final, chosen


def _swap_depth_order(variables: MotionVariables) -> MotionVariables:
    """Exchange the two people's mean depth difference."""
    difference = (variables.log_depth[:, 0] - variables.log_depth[:, 1]).mean()
    shift = torch.stack([-difference, difference])
    return dataclasses.replace(variables, log_depth=variables.log_depth + shift)
