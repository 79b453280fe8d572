"""The Python interface: `closefit.run` and `closefit.load` (docs/python.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from closefit.boundary.files import read_json
from closefit.boundary.refusals import word
from closefit.boundary.values import refusals_as
from closefit.config import Perception, Preset, StageName
from closefit.errors import ArtifactDamagedError, ArtifactMissingError
from closefit.events import Emit, ignore
from closefit.exporters.motion import ExportedMotion, read_motion
from closefit.pipeline import runner
from closefit.settings import GivenSettings
from closefit.storage.workspace import Workspace

AnyPath = str | PathLike[str]


@dataclass(frozen=True)
class Result:
    """A results folder. Files are read at their first use.

    Attributes:
        folder: The folder.
    """

    folder: Path

    @cached_property
    def motion(self) -> ExportedMotion:
        """Both people's motion: the arrays of `motion.npz`.

        Raises:
            ArtifactError: It was not exported yet, or is damaged.
        """
        return read_motion(self.path("motion.npz"))

    @cached_property
    def contacts(self) -> dict[str, Any]:
        """Who touches whom, where and when: the content of `contacts.json`.

        Raises:
            ArtifactError: It was not exported yet, or is damaged.
        """
        path = self.path("contacts.json")
        hint = f"run `closefit stage export {word(self.folder)}`"
        with refusals_as(ArtifactDamagedError, path, hint):
            content: dict[str, Any] = read_json(path)
        return content

    @property
    def quality(self) -> dict[str, Any]:
        """Score of the result with its reasons, and figures of each stage, by its name."""
        quality: dict[str, Any] = self.run.get("quality", {})
        return quality

    @property
    def run(self) -> dict[str, Any]:
        """Settings, video, camera, times and status: the content of `run.json`."""
        return Workspace(self.folder).read_run()

    def path(self, name: str) -> Path:
        """Return the path of one file of the folder, for example `scene.glb`.

        Raises:
            ArtifactMissingError: There is no such file.
        """
        path = self.folder / name
        if not path.exists():
            raise ArtifactMissingError(
                f"there is no `{path}`", hint=f"run `closefit stage export {word(self.folder)}`"
            )
        return path


def run(
    video: AnyPath,
    out: AnyPath,
    *,
    preset: Preset | None = None,
    perception: Perception | None = None,
    observations: AnyPath | Sequence[AnyPath] | None = None,
    people: str | None = None,
    corrections: AnyPath | None = None,
    device: Literal["auto", "cpu", "cuda"] | None = None,
    weights: AnyPath | None = None,
    offline: bool | None = None,
    seed: int | None = None,
    fov: float | None = None,
    focal: float | None = None,
    camera: AnyPath | None = None,
    init_from: AnyPath | None = None,
    start: float | None = None,
    end: float | None = None,
    physics: float | None = None,
    config: AnyPath | None = None,
    set: Mapping[str, Any] | None = None,
    from_: StageName | None = None,
    until: StageName | None = None,
    force: bool = False,
    max_input_size: float | None = None,
    emit: Emit = ignore,
) -> Result:
    """Run the pipeline on a video of two people; continue a started folder.

    Every argument but `emit` is the option of `closefit run` with the same name, whose help
    describes it; None means "not given".

    Args:
        video: Video of two people.
        out: Results folder.
        preset: `draft`, `default`, `paper`, or one of its ablations (docs/paper.md).
        perception: How people are found.
        observations: Detections of other tools: one path or several.
        people: Whom to follow in a crowd, for example `A,C`.
        corrections: File of corrections of who is who.
        device: Where to compute.
        weights: Folder of model files to look in first.
        offline: Never download anything.
        seed: Seed of everything random.
        fov: Diagonal field of view in degrees.
        focal: Focal length in pixels.
        camera: An .npz with intrinsics `K`.
        init_from: Result of another tool to start from.
        start: First moment of the video to use, in seconds.
        end: Last moment, in seconds.
        physics: Strength of the penetration term, 0 to 1.
        config: Settings as a TOML file.
        set: Any settings by dotted name, for example `{"optimize.passes": 20}`.
        from_: Run this stage and all later ones again.
        until: Stop after this stage.
        max_input_size: Gigabytes that an input file may unpack to.
        force: Run again what is up to date; replace results of another video.
        emit: Called with each progress event (`closefit.events`).

    Raises:
        ClosefitError: One of the documented errors (`closefit.errors`), with a hint.
    """
    if isinstance(observations, str | PathLike):
        observations = [observations]
    flags = {
        "preset": preset,
        "track.perception": perception,
        "track.observations": None if observations is None else [str(p) for p in observations],
        "track.people": people,
        "track.corrections": _text(corrections),
        "device": device,
        "weights_dir": _text(weights),
        "offline": offline,
        "seed": seed,
        "camera.fov_deg": fov,
        "camera.focal_px": focal,
        "camera.file": _text(camera),
        "init.init_from": _text(init_from),
        "track.start_s": start,
        "track.end_s": end,
        "optimize.physics": physics,
        "max_input_gb": max_input_size,
    }
    given = GivenSettings(
        config_file=None if config is None else Path(config),
        values=set or {},
        flags=flags,
    )
    selection = runner.Selection(first=from_, last=until, force=force)
    runner.run_as_given(Path(video), Path(out), given, emit, selection)
    return Result(Path(out))


def load(folder: AnyPath) -> Result:
    """Open the results folder of an earlier run.

    Raises:
        ArtifactMissingError: No run was started there.
    """
    Workspace(Path(folder)).require_started()
    return Result(Path(folder))


def _text(path: AnyPath | None) -> str | None:
    return None if path is None else str(path)
