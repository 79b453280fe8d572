"""A body and motion that is known exactly."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from closefit.body.model import Body
from closefit.records import PairMotion

WEIGHTS = Path(__file__).resolve().parents[4] / "weights"

MakeMotion = Callable[..., PairMotion]


@pytest.fixture(scope="session")
def body() -> Body:
    """The free body."""
    return Body.load(WEIGHTS / "closefit_body.npz")


def smooth_noise(random: np.random.Generator, frames: int, *shape: int) -> np.ndarray:
    """Smooth random curves of about unit size."""
    time = (np.arange(frames) / 15.0).reshape(-1, *[1] * len(shape))
    phase, speed = random.uniform(0, 6, shape), random.uniform(0.5, 2.0, shape)
    return np.sin(speed * time + phase)


@pytest.fixture
def make_motion() -> MakeMotion:
    """Make smooth random motion of one or two standing people, 1 m apart, soles near the floor."""

    def make(people: int = 2, frames: int = 45, fps: float = 30.0, seed: int = 0) -> PairMotion:
        random = np.random.default_rng(seed)
        turns = 0.25 * smooth_noise(random, frames, people, 24, 3)
        turns[:, :, 22:] = 0.0  # files carry no useful rotation of the hands' tips
        turns[:, :, 10:12] = 0.0
        rotations = Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix()
        pelvis = 0.1 * smooth_noise(random, frames, people, 3)
        pelvis[..., 0] += np.arange(people)
        pelvis[..., 1] += 0.9
        return PairMotion(
            rotations=rotations.reshape(frames, people, 24, 3, 3).astype(np.float32),
            pelvis_m=pelvis.astype(np.float32),
            betas=np.zeros((people, 10), np.float32),
            fps=np.array(fps),
            body_name=np.array("closefit"),
            name=np.array(f"noise{seed}"),
        )

    return make


def joints_of(motion: PairMotion, body: Body) -> np.ndarray:
    """Joint positions in the world."""
    betas = torch.from_numpy(motion.betas)
    transl = torch.from_numpy(motion.pelvis_m) - body.rest(betas).joints[:, 0]
    return body.joints(torch.from_numpy(motion.rotations), betas, transl).numpy()
