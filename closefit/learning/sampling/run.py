"""Draw motion of two people from the prior and write it as `export` writes results."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from closefit import video
from closefit.body.model import Body
from closefit.body.pose import PairPose
from closefit.errors import ConfigError, OutputFolderError
from closefit.events import Emit, Notice, Step, ignore
from closefit.exporters.motion_files import Footage, posed_chunks, write_motion_files
from closefit.exporters.overlay import OverlayScene, draw_views
from closefit.exporters.scene import scene_from_camera
from closefit.learning.folders import complete_folder, writing_to
from closefit.learning.motions.editing import cut
from closefit.learning.sampling.camera import (
    SIZE_WH,
    camera_matrix,
    expected_view,
    film_from_the_side,
    floor_under,
)
from closefit.learning.sampling.given import read_given
from closefit.prior.loading import load_prior
from closefit.prior.network import Denoiser
from closefit.prior.objective import FPS, GeometryOf
from closefit.prior.sampling import ClipSampler
from closefit.records import Motion, PairMotion
from closefit.storage.workspace import Workspace

MOST_SAMPLES = 1000
MOST_FRAMES = 10_000
DEFAULT_FRAMES = 96
KEYPOINT_CONFIDENCE = 0.9
"""Of the given person's projected keypoints: typical of a detector for clearly visible joints."""

PANEL_HEIGHT_PX = 320


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """What to draw.

    Attributes:
        count: Number of motions.
        frames: Length at 30 fps; None: of the given motion, or `DEFAULT_FRAMES`.
        given: Motion file with the person to complete; None: nobody is known.
        person: Which person of that file; None: the first.
        seed: Same seed, same motions.
    """

    count: int = 4
    frames: int | None = None
    given: Path | None = None
    person: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what a user may get wrong."""
        for name, value, most in (
            ("count", self.count, MOST_SAMPLES),
            ("frames", DEFAULT_FRAMES if self.frames is None else self.frames, MOST_FRAMES),
        ):
            if not 1 <= value <= most:
                raise ConfigError(
                    f"`--{name} {value}` is out of range",
                    hint=f"choose a number from 1 to {most}",
                )
        if self.person is not None and self.given is None:
            raise ConfigError(
                f"`--person {self.person}` needs a motion file, but none is given",
                hint="name the motion with --given FILE, or leave out --person",
            )


@dataclass(frozen=True)
class Sample:
    """One motion on disk.

    Attributes:
        folder: Its files.
        frames: Its length.
        nearest_m: Smallest distance between a joint of one person and one of the other.
    """

    folder: Path
    frames: int
    nearest_m: float


def draw_samples(
    out: Path, request: SampleRequest, prior: Path, body: Body, emit: Emit = ignore
) -> list[Sample]:
    """Draw motions and write each to a folder of its own in `out`, complete or not at all.

    Raises:
        WeightsError: The checkpoint is missing, damaged or of another architecture.
        InputError: The given motion cannot be used.
        ConfigError: The given motion is shorter than `frames`.
        OutputFolderError: `out` holds samples already, or cannot be written to.
        DiskFullError: The disk is full.
    """
    network, facts = load_prior(prior)
    if facts.body != body.name:
        emit(Notice(f"the prior learned on the body `{facts.body}`, not `{body.name}`"))
    person = request.person or 0
    filmed: tuple[PairPose, Float[np.ndarray, 4]] | None = None
    if request.given is not None:
        filmed = film_from_the_side(_cut(read_given(request.given, person, body), request))
    _check_folder(out)
    known = torch.arange(2) == person if filmed else torch.zeros(2, dtype=torch.bool)
    drawn = _draw(network, body, request, filmed[0] if filmed else None, known)
    samples = []
    for index in range(request.count):
        pose = PairPose(*(values[index] for values in drawn.tensors))
        floor = filmed[1] if filmed else floor_under(pose, body)
        motion = _motion(pose, body, floor, known.numpy())
        folder = out / f"sample_{index:03}"
        with complete_folder(folder) as temporary:
            _write(Workspace(temporary), body, motion)
        samples.append(Sample(folder, len(motion.transl), _nearest_m(motion)))
        emit(Step("writing samples", index + 1, request.count))
    return samples


def _cut(motion: PairMotion, request: SampleRequest) -> PairMotion:
    """The first frames of the given motion, as many as the request has."""
    length = len(motion.pelvis_m)
    if request.frames is not None and request.frames > length:
        raise ConfigError(
            f"`{request.given}` has {length} frames at 30 fps, fewer than "
            f"`--frames {request.frames}`",
            hint="leave out --frames to take all of them",
        )
    return cut(motion, 0, request.frames or min(length, MOST_FRAMES))


def _draw(
    network: Denoiser,
    body: Body,
    request: SampleRequest,
    filmed: PairPose | None,
    known: Bool[Tensor, "person"],
) -> PairPose:
    """Sample the clip (`sample frame person`), camera axes."""
    generator = torch.Generator().manual_seed(request.seed)
    if filmed is None:
        nothing = torch.zeros(request.frames or DEFAULT_FRAMES, 2, 17, 3)
        return ClipSampler(network, nothing, view=expected_view()).sample(request.count, generator)
    xy = GeometryOf(body)(filmed).keypoints
    confidence = torch.full_like(xy[..., :1], KEYPOINT_CONFIDENCE)
    keypoints = torch.cat([xy, confidence], -1) * known[:, None, None]
    return ClipSampler(network, keypoints).sample(request.count, generator, (filmed, known))


def _motion(
    pose: PairPose,
    body: Body,
    floor: Float[np.ndarray, "4"],
    known: Bool[np.ndarray, "person"],
) -> Motion:
    """The sample as the record that `export` takes; only known people are valid."""
    betas, transl = pose.betas[0], pose.transl(body)
    frames = len(transl)
    return Motion(
        rotations=pose.rotations.numpy(),
        betas=betas.numpy(),
        transl=transl.numpy(),
        joints=body.joints(pose.rotations, betas, transl).numpy(),
        K=np.tile(camera_matrix().astype(np.float32), (frames, 1, 1)),
        valid=np.tile(known, (frames, 1)),
        confidence=np.tile(known.astype(np.float32), (frames, 1)),
        body_name=np.array(body.name),
        floor=floor.astype(np.float32),
        notes=np.array("sampled from the prior"),
    )


def _write(workspace: Workspace, body: Body, motion: Motion) -> None:
    frames = len(motion.transl)
    footage = Footage(time_s=np.arange(frames) / FPS, fps=FPS, size_wh=SIZE_WH)
    write_motion_files(workspace, body, motion, footage)
    T_scene_camera = scene_from_camera(motion.floor)
    scene = OverlayScene(
        faces=body.faces.numpy(),
        T_scene_camera=T_scene_camera,
        joints=motion.joints.astype(np.float64) @ T_scene_camera[:3, :3].T + T_scene_camera[:3, 3],
        size_wh=SIZE_WH,
        panel_height_px=PANEL_HEIGHT_PX,
    )
    bodies = (pair.numpy() for _, chunk in posed_chunks(body, motion) for pair in chunk)
    video.write(workspace.preview, draw_views(scene, bodies), FPS)


def _nearest_m(motion: Motion) -> float:
    first, second = motion.joints[:, 0, :, None], motion.joints[:, 1, None, :]
    return float(np.linalg.norm(first - second, axis=-1).min())


def _check_folder(out: Path) -> None:
    """Make `out`; samples of two calls must not mix."""
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
    old = next(out.glob("sample_*"), None)
    if old is not None:
        raise OutputFolderError(
            f"`{out}` holds samples already (`{old.name}`)",
            hint="choose another --out, or delete them",
        )
