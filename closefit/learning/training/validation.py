"""Errors of a prior on held-out motion, before any fitting."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit.body.skeleton import EVALUATION_JOINTS
from closefit.learning.training.batches import DataRanges, FilmedWindows, draw_windows
from closefit.learning.training.windows import Augmentation, WindowSource
from closefit.prior.conditions import Conditions
from closefit.prior.diffusion import sample
from closefit.prior.masking import MaskingConfig, hidden_keypoints, hide
from closefit.prior.network import Denoiser
from closefit.prior.objective import GeometryOf, hip_centred, pair_distances
from closefit.prior.state import decode
from closefit.prior.view import View

PLAIN = Augmentation(pace=(1.0, 1.0), mirror_probability=0.0, shape_std=0.0, partner_std=0.0)
MM = 1000.0


@torch.no_grad()
def validate(
    network: Denoiser,
    sources: dict[str, WindowSource],
    geometry_of: GeometryOf,
    ranges: DataRanges,
    count: int = 128,
    seed: int = 1234,
) -> dict[str, float]:
    """Errors of one sample per window from noisy detections, millimetres.

    For each source: MPJPE and interaction error with both people detected; MPJPE of person 0 when
    most keypoints are hidden; MPJPE of person 0 and interaction error when all of them are.
    """
    scores = {}
    for name, source in sources.items():
        generator = torch.Generator().manual_seed(seed)
        plain = DataRanges(augmentation=PLAIN, cameras=ranges.cameras, detector=ranges.detector)
        filmed = draw_windows(source, geometry_of, count, plain, generator)
        masking = MaskingConfig(part_probability=1.0)
        parts = hidden_keypoints(count, 16, 17, masking, generator)
        nothing = torch.zeros_like(parts)
        most = nothing.clone()
        most[:, :, 0] = parts[:, :, 0] | (torch.rand(count, 1, 17, generator=generator) < 0.6)
        whole = nothing.clone()
        whole[:, :, 0] = True
        for label, hidden in {"seen": nothing, "partly": most, "unseen": whole}.items():
            error, interaction = _errors(network, filmed, hidden, geometry_of, generator)
            people: Sequence[int] = (0, 1) if label == "seen" else (0,)
            scores[f"{name}_{label}_mpjpe_mm"] = float(error[..., people].mean()) * MM
            scores[f"{name}_{label}_interaction_mm"] = float(interaction.mean()) * MM
    return scores


def _errors(
    network: Denoiser,
    filmed: FilmedWindows,
    hidden: Bool[Tensor, "batch 16 2 17"],
    geometry_of: GeometryOf,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "batch 16 2"], Float[Tensor, "batch 16"]]:
    """Joint error about each person's hips and error of pair distances, metres."""
    keypoints = hide(filmed.keypoints, hidden)
    view = View.of(keypoints)
    conditions = Conditions.of(keypoints, view)

    def denoise(x: Tensor, timestep: int) -> Tensor:
        found: Tensor = network(x, torch.full((len(x),), timestep), conditions)
        return found

    noise = torch.randn(*keypoints.shape[:3], network.state_mean.shape[0], generator=generator)
    joints = geometry_of(decode(network.denormalise(sample(denoise, noise)), view)).joints
    chosen = list(EVALUATION_JOINTS)
    difference = hip_centred(joints) - hip_centred(filmed.geometry.joints)
    distances = pair_distances(joints) - pair_distances(filmed.geometry.joints)
    return difference[..., chosen, :].norm(dim=-1).mean(-1), distances.abs().mean((-2, -1))
