"""Every setting, one frozen section per stage; `settings.py` fills them from files and flags.

A field marked `neutral` cannot change a result, so it stays out of the stages' fingerprints.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta

from closefit.boundary.ranges import Count, CountOrNone, Rate, Seconds, Seed, Share, Weight
from closefit.errors import ConfigError

StageName = Literal["track", "init", "optimize", "export"]
Preset = Literal[
    "draft",
    "default",
    "paper",
    "paper-without-appearance",
    "paper-without-proxemics",
    "paper-without-physics",
]
PerceptionBackend = Literal["full", "yolo", "lite", "import"]
MeshFormat = Literal["obj", "ply"]
JointNames = Literal["smpl", "mixamo", "unreal"]
OverlayLayout = Literal["panels", "single"]
MotionBranch = Literal["direct", "prior", "both", "answer"]
Sam2 = Literal["tiny", "small", "base-plus", "large"]
VitPose = Literal["base-simple", "plus-small", "plus-base"]
BlazePoseSize = Literal["lite", "full", "heavy"]
CameraMotion = Literal["auto", "still"]
Perception = Literal["auto", "full", "yolo", "lite", "import"]
MotionTerm = Literal[
    "keypoints", "pose", "smooth", "floor", "shape", "upright", "cover", "inside", "front"
]
"""Terms of the motion whose weights are no settings (fit/weights.py), by their names in curves."""


def _neutral(default: Any) -> Any:
    """Declare a field that cannot change a result (workers, verbosity)."""
    return field(default=default, metadata={"neutral": True})


def _file() -> Any:
    """Declare a field that names a file; its content, not its path, is what a result depends on."""
    return field(default=None, metadata={"file": True})


def _files() -> Any:
    """Declare a field that names any number of files or folders; their content counts."""
    return field(default=(), metadata={"file": True})


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
    """The pinhole camera: from a file, else a focal length, else a diagonal field of view.

    Where none is given, the focal length that the video's metadata states holds; else `init` looks
    for one, or `DEFAULT_FOV_DEG` is assumed.

    With `motion`, the turns of a camera that is held in a hand are found in the background and
    taken out, unless it is known to stand still.
    """

    fov_deg: Annotated[float, Meta(ge=5.0, le=150.0)] | None = None
    focal_px: Annotated[float, Meta(ge=10.0, le=1e6)] | None = None
    file: str | None = _file()
    motion: CameraMotion = "auto"


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """Who is where in every frame."""

    perception: Perception = "auto"
    observations: tuple[str, ...] = _files()
    start_s: Seconds = 0.0
    end_s: Seconds | None = None
    work_height_px: Annotated[int, Meta(ge=64, le=4320)] = 720
    detection_confidence: Annotated[float, Meta(ge=0.01, le=0.99)] = 0.25
    sam2: Sam2 = "tiny"
    vitpose: VitPose = "base-simple"
    blazepose: BlazePoseSize = "full"
    max_gap_s: Annotated[float, Meta(ge=0.0, le=60.0)] = 0.5
    people: str | None = None
    corrections: str | None = _file()

    def __post_init__(self) -> None:
        """Check settings that depend on each other."""
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

    With the prior, an unknown focal length is searched for first, unless `focal_search` is off.

    Without the prior every frame is lifted from several facing directions, and the fit takes
    `steps`; after the prior it takes `prior_steps`, from the motion that the prior expects or from
    one sample of it.
    """

    prior: bool = True
    prior_file: str | None = _file()
    prior_start: Literal["expected", "sample"] = "expected"
    prior_samples: Annotated[int, Meta(ge=1, le=1000)] = 8
    prior_steps: CountOrNone = 300
    prior_trust: Annotated[float, Meta(ge=0.0, le=1e4)] = 10.0
    prior_pose: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.1
    focal_search: bool = True
    init_from: str | None = _file()
    steps: Count = 400
    keypoint_confidence: Share = 0.3


@dataclass(frozen=True, kw_only=True)
class OptimizeConfig:
    """The joint optimisation of motion and appearance (paper section 3.3, Eq. 10)."""

    motion: Literal["auto", "direct", "prior", "both", "answer"] = "auto"
    appearance: bool = True
    check_depth_order: bool = True
    physics: Share = 0.5
    passes: CountOrNone = 120
    warmup_passes: CountOrNone = 6
    window_frames: Annotated[int, Meta(ge=8, le=4096)] = 64
    frames_per_step: Annotated[int, Meta(ge=1, le=4096)] = 16
    image_size_px: Annotated[int, Meta(ge=32, le=2048)] = 256
    # What the decoder's levels and groups of channels divide by.
    map_size: Annotated[int, Meta(ge=32, le=1024, multiple_of=4)] = 128
    latent_channels: Annotated[int, Meta(ge=1, le=256)] = 16
    decoder_width: Annotated[int, Meta(ge=4, le=256, multiple_of=4)] = 16
    lr_motion: Rate = 3e-3
    lr_prior: Rate = 2e-5
    lr_appearance: Rate = 3e-3
    lr_latent: Rate = 3e-3
    # Weights against the motion terms, which are log likelihoods per frame.
    weight_appearance: Weight = 9000.0
    weight_rgb: Weight = 0.8
    weight_ssim: Weight = 0.2
    weight_lpips: Weight = 0.2
    weight_silhouette: Weight = 1.0
    silhouette_outside: Weight = 2.0
    weight_offset: Weight = 10.0
    weight_scale: Weight = 1.0
    weight_identity: Weight = 0.01
    weight_penetration: Weight = 6e3
    weight_contact: Weight = 2e3
    weight_anchor_pose: Weight = 0.1
    weight_stay_near_init: Weight = 60.0
    weight_prior_keypoints: Weight = 4.0
    weight_anchor_place: Weight = 1.0
    weight_anchor_shape: Weight = 0.1
    # Terms as the paper has them, instead of `keypoints` and `smooth`.
    weight_reprojection: Weight = 0.0
    weight_velocity: Weight = 0.0
    without: tuple[MotionTerm, ...] = ()
    lpips_stand_in: bool = False
    keypoint_filter: Literal["other", "own"] = "other"
    identity_radius: Annotated[float, Meta(ge=0.0, le=0.25)] = 0.025
    compile: bool = _neutral(False)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Files for people and programs."""

    overlay: bool = True
    overlay_layout: OverlayLayout = "panels"
    panel_height_px: Annotated[int, Meta(ge=64, le=2160)] = 480
    joint_names: JointNames = "smpl"
    meshes: MeshFormat | None = None
    usd: bool = False


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a run."""

    preset: Preset = "default"
    seed: Seed = 0
    body: Literal["auto", "closefit", "smpl"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = _neutral("auto")
    weights_dir: str | None = _neutral(None)
    offline: bool = _neutral(False)
    max_input_gb: Annotated[float, Meta(ge=0.001, le=1000.0)] = _neutral(2.0)
    camera: CameraConfig = CameraConfig()
    track: TrackConfig = TrackConfig()
    init: InitConfig = InitConfig()
    optimize: OptimizeConfig = OptimizeConfig()
    export: ExportConfig = ExportConfig()

    @property
    def motion_branch(self) -> MotionBranch:
        """What `optimize` moves; by default the prior's weights too, where `init` uses it."""
        if self.optimize.motion != "auto":
            return self.optimize.motion
        return "both" if self.init.prior else "direct"


PAPER: dict[str, dict[str, Any]] = {
    "camera": {"motion": "still"},
    "init": {
        "focal_search": False,
        "prior_start": "sample",
        "prior_samples": 1,
        "prior_steps": 0,
    },
    "optimize": {
        "motion": "answer",
        "check_depth_order": False,
        "passes": 20,
        "warmup_passes": 0,
        "window_frames": 128,
        "image_size_px": 512,
        "map_size": 256,
        "latent_channels": 64,
        "lr_prior": 2e-5,
        "lr_appearance": 3e-3,
        "lr_latent": 3e-3,
        "weight_appearance": 1.0,
        "weight_rgb": 0.8,
        "weight_ssim": 0.2,
        "weight_lpips": 0.2,
        "weight_offset": 10.0,
        "weight_scale": 0.03,
        "weight_silhouette": 0.0,
        "weight_identity": 0.0,
        "weight_contact": 0.0,
        "weight_penetration": 0.67,
        "weight_reprojection": 0.5,
        "weight_velocity": 0.1,
        "weight_stay_near_init": 0.5,
        "weight_anchor_place": 0.08,
        "weight_anchor_shape": 0.25,
        "without": get_args(MotionTerm),
        "lpips_stand_in": True,
        "keypoint_filter": "own",
        "identity_radius": 0.0,
    },
}
"""The paper's method and numbers; docs/paper.md says where each one is from."""


def _paper_with(**optimize: Any) -> dict[str, dict[str, Any]]:
    """A row of the paper's Table 3."""
    return PAPER | {"optimize": PAPER["optimize"] | optimize}


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
    "paper": PAPER,
    "paper-without-appearance": _paper_with(appearance=False),
    "paper-without-proxemics": _paper_with(motion="direct", lr_motion=5e-3),
    "paper-without-physics": _paper_with(physics=0.0),
}
"""What each preset changes against the defaults of the sections."""
