"""Every setting, one frozen section per stage; `settings.py` fills them from files and flags.

A field marked `neutral` cannot change a result, so it stays out of the stages' fingerprints.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from closefit.errors import ConfigError

StageName = Literal["track", "init", "optimize", "export"]
Preset = Literal["draft", "default", "paper"]
PerceptionBackend = Literal["full", "yolo", "lite", "import"]
MeshFormat = Literal["obj", "ply"]
JointNames = Literal["smpl", "mixamo", "unreal"]
Sam2 = Literal["tiny", "small", "base-plus", "large"]
VitPose = Literal["base-simple", "plus-small", "plus-base"]
BlazePoseSize = Literal["lite", "full", "heavy"]
Perception = Literal["auto", "full", "yolo", "lite", "import"]


def _neutral(default: Any) -> Any:
    """Declare a field that cannot change a result (workers, verbosity)."""
    return field(default=default, metadata={"neutral": True})


def _file() -> Any:
    """Declare a field that names a file; its content, not its path, is what a result depends on."""
    return field(default=None, metadata={"file": True})


def _files() -> Any:
    """Declare a field that names any number of files or folders; their content counts."""
    return field(default=(), metadata={"file": True})


def _check_range(section: Any, name: str, low: float | int, high: float | int) -> None:
    value = getattr(section, name)
    if not low <= value <= high:
        raise ConfigError(
            f"`{name}` is `{value}`, but must lie between {low} and {high}",
            hint="run `closefit run --help` to see the options and their ranges",
        )


@dataclass(frozen=True)
class PointInFrame:
    """A point in source pixels in one frame of the clip."""

    x: float
    y: float
    frame: int

    def __str__(self) -> str:
        """Return it as a user writes it."""
        return f"{self.x:g},{self.y:g}@{self.frame}"


PeopleChoice = str | PointInFrame
"""A letter of the preview, or a point on the person."""


def _parse_people(text: str) -> tuple[PeopleChoice, PeopleChoice]:
    """Read `A,B`, or points in frames as `x,y@frame;x,y@frame`, or one of each."""
    entries = text.split(";") if "@" in text or ";" in text else text.split(",")
    chosen: list[PeopleChoice] = []
    for entry in entries:
        if re.fullmatch(r"\s*[A-Za-z]{1,2}\s*", entry):
            chosen.append(entry.strip().upper())
        elif point := re.fullmatch(r"\s*([\d.]+)\s*,\s*([\d.]+)\s*@\s*(\d+)\s*", entry):
            with suppress(ValueError):
                chosen.append(PointInFrame(float(point[1]), float(point[2]), int(point[3])))
    if len(chosen) != 2 or len(entries) != 2:
        raise ConfigError(
            f"`--people {text}` does not name two people",
            hint="write two letters of the preview (A,C), or a point on each person in a frame "
            "(412,260@0;600,250@0)",
        )
    if chosen[0] == chosen[1]:
        raise ConfigError(
            f"`--people {text}` names the same person twice",
            hint="name two people, for example A,C",
        )
    return chosen[0], chosen[1]


DEFAULT_FOV_DEG = 55.0
"""Diagonal field of view that the paper assumes for every video (section 3.2)."""


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """The pinhole camera: from a file, else a focal length, else a diagonal field of view."""

    fov_deg: float = DEFAULT_FOV_DEG
    focal_px: float | None = None
    file: str | None = _file()

    def __post_init__(self) -> None:
        """Check ranges."""
        _check_range(self, "fov_deg", 5.0, 150.0)
        if self.focal_px is not None:
            _check_range(self, "focal_px", 10.0, 1e6)


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """Who is where in every frame."""

    perception: Perception = "auto"
    observations: tuple[str, ...] = _files()
    start_s: float = 0.0
    end_s: float | None = None
    work_height_px: int = 720
    detection_confidence: float = 0.25
    sam2: Sam2 = "tiny"
    vitpose: VitPose = "base-simple"
    blazepose: BlazePoseSize = "full"
    max_gap_s: float = 0.5
    people: str | None = None
    corrections: str | None = _file()

    def __post_init__(self) -> None:
        """Check ranges."""
        _check_range(self, "work_height_px", 64, 4320)
        _check_range(self, "detection_confidence", 0.01, 0.99)
        _check_range(self, "start_s", 0.0, 1e7)
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ConfigError(
                f"`--end {self.end_s}` is not after `--start {self.start_s}`",
                hint="give both in seconds from the start of the video",
            )
        if self.people is not None:
            _parse_people(self.people)
        if self.perception == "import" and not self.observations:
            raise ConfigError(
                "`--perception import` has no detections to import",
                hint="give them with --observations PATH",
            )

    @property
    def chosen_people(self) -> tuple[PeopleChoice, PeopleChoice] | None:
        """The two people to follow, or None for those who are close together the longest."""
        return None if self.people is None else _parse_people(self.people)

    def backend(self, device: str) -> PerceptionBackend:
        """Return the detector to use on `device` (`cpu` or `cuda`).

        Imported detections need none; a detector that is named completes them.
        """
        if self.perception != "auto":
            return self.perception
        if self.observations:
            return "import"
        return "full" if device == "cuda" else "yolo"


@dataclass(frozen=True, kw_only=True)
class InitConfig:
    """The first estimate: sampled from the prior, or lifted; then fitted to the whole clip.

    Without the prior every frame is lifted from several facing directions, and the fit takes
    `steps`; after the prior it takes `prior_steps`.
    """

    prior: bool = True
    prior_file: str | None = _file()
    prior_samples: int = 8
    prior_steps: int = 300
    prior_trust: float = 10.0
    prior_pose: float = 0.1
    init_from: str | None = _file()
    steps: int = 400
    keypoint_confidence: float = 0.3

    def __post_init__(self) -> None:
        """Check ranges."""
        _check_range(self, "steps", 1, 100_000)
        _check_range(self, "prior_steps", 1, 100_000)
        _check_range(self, "prior_samples", 1, 1000)


@dataclass(frozen=True, kw_only=True)
class OptimizeConfig:
    """The joint optimisation of motion and appearance (paper section 3.3, Eq. 10)."""

    motion: Literal["direct", "prior"] = "direct"
    appearance: bool = True
    check_depth_order: bool = True
    physics: float = 0.5
    passes: int = 120
    warmup_passes: int = 6
    window_frames: int = 64
    frames_per_step: int = 16
    image_size_px: int = 256
    map_size: int = 128
    latent_channels: int = 16
    decoder_width: int = 16
    lr_motion: float = 3e-3
    lr_prior: float = 2e-5
    lr_appearance: float = 3e-3
    lr_latent: float = 3e-3
    # Weights against the motion terms, which are log likelihoods per frame.
    weight_appearance: float = 9000.0
    weight_rgb: float = 0.8
    weight_ssim: float = 0.2
    weight_lpips: float = 0.2
    weight_silhouette: float = 1.0
    silhouette_outside: float = 2.0
    weight_offset: float = 10.0
    weight_scale: float = 1.0
    weight_identity: float = 0.01
    weight_penetration: float = 6e3
    weight_contact: float = 2e3
    weight_anchor_pose: float = 0.1
    weight_stay_near_init: float = 60.0
    weight_prior_keypoints: float = 4.0
    weight_anchor_place: float = 1.0
    weight_anchor_shape: float = 0.1
    identity_radius: float = 0.025
    compile: bool = _neutral(False)

    def __post_init__(self) -> None:
        """Check ranges."""
        _check_range(self, "physics", 0.0, 1.0)
        _check_range(self, "passes", 0, 100_000)
        _check_range(self, "warmup_passes", 0, 100_000)
        _check_range(self, "window_frames", 8, 4096)
        _check_range(self, "image_size_px", 32, 2048)
        _check_range(self, "map_size", 32, 1024)
        _check_range(self, "frames_per_step", 1, 4096)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Files for people and programs."""

    overlay: bool = True
    panel_height_px: int = 480
    joint_names: JointNames = "smpl"
    meshes: MeshFormat | None = None

    def __post_init__(self) -> None:
        """Check ranges."""
        _check_range(self, "panel_height_px", 64, 2160)


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a run."""

    preset: Preset = "default"
    seed: int = 0
    body: Literal["auto", "closefit", "smpl"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = _neutral("auto")
    weights_dir: str | None = _neutral(None)
    offline: bool = _neutral(False)
    camera: CameraConfig = CameraConfig()
    track: TrackConfig = TrackConfig()
    init: InitConfig = InitConfig()
    optimize: OptimizeConfig = OptimizeConfig()
    export: ExportConfig = ExportConfig()


PRESETS: dict[Preset, dict[str, dict[str, Any]]] = {
    "draft": {
        "optimize": {
            "passes": 100,
            "warmup_passes": 4,
            "image_size_px": 192,
            "map_size": 96,
        }
    },
    "default": {},
    "paper": {"optimize": {"passes": 20, "image_size_px": 512, "map_size": 256}},
}
"""What each preset changes against the defaults of the sections.

`paper` only renders larger images from larger maps so far: the paper's motion rate (2e-5, on the
weights of the diffusion prior) has no meaning while poses themselves are optimised.
"""
