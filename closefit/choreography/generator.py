"""Generating two-person motion: batches of sampled scenes, solved, interpolated and refined."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body import Body
from closefit.choreography.angles import mirrored_pose
from closefit.choreography.footsteps import plan_footsteps, reach_footsteps
from closefit.choreography.key_poses import solve_key_poses
from closefit.choreography.kinds import SCENES
from closefit.choreography.objective import PairBodies
from closefit.choreography.refinement import refine
from closefit.choreography.scripts import FPS, Scripts, sample_scripts
from closefit.choreography.timeline import make_draft
from closefit.records import PairMotion

KINDS = tuple(SCENES)
"""Names of all kinds of contact."""

BATCH_FRAMES = 64 * 150
"""Frames of all pairs of a batch together: bounds the memory."""


def generate(
    body: Body,
    count: int,
    seed: int,
    frames: int = 150,
    kinds: Sequence[str] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> list[PairMotion]:
    """Make motions of two people in close contact.

    Motion number i depends on `seed`, i, `frames`, `kinds` and the body only.

    Args:
        body: The body model; shapes are sampled for its stature.
        count: How many motions.
        seed: Of everything random.
        frames: Length of each, at 30 frames per second.
        kinds: Kinds to choose from, all of `KINDS` if None.
        on_step: Called after each batch with the number of motions made and `count`.

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
    size = max(1, BATCH_FRAMES // frames)
    motions: list[PairMotion] = []
    for start in range(0, count, size):
        indices = range(start, min(start + size, count))
        scripts = sample_scripts(body, frames, seed, indices, chosen)
        motions += _records(body, scripts, seed, indices, *_make(body, scripts))
        if on_step is not None:
            on_step(len(motions), count)
    return motions


def _make(
    body: Body, scripts: Scripts
) -> tuple[Float[Tensor, "frame pair 2 24 3 3"], Float[Tensor, "frame pair 2 3"]]:
    """Return rotations and pelvis positions of a batch."""
    bodies = PairBodies(body, scripts.betas)
    draft = make_draft(scripts, solve_key_poses(bodies, scripts))
    posed = bodies.pose(draft.rotations, draft.pelvis)
    phase = np.stack([np.random.default_rng([seed, 7]).random(2) for seed in scripts.seeds])
    steps = plan_footsteps(
        posed.transforms,
        bodies.rest_joints,
        bodies.sole_height,
        draft.planted,
        torch.as_tensor(phase, dtype=torch.float32),
    )
    rotations, pelvis = refine(bodies, scripts, draft, steps)
    transforms = bodies.pose(rotations, pelvis).transforms
    rotations = reach_footsteps(rotations, pelvis, bodies.rest_joints, transforms, steps)
    return rotations, pelvis


def _records(
    body: Body,
    scripts: Scripts,
    seed: int,
    indices: Sequence[int],
    rotations: Float[Tensor, "frame pair 2 24 3 3"],
    pelvis: Float[Tensor, "frame pair 2 3"],
) -> list[PairMotion]:
    """Return the motions as records, some mirrored and with people changed over."""
    records = []
    for pair, index in enumerate(indices):
        order = [1, 0] if scripts.swap[pair] else [0, 1]
        turned, place = rotations[:, pair, order], pelvis[:, pair, order]
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
                name=np.array(f"{scripts.names[pair]}/seed{seed}/{index}"),
            )
        )
    return records
