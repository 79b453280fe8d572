"""Linear blend skinning in plain numpy: as `body.model.Body.pose`, without loading torch."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from closefit.body.files import BodyArrays
from closefit.body.skeleton import NUM_JOINTS, PARENTS
from closefit.records import Motion, OptimizedMotion


@dataclass(frozen=True, eq=False)
class Skin:
    """Points of one person's shaped rest body (y up, facing +z, metres) that follow its joints.

    Attributes:
        rest: Positions.
        weights: Shares of the 24 joints; each row sums to 1.
        posedirs: SMPL's pose correctives of the points, or None.
    """

    rest: Float[np.ndarray, "point 3"]
    weights: Float[np.ndarray, "point 24"]
    posedirs: Float[np.ndarray, "point 3 207"] | None

    def blend(
        self, transforms: Float[np.ndarray, "24 3 4"], rotations: Float[np.ndarray, "24 3 3"]
    ) -> tuple[Float[np.ndarray, "point 3"], Float[np.ndarray, "point 3 3"]]:
        """Return the posed points, and the linear map that moves the surface around each.

        Args:
            transforms: From the rest body to the scene, by joint (`joint_transforms`).
            rotations: Local joint rotations of the same pose.
        """
        rest = self.rest
        if self.posedirs is not None:
            rest = rest + self.posedirs @ (rotations[1:] - np.eye(3, dtype=np.float32)).ravel()
        blended = (self.weights @ transforms.reshape(NUM_JOINTS, 12)).reshape(-1, 3, 4)
        turns = blended[..., :3]
        return (turns @ rest[..., None])[..., 0] + blended[..., 3], turns


@dataclass(frozen=True, eq=False)
class SkinnedGaussians:
    """One person's Gaussians on the shaped rest body; colour and opacity are from 0 to 1."""

    skin: Skin
    covariances: Float[np.ndarray, "gaussian 3 3"]
    colours: Float[np.ndarray, "gaussian 3"]
    opacities: Float[np.ndarray, "gaussian 1"]

    def pose(
        self, transforms: Float[np.ndarray, "24 3 4"], rotations: Float[np.ndarray, "24 3 3"]
    ) -> tuple[Float[np.ndarray, "gaussian 3"], Float[np.ndarray, "gaussian 3 3"]]:
        """Return means and covariances in the scene, metres; arguments as in `Skin.blend`."""
        means, turns = self.skin.blend(transforms, rotations)
        return means, turns @ self.covariances @ turns.swapaxes(-1, -2)


def body_skin(body: BodyArrays, betas: Float[np.ndarray, "10"]) -> Skin:
    """Return all vertices of the body in this shape."""
    arrays = body.tensors
    rest = arrays["v_template"] + arrays["shapedirs"] @ betas
    return Skin(rest, arrays["weights"], arrays.get("posedirs"))


def skinned_gaussians(body: BodyArrays, motion: OptimizedMotion, person: int) -> SkinnedGaussians:
    """Place a person's Gaussians on the rest body; each is skinned like its surface point."""
    whole = body_skin(body, motion.betas[person])
    corners = body.tensors["faces"][motion.gaussian_face[person]]
    barycentric = motion.gaussian_barycentric[person]

    def at_surface(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("gk,gk...->g...", barycentric, values[corners]))

    # Gaussians turn with the frames of the mean body's faces, whatever the shape.
    frames = _face_frames(body.tensors["v_template"][corners])
    offset = (frames @ motion.gaussian_offset_m[person][..., None])[..., 0]
    posedirs = None if whole.posedirs is None else at_surface(whole.posedirs)
    turns = Rotation.from_rotvec(motion.gaussian_rotation[person]).as_matrix().astype(np.float32)
    axes = frames @ turns
    axes = axes * motion.gaussian_scale_m[person][:, None, :]
    return SkinnedGaussians(
        skin=Skin(at_surface(whole.rest) + offset, at_surface(whole.weights), posedirs),
        covariances=axes @ axes.swapaxes(-1, -2),
        colours=motion.gaussian_colour[person],
        opacities=motion.gaussian_opacity[person][:, None],
    )


def joint_transforms(
    body: BodyArrays, motion: Motion, T_scene_camera: Float[np.ndarray, "frame 4 4"]
) -> Float[np.ndarray, "frame 2 24 3 4"]:
    """Return the transforms from each person's rest body to the scene, by frame and joint."""
    world = [motion.rotations[:, :, 0]]
    for joint, parent in enumerate(PARENTS[1:], start=1):
        world.append(world[parent] @ motion.rotations[:, :, joint])
    turns = T_scene_camera[:, None, None, :3, :3] @ np.stack(world, axis=2)
    joints = in_scene(motion.joints, T_scene_camera)
    rest = body.tensors["joints_template"] + np.einsum(
        "jck,pk->pjc", body.tensors["joints_dirs"], motion.betas
    )
    moves = joints - (turns @ rest[..., None])[..., 0]
    return np.concatenate([turns, moves[..., None]], axis=-1).astype(np.float32)


def in_scene(
    joints: Float[np.ndarray, "frame 2 24 3"], T_scene_camera: Float[np.ndarray, "frame 4 4"]
) -> Float[np.ndarray, "frame 2 24 3"]:
    """Move joints from each frame's camera to the scene."""
    turns = T_scene_camera[:, None, :3, :3].swapaxes(-1, -2)
    moved: Float[np.ndarray, "frame 2 24 3"] = joints @ turns + T_scene_camera[:, None, None, :3, 3]
    return moved


def _face_frames(corners: Float[np.ndarray, "face 3 3"]) -> Float[np.ndarray, "face 3 3"]:
    """As `appearance.avatar.face_frames`."""
    along = _unit(corners[:, 1] - corners[:, 0])
    out = _unit(np.cross(along, corners[:, 2] - corners[:, 0]))
    return np.stack([along, np.cross(out, along), out], axis=-1)


def _unit(vectors: Float[np.ndarray, "vector 3"]) -> Float[np.ndarray, "vector 3"]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Float[np.ndarray, "vector 3"] = vectors / np.maximum(length, 1e-12)
    return unit
