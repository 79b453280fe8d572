"""What the viewer shows of a results folder."""

from collections.abc import Container, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float

from closefit.body.files import BodyArrays, read_body_arrays
from closefit.boundary.refusals import refusals_as, refuse, word
from closefit.errors import (
    ArtifactDamagedError,
    ArtifactError,
    ArtifactMissingError,
    ArtifactVersionError,
)
from closefit.exporters.filming import seen_by
from closefit.exporters.motion import ExportedMotion, read_motion, to_scene
from closefit.models.weights import BODIES, locate
from closefit.records import Motion, OptimizedMotion, Track, VideoInfo
from closefit.settings import build_config
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace
from closefit.tracking.steadying import camera_path


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """One results folder, checked.

    Attributes:
        workspace: The folder.
        video: Facts of the source video.
        motions: Both people's motion before each frame's camera by name: `result` (`motion.npz`)
            and, where it was kept, `init`. Their `floor` has no meaning where the camera moves.
        appearance: The Gaussians, where there are some.
        track: The detections, where they were kept.
        body: The body of the motions.
        times_s: Time of each frame in the source video.
        T_scene_camera: From each frame's camera to the scene (y up, floor at height zero).
        notices: What the folder lacks or has of another version, a sentence each.
    """

    workspace: Workspace
    video: VideoInfo
    motions: dict[str, Motion]
    appearance: OptimizedMotion | None
    track: Track | None
    body: BodyArrays
    times_s: Float[np.ndarray, " frame"]
    T_scene_camera: Float[np.ndarray, "frame 4 4"]
    notices: tuple[str, ...]

    @property
    def num_frames(self) -> int:
        """Length of the clip."""
        return len(self.times_s)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Size of the source video in pixels."""
        return self.video.width, self.video.height


def read_results(folder: Path, weights_dir: str | None = None) -> Results:
    """Read what the viewer shows; the stages' artifacts may be missing or of another version.

    Raises:
        ArtifactError: It is no results folder, `motion.npz` is missing, or a file is damaged or
            does not belong to the others.
        ConfigError: A setting of the folder cannot be used.
        WeightsError: The body model is missing or damaged.
    """
    workspace = Workspace(folder)
    run = workspace.require_started()
    config = build_config(recorded=run.get("settings", {}), recorded_in=workspace.run_json)
    hint = f"run `closefit run {word(run['video']['path'])} --out {word(folder)}` to finish it"
    if not workspace.motion.is_file():
        raise ArtifactMissingError(f"there is no `{workspace.motion}`", hint)
    exported = read_motion(workspace.motion)
    result = _motion_of(workspace, exported)
    old: dict[str, str] = {}
    init, track = _kept(workspace, Motion, old), _kept(workspace, Track, old)
    appearance = _kept(workspace, OptimizedMotion, old)
    for record in (init, appearance, track):
        if record is not None and _length(record) != len(result.valid):
            raise ArtifactError(
                f"`{workspace.artifact(record.KIND)}` has {_length(record)} frames, but "
                f"`{workspace.motion}` {len(result.valid)}: they are of different runs",
                hint,
            )
    if init is not None:
        init = _before_its_camera(init, track, exported, old)
    if appearance is not None and appearance.gaussian_face.shape[1] == 0:
        appearance = None
    choice = BODIES[str(result.body_name)]
    names = {field.name for field in fields(VideoInfo)}
    return Results(
        workspace=workspace,
        video=VideoInfo(**{name: run["video"][name] for name in names & run["video"].keys()}),
        motions={"result": result} | ({} if init is None else {"init": init}),
        appearance=appearance,
        track=track,
        body=read_body_arrays(locate(choice, weights_dir or config.weights_dir)),
        times_s=_times(exported, track),
        T_scene_camera=to_scene(exported),
        notices=(*old.values(), *_missing(folder, init, appearance, track, old)),
    )


def _kept(workspace: Workspace, kind: type[artifacts.R], old: dict[str, str]) -> artifacts.R | None:
    """Read an artifact if it is there; one of another version gets its sentence in `old`."""
    path = workspace.artifact(kind.KIND)
    try:
        return artifacts.read(path, kind) if path.exists() else None
    except ArtifactVersionError as error:
        old[kind.KIND] = f"{error.message}, and leaves it out; {error.hint}"
        return None


def _before_its_camera(
    init: Motion, track: Track | None, exported: ExportedMotion, old: dict[str, str]
) -> Motion | None:
    """The first motion as each frame's camera sees it; None where nothing tells how that moves."""
    if track is not None:
        return seen_by(init, camera_path(track, init.K))
    if exported.T_scene_camera is None or exported.T_scene_camera.ndim == 2:
        return init
    old[Motion.KIND] = (
        "the camera moves, and only artifacts/track.npz tells how: the first motion is left out"
    )
    return None


def _length(record: Motion | Track) -> int:
    return len(record.valid if isinstance(record, Motion) else record.seen)


def _motion_of(workspace: Workspace, exported: ExportedMotion) -> Motion:
    """Check that `motion.npz` can be the motion of two people, as that of an artifact is."""
    hint = f"run `closefit stage export {word(workspace.root)}` to write it again"
    with refusals_as(ArtifactDamagedError, workspace.motion, hint):
        names = ("rotations", "joints", "betas", "transl", "valid")
        motion = Motion(
            **{name: getattr(exported, name) for name in names},
            floor=exported.floor.reshape(-1, 4)[0],
            confidence=exported.confidence,
            K=np.broadcast_to(exported.K, (len(exported.valid), 3, 3)),
            body_name=exported.body,
            notes=np.array(""),
        )
        try:
            motion.check()
        except ValueError as error:
            refuse(str(error))
    return motion


def _times(exported: ExportedMotion, track: Track | None) -> Float[np.ndarray, " frame"]:
    """Times in the source video; files of earlier versions have none."""
    if exported.time_s is not None and exported.start_s is not None:
        return np.asarray(exported.time_s + exported.start_s, np.float64)
    if track is not None:
        return track.time_s.astype(np.float64)
    return np.arange(len(exported.valid)) / float(exported.fps)


def _missing(
    folder: Path,
    init: Motion | None,
    appearance: OptimizedMotion | None,
    track: Track | None,
    old: Container[str],
) -> Iterator[str]:
    if appearance is None and OptimizedMotion.KIND not in old:
        yield f"`{folder}` has no Gaussians: `optimize` has not run, or without appearance"
    if init is None and Motion.KIND not in old:
        yield f"`{folder}` has no first motion (artifacts/init.npz) to compare with"
    if track is None and Track.KIND not in old:
        yield f"`{folder}` has no detections (artifacts/track.npz): no keypoints are drawn"
