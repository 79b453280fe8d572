"""Starting points that lead a whole-clip fit into different basins, and the choice among them."""

import dataclasses
from collections.abc import Callable, Mapping

import torch

from closefit.body.joint_limits import JointLimits
from closefit.body.model import Body
from closefit.fit.objective import MotionObjective, motion_terms
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables
from closefit.fit.weights import MotionWeights
from closefit.init.clip_fit import ClipFit, fit_clip
from closefit.init.lifting import lift, lifting_steps

TRIAL_SHARE = 0.4
"""Share of the steps that each depth-order hypothesis gets before the better one continues."""

CLOSE_LOG_DEPTH = 0.2
"""People farther apart than this (20 percent in depth) have a clear order."""


def fit_best(
    body: Body,
    targets: KeypointTargets,
    limits: JointLimits,
    steps: int,
    on_step: Callable[[int, int], None],
) -> tuple[ClipFit, str]:
    """Lift every frame, then fit the clip from both depth orders and keep the better one.

    Returns:
        The fit, and the name of the depth order it started from: `as lifted` or `swapped`.
    """
    trial = max(1, round(TRIAL_SHARE * steps))
    objective = MotionObjective(body, targets.set_name, motion_terms(body, limits, MotionWeights()))
    total = lifting_steps(targets.num_frames) + 2 * trial + steps
    done = 0

    def told(_: int, __: int) -> None:
        nonlocal done
        done += 1
        on_step(done, total)

    starts = with_swapped_order("as lifted", lift(body, targets, limits, told))
    total -= (2 - len(starts)) * trial
    return fit_starts(objective, targets, starts, trial, steps, told)


def fit_starts(
    objective: MotionObjective,
    targets: KeypointTargets,
    starts: Mapping[str, MotionVariables],
    trial: int,
    steps: int,
    told: Callable[[int, int], None],
    trial_objective: MotionObjective | None = None,
) -> tuple[ClipFit, str]:
    """Fit a little from each start, then go on with the best; returns the fit and its start.

    Args:
        objective: The terms to minimise.
        targets: Observed keypoints.
        starts: Starting points by name.
        trial: Number of steps from each.
        steps: Number of steps from the best.
        told: Told (steps done, steps in all) of each fit.
        trial_objective: Other terms for the trials.
    """
    tried = trial_objective or objective
    fits = {name: fit_clip(tried, targets, start, trial, told) for name, start in starts.items()}
    chosen = min(fits, key=lambda name: fits[name].energy)
    best = fits[chosen]
    final = fit_clip(objective, targets, best.variables, steps, told, floor_start=best.floor)
    return final, chosen


def with_swapped_order(name: str, start: MotionVariables) -> dict[str, MotionVariables]:
    """The start by its name, and its opposite depth order where the order is not clear."""
    starts = {name: start}
    if (start.log_depth[:, 0] - start.log_depth[:, 1]).mean().abs() < CLOSE_LOG_DEPTH:
        starts["swapped"] = _swap_depth_order(start)
    return starts


def _swap_depth_order(variables: MotionVariables) -> MotionVariables:
    """Exchange the two people's mean depth difference."""
    difference = (variables.log_depth[:, 0] - variables.log_depth[:, 1]).mean()
    shift = torch.stack([-difference, difference])
    return dataclasses.replace(variables, log_depth=variables.log_depth + shift)
