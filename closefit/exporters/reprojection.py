"""Keypoints of the bodies in the image."""

import numpy as np
import torch
from jaxtyping import Float

from closefit.body.keypoints import KeypointRegressor
from closefit.body.model import Body
from closefit.geometry.camera import project
from closefit.records import Motion


def reprojected_keypoints(
    body: Body, motion: Motion, keypoint_set: str
) -> Float[np.ndarray, "frame 2 keypoint 2"]:
    """Keypoints of both posed bodies in source pixels."""
    regressor = KeypointRegressor(body, keypoint_set)
    K, *pose = (
        torch.from_numpy(array).to(body.v_template)
        for array in (motion.K, motion.rotations, motion.betas, motion.transl)
    )
    posed = body.subset(regressor.vertex_indices).pose(*pose)
    keypoints: np.ndarray = project(regressor.of(posed), K[:, None, None]).cpu().numpy()
    return keypoints
