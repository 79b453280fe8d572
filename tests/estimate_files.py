"""Writes one made-up motion in the layouts of the tools that closefit reads."""

import dataclasses
import pickle
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import roma
import torch

from closefit.geometry.camera import intrinsics, project
from closefit.geometry.rotations import rotation_between
from closefit.imports.estimates.tracks import SMPL_PELVIS_M, SMPLX_PELVIS_M
from closefit.records import VideoInfo

WIDTH, HEIGHT, FPS = 480, 360, 30.0
SHAPE_COEFFICIENTS = np.full(10, 0.3)

FOCAL_PX = {
    "4D-Humans": 5000.0 / 256.0 * WIDTH,
    "GVHMR": float(np.hypot(WIDTH, HEIGHT)),
    "WHAM": float(np.hypot(WIDTH, HEIGHT)),
    "PromptHMR": 520.0,
}
"""Focal length that each tool assumes for the made-up video."""


@dataclass(frozen=True)
class People:
    """Any number of people in a camera's frame; `known` marks the frames with them."""

    rotations: np.ndarray
    pelvis_m: np.ndarray
    known: np.ndarray

    def someone(self, person: int) -> "People":
        return self.pick([person])

    def pick(self, people: Sequence[int]) -> "People":
        people = list(people)
        return People(self.rotations[:, people], self.pelvis_m[:, people], self.known[:, people])

    def axis_angle(self, person: int, joints: int) -> np.ndarray:
        """(F, 3 * joints) of the frames in which the person is known."""
        matrices = torch.from_numpy(self.rotations[self.known[:, person], person, :joints])
        return roma.rotmat_to_rotvec(matrices).numpy().reshape(-1, 3 * joints)

    def frames(self, person: int) -> np.ndarray:
        return np.flatnonzero(self.known[:, person])


def make_people(rotations: torch.Tensor, pelvis_m: torch.Tensor) -> People:
    """People who are known in every frame."""
    known = np.ones(rotations.shape[:2], dtype=bool)
    return People(rotations.double().numpy(), pelvis_m.double().numpy(), known)


def video_info(frames: int) -> VideoInfo:
    return VideoInfo(
        path="dance.mp4",
        width=WIDTH,
        height=HEIGHT,
        fps=FPS,
        num_frames=frames,
        duration_s=frames / FPS,
        rotation_deg=0,
        variable_frame_rate=False,
        content_sha256="0" * 64,
    )


def seen_through(people: People, focal_px: float, other_focal_px: float) -> People:
    """The result of a tool with another focal length for the same picture."""
    ours, theirs = (
        torch.as_tensor(intrinsics(WIDTH, HEIGHT, focal)) for focal in (focal_px, other_focal_px)
    )
    at = torch.from_numpy(people.pelvis_m)
    pixel = project(at, ours)
    ray = torch.cat([(pixel - theirs[:2, 2]) / other_focal_px, torch.ones_like(at[..., :1])], -1)
    rotations = people.rotations.copy()
    turn = rotation_between(at, ray).numpy()
    rotations[:, :, 0] = turn @ rotations[:, :, 0]
    moved = ray * at[..., 2:] * other_focal_px / focal_px
    return dataclasses.replace(people, rotations=rotations, pelvis_m=moved.numpy())


def write_wham(folder: Path, people: People) -> Path:
    results: defaultdict = defaultdict(dict)
    for person in range(people.known.shape[1]):
        pose, frames = people.axis_angle(person, 24), people.frames(person)
        results[person]["pose"] = pose.astype(np.float32)
        results[person]["trans"] = people.pelvis_m[frames, person] - SMPL_PELVIS_M
        results[person]["pose_world"] = pose
        results[person]["trans_world"] = np.zeros((len(frames), 3))
        results[person]["betas"] = np.tile(SHAPE_COEFFICIENTS, (len(frames), 1))
        results[person]["verts"] = np.zeros((len(frames), 7, 3), np.float32)
        results[person]["frame_ids"] = frames
    path = folder / "wham_output.pkl"
    joblib.dump(results, path)
    return path


def write_phalp(folder: Path, people: People) -> Path:
    """Every person is listed for some more frames after they were last detected, as PHALP does."""
    content: dict = {}
    keys = ("tid", "tracked_ids", "bbox", "tracked_time", "size", "camera", "smpl", "mask")
    for frame in range(len(people.known)):
        lists: dict = {key: [] for key in keys}
        for person in range(people.known.shape[1]):
            earlier = np.flatnonzero(people.known[: frame + 1, person])
            if len(earlier) == 0:
                continue
            last = int(earlier[-1])
            rotations = people.rotations[last, person].astype(np.float32)
            lists["tid"].append(person + 1)
            lists["tracked_time"].append(frame - last)
            if last == frame:
                lists["tracked_ids"].append(person + 1)
            lists["bbox"].append(np.zeros(4))
            lists["size"].append([HEIGHT, WIDTH])
            lists["camera"].append(people.pelvis_m[last, person] - SMPL_PELVIS_M)
            lists["mask"].append([{"size": [HEIGHT, WIDTH], "counts": "abc"}])
            lists["smpl"].append(
                {
                    "global_orient": rotations[:1],
                    "body_pose": rotations[1:],
                    "betas": SHAPE_COEFFICIENTS.astype(np.float32),
                }
            )
        name = f"outputs/_DEMO/dance/img/{frame + 1:06d}.jpg"
        content[name] = {"time": frame, "shot": 0, "frame_path": name, **lists}
    path = folder / "demo_dance.pkl"
    joblib.dump(content, path, compress=3)
    return path


def write_gvhmr(folder: Path, people: People) -> Path:
    """One file per person; a tool without gaps has people in every frame."""
    for person in range(people.known.shape[1]):
        everywhere = dataclasses.replace(people, known=np.ones_like(people.known))
        pose = torch.from_numpy(everywhere.axis_angle(person, 22)).float()
        count = len(pose)
        body = {
            "global_orient": pose[:, :3],
            "body_pose": pose[:, 3:],
            "betas": torch.full((count, 10), 0.3),
            "transl": torch.from_numpy(people.pelvis_m[:, person] - SMPLX_PELVIS_M).float(),
        }
        K = torch.from_numpy(intrinsics(WIDTH, HEIGHT, FOCAL_PX["GVHMR"])).float()
        content = {
            "smpl_params_global": body,
            "smpl_params_incam": body,
            "K_fullimg": K.repeat(count, 1, 1),
            "net_outputs": {"model_output": {"pred_x": torch.zeros(1, count, 4), "none": None}},
        }
        (folder / f"person{person}").mkdir()
        torch.save(content, folder / f"person{person}" / "hmr4d_results.pt")
    return folder


def write_prompthmr(folder: Path, people: People, key: str = "rotmat") -> Path:
    """Results for a picture of half the size, as it makes of large videos."""
    tracks = {}
    for person in range(people.known.shape[1]):
        frames = people.frames(person)
        rotmat = np.zeros((len(frames), 55, 3, 3), np.float32)
        rotmat[:, :22] = people.rotations[frames, person, :22]
        pose = np.zeros((len(frames), 75), np.float32)
        pose[:, :66] = people.axis_angle(person, 22)
        both = {"rotmat": rotmat, "pose": pose}
        tracks[person + 1] = {
            "track_id": person + 1,
            "frames": frames,
            "bboxes": np.zeros((len(frames), 4)),
            "smplx_cam": {
                key: both[key],
                "shape": np.tile(SHAPE_COEFFICIENTS, (len(frames), 1)),
                "trans": people.pelvis_m[frames, person] - SMPLX_PELVIS_M,
            },
            "smplx_world": {"pose": np.zeros((len(frames), 165))},
        }
    focal = np.float32(FOCAL_PX["PromptHMR"] / 2)
    content = {
        "camera": {"img_focal": focal, "img_center": np.array([WIDTH / 4, HEIGHT / 4])},
        "people": tracks,
        "masks": None,
        "has_tracks": True,
    }
    path = folder / "results.pkl"
    joblib.dump(content, path)
    return path


Z_UP_FROM_CAMERA = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def write_amass(folder: Path, people: People, every: int = 1, fps: float = FPS) -> Path:
    """One file per person, in the z-up world of a level camera that looks along y."""
    turned = people.rotations.copy()
    turned[:, :, 0] = Z_UP_FROM_CAMERA @ turned[:, :, 0]
    world = People(turned, people.pelvis_m @ Z_UP_FROM_CAMERA.T, np.ones_like(people.known))
    for person in range(people.known.shape[1]):
        poses = np.zeros((len(people.known), 156))
        poses[:, :66] = world.axis_angle(person, 22)
        np.savez(
            folder / f"person_{person}.npz",
            poses=poses[::every],
            trans=world.pelvis_m[::every, person],
            betas=np.zeros(16),
            gender="neutral",
            mocap_framerate=fps,
        )
    return folder


WRITERS: dict[str, Callable[[Path, People], Path]] = {
    "4D-Humans": write_phalp,
    "GVHMR": write_gvhmr,
    "WHAM": write_wham,
    "PromptHMR": write_prompthmr,
    "AMASS": write_amass,
}


def with_people(path: Path, change: Callable[[dict], None]) -> Path:
    """Change what a joblib file holds."""
    content = joblib.load(path)
    change(content)
    joblib.dump(content, path)
    return path


def write_hostile(path: Path, mark: Path) -> Path:
    """A pickle that would create the file `mark` if anything ran it."""

    class Attack:
        def __reduce__(self):
            return (open, (str(mark), "w"))

    path.write_bytes(pickle.dumps({"people": {1: Attack()}}))
    return path
