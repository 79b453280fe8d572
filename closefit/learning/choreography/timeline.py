"""From key poses to a motion of all frames: easing, travel of the pair, small natural variation."""

import math
from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.skeleton import JOINT_INDEX, NUM_JOINTS
from closefit.geometry.easing import ease
from closefit.geometry.rotations import about
from closefit.learning.choreography.objective import Constraints
from closefit.learning.choreography.scripts import FPS, Scripts

LAG = 0.25
"""Share of a movement by which joints may start later than others."""
TREMOR_RAD = 0.022
"""Standard deviation of small turns of every joint."""
TREMOR_HZ = (0.15, 0.8)
WAVES = 3
BREATH_RAD = 0.012
BREATH_HZ = (0.22, 0.34)
SWAY_M = 0.006
_STILL = {"foot": 0.0, "hand": 0.0, "knee": 0.4, "hip": 0.4, "ankle": 0.3, "pelvis": 0.6}


@dataclass(frozen=True, eq=False)
class Draft:
    """A motion before it is refined.

    Attributes:
        rotations: World frame, joint 0 with heading.
        pelvis: World frame, metres.
        constraints: Those of the script in each frame.
    """

    rotations: Float[Tensor, "frame pair 2 24 3 3"]
    pelvis: Float[Tensor, "frame pair 2 3"]
    constraints: Constraints


def make_draft(
    scripts: Scripts,
    key_rotations: Float[Tensor, "moment pair 2 24 3 3"],
    key_pelvis: Float[Tensor, "moment pair 2 3"],
) -> Draft:
    """Interpolate the key poses over all frames."""
    chance = _Chance(scripts)
    before, after, progress = scripts.before, scripts.after, scripts.progress
    pair = torch.arange(before.shape[1])

    def between(values: Tensor, weight: Tensor) -> Tensor:
        return torch.lerp(values[before, pair], values[after, pair], weight)

    lag = LAG * chance.uniform(2, NUM_JOINTS)
    late = ((1.0 + LAG) * progress[..., None, None] - lag).clamp(0.0, 1.0)
    start, end = key_rotations[before, pair], key_rotations[after, pair]
    relative = roma.rotmat_to_rotvec(start.mT @ end)
    turn = ease(late)[..., None] * relative
    rotations = start @ roma.rotvec_to_rotmat(turn)
    rotations = rotations @ roma.rotvec_to_rotmat(chance.tremor(len(before)))
    eased = ease(progress)[..., None]
    heading = between(scripts.heading, eased)
    local = between(key_pelvis, eased[..., None])
    pair_place, pair_heading = _travel(scripts, chance, len(before))
    rotations[..., 0, :, :] = about(1, heading + pair_heading[..., None]) @ rotations[..., 0, :, :]
    turned = (about(1, pair_heading)[:, :, None] @ local[..., None])[..., 0]
    pelvis = turned + pair_place[:, :, None] + chance.sway(len(before))
    held = progress == 0.0
    moments = scripts.constraints
    first, second = moments.touching[before, pair], moments.touching[after, pair]
    return Draft(
        rotations=rotations,
        pelvis=pelvis,
        constraints=Constraints(
            sites=moments.sites,
            touching=torch.where(held[..., None], first, first * second),
            planted=between(moments.planted, eased[..., None]),
            # On the way to or from a rest nothing is required.
            resting=torch.minimum(moments.resting[before, pair], moments.resting[after, pair]),
            seat_m=between(moments.seat_m, eased),
        ),
    )


def _travel(
    scripts: Scripts, chance: "_Chance", frames: int
) -> tuple[Float[Tensor, "frame pair 3"], Float[Tensor, "frame pair"]]:
    """Return where the pair's frame is and its heading: it turns and walks, faster and slower."""
    time = torch.arange(frames)[:, None] / FPS
    phase, slow = 2.0 * math.pi * chance.uniform(), 0.12 + 0.1 * chance.uniform()
    pace = 0.6 + 0.4 * torch.sin(2.0 * math.pi * slow * time + phase)
    first = 2.0 * math.pi * chance.uniform()
    heading = first + (scripts.turn_rad_s * pace).cumsum(0) / FPS
    ahead = torch.stack([heading.sin(), torch.zeros_like(heading), heading.cos()], dim=-1)
    place = (scripts.walk_m_s[:, None] * pace[..., None] * ahead).cumsum(0) / FPS
    return place, heading


class _Chance:
    """Random numbers of each pair, from its own seed."""

    def __init__(self, scripts: Scripts) -> None:
        self._generators = [np.random.default_rng(seed) for seed in scripts.seeds]
        self._lively = scripts.lively

    def uniform(self, *shape: int) -> Float[Tensor, "pair *shape"]:
        """Draw from 0 to 1."""
        drawn = np.stack([generator.random(shape) for generator in self._generators])
        return torch.as_tensor(drawn, dtype=torch.float32)

    def _waves(self, frames: int, *shape: int) -> Float[Tensor, "frame pair *shape"]:
        """Return sums of slow sines with standard deviation 1."""
        low, high = TREMOR_HZ
        time = torch.arange(frames).reshape(-1, *(1,) * (len(shape) + 1)) / FPS
        total = torch.zeros(())
        for _ in range(WAVES):
            rate = low + (high - low) * self.uniform(*shape)
            total = total + torch.sin(2.0 * math.pi * (rate * time + self.uniform(*shape)))
        return total * math.sqrt(2.0 / WAVES)

    def tremor(self, frames: int) -> Float[Tensor, "frame pair 2 24 3"]:
        """Return small turns of all joints, with breathing in the chest."""
        size = torch.ones(NUM_JOINTS, 1)
        for name, joint in JOINT_INDEX.items():
            size[joint] = _STILL.get(name.split("_")[-1], 1.0)
        size = TREMOR_RAD * size * self._lively[:, None, None, None]
        turns = size * self._waves(frames, 2, NUM_JOINTS, 3)
        low, high = BREATH_HZ
        rate = low + (high - low) * self.uniform(2)
        time = torch.arange(frames)[:, None, None] / FPS
        breath = torch.sin(2.0 * math.pi * (rate * time + self.uniform(2)))
        turns[..., JOINT_INDEX["spine3"], 0] -= BREATH_RAD * breath
        turns[..., JOINT_INDEX["neck"], 0] += BREATH_RAD * breath
        return turns

    def sway(self, frames: int) -> Float[Tensor, "frame pair 2 3"]:
        """Return small shifts of the pelvis."""
        scale = SWAY_M * torch.tensor([1.0, 0.3, 1.0]) * self._lively[:, None, None]
        return scale * self._waves(frames, 2, 3)
