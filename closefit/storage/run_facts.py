"""The entries of `run.json` that closefit reads again, with their types; others are for people."""

from typing import Annotated, TypedDict

from msgspec import Meta

from closefit.boundary.ranges import Seconds, Share
from closefit.records import VideoInfo

Frame = Annotated[int, Meta(ge=0, le=10**9)]
Millimetres = Annotated[float, Meta(ge=0.0, le=1e6)]


Simple = bool | int | float | str | None
Setting = Simple | list[Simple | dict[str, Simple]]


class Diverged(TypedDict):
    """Why a fit has no trustworthy result, and what to do.

    Attributes:
        message: What happened.
        hint: What to do.
    """

    message: str
    hint: str


class Timed(TypedDict):
    """A finished stage."""

    seconds: Seconds


class StageFacts(Timed, total=False):
    """A finished stage, and whether its fit diverged."""

    diverged: Diverged


class TrackFigures(TypedDict, total=False):
    """Frames of the clip, of each person not seen, and ranges in which identity is doubtful."""

    frames: Frame
    not_seen_frames: list[list[Frame]]
    doubtful_frames: list[tuple[Frame, Frame]]


class InitFigures(TypedDict, total=False):
    """The focal length that was found, and the standard deviation of its logarithm."""

    focal_px: Annotated[float, Meta(gt=0.0, le=1e9)]
    focal_log_sigma: Annotated[float, Meta(ge=0.0, le=10.0)]


class OptimizeFigures(TypedDict, total=False):
    """How the fit ended."""

    optimize_status: str


class ExportFigures(TypedDict, total=False):
    """What is shown of a finished run."""

    confidence: list[Share]
    contact_s: Seconds
    penetration_max_mm: Millimetres


class Quality(TypedDict, total=False):
    """Figures by stage."""

    track: TrackFigures
    init: InitFigures
    optimize: OptimizeFigures
    export: ExportFigures


CameraFacts = TypedDict(
    "CameraFacts",
    {"from": str, "fov_deg": Annotated[float, Meta(ge=0.0, le=180.0)], "file": str},
    total=False,
)
"""Where the focal length is from."""


class RunFacts(TypedDict, total=False):
    """All of them."""

    closefit: str
    video: VideoInfo
    camera: CameraFacts
    settings: dict[str, Setting]
    stages: dict[str, StageFacts]
    quality: Quality
