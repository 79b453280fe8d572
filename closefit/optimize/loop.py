"""The joint optimisation as a loop of visits that can stop at any step and go on later."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from closefit.appearance.avatar import Avatars
from closefit.config import OptimizeConfig
from closefit.fit.floor import FloorPlane
from closefit.fit.targets import KeypointTargets
from closefit.fit.variables import MotionVariables
from closefit.optimize.depth_order import OrderCheck, Segment
from closefit.optimize.motion_model import DirectMotion, MotionModel
from closefit.optimize.objective import CroppedFrames, JointObjective
from closefit.optimize.schedule import Phase, Visit
from closefit.optimize.step_clock import StepClock

MAX_RISE = 5.0
"""A joint step whose loss is this many times the best so far counts as diverged."""

MAX_BACKOFFS = 3
FLOOR_LR = 0.5
"""Learning rate of the floor over that of the pose."""
SETTLED = 0.01
RAMP_STEPS = 15
SEGMENTS_AT_ONCE = 4
"""Depth orders are compared in so many segments between two signs of life."""
PART = 64
"""Frames of the motion that are computed at once when all are wanted."""
FINAL_LR = 0.1
"""Learning rates end at this share of their start (cosine)."""
READ_EVERY = {"cpu": 1, "cuda": 16}
"""Steps between two looks at the losses: to look, the host has to wait for a GPU."""


@dataclass
class LoopState:
    """What changes during the optimisation besides the tensors.

    Attributes:
        step: Steps done.
        joint_steps: Steps done in which motion moved.
        backoffs: Times the loop returned to its best state with half the learning rates.
        best_loss: Least joint loss so far, per the running mean.
        mean_loss: Running mean of the joint loss.
        segments_checked: Segments of overlapping people whose depth orders were compared.
        exchanged: Frames in which the other depth order was taken.
    """

    step: int = 0
    joint_steps: int = 0
    backoffs: int = 0
    best_loss: float = math.inf
    mean_loss: float = math.nan
    segments_checked: int = 0
    exchanged: int = 0


@dataclass(frozen=True, eq=False)
class _Unread:
    """Losses of a step that nobody has looked at yet.

    Attributes:
        phase: Of the step's visit.
        names: Of its terms.
        values: Weighted terms, then 1 where all gradients are finite and NaN where not.
    """

    phase: Phase
    names: tuple[str, ...]
    values: Float[Tensor, " term_and_1"]


class JointLoop:
    """Adam on motion and appearance, one visit a step, with a guard against divergence."""

    def __init__(
        self,
        objective: JointObjective,
        avatars: Avatars,
        motion: MotionModel,
        floor: Float[Tensor, "4"],
        targets: KeypointTargets,
        crops: CroppedFrames | None,
        visits: list[Visit],
        config: OptimizeConfig,
        overlapping: Sequence[Segment] = (),
    ) -> None:
        """Start where `motion` is; without `crops` only the motion terms are optimised.

        In the `overlapping` segments both depth orders are tried once looks are learned.
        """
        self.state = LoopState()
        self.avatars = avatars
        self.motion = motion
        self.floor = FloorPlane.from_plane(floor)
        self.rejected = torch.zeros_like(targets.weight, dtype=torch.bool)
        self.curves: list[dict[str, float]] = []
        self._objective = objective
        self._targets = targets
        self._start_at(self.variables)
        self._crops = crops
        learned = crops is not None and visits[0].phase == "appearance"
        asks = learned and isinstance(motion, DirectMotion)
        self._unchecked = tuple(overlapping) if asks else ()
        self._lr_motion = config.lr_motion
        self._visits = visits
        self._rendered = _on_device([visit.rendered for visit in visits], targets.K.device)
        self._radius_px = [] if crops is None else objective.identity_radius_px(crops, targets)
        self._unread: list[_Unread] = []
        self._read_every = READ_EVERY.get(targets.K.device.type, 1)
        moving = [
            *motion.groups(),
            {"params": self._floor_tensors(), "lr": config.lr_motion * FLOOR_LR},
        ]
        self._moving_groups = len(moving)
        self._optimizer = torch.optim.Adam(
            [
                *moving,
                {"params": list(avatars.decoder.parameters()), "lr": config.lr_appearance},
                {"params": [avatars.latent], "lr": config.lr_latent},
            ]
        )
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._best = self._tensors()

    @property
    def variables(self) -> MotionVariables:
        """The motion of the whole clip as it is now, without gradients."""
        frames = self._targets.num_frames
        with torch.no_grad():
            parts = [
                self.motion.at(first, min(first + PART, frames)) for first in range(0, frames, PART)
            ]
        columns = zip(*(part.tensors()[:3] for part in parts), strict=True)
        pose_6d, ray, depth = (torch.cat(column).detach() for column in columns)
        return MotionVariables(pose_6d, ray, depth, parts[0].betas.detach())

    @property
    def clock(self) -> StepClock:
        """Where the time of the steps went."""
        return self._objective.clock

    @property
    def num_steps(self) -> int:
        """Visits in the plan."""
        return len(self._visits)

    @property
    def finished(self) -> bool:
        """All visits are done, or the loop gave up."""
        return self.state.step >= len(self._visits) or self.diverged

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
        totals = [sum(terms.values()) for terms in self.curves[-self.state.joint_steps :]]
        tenth = len(totals) // 10
        if tenth == 0:
            return "step limit"
        last, before = sum(totals[-tenth:]), sum(totals[-2 * tenth : -tenth])
        return "converged" if abs(last - before) < SETTLED * abs(before) else "step limit"

    def step(self) -> dict[str, float]:
        """Do one visit; returns the weighted terms (on a GPU those of a step shortly before).

        Between the phases a call compares the depth orders of some segments instead.
        """
        visit = self._visits[self.state.step]
        if visit.phase == "joint" and self.state.segments_checked < len(self._unchecked):
            self._check_order()
            return self.curves[-1] if self.curves else {}
        self.clock.start()
        self._set_rates(visit)
        self._optimizer.zero_grad(set_to_none=True)
        terms = self._terms(visit)
        values = torch.stack(list(terms.values()))
        values.sum().backward()
        self.clock.lap("backward of the rest")
        if visit.phase == "appearance":
            for tensor in [*self.motion.tensors(), *self._floor_tensors()]:
                tensor.grad = None
        self.state.step += 1
        self.state.joint_steps += visit.phase == "joint"
        usable = self._drop_gradients_unless_finite()
        values = torch.cat([values.detach(), usable[None]])
        self._unread.append(_Unread(visit.phase, tuple(terms), values))
        is_due = len(self._unread) >= self._read_every or self.state.step == self.num_steps
        if not (is_due and self._read()):
            self._optimizer.step()
        self.clock.lap("update")
        return self.curves[-1] if self.curves else {}

    def _check_order(self) -> None:
        """Take the other depth order where the picture, with the looks learned, speaks for it."""
        assert isinstance(self.motion, DirectMotion)
        assert self._crops is not None
        state, first = self.state, self.state.segments_checked
        segments = self._unchecked[first : first + SEGMENTS_AT_ONCE]
        check = OrderCheck(
            self._objective, self.avatars, self.floor, self._targets, self._crops, self._lr_motion
        )
        self.clock.start(counts=False)
        motion, found = check(self.variables, segments)
        if found:
            self.motion.move_to(motion)
        state.exchanged += sum(stop - start for start, stop in found)
        state.segments_checked += len(segments)
        if state.segments_checked == len(self._unchecked) and state.exchanged:
            self._start_at(self.variables)
            self._best = self._tensors()

    def _start_at(self, motion: MotionVariables) -> None:
        """Regularise to this motion from now on, and hold its contacts."""
        # Copies: the shape is one of the tensors that the optimiser moves in place.
        self._start = MotionVariables(*(values.detach().clone() for values in motion.tensors()))
        self._touching = self._objective.touching(motion)

    def _drop_gradients_unless_finite(self) -> Float[Tensor, ""]:
        """Set all gradients to zero if one is not finite; returns 1, or NaN if so.

        A finite loss can have gradients that are not. On a GPU a bad step is noticed some steps
        later, and until then must not have spoiled what is optimised.
        """
        groups = self._optimizer.param_groups
        gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
        # Not the norm: squares of large gradients overflow.
        finite = torch.stack([gradient.isfinite().all() for gradient in gradients]).all()
        for gradient in gradients:
            gradient.masked_fill_(~finite, 0.0)
        return torch.where(finite, 1.0, math.nan)

    def _read(self) -> bool:
        """Look at the losses of all steps since the last look; tell whether to have backed off."""
        unread, self._unread = self._unread, []
        rows = [row.values.tolist() for row in unread]
        self.curves += [
            dict(zip(row.names, values, strict=False))
            for row, values in zip(unread, rows, strict=True)
        ]
        for row, values in zip(unread, rows, strict=True):
            loss = sum(values[:-1]) * values[-1]
            if not math.isfinite(loss) or (row.phase == "joint" and self._rises(loss)):
                self._back_off()
                return True
        if unread and (self.state.joint_steps == 0 or self._improves()):
            self._best = self._tensors()
        return False

    def _terms(self, visit: Visit) -> dict[str, Float[Tensor, ""]]:
        stretch = slice(visit.start, visit.stop)
        rendered = self._rendered[self.state.step]
        frames = rendered + visit.start
        start = self._start.cut(stretch)
        with torch.set_grad_enabled(visit.phase == "joint"):
            motion = self.motion.at(visit.start, visit.stop)
        targets = self._targets.cut(stretch)
        kept = targets.weight * (~self.rejected[stretch])
        filtered = dataclasses.replace(targets, weight=kept)
        terms: dict[str, Float[Tensor, ""]] = {}
        if visit.phase == "joint":
            value = self._objective.motion(
                motion, start, self.floor, filtered, rendered, self._touching.cut(frames)
            )
            terms |= value.terms
            rotations, transl = value.rotations[rendered], value.transl[rendered]
        else:
            with torch.no_grad():
                shown = motion.cut(rendered)
                rotations = shown.rotations()
                transl = self._objective.transl(shown)
        if self._crops is not None:
            crops = self._crops.cut(frames)
            self.clock.lap("data")
            betas = motion.betas if visit.phase == "joint" else motion.betas.detach()
            looks, render = self._objective.appearance(
                self.avatars, rotations, betas, transl, crops
            )
            terms |= looks
            if visit.phase == "joint":
                radii = [self._radius_px[visit.start + frame] for frame in visit.rendered]
                self.rejected[frames] = self._objective.foreign_keypoints(
                    render, crops, targets.cut(rendered), sum(radii) / len(radii)
                )
        return terms

    def _set_rates(self, visit: Visit) -> None:
        cosine = 0.5 * (1.0 + math.cos(math.pi * visit.progress))
        factor = (FINAL_LR + (1.0 - FINAL_LR) * cosine) * 0.5**self.state.backoffs
        # Adam's first steps are as long as its learning rate however small the gradient is, which
        # would shake a motion that is already good.
        ramp = min(1.0, (self.state.joint_steps + 1) / RAMP_STEPS)
        for number, (group, rate) in enumerate(
            zip(self._optimizer.param_groups, self._rates, strict=True)
        ):
            group["lr"] = rate * factor * (ramp if number < self._moving_groups else 1.0)

    def _rises(self, loss: float) -> bool:
        """Update the running loss; tell whether the loop has left its basin."""
        state = self.state
        if loss > MAX_RISE * max(state.best_loss, 1.0):
            return True
        mean = state.mean_loss
        state.mean_loss = loss if math.isnan(mean) else 0.8 * mean + 0.2 * loss
        return False

    def _improves(self) -> bool:
        """Note that the running loss is the least so far, if it is."""
        state = self.state
        if not state.mean_loss < state.best_loss:
            return False
        state.best_loss = state.mean_loss
        return True

    def _back_off(self) -> None:
        self.state.backoffs += 1
        self.use_best()
        self._optimizer.state.clear()

    def use_best(self) -> None:
        """Return to the state of least loss."""
        with torch.no_grad():
            for tensor, saved in zip(self._live(), self._best, strict=True):
                tensor.copy_(saved)

    def _live(self) -> list[Tensor]:
        return [*self.motion.tensors(), *self._floor_tensors(), *self.avatars.parameters()]

    def _floor_tensors(self) -> list[Tensor]:
        return [self.floor.slopes, self.floor.offset]

    def _tensors(self) -> list[Tensor]:
        return [tensor.detach().clone() for tensor in self._live()]

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on later exactly as without the interruption."""
        self._read()
        return {
            "state": dataclasses.asdict(self.state),
            "start": self._start.tensors(),
            "tensors": self._tensors(),
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
            "rejected": self.rejected,
            "curves": self.curves,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""
        self.state = LoopState(**saved["state"])
        self._start_at(MotionVariables(*saved["start"]))
        self._best = saved["tensors"]
        self.use_best()
        self._best = saved["best"]
        self._optimizer.load_state_dict(saved["optimizer"])
        self.rejected = saved["rejected"]
        self.curves = saved["curves"]


def _on_device(
    rendered: list[tuple[int, ...]], device: torch.device
) -> tuple[Int[Tensor, " rendered"], ...]:
    """The frames of all visits, moved to the device at once."""
    flat = torch.tensor([frame for frames in rendered for frame in frames], dtype=torch.int64)
    split: tuple[Tensor, ...] = flat.to(device).split([len(frames) for frames in rendered])
    return split


def kept_share(
    rejected: Bool[Tensor, "frame person keypoint"], weight: Float[Tensor, "frame person keypoint"]
) -> float:
    """Share of the trusted keypoints that the identity filter left in."""
    trusted = weight > 0
    return float((trusted & ~rejected).sum() / trusted.sum().clamp_min(1))
