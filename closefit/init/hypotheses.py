"""The two depth orders as starting points of a clip fit, and the choice between them."""

import dataclasses
from collections.abc import Callable

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
        The fit, and the depth order it started from: `as lifted` or `swapped`.
    """
    objective = MotionObjective(body, targets.set_name, motion_terms(body, limits, MotionWeights()))
    progress = Progress(on_step, lifting_steps(targets.num_frames) + most_steps(steps))
    start = lift(body, targets, limits, progress)
    return fit_orders(objective, objective, targets, "as lifted", start, steps, progress)


class Progress:
    """Counts the steps of several fits in a row."""

    def __init__(self, on_step: Callable[[int, int], None], total: int) -> None:
        """Report to `on_step` (steps done, steps in all)."""
        self._on_step, self._done, self.total = on_step, 0, total

    def __call__(self, *_: int) -> None:
        """One more step is done."""
        self._done += 1
        self._on_step(self._done, self.total)


def trial_steps(steps: int) -> int:
    """Steps that each depth order gets before the better one continues."""
    return max(1, round(TRIAL_SHARE * steps))


def most_steps(steps: int) -> int:
    """Steps of `fit_orders` where both depth orders are tried."""
    return 2 * trial_steps(steps) + steps


def fit_orders(
    objective: MotionObjective,
    trial_objective: MotionObjective,
    targets: KeypointTargets,
    name: str,
    start: MotionVariables,
    steps: int,
    progress: Progress,
) -> tuple[ClipFit, str]:
    """Try `start` and, where its depth order is not clear, the opposite; continue with the best.

    Args:
        objective: The terms to minimise.
        trial_objective: Those of the trials.
        targets: Observed keypoints.
        name: Name of the depth order of `start`.
        start: First motion.
        steps: Number of steps from the better trial.
        progress: Called after each step.
    """
    starts = {name: start}
    if (start.log_depth[:, 0] - start.log_depth[:, 1]).mean().abs() < CLOSE_LOG_DEPTH:
        starts["swapped"] = _swap_depth_order(start)
    else:
        progress.total -= trial_steps(steps)
    fits = {
        order: fit_clip(trial_objective, targets, begin, trial_steps(steps), progress)
        for order, begin in starts.items()
    }
    chosen = min(fits, key=lambda order: fits[order].energy)
    best = fits[chosen]
    final = fit_clip(objective, targets, best.variables, steps, progress, floor_start=best.floor)
    return final, chosen


def _swap_depth_order(variables: MotionVariables) -> MotionVariables:
    """Swap the two people's mean depths."""
    difference = (variables.log_depth[:, 0] - variables.log_depth[:, 1]).mean()
    shift = torch.stack([-difference, difference])
    return dataclasses.replace(variables, log_depth=variables.log_depth + shift)
