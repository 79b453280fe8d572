"""Motion of one skeleton as a file gives it, before it is carried over to the body."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Z_UP_TO_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Maps a z-up frame to a y-up one: x stays, z becomes y, y becomes -z."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SourceMotion:
    """One person's motion on the file's own skeleton.

    Attributes:
        joint_names: Names in the file; end points of chains are named after their joint.
        rest_joints: Joint positions of the rest pose, in the file's unit.
        rotations_world: Rotation of each joint's part from the rest pose into the world.
        joints: Joint positions in the world, in the file's unit.
        unit_m: Metres per unit, where the file says it.
        fps: Frames per second.
        name: What it is called, for `PairMotion.name`.
        origin: The file it comes from, for messages.
    """

    joint_names: tuple[str, ...]
    rest_joints: Float[np.ndarray, "joint 3"]
    rotations_world: Float[np.ndarray, "frame joint 3 3"]
    joints: Float[np.ndarray, "frame joint 3"]
    unit_m: float | None
    fps: float
    name: str
    origin: str

    def turned(self, rotation: Float[np.ndarray, "3 3"]) -> "SourceMotion":
        """Return the same motion with the rest pose and the world both turned by `rotation`."""
        return SourceMotion(
            joint_names=self.joint_names,
            rest_joints=self.rest_joints @ rotation.T,
            rotations_world=rotation @ self.rotations_world @ rotation.T,
            joints=self.joints @ rotation.T,
            unit_m=self.unit_m,
            fps=self.fps,
            name=self.name,
            origin=self.origin,
        )
