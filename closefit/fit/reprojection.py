"""Keypoints of posed bodies in the image, without posing the whole mesh."""

from jaxtyping import Float
from torch import Tensor

from closefit.body.keypoints import KeypointRegressor
from closefit.body.model import Body
from closefit.geometry.camera import project


class KeypointProjector:
    """Poses a body and projects the keypoints of one set."""

    def __init__(self, body: Body, set_name: str) -> None:
        """Prepare for `body` and the keypoint set `set_name`."""
        self._regressor = KeypointRegressor(body, set_name)
        self._points = body.subset(self._regressor.vertex_indices)

    def keypoints(
        self,
        rotations: Float[Tensor, "*#batch 24 3 3"],
        betas: Float[Tensor, "*#batch 10"],
        transl: Float[Tensor, "*#batch 3"],
    ) -> tuple[Float[Tensor, "*batch 24 3"], Float[Tensor, "*batch keypoint 3"]]:
        """Return joints and keypoints in the camera frame, metres."""
        posed = self._points.pose(rotations, betas, transl)
        return posed.joints, self._regressor.of(posed)

    def __call__(
        self,
        rotations: Float[Tensor, "*#batch 24 3 3"],
        betas: Float[Tensor, "*#batch 10"],
        transl: Float[Tensor, "*#batch 3"],
        K: Float[Tensor, "frame 3 3"],
    ) -> tuple[Float[Tensor, "*batch 24 3"], Float[Tensor, "*batch keypoint 2"]]:
        """Return joints in the camera frame (metres) and projected keypoints (pixels)."""
        joints, keypoints = self.keypoints(rotations, betas, transl)
        return joints, project(keypoints, K[:, None, None])
