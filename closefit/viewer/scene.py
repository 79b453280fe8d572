"""One motion in the 3D view: bodies, Gaussians, skeletons, contacts and the camera's picture."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from closefit.body.skeleton import PARENTS
from closefit.geometry.contact import lit_skin
from closefit.palette import CONTACT_COLOUR, PERSON_COLOURS
from closefit.records import Motion
from closefit.storage.workspace import NUM_PEOPLE
from closefit.viewer.footage import Footage
from closefit.viewer.posing import body_skin, in_scene, joint_transforms, skinned_gaussians
from closefit.viewer.results import Results

PICTURE_M, BEHIND_M = 0.5, 1.0
"""Distance of the picture from the camera, or from the farthest joint where it is a backdrop."""

BORDER_GREY = 128
CAMERA_COLOUR = (110, 110, 110)


@dataclass
class Shown:
    """What a user wants to see; `backdrop`: the camera's picture behind the people."""

    bodies: bool = True
    gaussians: bool = False
    skeletons: bool = False
    contacts: bool = True
    camera: bool = True
    backdrop: bool = False
    detections: bool = True
    reprojections: bool = True
    opacity: float = 1.0


class Stand:
    """One motion of one results folder at its place in the scene."""

    def __init__(
        self, server: Any, name: str, results: Results, motion: str, footage: Footage
    ) -> None:
        """Add it to the scene of a `viser.ViserServer`, hidden.

        Args:
            server: The server.
            name: Unique name; also the label under the people.
            results: The folder.
            motion: Which motion of the folder.
            footage: Its pictures.
        """
        self.name, self.results, self.footage = name, results, footage
        self._motion: Motion = results.motions[motion]
        self._transforms = joint_transforms(results.body, self._motion, results.T_scene_camera)
        self.joints = in_scene(self._motion.joints, results.T_scene_camera).astype(np.float32)
        self._frame = 0
        self._skins = [body_skin(results.body, betas) for betas in self._motion.betas]
        self._gaussians = (
            [skinned_gaussians(results.body, results.appearance, n) for n in range(NUM_PEOPLE)]
            if motion == "result" and results.appearance is not None
            else []
        )
        self._add_nodes(server.scene)

    @property
    def has_gaussians(self) -> bool:
        """Whether there is an appearance to show."""
        return bool(self._gaussians)

    @property
    def width_m(self) -> float:
        """Extent of the motion from side to side."""
        return float(np.ptp(self.joints[..., 0]))

    def _add_nodes(self, scene: Any) -> None:
        root, colours = f"/{self.name}", np.round(255 * PERSON_COLOURS).astype(np.uint8)
        self.root = scene.add_frame(root, show_axes=False, visible=False)
        middle = self.joints.mean((0, 1, 2))
        scene.add_label(f"{root}/name", self.name, position=(middle[0], -0.1, middle[2]))
        faces = self.results.body.tensors["faces"].astype(np.uint32)
        self._bodies, self._splats, self._bones = [], [], []
        for person, colour in enumerate(colours):
            start = f"{root}/person_{person}"
            rest = self._skins[person].rest
            body = scene.add_mesh_simple(f"{start}/body", rest, faces, color=tuple(colour.tolist()))
            self._bodies.append(body)
            bones = _bones(self.joints[0, person])
            lines = scene.add_line_segments(f"{start}/skeleton", bones, colour, thickness=0.02)
            self._bones.append(lines)
        for person, cloud in enumerate(self._gaussians):
            name, means = f"{root}/person_{person}/gaussians", cloud.skin.rest
            look = cloud.covariances, cloud.colours, cloud.opacities
            self._splats.append(scene.add_gaussian_splats(name, means, *look))
        self._lit = scene.add_point_cloud(
            f"{root}/contacts",
            self.joints[0, 0, :1],
            np.round(255 * np.array(CONTACT_COLOUR)).astype(np.uint8),
            point_size=0.009,
            point_shape="circle",
            precision="float32",
        )
        self._borders = _borders(self._motion.K[0], self.results.size_wh)
        (top, bottom), (left, right) = self._borders
        width, height = self.results.size_wh
        self._framed_wh = width + left + right, height + top + bottom
        self._lens = float(2.0 * np.arctan(0.5 * self._framed_wh[1] / self._motion.K[0, 1, 1]))
        self._picture_m = PICTURE_M
        self._camera = scene.add_camera_frustum(
            f"{root}/camera",
            self._lens,
            self._framed_wh[0] / self._framed_wh[1],
            thickness=0.006,
            color=CAMERA_COLOUR,
            wxyz=_quaternion(self._T_scene_camera[:3, :3]),
            position=self._T_scene_camera[:3, 3],
        )

    @property
    def _T_scene_camera(self) -> Float[np.ndarray, "4 4"]:
        """From the camera of the frame that is shown."""
        T: Float[np.ndarray, "4 4"] = self.results.T_scene_camera[self._frame]
        return T

    def show(self, frame: int, shown: Shown) -> None:
        """Update every visible part to a frame; later ones than the last show the last."""
        self._frame = frame = min(frame, self.results.num_frames - 1)
        transforms, rotations = self._transforms[frame], self._motion.rotations[frame]
        poses = list(zip(transforms, rotations, strict=True))
        for parts, visible in (
            (self._bodies, shown.bodies),
            (self._splats, shown.gaussians),
            (self._bones, shown.skeletons),
            ([self._lit], shown.contacts),
            ([self._camera], shown.camera),
        ):
            for part in parts:
                part.visible = visible
        if shown.bodies or shown.contacts:
            skins = zip(self._skins, poses, strict=True)
            vertices = [skin.blend(*pose)[0] for skin, pose in skins]
            for body, posed in zip(self._bodies, vertices, strict=True):
                body.vertices = posed
                body.opacity = shown.opacity if shown.opacity < 1.0 else None
            if shown.contacts:
                both = np.stack(vertices)
                lit = both[lit_skin(both)]
                self._lit.visible = len(lit) > 0
                self._lit.points = lit if len(lit) else vertices[0][:1]
        if shown.gaussians:
            for splats, rest, pose in zip(self._splats, self._gaussians, poses, strict=False):
                splats.set_gaussians(*rest.pose(*pose), rest.colours, rest.opacities)
        for lines, joints in zip(self._bones, self.joints[frame], strict=True):
            lines.points = _bones(joints)
        if shown.camera:
            far = float(self._motion.joints[..., 2].max()) + BEHIND_M
            self._picture_m = far if shown.backdrop else PICTURE_M
            self._camera.scale = self._frustum_scale(self._picture_m)
            self._camera.wxyz = _quaternion(self._T_scene_camera[:3, :3])
            self._camera.image = self._framed(self.picture(frame, shown))

    def _framed(self, picture: np.ndarray) -> np.ndarray:
        """Return the picture with borders that put the principal point in the middle."""
        scale = picture.shape[0] / self.results.size_wh[1]
        borders = [tuple(round(scale * side) for side in pair) for pair in self._borders]
        return np.pad(picture, [*borders, (0, 0)], constant_values=BORDER_GREY)

    def pixel_at(self, camera: Any, screen: tuple[float, float]) -> tuple[float, float] | None:
        """Return the source pixel of the picture in the camera at a place of a browser's canvas.

        Args:
            camera: The browser's camera.
            screen: Right and down, 0 to 1.

        Returns:
            None where the browser's camera does not look towards the picture's plane.
        """
        half = np.tan(0.5 * camera.fov)
        x, y = (2.0 * np.array(screen) - 1.0) * [half * camera.aspect, half]
        w, *vector = camera.wxyz
        turn = self._T_scene_camera[:3, :3].T
        ahead = turn @ Rotation.from_quat([*vector, w]).apply([x, y, 1.0])
        start = camera.position - self.root.position - self._T_scene_camera[:3, 3]
        start = turn @ start
        distance = (self._picture_m - start[2]) / ahead[2]
        if not (np.isfinite(distance) and distance > 0.0):
            return None
        u, v, w = self._motion.K[0] @ (start + distance * ahead)
        return float(u / w), float(v / w)

    def _frustum_scale(self, distance_m: float) -> float:
        """Return viser's scale of a frustum with its picture at this distance."""
        width, height = self._framed_wh
        half = np.tan(0.5 * self._lens)
        return float(distance_m * np.cbrt(half * half * width / height / 3.0))

    def look(self, camera: Any) -> None:
        """Move a browser's camera to that of the video."""
        turn, place = self._T_scene_camera[:3, :3], self._T_scene_camera[:3, 3]
        camera.wxyz = _quaternion(turn)
        camera.position = place + self.root.position
        camera.fov = self._lens

    def picture(
        self, frame: int, shown: Shown, box_xyxy: tuple[float, ...] | None = None
    ) -> np.ndarray:
        """Return the video's picture with what is drawn on it."""
        frame = min(frame, self.results.num_frames - 1)
        track = self.results.track
        detected = track.keypoints[frame] if track is not None and shown.detections else None
        points = self._motion.joints[frame] @ self._motion.K[frame].T
        joints = points[..., :2] / np.maximum(points[..., 2:], 0.1)
        return self.footage.drawn(
            frame, detected, joints if shown.reprojections else None, box_xyxy
        )


def _bones(joints: Float[np.ndarray, "24 3"]) -> Float[np.ndarray, "23 2 3"]:
    """Lines from each joint to its parent."""
    return np.stack([joints[1:], joints[list(PARENTS[1:])]], axis=1)


def _borders(
    K: Float[np.ndarray, "3 3"], size_wh: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return rows above and below, columns left and right, that centre the principal point.

    The cameras of viser have it in the middle.
    """
    (left, right), (top, bottom) = (
        (max(0, round(size - 2.0 * middle)), max(0, round(2.0 * middle - size)))
        for size, middle in zip(size_wh, K[:2, 2].tolist(), strict=True)
    )
    return (top, bottom), (left, right)


def _quaternion(turn: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "4"]:
    """Unit quaternion (wxyz) of a rotation."""
    return np.roll(Rotation.from_matrix(turn).as_quat(), 1)
