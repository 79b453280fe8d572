"""What speaks against a result, frame by frame: pure functions of what was seen and what was found.

Each feature is a number in units of its own that is larger where a result is worse. NaN means that
it is not known in a frame, as without masks.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from closefit.body.joint_limits import JointLimits
from closefit.body.keypoints import KEYPOINT_SETS
from closefit.body.model import Body
from closefit.body.skeleton import JOINT_INDEX, PARTS
from closefit.body.stature import Stature
from closefit.exporters.contacts import Contacts
from closefit.fit.confidence import CERTAIN_MM, FACE, WORTHLESS_MM
from closefit.fit.floor import typical_up
from closefit.quality.silhouettes import Silhouettes
from closefit.records import Motion, Track

SURE, KNOWN = 0.5, 0.3
"""Confidence from which a keypoint is compared with the body, and from which it is there at all."""

USUAL_STATURE_M = 1.7

ORDER_SCALE_M = 0.1
"""Two people who are this much apart in depth can be told apart in it."""

FEET = [JOINT_INDEX[f"{side}_{name}"] for side in ("left", "right") for name in ("ankle", "foot")]

LIMBS = [
    (JOINT_INDEX[f"{side}_{start}"], JOINT_INDEX[f"{side}_{end}"])
    for side in ("left", "right")
    for start, end in (
        *(("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")),
    )
]

FrameValues = Float[np.ndarray, " frame"]
PersonValues = Float[np.ndarray, "frame 2"]


@dataclass(frozen=True)
class Feature:
    """One thing that speaks against a result.

    Attributes:
        name: Its name in the stored model.
        text: What it says in a reason; `{}` is the figure.
        figure: Format of that figure.
        factor: From the feature's unit to that of the text.
        over: `mean` over all frames, or the `worst` half second: what happens once matters as much
            in a long clip as in a short one.
        bend: Value around which the feature's effect goes from linear to logarithmic.
    """

    name: str
    text: str
    figure: str
    factor: float
    over: Literal["mean", "worst"]
    bend: float


FEATURES = (
    Feature("identity", "who is who is doubtful ({})", ".0%", 1.0, "worst", 0.05),
    Feature("guessed", "a person is guessed in {} of the frames", ".0%", 1.0, "mean", 0.2),
    Feature("filled", "a person is filled in in {} of the frames", ".0%", 1.0, "mean", 0.2),
    Feature("unseen", "{} of a person's keypoints were not seen", ".0%", 1.0, "mean", 0.2),
    Feature("unsure", "keypoints were seen with a doubt of {}", ".0%", 1.0, "mean", 0.2),
    Feature(
        "outside", "{} of a person's keypoints lie outside the picture", ".0%", 1.0, "mean", 0.1
    ),
    Feature("residual", "keypoints are off by {} of a person's height", ".1%", 1.0, "mean", 0.02),
    Feature("silhouette", "a body misses {} of its silhouette", ".0%", 1.0, "mean", 0.3),
    Feature("outline", "both bodies miss {} of the people's outline", ".0%", 1.0, "mean", 0.3),
    Feature("order", "{} of a person's pixels show the one behind", ".0%", 1.0, "mean", 0.02),
    Feature("overlap", "the two overlap in the image by {}", ".0%", 1.0, "mean", 0.2),
    Feature("margin", "who is in front is undecided ({})", ".0%", 1.0, "mean", 0.2),
    Feature("penetration", "the bodies are {} mm inside each other", ".0f", 1.0, "mean", 5.0),
    Feature(
        "apart", "the bodies are {} cm apart, which no contact confirms", ".0f", 100.0, "mean", 0.1
    ),
    Feature("slide", "touching parts slide at {} m/s", ".2f", 1.0, "mean", 0.2),
    Feature("jitter", "joints tremble with {} m/s²", ".0f", 1.0, "mean", 10.0),
    Feature("speed", "a joint moves at {} m/s", ".1f", 1.0, "worst", 3.0),
    Feature("floor", "feet are {} cm off the floor", ".0f", 100.0, "mean", 0.1),
    Feature("tilt", "the floor is tilted by {} degrees", ".0f", 1.0, "mean", 10.0),
    Feature("stature", "a person's height is {} cm from the usual", ".0f", 100.0, "mean", 0.1),
    Feature("foreshortening", "limbs point along the view ({})", ".0%", 1.0, "mean", 0.3),
    Feature("pose", "the poses are implausible ({})", ".0f", 1.0, "mean", 20.0),
    Feature("expected", "the expected joint error is {} mm", ".0f", 1.0, "mean", 40.0),
)
"""In the order of a table's columns."""


@dataclass(frozen=True, eq=False)
class Result:
    """A finished motion and what it is compared with.

    Attributes:
        track: What was seen.
        motion: What was found, before the still camera.
        keypoints_px: The bodies' keypoints, of the track's set, in source pixels.
        depth_m: Depth of each pelvis before each frame's camera.
        focal_px: Focal length of each frame.
        contacts: Of the bodies.
        silhouettes: Of bodies and masks.
    """

    track: Track
    motion: Motion
    keypoints_px: Float[np.ndarray, "frame 2 keypoint 2"]
    depth_m: PersonValues
    focal_px: FrameValues
    contacts: Contacts
    silhouettes: Silhouettes


def frame_features(result: Result, body: Body) -> Float[np.ndarray, "frame feature"]:
    """Return the features of every frame, columns as in `FEATURES`; NaN where unknown.

    A column is the worse of the two people, so their order does not matter, and is the same for a
    clip that is played backwards.
    """
    track, motion = result.track, result.motion
    stature_m = Stature(body)(torch.from_numpy(motion.betas).to(body.v_template)).cpu().numpy()
    height_px = stature_m * result.focal_px[:, None] / np.maximum(result.depth_m, 0.1)
    known = track.seen | track.filled
    acceleration, speed = _tremble(motion.joints, track.time_s)
    silhouettes = result.silhouettes
    columns: dict[str, np.ndarray] = {
        "identity": np.where(known, 1.0 - track.identity_confidence, 0.0),
        "guessed": (~known).astype(float),
        "filled": track.filled.astype(float),
        "unseen": _unseen(track),
        "unsure": 1.0 - track.keypoints[:, :, _used_keypoints(track), 2].mean(axis=-1),
        "outside": _outside(result.keypoints_px, track),
        "residual": _residual(track, result.keypoints_px, height_px),
        "silhouette": 1.0 - silhouettes.overlap,
        "outline": 1.0 - silhouettes.union_overlap,
        "order": silhouettes.contradicted,
        "overlap": _box_overlap(result.keypoints_px),
        "margin": _margin(result.keypoints_px, result.depth_m),
        "penetration": result.contacts.max_depth_mm,
        "apart": result.contacts.gap_m,
        "slide": _slide(result.contacts, motion.joints, track.time_s),
        "jitter": acceleration,
        "speed": speed,
        "floor": _off_floor(motion, body),
        "tilt": np.full(len(known), _tilt_deg(motion)),
        "stature": np.tile(np.abs(stature_m - USUAL_STATURE_M), (len(known), 1)),
        "foreshortening": _foreshortening(motion.joints),
        "pose": _implausibility(motion, body),
        "expected": WORTHLESS_MM - (WORTHLESS_MM - CERTAIN_MM) * motion.confidence,
    }
    return np.stack([_worse(columns[feature.name]) for feature in FEATURES], axis=1)


def _worse(values: np.ndarray) -> FrameValues:
    """The worse of both people; NaN only where neither is known."""
    if values.ndim == 1:
        return np.asarray(values, np.float64)
    return np.asarray(np.fmax(values[:, 0], values[:, 1]), np.float64)


def _used_keypoints(track: Track) -> list[int]:
    """Keypoints of shoulders, arms and legs: those of the face say little."""
    names = KEYPOINT_SETS[str(track.keypoint_set)].names
    return [number for number, name in enumerate(names) if not any(part in name for part in FACE)]


def _unseen(track: Track) -> PersonValues:
    confidence = track.keypoints[:, :, _used_keypoints(track), 2]
    return np.asarray((confidence < KNOWN).mean(axis=-1), np.float64)


def _residual(
    track: Track,
    projected_px: Float[np.ndarray, "frame 2 keypoint 2"],
    height_px: PersonValues,
) -> PersonValues:
    """Mean distance of the surely seen keypoints, in heights of the person in the image."""
    used = _used_keypoints(track)
    seen = track.keypoints[:, :, used]
    distance = np.linalg.norm(seen[..., :2] - projected_px[:, :, used], axis=-1)
    sure = (seen[..., 2] > SURE).astype(float)
    count = sure.sum(axis=-1)
    mean_px = (sure * np.nan_to_num(distance)).sum(axis=-1) / np.maximum(count, 1.0)
    return np.where(count > 0, mean_px / height_px, np.nan)


def _outside(projected_px: Float[np.ndarray, "frame 2 keypoint 2"], track: Track) -> PersonValues:
    """Share of the body's keypoints outside the picture, where nothing is seen of them."""
    points = projected_px[:, :, _used_keypoints(track)]
    inside = ((points >= 0.0) & (points <= track.size_wh)).all(axis=-1)
    return np.asarray(1.0 - inside.mean(axis=-1), np.float64)


def _box_overlap(projected_px: Float[np.ndarray, "frame 2 keypoint 2"]) -> FrameValues:
    """Overlap of the boxes around both people's keypoints, over the smaller box."""
    low, high = projected_px.min(axis=2), projected_px.max(axis=2)
    common = np.maximum(high.min(axis=1) - low.max(axis=1), 0.0).prod(axis=-1)
    smaller = (high - low).prod(axis=-1).min(axis=1)
    return np.asarray(np.clip(common / np.maximum(smaller, 1e-6), 0.0, 1.0), np.float64)


def _margin(
    projected_px: Float[np.ndarray, "frame 2 keypoint 2"], depth_m: PersonValues
) -> FrameValues:
    """Near 1 where the two overlap in the image and are equally far away; 0 without overlap."""
    apart_m = np.abs(depth_m[:, 0] - depth_m[:, 1])
    return np.asarray(_box_overlap(projected_px) * np.exp(-apart_m / ORDER_SCALE_M), np.float64)


def _foreshortening(joints: Float[np.ndarray, "frame 2 24 3"]) -> PersonValues:
    """Mean share of a limb's length that lies along the direction in which it is seen."""
    ends = joints[:, :, LIMBS].astype(np.float64)
    limb, middle = ends[..., 1, :] - ends[..., 0, :], ends.mean(axis=-2)
    along = np.abs((limb * middle).sum(axis=-1))
    lengths = np.linalg.norm(limb, axis=-1) * np.linalg.norm(middle, axis=-1)
    return np.asarray((along / np.maximum(lengths, 1e-6)).mean(axis=-1), np.float64)


def _slide(
    contacts: Contacts, joints: Float[np.ndarray, "frame 2 24 3"], time_s: FrameValues
) -> FrameValues:
    """Mean speed of touching parts relative to each other, m/s; 0 where nothing touches."""
    touching = np.isfinite(contacts.distance_m)
    first = [members[0] for members in PARTS.values()]
    places = joints[:, :, first].astype(np.float64)
    between = places[:, 0, :, None] - places[:, 1, None]
    speed = _per_frame(np.linalg.norm(np.diff(between, axis=0), axis=-1), time_s)
    count = touching.sum(axis=(1, 2))
    total = np.where(touching, speed, 0.0).sum(axis=(1, 2))
    return np.asarray(total / np.maximum(count, 1), np.float64)


def _tremble(
    joints: Float[np.ndarray, "frame 2 24 3"], time_s: FrameValues
) -> tuple[PersonValues, PersonValues]:
    """Mean acceleration of the joints (m/s²) and the fastest one's speed (m/s)."""
    steps = np.diff(joints.astype(np.float64), axis=0)
    speed = _per_frame(np.linalg.norm(steps, axis=-1), time_s).max(axis=-1)
    if len(joints) < 3:
        return np.zeros(joints.shape[:2]), speed
    rate = 1.0 / np.diff(time_s)[:, None, None, None]
    velocity = steps * rate
    change = np.linalg.norm(np.diff(velocity, axis=0), axis=-1).mean(axis=-1)
    inner = change / (0.5 * (time_s[2:] - time_s[:-2]))[:, None]
    return np.concatenate([inner[:1], inner, inner[-1:]]), speed


def _per_frame(lengths: Float[np.ndarray, "step ..."], time_s: FrameValues) -> np.ndarray:
    """Speeds of frames from the lengths of steps: the faster of the step before and after."""
    if len(lengths) == 0:
        return np.zeros((1, *lengths.shape[1:]))
    speed = lengths / np.diff(time_s).reshape(-1, *(1,) * (lengths.ndim - 1))
    faster: np.ndarray = np.maximum(
        np.concatenate([speed[:1], speed]), np.concatenate([speed, speed[-1:]])
    )
    return faster


def _off_floor(motion: Motion, body: Body) -> PersonValues:
    """Height of the lower foot above the floor on which it would stand, without sign; metres."""
    height = motion.joints[:, :, FEET] @ motion.floor[:3] + motion.floor[3]
    clearance = Stature(body).clearance(torch.tensor(FEET)).cpu().numpy()
    return np.asarray(np.abs((height - clearance).min(axis=-1)), np.float64)


def _tilt_deg(motion: Motion) -> float:
    """Angle between the floor's normal and that of a level camera that looks slightly down."""
    usual = typical_up(torch.device("cpu")).numpy()
    cosine = float(usual @ motion.floor[:3] / np.linalg.norm(motion.floor[:3]))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _implausibility(motion: Motion, body: Body) -> PersonValues:
    """Negative log plausibility of each pose (`body/joint_limits.py`)."""
    limits = JointLimits.create(body.v_template.device, torch.float32)
    rotations = torch.from_numpy(motion.rotations).to(body.v_template)
    return np.asarray(limits.energy(rotations).cpu().numpy(), np.float64)
