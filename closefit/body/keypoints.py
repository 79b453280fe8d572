"""Keypoint sets as data, and their 3D positions on a body.

Every keypoint is the mean of named body points: joints (`skeleton.JOINT_NAMES`) and landmarks
(surface vertices that each body file names). The sets are therefore defined once for all bodies.
Pose networks see other points than a body's joints; `coco17_detected` has the difference.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from closefit.body.model import Body, PosedBody
from closefit.body.skeleton import JOINT_INDEX, NUM_JOINTS, other_side
from closefit.errors import WeightsError


@dataclass(frozen=True)
class KeypointSet:
    """The keypoints of a detector or data set, in its order."""

    points: Mapping[str, tuple[str, ...]]
    """Keypoint name -> the body points whose mean it is."""
    limb_names: tuple[tuple[str, str], ...]
    """Keypoints to connect when drawing."""
    offsets_m: Mapping[str, tuple[str, tuple[float, float, float]]] = field(default_factory=dict)
    """Keypoint name -> a joint, and how far the keypoint lies from its mean, in the joint's axes
    (x to the person's left, y up and z to the front at rest). For the free body only."""

    @property
    def names(self) -> tuple[str, ...]:
        """Keypoint names in order."""
        return tuple(self.points)

    @property
    def limbs(self) -> tuple[tuple[int, int], ...]:
        """Index pairs to connect when drawing."""
        names = self.names
        return tuple((names.index(start), names.index(end)) for start, end in self.limb_names)

    @property
    def swap(self) -> tuple[int, ...]:
        """For each keypoint the index of its mirror image (itself on the midline)."""
        names = self.names
        return tuple(names.index(other_side(name)) for name in names)


def _named(*names: str) -> dict[str, tuple[str, ...]]:
    """Return keypoints that carry the name of the body point they are."""
    return {name: (name,) for name in names}


_ARMS_AND_LEGS = (
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
)
_TRUNK = (
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"),
)
_FACE = (
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
)
_FEET = (
    ("left_ankle", "left_heel"),
    ("left_ankle", "left_big_toe"),
    ("left_big_toe", "left_small_toe"),
    ("right_ankle", "right_heel"),
    ("right_ankle", "right_big_toe"),
    ("right_big_toe", "right_small_toe"),
)

_BELOW_NECK = (("neck", "mid_hip"), *_TRUNK[:2], *_ARMS_AND_LEGS, *_FEET)

COCO17 = KeypointSet(
    points=_named(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
        "left_wrist", "right_wrist", "left_hip", "right_hip",
        "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    limb_names=_FACE + _TRUNK + _ARMS_AND_LEGS,
)  # fmt: skip
COCO17_FACE = slice(0, 5)
COCO17_TORSO = (5, 6, 11, 12)
"""Shoulders and hips."""

# Least squares over rendered people (benchmarks/keypoint_offsets.py), mean of two detectors.
# Offsets of wrists and of the face are not constant over clips or detectors.
_DETECTED_LEFT_MM = {
    "shoulder": ("spine3", (-19, 27, -3)),
    "elbow": ("left_shoulder", (-24, 0, 5)),
    "hip": ("pelvis", (-20, 3, 29)),
    "knee": ("left_hip", (-5, -4, -14)),
    "ankle": ("left_knee", (-2, 24, 7)),
}


def _detected_offsets_m() -> dict[str, tuple[str, tuple[float, float, float]]]:
    """Both sides of `_DETECTED_LEFT_MM`."""
    offsets = {}
    for point, (joint, (x, y, z)) in _DETECTED_LEFT_MM.items():
        offsets[f"left_{point}"] = (joint, (x / 1000, y / 1000, z / 1000))
        offsets[f"right_{point}"] = (other_side(joint), (-x / 1000, y / 1000, z / 1000))
    return offsets


COCO17_DETECTED = replace(COCO17, offsets_m=_detected_offsets_m())
"""COCO's keypoints where pose networks see them."""

_MIDDLE = {
    "neck": ("left_shoulder", "right_shoulder"),
    "mid_hip": ("left_hip", "right_hip"),
}

HALPE26 = KeypointSet(
    points={
        **COCO17.points,
        "head_top": ("head_top",),
        **_MIDDLE,
        **_named(
            "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe",
            "left_heel", "right_heel",
        ),
    },
    limb_names=(*_FACE, ("head_top", "neck"), *_BELOW_NECK),
)  # fmt: skip

OPENPOSE25 = KeypointSet(
    points={
        "nose": ("nose",),
        "neck": _MIDDLE["neck"],
        **_named(
            "right_shoulder", "right_elbow", "right_wrist",
            "left_shoulder", "left_elbow", "left_wrist",
        ),
        "mid_hip": _MIDDLE["mid_hip"],
        **_named(
            "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
            "right_eye", "left_eye", "right_ear", "left_ear",
            "left_big_toe", "left_small_toe", "left_heel",
            "right_big_toe", "right_small_toe", "right_heel",
        ),
    },
    limb_names=(*_FACE, ("nose", "neck"), *_BELOW_NECK),
)  # fmt: skip

LSP14 = KeypointSet(
    points={
        **_named(
            "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
            "right_wrist", "right_elbow", "right_shoulder",
            "left_shoulder", "left_elbow", "left_wrist",
        ),
        "neck": ("neck",),
        "head_top": ("head_top",),
    },
    limb_names=(("head_top", "neck"), *_TRUNK, *_ARMS_AND_LEGS),
)  # fmt: skip

KEYPOINT_SETS = {
    "coco17": COCO17,
    "coco17_detected": COCO17_DETECTED,
    "halpe26": HALPE26,
    "openpose25": OPENPOSE25,
    "lsp14": LSP14,
}


class KeypointRegressor:
    """Keypoints from a body's joints and the few vertices that some of them need.

    Pose only those vertices to save the skinning of all others:
    `small = body.subset(regressor.vertex_indices)`, then `regressor.of(small.pose(...))`.
    """

    vertex_indices: Int[Tensor, " landmark"]
    """Vertices of the whole body that the keypoints use, in the order that calls expect."""

    def __init__(self, body: Body, keypoint_set: str) -> None:
        """Prepare the regression on the device and in the type of `body`.

        Args:
            body: The whole body (a subset has no landmarks).
            keypoint_set: A name in `KEYPOINT_SETS`.

        Raises:
            WeightsError: The body file does not name a landmark that the set needs.
        """
        chosen = KEYPOINT_SETS[keypoint_set]
        points = chosen.points
        landmarks = [
            point for parts in points.values() for point in parts if point not in JOINT_INDEX
        ]
        missing = [landmark for landmark in landmarks if landmark not in body.landmarks]
        if missing:
            raise WeightsError(
                f"the body model has no landmark `{missing[0]}`, which `{keypoint_set}` needs",
                hint="use `coco17` keypoints with this body, or the body that closefit ships",
            )
        columns = JOINT_INDEX | {name: NUM_JOINTS + row for row, name in enumerate(landmarks)}
        weights = torch.zeros(len(points), len(columns))
        for row, parts in enumerate(points.values()):
            weights[row, [columns[part] for part in parts]] = 1.0 / len(parts)
        self._weights = weights.to(body.v_template)
        self.vertex_indices = torch.tensor(
            [body.landmarks[name] for name in landmarks],
            dtype=torch.int64,
            device=body.v_template.device,
        )
        # SMPL's joints lie elsewhere than the free body's, for which the offsets are measured.
        offsets = chosen.offsets_m if body.name == "closefit" else {}
        rows = [chosen.names.index(name) for name in offsets]
        self._moved = torch.tensor(rows, dtype=torch.int64, device=body.v_template.device)
        joints = [JOINT_INDEX[joint] for joint, _ in offsets.values()]
        self._axes = torch.tensor(joints, dtype=torch.int64, device=body.v_template.device)
        shift = torch.tensor([shift for _, shift in offsets.values()]).reshape(-1, 3, 1)
        self._shift_m = shift.to(body.v_template)

    def __call__(
        self, joints: Float[Tensor, "*batch 24 3"], vertices: Float[Tensor, "*batch landmark 3"]
    ) -> Float[Tensor, "*batch keypoint 3"]:
        """Return the means of body points, in the frame and units of the inputs.

        Offsets of the set are left out: they need the axes of the joints (`of`).

        Args:
            joints: All joints.
            vertices: The vertices `vertex_indices`, in that order.
        """
        return self._weights @ torch.cat([joints, vertices], dim=-2)

    def of(self, posed: PosedBody) -> Float[Tensor, "*batch keypoint 3"]:
        """Return the keypoints of `body.subset(vertex_indices)`, posed, in its frame and units."""
        keypoints = self(posed.joints, posed.vertices)
        if len(self._moved) == 0:
            return keypoints
        axes = posed.transforms[..., self._axes, :3, :3]
        return keypoints.index_add(-2, self._moved, (axes @ self._shift_m)[..., 0])
