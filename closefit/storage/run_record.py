"""What `run.json` holds: settings, facts of the video, outcome, time, and figures of each stage.

closefit reads few of these entries again (`run_facts.py`); all others are for people.
The text of docs/formats.md comes from here.
"""

from typing import Any, TypedDict

from closefit.records import VideoInfo
from closefit.storage.run_facts import Diverged

_Origin = TypedDict("_Origin", {"from": str}, total=False)


class CameraFacts(_Origin, total=False):
    """The camera: `file`, or the other three.

    Attributes:
        file: Path of the camera file.
        focal_px: Focal length in pixels of the source video.
        fov_deg: Diagonal field of view.
        from: `--focal` or `--fov` where it was given, `video` where the camera wrote it into the
            file, `estimated` where `init` found it, else `assumed`.
    """

    file: str
    focal_px: float
    fov_deg: float


class StepProfile(TypedDict):
    """Where the time of the optimisation went.

    Attributes:
        steps: Number of steps in the last process that worked on it.
        seconds_per_step: Mean time of a step.
        share: Share of each part of a step.
    """

    steps: int
    seconds_per_step: float
    share: dict[str, float]


class _FinishedStage(TypedDict):
    seconds: float
    device: str
    finished: str


class StageRecord(_FinishedStage, total=False):
    """When, where and how long a stage ran last.

    Attributes:
        seconds: Its time.
        device: `cpu` or `cuda`.
        finished: Date and time (UTC) of its end.
        profile: Only `optimize`: where its time went.
        diverged: Only an `optimize` that diverged: `message`, and `hint` with what to do.
    """

    profile: StepProfile
    diverged: Diverged


class Timing(TypedDict):
    """Time of all stages.

    Attributes:
        seconds: Sum over the stages.
        share: Share of each stage.
    """

    seconds: float
    share: dict[str, float]


class CandidatePerson(TypedDict):
    """Somebody in the clip.

    Attributes:
        id: Letter of the preview, for `--people`.
        frames: First and last frame.
        seen_frames: Number of frames with a detection.
        first_box: Left, top, right, bottom in the first of these, in source pixels.
    """

    id: str
    frames: list[int]
    seen_frames: int
    first_box: list[float]


class IdentityConfidence(TypedDict):
    """Probability that a detection is of its person, over both people and all frames.

    Attributes:
        mean: Its mean.
        least: The smallest one.
    """

    mean: float
    least: float


class ChoiceFigures(TypedDict, total=False):
    """Figures of `track` about the choice of the two people."""

    swapped_frames: list[int]
    people: list[CandidatePerson]


class TrackFigures(ChoiceFigures):
    """Figures of `track`.

    Attributes:
        swapped_frames: Frames in which the detections of the two were exchanged.
        people: Everybody in the clip.
        frames: Number of frames.
        both_seen: Share of frames in which both people were detected.
        not_seen_frames: Of each person: the frames without a detection.
        doubtful_frames: First and last frame of each stretch in which it is doubtful who is who.
        identity_confidence: How certain the identities are.
    """

    frames: int
    both_seen: float
    not_seen_frames: list[list[int]]
    doubtful_frames: list[list[int]]
    identity_confidence: IdentityConfidence


class EstimateFigures(TypedDict, total=False):
    """Figures of `init` about an estimate of another tool."""

    init_from: str
    init_from_share: list[float]


class FitFigures(TypedDict):
    """Figures of `init` about its fit."""

    init_energy: float
    depth_order_start: str


class FocalFigures(TypedDict, total=False):
    """Figures of `init` about an unknown camera."""

    focal_px: float
    focal_log_sigma: float


class InitFigures(FitFigures, EstimateFigures, FocalFigures):
    """Figures of `init`.

    Attributes:
        focal_px: Only where nothing was known of the camera: the focal length that was found.
        focal_log_sigma: Standard deviation of its logarithm: about the share it may be off.
        init_energy: Final value of its objective.
        depth_order_start: Which depth order the fit started from.
        init_from: Only with `--init-from`: name of the tool.
        init_from_share: Only with `--init-from`: share of frames with an estimate, per person.
    """


class OptimizeFigures(TypedDict):
    """Figures of `optimize`.

    Attributes:
        optimize_status: `converged`, `step limit` or `diverged`.
        optimize_steps: Number of steps.
        depth_order_swapped_frames: Frames in which the two changed places to match the image.
        kept_keypoints: Share of confident keypoints that passed the identity filter.
    """

    optimize_status: str
    optimize_steps: int
    depth_order_swapped_frames: int
    kept_keypoints: float


class ExportFigures(TypedDict):
    """Figures of `export`.

    Attributes:
        penetration_mean_mm: Mean over all frames and over all vertices of both (A-PD).
        penetration_max_mm: The deepest penetration.
        contact_frames: Frames in which the two touch.
        contact_s: The same in seconds.
        valid_share: Share of person-frames whose pose rests on observations near in time.
        confidence: Mean confidence of each person.
        reprojection_error_px: Mean distance in source pixels from the surely detected keypoints
            (confidence above 0.5) to those of the body; null where there is none.
    """

    penetration_mean_mm: float
    penetration_max_mm: float
    contact_frames: int
    contact_s: float
    valid_share: float
    confidence: list[float]
    reprojection_error_px: float | None


class Figures(TypedDict, total=False):
    """Figures of each stage that has run.

    Attributes:
        track: Detections and identities.
        init: The first motion.
        optimize: The joint optimisation.
        export: The exported files.
    """

    track: TrackFigures
    init: InitFigures
    optimize: OptimizeFigures
    export: ExportFigures


class RunRecord(TypedDict, total=False):
    """Everything in `run.json`.

    Attributes:
        closefit: Version of closefit.
        video: Facts of the video, after its rotation metadata is applied.
        camera: The camera of the run.
        settings: All settings, as docs/settings.md lists them.
        status: `running`, `done`, `interrupted` or `failed`.
        started: Date and time (UTC) of the start of the last run.
        finished: Date and time (UTC) of the end of the last run that got there.
        error: Message of the error that ended the last run.
        stages: When, where and how long each stage ran last, by stage.
        timing: Time of all stages.
        quality: Figures of each stage.
    """

    closefit: str
    video: VideoInfo
    camera: CameraFacts
    settings: dict[str, Any]
    status: str
    started: str
    finished: str
    error: str | None
    stages: dict[str, StageRecord]
    timing: Timing
    quality: Figures
