"""What detectors found on rendered clips, beside the truth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.prior.objective import GeometryOf
from closefit.records import Track
from closefit.simulation.cameras import Cameras
from closefit.simulation.detections import STATURE_M
from closefit.simulation.occlusion import hidden_keypoints
from closefit.storage import artifacts


@dataclass(frozen=True, eq=False)
class RenderedClip:
    """A rendered clip and the detections of its two people, in the same order.

    Attributes:
        body: The body that was rendered.
        pose: True poses (`1 frame 2`), camera axes.
        camera: The camera.
        focal_px, middle_px: The same in pixels; the principal point is the picture's middle.
        true_px: True keypoints, pixels.
        found_px: Detected keypoints and confidences; 0 where there is none.
        height_px: Height of a standing adult at each person's depth.
        by_other: Keypoints behind the other person.
        by_self: Keypoints behind the person's own body, and not behind the other.
        inside: Keypoints in the picture.
    """

    body: Body
    pose: PairPose
    camera: Cameras
    focal_px: float
    middle_px: Float[np.ndarray, "2"]
    true_px: Float[np.ndarray, "frame 2 17 2"]
    found_px: Float[np.ndarray, "frame 2 17 3"]
    height_px: Float[np.ndarray, "frame 2"]
    by_other: Bool[np.ndarray, "frame 2 17"]
    by_self: Bool[np.ndarray, "frame 2 17"]
    inside: Bool[np.ndarray, "frame 2 17"]

    @property
    def error(self) -> Float[np.ndarray, "frame 2 17 2"]:
        """Detected minus true place, in shares of `height_px`."""
        return (self.found_px[..., :2] - self.true_px) / self.height_px[..., None, None]


def truth_files(folders: list[Path]) -> list[Path]:
    """The truth of each clip in these folders (`NAME/truth.npz`)."""
    return sorted(path for folder in folders for path in folder.glob("*/truth.npz"))


def rendered_clip(truth_file: Path, runs: Path, detector: str) -> RenderedClip:
    """Read a clip and its track in RUNS/NAME-DETECTOR; people are matched by nearness."""
    folder = runs / f"{truth_file.parent.name}-{detector}"
    track = artifacts.read(folder / "artifacts" / "track.npz", Track)
    truth = dict(np.load(truth_file))
    body = Body.load(truth_file.parent.parent / "body.npz")
    rotations, joints = torch.tensor(truth["rotations"]).float(), truth["joints3d"]
    betas = torch.tensor(truth["betas"]).float().expand(len(rotations), 2, 10)
    pelvis_m = torch.tensor(joints[:, :, 0]).float()
    pose = PairPose(rotations[None], betas[None], pelvis_m[None])
    by_other, by_self = (part[0].numpy() for part in hidden_keypoints(pose, GeometryOf(body)(pose)))
    true_px = truth["keypoints2d"]
    width, height = float(truth["width"]), float(truth["height"])
    found = track.keypoints
    apart = [_typical(people - true_px) for people in (found[..., :2], found[:, ::-1, :, :2])]
    focal_px = float(truth["K"][0, 0])
    return RenderedClip(
        body=body,
        pose=pose,
        camera=Cameras(torch.tensor([focal_px / height]), torch.tensor([width / height])),
        focal_px=focal_px,
        middle_px=0.5 * np.array([width, height]),
        true_px=true_px,
        found_px=found if apart[0] <= apart[1] else found[:, ::-1],
        height_px=STATURE_M * focal_px / joints[:, :, 0, 2],
        by_other=by_other,
        by_self=by_self & ~by_other,
        inside=((true_px >= 0) & (true_px < np.array([width, height]))).all(-1),
    )


def _typical(offset_px: np.ndarray) -> float:
    return float(np.nanmedian(np.linalg.norm(offset_px, axis=-1)))
