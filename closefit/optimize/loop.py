"""The steps of the joint optimisation; they can stop at any step and continue later."""

import dataclasses
import logging
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from closefit.appearance.avatar import Avatars
from closefit.config import OptimizeConfig
from closefit.fit.floor import FloorPlane
from closefit.fit.variables import MotionVariables
from closefit.optimize.motion_model import MotionModel
from closefit.optimize.objective import JointObjective, ObservedClip, Terms
from closefit.optimize.schedule import Minibatch, Phase
from closefit.optimize.step_clock import StepClock

logger = logging.getLogger(__name__)

MAX_RISE = 5.0
"""A joint step whose loss is this many times the best so far counts as diverged."""

MAX_BACKOFFS = 3
FLOOR_LR = 0.5
"""Learning rate of the floor over that of the pose."""
SETTLED = 0.01
"""Relative change of the loss below which the optimisation has converged."""
RAMP_STEPS = 15
"""Joint steps over which the learning rates of the motion rise. Adam's first steps are as long as
the learning rate however small the gradient is, and would disturb a motion that is already good."""
FINAL_LR = 0.1
"""Learning rates end at this share of their start (cosine)."""
CHUNK = 64
"""Frames of the motion that are computed at once when all are wanted."""
READ_EVERY = {"cpu": 1, "cuda": 16}
"""Steps between two reads of the losses, for which the host has to wait for a GPU."""


@dataclass
class LoopState:
    """What changes during the optimisation besides the tensors.

    Attributes:
        step: Steps done.
        joint_steps: Steps done in which motion moved.
        backoffs: Times the loop returned to its best state with half the learning rates.
        best_loss: Least running mean of the joint loss so far.
        mean_loss: Running mean of the joint loss.
    """

    step: int = 0
    joint_steps: int = 0
    backoffs: int = 0
    best_loss: float = math.inf
    mean_loss: float = math.nan


@dataclass(frozen=True, eq=False)
class JointModel:
    """What is optimised: the motion, the floor and the avatars."""

    motion: MotionModel
    floor: FloorPlane
    avatars: Avatars

    def moving(self) -> list[Tensor]:
        """Tensors of the motion and the floor."""
        return [*self.motion.tensors(), *self.floor.tensors()]

    def tensors(self) -> list[Tensor]:
        """All tensors."""
        return [*self.moving(), *self.avatars.parameters()]


@dataclass(frozen=True, eq=False)
class _Unread:
    """Losses of a step that were not read yet, and whether all its gradients are finite."""

    phase: Phase
    names: tuple[str, ...]
    values: Float[Tensor, " term"]
    healthy: Bool[Tensor, ""]


class JointLoop:
    """Adam on motion and appearance, one minibatch a step, with a guard against divergence."""

    def __init__(
        self,
        objective: JointObjective,
        model: JointModel,
        clip: ObservedClip,
        plan: list[Minibatch],
        config: OptimizeConfig,
        start: MotionVariables | None = None,
    ) -> None:
        """Start where `model` is; without crops only the motion terms are optimised.

        Terms hold the motion near `start`; None: near where `model` is.
        """
        self.state = LoopState()
        self.objective = objective
        self.model = model
        self.clip = clip
        self.config = config
        self.rejected = torch.zeros_like(clip.targets.weight, dtype=torch.bool)
        self.curves: list[dict[str, float]] = []
        self._plan = plan
        device = clip.targets.K.device
        self._rendered = _on_device(plan, device)
        self._radius_px = (
            [] if clip.crops is None else objective.identity_radius_px(clip.crops, clip.targets)
        )
        self._unread: list[_Unread] = []
        self._stride = 1
        self._read_every = READ_EVERY.get(device.type, 1)
        moving = [
            *model.motion.groups(),
            {"params": model.floor.tensors(), "lr": config.lr_motion * FLOOR_LR},
        ]
        self._moving_groups = len(moving)
        self._optimizer = torch.optim.Adam(
            [
                *moving,
                {"params": list(model.avatars.decoder.parameters()), "lr": config.lr_appearance},
                {"params": [model.avatars.latent], "lr": config.lr_latent},
            ]
        )
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._start_at(self.variables if start is None else start)
        self._best = self._copies()

    @property
    def variables(self) -> MotionVariables:
        """The motion of the whole clip as it is now, without gradients."""
        frames, motion = self.clip.targets.num_frames, self.model.motion
        with torch.no_grad():
            parts = [
                motion.at(first, min(first + CHUNK, frames)) for first in range(0, frames, CHUNK)
            ]
        columns = zip(*(part.tensors()[:3] for part in parts), strict=True)
        pose_6d, ray, depth = (torch.cat(column).detach() for column in columns)
        return MotionVariables(pose_6d, ray, depth, parts[0].betas.detach())

    @property
    def clock(self) -> StepClock:
        """Where the time of the steps went."""
        return self.objective.clock

    @property
    def num_steps(self) -> int:
        """Steps in the plan."""
        return len(self._plan)

    @property
    def phase(self) -> Phase | None:
        """Phase of the next step; None at the end."""
        return None if self.finished else self._plan[self.state.step].phase

    @property
    def finished(self) -> bool:
        """All steps are done, or the loop gave up."""
        return self.state.step >= len(self._plan) or self.diverged

    @property
    def diverged(self) -> bool:
        """The loop backed off too often; `use_best` restores the best state."""
        return self.state.backoffs > MAX_BACKOFFS

    @property
    def status(self) -> str:
        """How the loop ended: `converged`, `step limit` or `diverged`.

        Converged means that the last tenth of the joint steps changed the loss by under 1 %.
        """
        if self.diverged:
            return "diverged"
        joint = self.curves[len(self.curves) - self.state.joint_steps :]
        totals = [sum(terms.values()) for terms in joint]
        tenth = len(totals) // 10
        if tenth == 0:
            return "step limit"
        last, before = sum(totals[-tenth:]), sum(totals[-2 * tenth : -tenth])
        return "converged" if abs(last - before) < SETTLED * abs(before) else "step limit"

    def step(self) -> None:
        """Do one minibatch; its losses follow in `curves` (on a GPU some steps later)."""
        minibatch = self._plan[self.state.step]
        self.clock.start()
        self._set_rates(minibatch)
        self._optimizer.zero_grad(set_to_none=True)
        try:
            names, values = self._differentiate(minibatch)
        except torch.OutOfMemoryError:
            if self._stride > 1:
                raise
            names = ()
        if not names:  # outside the handler, which keeps the tensors of the failed attempt alive
            self._stride = 2
            logger.warning("out of memory: from here on, steps draw every second of their frames")
            self._optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            names, values = self._differentiate(minibatch)
        self.clock.lap("backward of the rest")
        if minibatch.phase == "appearance":
            for tensor in self.model.moving():
                tensor.grad = None
        self.state.step += 1
        self.state.joint_steps += minibatch.phase == "joint"
        healthy = self._drop_gradients_unless_finite()
        self._unread.append(_Unread(minibatch.phase, names, values, healthy))
        is_due = len(self._unread) >= self._read_every or self.state.step == self.num_steps
        if not (is_due and self._read()):
            self._optimizer.step()
        self.clock.lap("update")

    def restart(self) -> None:
        """Take the present motion as the start: stay near it, keep its contacts, return to it."""
        self._start_at(self.variables)
        self._best = self._copies()

    def use_best(self) -> None:
        """Return to the state of least loss."""
        with torch.no_grad():
            for tensor, saved in zip(self.model.tensors(), self._best, strict=True):
                tensor.copy_(saved)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue later exactly as without the interruption."""
        self._read()
        return {
            "state": dataclasses.asdict(self.state),
            "start": self._start.tensors(),
            "tensors": self._copies(),
            "fixed": [tensor.clone() for tensor in self.model.motion.fixed()],
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
            "rejected": self.rejected,
            "curves": self.curves,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""
        self.state = LoopState(**saved["state"])
        self._start_at(MotionVariables(*saved["start"]))
        for tensor, value in zip(self.model.motion.fixed(), saved["fixed"], strict=True):
            tensor.copy_(value)
        self._best = saved["tensors"]
        self.use_best()
        self._best = saved["best"]
        self._optimizer.load_state_dict(saved["optimizer"])
        self.rejected = saved["rejected"]
        self.curves = saved["curves"]

    def _start_at(self, motion: MotionVariables) -> None:
        # Copies: the shape is one of the tensors that the optimiser moves in place.
        self._start = MotionVariables(*(values.detach().clone() for values in motion.tensors()))
        self._touching = self.objective.touching(motion)

    def _differentiate(
        self, minibatch: Minibatch
    ) -> tuple[tuple[str, ...], Float[Tensor, " term"]]:
        """Add up the gradients of all terms; returns names and values of the terms."""
        terms = self._terms(minibatch)
        values = torch.stack(list(terms.values()))
        values.sum().backward()
        return tuple(terms), values.detach()

    def _terms(self, minibatch: Minibatch) -> Terms:
        """Evaluate the terms of one minibatch, and filter the keypoints of its rendered frames."""
        window = slice(minibatch.start, minibatch.stop)
        joint = minibatch.phase == "joint"
        rendered = self._rendered[self.state.step][:: self._stride]
        frames = rendered + minibatch.start
        with torch.set_grad_enabled(joint):
            motion = self.model.motion.at(minibatch.start, minibatch.stop)
        targets, crops = self.clip.targets.cut(window), self.clip.crops
        terms: Terms = {}
        if joint:
            kept = targets.weight * (~self.rejected[window])
            terms, posed = self.objective.motion(
                motion,
                self._start.cut(window),
                self.model.floor,
                dataclasses.replace(targets, weight=kept),
                rendered,
                self._touching.cut(frames),
            )
            rotations, transl = posed.rotations[rendered], posed.transl[rendered]
        else:
            with torch.no_grad():
                shown = motion.cut(rendered)
                rotations, transl = shown.rotations(), self.objective.transl(shown)
        if crops is None:
            return terms
        drawn = [minibatch.start + frame for frame in minibatch.rendered[:: self._stride]]
        crops = crops.cut(frames, drawn)
        self.clock.lap("data")
        betas = motion.betas if joint else motion.betas.detach()
        of_images, render = self.objective.appearance(
            self.model.avatars, rotations, betas, transl, crops
        )
        if joint:
            radii = [self._radius_px[frame] for frame in drawn]
            self.rejected[frames] = self.objective.foreign_keypoints(
                render, crops, targets.cut(rendered), sum(radii) / len(radii)
            )
        return terms | of_images

    def _set_rates(self, minibatch: Minibatch) -> None:
        cosine = 0.5 * (1.0 + math.cos(math.pi * minibatch.progress))
        factor = (FINAL_LR + (1.0 - FINAL_LR) * cosine) * 0.5**self.state.backoffs
        ramp = min(1.0, (self.state.joint_steps + 1) / RAMP_STEPS)
        for number, (group, rate) in enumerate(
            zip(self._optimizer.param_groups, self._rates, strict=True)
        ):
            group["lr"] = rate * factor * (ramp if number < self._moving_groups else 1.0)

    def _drop_gradients_unless_finite(self) -> Bool[Tensor, ""]:
        """Set all gradients to zero if one is not finite; returns whether all are finite.

        A finite loss can have gradients that are not. On a GPU a bad step is noticed some steps
        later, and must not have affected the variables until then.
        """
        groups = self._optimizer.param_groups
        moved = [p for group in groups for p in group["params"] if p.grad is not None]
        # In one piece: a GPU would get four kernels for each of the tensors.
        flat = torch.cat([parameter.grad.flatten() for parameter in moved])
        # Not the norm: squares of large gradients overflow. NaN is both the least and the largest.
        finite = torch.stack(torch.aminmax(flat)).isfinite().all()
        flat.masked_fill_(~finite, 0.0)
        sizes = [parameter.numel() for parameter in moved]
        for parameter, gradient in zip(moved, flat.split(sizes), strict=True):
            parameter.grad = gradient.view_as(parameter)
        return finite

    def _read(self) -> bool:
        """Read the losses of all steps since the last read; returns whether the loop backed off."""
        unread, self._unread = self._unread, []
        rows = [row.values.tolist() for row in unread]
        self.curves += [
            dict(zip(row.names, values, strict=True))
            for row, values in zip(unread, rows, strict=True)
        ]
        for row, values in zip(unread, rows, strict=True):
            loss = sum(values)
            sound = bool(row.healthy) and math.isfinite(loss)
            if not sound or (row.phase == "joint" and self._rises(loss)):
                self._back_off()
                return True
        if unread and (self.state.joint_steps == 0 or self._improves()):
            self._best = self._copies()
        return False

    def _rises(self, loss: float) -> bool:
        """Update the running loss; returns whether the loop has diverged."""
        state = self.state
        if loss > MAX_RISE * max(state.best_loss, 1.0):
            return True
        mean = state.mean_loss
        state.mean_loss = loss if math.isnan(mean) else 0.8 * mean + 0.2 * loss
        return False

    def _improves(self) -> bool:
        """Record the running loss if it is the least so far; returns whether it is."""
        state = self.state
        if not state.mean_loss < state.best_loss:
            return False
        state.best_loss = state.mean_loss
        return True

    def _back_off(self) -> None:
        self.state.backoffs += 1
        self.use_best()
        self._optimizer.state.clear()

    def _copies(self) -> list[Tensor]:
        return [tensor.detach().clone() for tensor in self.model.tensors()]


def _on_device(plan: list[Minibatch], device: torch.device) -> tuple[Int[Tensor, " rendered"], ...]:
    """The rendered frames of all minibatches, moved to the device at once."""
    flat = [frame for minibatch in plan for frame in minibatch.rendered]
    split: tuple[Tensor, ...] = (
        torch.tensor(flat, dtype=torch.int64)
        .to(device)
        .split([len(minibatch.rendered) for minibatch in plan])
    )
    return split


def kept_share(
    rejected: Bool[Tensor, "frame person keypoint"], weight: Float[Tensor, "frame person keypoint"]
) -> float:
    """Share of the trusted keypoints that the identity filter kept."""
    trusted = weight > 0
    return float((trusted & ~rejected).sum() / trusted.sum().clamp_min(1))
