"""Generating two-person motion: sampled scenes, solved, interpolated and refined together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.model import Body
from closefit.body.pose import mirrored_pose
from closefit.learning.choreography.authored import SCENES
from closefit.learning.choreography.footsteps import (
    Footsteps,
    lowered_pelvis,
    plan_footsteps,
    reach_footsteps,
)
from closefit.learning.choreography.key_poses import solve_key_poses
from closefit.learning.choreography.objective import PairBodies
from closefit.learning.choreography.refinement import refine
from closefit.learning.choreography.scripts import FPS, Scripts, sample_scripts
from closefit.learning.choreography.timeline import Draft, make_draft
from closefit.records import PairMotion

KINDS = tuple(SCENES)
"""Names of all kinds of contact."""


def generate(
    body: Body,
    count: int,
    seed: int,
    frames: int = 150,
    kinds: Sequence[str] | None = None,
) -> list[PairMotion]:
    """Make motions of two people in close contact.

    Motion number i depends on `seed`, i, `frames`, `kinds` and the body only. All motions are
    solved together; memory grows with their number.

    Args:
        body: The body model; shapes are sampled for its stature.
        count: Number of motions.
        seed: Seed of all random choices.
        frames: Length of each, at 30 frames per second.
        kinds: Kinds to choose from, all of `KINDS` if None.

    Returns:
        Motions in the world frame (y up, floor at y = 0, metres), named
        `<kind>/seed<seed>/<index>`.

    Raises:
        ValueError: A kind that does not exist, or no frames.
    """
    chosen = KINDS if kinds is None else tuple(kinds)
    unknown = [kind for kind in chosen if kind not in SCENES]
    if unknown or not chosen:
        raise ValueError(f"unknown kinds of contact {unknown}; there are {', '.join(KINDS)}")
    if frames < 1:
        raise ValueError(f"a motion cannot have {frames} frames")
    scripts = sample_scripts(body, frames, seed, range(count), chosen)
    return _records(body, scripts, seed, solve(body, scripts))


@dataclass(frozen=True, eq=False)
class Solved:
    """Motions of a batch in the roles' order.

    Attributes:
        rotations: Local joint rotations, joint 0 in the world frame.
        pelvis: Metres.
        draft: What the motion was before its refinement, with the contacts' timing.
        steps: What planted feet follow.
        bodies: Proxies, for measuring.
    """

    rotations: Float[Tensor, "frame pair 2 24 3 3"]
    pelvis: Float[Tensor, "frame pair 2 3"]
    draft: Draft
    steps: Footsteps
    bodies: PairBodies


def solve(body: Body, scripts: Scripts) -> Solved:
    """Solve the key poses of a batch, connect them and refine the motion."""
    bodies = PairBodies(body, scripts.betas)
    draft = make_draft(scripts, *solve_key_poses(bodies, scripts))
    phase = np.stack([np.random.default_rng([seed, 7]).random(2) for seed in scripts.seeds])
    steps = plan_footsteps(
        bodies.pose(draft.rotations, draft.pelvis).transforms,
        bodies.rest_joints,
        bodies.sole_height,
        draft.constraints.planted,
        torch.as_tensor(phase, dtype=torch.float32),
        scripts.cycle_s,
    )
    low = lowered_pelvis(draft.rotations, draft.pelvis, bodies.rest_joints, steps)
    transforms = bodies.pose(draft.rotations, low).transforms
    legs = reach_footsteps(draft.rotations, low, bodies.rest_joints, transforms, steps)
    draft = replace(draft, rotations=legs, pelvis=low)
    rotations, pelvis = refine(bodies, draft, steps)
    transforms = bodies.pose(rotations, pelvis).transforms
    rotations = reach_footsteps(rotations, pelvis, bodies.rest_joints, transforms, steps)
    return Solved(rotations, pelvis, draft, steps, bodies)


def _records(
    body: Body,
    scripts: Scripts,
    seed: int,
    solved: Solved,
) -> list[PairMotion]:
    """Return the motions as records, some mirrored and some with people swapped."""
    records = []
    for pair, name in enumerate(scripts.names):
        order = [1, 0] if scripts.swap[pair] else [0, 1]
        turned, place = solved.rotations[:, pair, order], solved.pelvis[:, pair, order]
        if scripts.mirror[pair]:
            turned = mirrored_pose(turned)
            place = place * place.new_tensor([-1.0, 1.0, 1.0])
        records.append(
            PairMotion(
                rotations=turned.numpy().astype(np.float32),
                pelvis_m=place.numpy().astype(np.float32),
                betas=scripts.betas[pair, order].numpy().astype(np.float32),
                fps=np.array(FPS),
                body_name=np.array(body.name),
                name=np.array(f"{name}/seed{seed}/{pair}"),
            )
        )
    return records
