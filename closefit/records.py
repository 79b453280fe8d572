"""Typed containers that pass between stages; numpy only.

The annotation of a field is its whole schema: documentation, static type, and what `artifacts.py`
checks on load. Axis words, always in this order: frame, person, then joint, keypoint, vertex,
gaussian or a literal size. Cameras follow OpenCV: x right, y down, z forward, metres; pixels start
at the top left corner of the image and pixel centres lie at +0.5. An axis of size 0 means "not
available" (for example `landmarks_3d_m` of a backend that has none).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from msgspec import Meta

from closefit.boundary.checks import require, require_finite, require_rotations
from closefit.mask_stack import MaskStack, check, join, split

BODY_NAMES = ("closefit", "smpl")
TRACKED_KEYPOINTS = ("coco17", "coco17_detected")
MAX_SIDE_PX = 1 << 16
FARTHEST_M = 10_000.0
"""No motion file has people farther from its origin."""

REACH_M = (0.1, 3.0)
"""Distance from the pelvis to the farthest joint of any person, from infants to giants."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Facts of a video after its rotation metadata is applied.

    Attributes:
        path: The file.
        width: Width in pixels.
        height: Height in pixels.
        fps: Frames per second (mean rate where the rate varies).
        num_frames: Number of frames.
        duration_s: Length.
        rotation_deg: The rotation that its metadata asked for.
        variable_frame_rate: The times between frames differ.
        content_sha256: SHA-256 of the file.
        focal_px: Focal length that the camera wrote into the file; None where it did not.
    """

    path: str
    width: Annotated[int, Meta(ge=1, le=1 << 16)]
    height: Annotated[int, Meta(ge=1, le=1 << 16)]
    fps: Annotated[float, Meta(gt=0.0, le=1e6)]
    num_frames: Annotated[int, Meta(ge=1, le=1 << 32)]
    duration_s: Annotated[float, Meta(ge=0.0, le=1e9)]
    rotation_deg: Annotated[int, Meta(ge=0, lt=360)]
    variable_frame_rate: bool
    content_sha256: str
    focal_px: Annotated[float, Meta(gt=0.0, le=1e9)] | None = None


@dataclass(frozen=True, kw_only=True)
class DetectedPeople:
    """Everybody who was detected in a clip, in order of frames.

    `track` keeps this record, so that it can decide again who is who without detecting again.

    Attributes:
        time_s: Time stamp of each frame in the source video.
        size_wh: Width and height in pixels of the pictures in which people were detected (the
            working size). Boxes, keypoints and masks are in these pixels.
        frame: Frame of each detection.
        boxes_xyxy: Left, top, right, bottom of each detection.
        scores: Confidence that this is a person.
        keypoints: COCO-17 x, y and confidence in [0, 1].
        landmarks_3d_m: As in `Track`; size 0 where the detector has none.
        colours: Description of the clothes' colours; NaN where unknown.
        identity: Number of the person in an import; -1 where unknown.
        mask_corners: Left, top, right, bottom of each mask's bounding box.
        mask_bytes: Pixels of these boxes, deflated (see `mask_stack`), one after the other.
        mask_ends: Where each mask's bytes end.
    """

    KIND: ClassVar[str] = "detections"
    VERSION: ClassVar[int] = 2

    time_s: Float[np.ndarray, " frame"]
    size_wh: Int[np.ndarray, "2"]
    frame: Int[np.ndarray, " detection"]
    boxes_xyxy: Float[np.ndarray, "detection 4"]
    scores: Float[np.ndarray, " detection"]
    keypoints: Float[np.ndarray, "detection 17 3"]
    landmarks_3d_m: Float[np.ndarray, "detection landmark 4"]
    colours: Float[np.ndarray, "detection colour"]
    identity: Int[np.ndarray, " detection"]
    mask_corners: Int[np.ndarray, "detection 4"]
    mask_bytes: UInt8[np.ndarray, " mask_byte"]
    mask_ends: Int[np.ndarray, " detection"]

    @property
    def num_frames(self) -> int:
        """Length of the clip."""
        return len(self.time_s)

    @property
    def height_px(self) -> Float[np.ndarray, " detection"]:
        """Heights of the boxes."""
        heights: Float[np.ndarray, " detection"] = self.boxes_xyxy[:, 3] - self.boxes_xyxy[:, 1]
        return heights

    def of(self, chosen: Int[np.ndarray, " chosen"]) -> "DetectedPeople":
        """Some of the detections, given by number in order of frames."""
        masks = list(split(self.mask_bytes, self.mask_ends))
        mask_bytes, mask_ends = join(masks[number] for number in chosen)
        return replace(
            self,
            frame=self.frame[chosen],
            boxes_xyxy=self.boxes_xyxy[chosen],
            scores=self.scores[chosen],
            keypoints=self.keypoints[chosen],
            landmarks_3d_m=self.landmarks_3d_m[chosen],
            colours=self.colours[chosen],
            identity=self.identity[chosen],
            mask_corners=self.mask_corners[chosen],
            mask_bytes=mask_bytes,
            mask_ends=mask_ends,
        )

    def check(self) -> None:
        """Check the values.

        Raises:
            ValueError: One cannot be right.
        """
        require_finite(self, "time_s", "size_wh", "boxes_xyxy", "scores", "keypoints")
        possible = (self.size_wh > 0).all() and (self.size_wh <= MAX_SIDE_PX).all()
        require(possible, "it has an impossible picture size")
        require((self.mask_corners <= MAX_SIDE_PX).all(), "a mask has an impossible box")
        require((np.diff(self.time_s) > 0).all(), "its times do not increase")
        in_order = (np.diff(self.frame) >= 0).all()
        require(
            in_order and (self.frame >= 0).all() and (self.frame < self.num_frames).all(),
            "it has detections outside of its frames",
        )
        sides = self.mask_corners[:, 2:] - self.mask_corners[:, :2]
        require(
            (self.mask_corners >= 0).all() and (sides >= 0).all(), "a mask has an impossible box"
        )
        with _about_masks():
            check(self.mask_bytes, self.mask_ends, np.prod(sides, axis=1))


@dataclass(frozen=True, kw_only=True)
class Track:
    """Two people followed through a clip: the result of `stage track`.

    Attributes:
        time_s: Time stamp of each frame in the source video.
        fps: Frames per second of this clip (mean rate where the source rate varies).
        size_wh: Width and height of the source video in pixels, upright.
        boxes_xyxy: Left, top, right, bottom in source pixels; NaN where there is no box.
        keypoints: x, y in source pixels and confidence in [0, 1] (0 where unknown).
        keypoint_set: Name of the set in `body.keypoints`, `coco17` or `coco17_detected`.
        landmarks_3d_m: Metric 3D positions of the keypoints (same order) about the person's own hip
            midpoint, in camera axes, and confidence. Size 0 where a backend has none.
        union_mask_bytes: Pixels of both people, deflated (see `mask_stack`), one mask after the
            other. An empty mask has no bytes and means unknown.
        union_mask_ends: Where each frame's bytes end.
        person_mask_bytes: Pixels of each person, likewise; all empty where masks do not separate
            the two people.
        person_mask_ends: Where each frame's and person's bytes end.
        mask_size_wh: Width and height of the masks (the working size, at most the source's).
        seen: The person was detected in the frame.
        filled: Box and keypoints were interpolated over a short gap.
        identity_confidence: Probability that this detection is of this person.
        homographies: From pixels of one frame, the reference, to those of each frame: how the
            camera turned and zoomed. The identity in all frames where it stands still.
        still_xyxy: Left, top, right, bottom, in pixels of the reference frame, of the picture that
            holds all frames as a still camera sees them.
    """

    KIND: ClassVar[str] = "track"
    VERSION: ClassVar[int] = 5

    time_s: Float[np.ndarray, " frame"]
    fps: Float[np.ndarray, ""]
    size_wh: Int[np.ndarray, "2"]
    boxes_xyxy: Float[np.ndarray, "frame person 4"]
    keypoints: Float[np.ndarray, "frame person keypoint 3"]
    keypoint_set: np.ndarray
    landmarks_3d_m: Float[np.ndarray, "frame person landmark 4"]
    union_mask_bytes: UInt8[np.ndarray, " union_byte"]
    union_mask_ends: Int[np.ndarray, " frame"]
    person_mask_bytes: UInt8[np.ndarray, " person_byte"]
    person_mask_ends: Int[np.ndarray, "frame person"]
    mask_size_wh: Int[np.ndarray, "2"]
    seen: Bool[np.ndarray, "frame person"]
    filled: Bool[np.ndarray, "frame person"]
    identity_confidence: Float[np.ndarray, "frame person"]
    homographies: Float[np.ndarray, "frame 3 3"]
    still_xyxy: Int[np.ndarray, "4"]

    @property
    def camera_moves(self) -> bool:
        """Whether the camera turned or zoomed."""
        return bool((self.homographies != np.eye(3)).any())

    @property
    def union_masks(self) -> MaskStack:
        """Pixels of both people in each frame."""
        return MaskStack(self.union_mask_bytes, self.union_mask_ends, self._mask_size)

    @property
    def person_masks(self) -> MaskStack:
        """Pixels of each person in each frame."""
        return MaskStack(self.person_mask_bytes, self.person_mask_ends, self._mask_size)

    @property
    def _mask_size(self) -> tuple[int, int]:
        return int(self.mask_size_wh[0]), int(self.mask_size_wh[1])

    def check(self) -> None:
        """Check the values.

        Raises:
            ValueError: One cannot be right.
        """
        require_finite(self, "time_s", "fps", "keypoints", "landmarks_3d_m")
        require_finite(self, "identity_confidence", "homographies")
        require((np.abs(np.linalg.det(self.homographies)) > 0).all(), "a homography is singular")
        left, top, right, bottom = self.still_xyxy.tolist()
        is_picture = 0 < right - left <= MAX_SIDE_PX and 0 < bottom - top <= MAX_SIDE_PX
        require(is_picture, "the still picture has an impossible size")
        require(self.fps > 0 and (np.diff(self.time_s) > 0).all(), "its times do not increase")
        sizes = np.stack([self.size_wh, self.mask_size_wh])
        possible = (self.size_wh > 0).all() and (sizes <= MAX_SIDE_PX).all()
        require(possible, "it has an impossible picture size")
        require(str(self.keypoint_set) in TRACKED_KEYPOINTS, "it has an unknown keypoint set")
        require(not np.isinf(self.boxes_xyxy).any(), "`boxes_xyxy` has an infinite value")
        known = np.isfinite(self.boxes_xyxy).all(axis=-1)
        require(known[self.seen].all() and known.any(), "it has people without a box")
        with _about_masks():
            require((self.mask_size_wh > 0).all(), "they have an impossible size")
            self.union_masks.check()
            self.person_masks.check()


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Both people's motion in one metric camera frame: what `stage init` writes.

    Where the camera moves, the frame is that of the still camera, which has the place, direction
    and lens of the one in the reference frame of `Track`, and a picture that holds all frames.

    Attributes:
        rotations: Local joint rotation matrices; joint 0 maps the body frame into the camera's.
        betas: Shape coefficients of the body, one set per person.
        transl: Translation as SMPL has it: `joints[:, :, 0]` is it plus the rest pelvis.
        joints: Joint positions in the camera frame.
        K: Intrinsics of every frame, for source pixels, or for those of the still picture.
        valid: The person's pose in this frame rests on observations near in time.
        confidence: Trust in the pose, 0 (guess) to 1; the joint error to expect is
            130 mm - 100 mm * confidence (`fit/confidence.py`).
        body_name: `closefit` or `smpl`.
        floor: Shared floor: unit up normal and offset; height of x is normal . x + offset.
        notes: Free text lines (chosen hypotheses, warnings), newline separated.
    """

    KIND: ClassVar[str] = "init"
    VERSION: ClassVar[int] = 1

    rotations: Float[np.ndarray, "frame person 24 3 3"]
    betas: Float[np.ndarray, "person 10"]
    transl: Float[np.ndarray, "frame person 3"]
    joints: Float[np.ndarray, "frame person 24 3"]
    K: Float[np.ndarray, "frame 3 3"]
    valid: Bool[np.ndarray, "frame person"]
    confidence: Float[np.ndarray, "frame person"]
    body_name: np.ndarray
    floor: Float[np.ndarray, "4"]
    notes: np.ndarray

    def check(self) -> None:
        """Check that the values can be those of two people before a camera.

        Raises:
            ValueError: They cannot.
        """
        require_finite(
            *(self, "rotations", "betas", "transl", "joints", "K", "confidence", "floor")
        )
        require(str(self.body_name) in BODY_NAMES, "it is for an unknown body")
        require_rotations(self.rotations)
        require((self.K[:, (0, 1), (0, 1)] > 0).all(), "`K` has a focal length of 0 or less")
        seen = self.joints[self.valid]
        require((seen[..., 2] > 0).all(), "a person is behind the camera")
        reach = np.linalg.norm(seen - seen[:, :1], axis=-1).max(initial=0.0, axis=-1)
        low, high = REACH_M
        require(
            ((reach > low) & (reach < high)).all(),
            f"a person's joints reach {reach.min(initial=np.inf):.2g} to "
            f"{reach.max(initial=0.0):.2g} m from the pelvis",
        )


@dataclass(frozen=True, kw_only=True)
class OptimizedMotion(Motion):
    """Motion and appearance after the joint optimisation: what `stage optimize` writes.

    Attributes:
        gaussian_face: Face of the body mesh that each Gaussian sits on.
        gaussian_barycentric: Its barycentric coordinates on that face.
        gaussian_offset_m: Offset in the face's frame.
        gaussian_rotation: Axis-angle rotation in the face's frame.
        gaussian_scale_m: Standard deviations along its axes.
        gaussian_colour: RGB in [0, 1].
        gaussian_opacity: Opacity in [0, 1].
        gaussian_identity: Ownership logit of the Gaussian's own person as a probability.
        status: `converged` (the loss has settled), `step limit` or `diverged`.
        curve_names: Name of each loss term.
        curves: Loss term values, one row per step; NaN where a step has no such term.
        kept_keypoints: Share of confident keypoints that passed the identity filter.
    """

    KIND: ClassVar[str] = "optimize"
    VERSION: ClassVar[int] = 1

    gaussian_face: Int[np.ndarray, "person gaussian"]
    gaussian_barycentric: Float[np.ndarray, "person gaussian 3"]
    gaussian_offset_m: Float[np.ndarray, "person gaussian 3"]
    gaussian_rotation: Float[np.ndarray, "person gaussian 3"]
    gaussian_scale_m: Float[np.ndarray, "person gaussian 3"]
    gaussian_colour: Float[np.ndarray, "person gaussian 3"]
    gaussian_opacity: Float[np.ndarray, "person gaussian"]
    gaussian_identity: Float[np.ndarray, "person gaussian"]
    status: np.ndarray
    curve_names: np.ndarray
    curves: Float[np.ndarray, "step term"]
    kept_keypoints: Float[np.ndarray, ""]

    def check(self) -> None:
        """Check the motion, and that the Gaussians can be drawn.

        Raises:
            ValueError: A value cannot be right.
        """
        super().check()
        require_finite(self, *(f.name for f in fields(self) if f.name.startswith("gaussian_")))
        require((self.gaussian_face >= 0).all(), "a Gaussian sits on no face")
        require((self.gaussian_scale_m > 0).all(), "a Gaussian has no size")


@dataclass(frozen=True, kw_only=True)
class PairMotion:
    """Motion in a world frame, without a camera: the content of motion files and of shards.

    World frame: y up, metres, the floor at y = 0 where there is one. One person (axis of size 1)
    or two; two people share the frame.

    Attributes:
        rotations: Local joint rotation matrices; joint 0 maps the body frame (y up, facing +z)
            into the world frame.
        pelvis_m: Position of joint 0.
        betas: Shape coefficients of the body `body_name`.
        fps: Frames per second.
        body_name: `closefit` or `smpl`.
        name: Where it comes from, for example `60_05+61_05` or `hug/seed12`.
    """

    rotations: Float[np.ndarray, "frame person 24 3 3"]
    pelvis_m: Float[np.ndarray, "frame person 3"]
    betas: Float[np.ndarray, "person 10"]
    fps: Float[np.ndarray, ""]
    body_name: np.ndarray
    name: np.ndarray

    def check(self) -> None:
        """Check that the values can be those of people.

        Raises:
            ValueError: They cannot.
        """
        require_finite(self, "rotations", "pelvis_m", "betas")
        require(len(self.pelvis_m) > 0, "it has no frame")
        require_rotations(self.rotations)
        far = np.abs(self.pelvis_m).max(initial=0.0)
        require(far < FARTHEST_M, f"a person is {far:.3g} m from the origin")


@dataclass(frozen=True, kw_only=True)
class PersonEstimates:
    """People as another tool estimated them; in memory only, not an artifact.

    Attributes:
        rotations: Local joint rotation matrices; joint 0 maps the body frame (y up, facing +z) into
            the camera frame. Identity where not `known`.
        transl_m: Position of the pelvis in the camera frame; NaN where unknown.
        known: The tool has an estimate of this person in this frame.
        K: Intrinsics that the tool worked with, in pixels of the source video; NaN where unknown.
        tool: Name of the tool or of the layout.
        has_camera: Rotations and positions are relative to the video's camera. If not, joint 0
            maps into the frame of a level camera with an arbitrary heading.
    """

    rotations: Float[np.ndarray, "frame person 24 3 3"]
    transl_m: Float[np.ndarray, "frame person 3"]
    known: Bool[np.ndarray, "frame person"]
    K: Float[np.ndarray, "3 3"]
    tool: str
    has_camera: bool


@contextmanager
def _about_masks() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"its masks cannot be read: {error}") from error
