"""Body height and the height of joints above the sole, as functions of shape."""

import torch
from jaxtyping import Float
from torch import Tensor

from closefit.body.model import Body


class Stature:
    """Standing height of a shaped body from its highest and lowest template vertices."""

    def __init__(self, body: Body) -> None:
        """Find the two vertices once."""
        height = body.v_template[:, 1]
        ends = torch.stack([height.argmax(), height.argmin()])
        self._template = body.v_template[ends, 1]
        self._directions = body.shapedirs[ends, 1]
        self._joint_height = body.joints_template[:, 1]

    def __call__(self, betas: Float[Tensor, "person 10"]) -> Float[Tensor, " person"]:
        """Height in metres of each person."""
        ends = self._template + betas @ self._directions.T
        return ends[..., 0] - ends[..., 1]

    def clearance(self, joints: Tensor) -> Float[Tensor, " joint"]:
        """Height of `joints` above the sole of the standing mean body, metres."""
        return self._joint_height[joints] - self._template[1]
