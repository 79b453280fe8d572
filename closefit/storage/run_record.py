"""What `run.json` holds: settings, facts of the video, outcome, time, and figures of each stage.

The text of docs/formats.md comes from here, and a folder from elsewhere is checked against it.
Entries that an older closefit did not write may be missing.
"""

from typing import Annotated, Literal, TypedDict

from msgspec import Meta

from closefit.boundary.ranges import Degrees, Seconds, Share
from closefit.records import VideoInfo

CameraDoubt = Literal["little background", "other motion"]
"""Why the camera's motion is not known."""

Amount = Annotated[int, Meta(ge=0, le=10**9)]
"""Of frames, steps; also the number of a frame."""

FrameRange = tuple[Amount, Amount]
"""First and last frame; both belong to it."""

Name = Annotated[str, Meta(max_length=100)]

Millimetres = Annotated[float, Meta(ge=0.0, le=1e6)]

_Simple = bool | int | float | str | None
Setting = _Simple | list[_Simple | dict[str, _Simple]]

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
    fov_deg: Degrees


class StepProfile(TypedDict, total=False):
    """Where the time of the optimisation went.

    Attributes:
        steps: Number of steps in the last process that worked on it.
        seconds_per_step: Mean time of a step.
        share: Share of each part of a step.
    """

    steps: Amount
    seconds_per_step: Seconds
    share: dict[str, Share]


class Diverged(TypedDict):
    """Why a fit has no trustworthy result, and what to do.

    Attributes:
        message: What happened.
        hint: What to do.
    """

    message: str
    hint: str


class _Timed(TypedDict):
    seconds: Seconds


class StageRecord(_Timed, total=False):
    """When, where and how long a stage ran last.

    Attributes:
        seconds: Its time.
        device: `cpu` or `cuda`.
        finished: Date and time (UTC) of its end.
        profile: Only `optimize`: where its time went.
        diverged: Only an `optimize` that diverged: `message`, and `hint` with what to do.
    """

    device: str
    finished: str
    profile: StepProfile
    diverged: Diverged


class Timing(TypedDict, total=False):
    """Time of all stages.

    Attributes:
        seconds: Sum over the stages.
        share: Share of each stage.
    """

    seconds: Seconds
    share: dict[str, Share]


class CandidatePerson(TypedDict, total=False):
    """Somebody in the clip.

    Attributes:
        id: Letter of the preview, for `--people`.
        frames: First and last frame.
        seen_frames: Number of frames with a detection.
        first_box: Left, top, right, bottom in the first of these, in source pixels.
    """

    id: str
    frames: FrameRange
    seen_frames: Amount
    first_box: list[float]


class IdentityConfidence(TypedDict, total=False):
    """Probability that a detection is of its person, over both people and all frames.

    Attributes:
        mean: Its mean.
        least: The smallest one.
    """

    mean: Share
    least: Share


class ChoiceFigures(TypedDict, total=False):
    """Figures of `track` about the choice of the two people."""

    swapped_frames: list[Amount]
    people: list[CandidatePerson]


class CameraMotionFigures(TypedDict, total=False):
    """Figures of `track` about the camera's motion."""

    camera_motion: str
    camera_shift_px: Annotated[float, Meta(ge=0.0, le=1e9)]
    camera_error_px: Annotated[float, Meta(ge=0.0, le=1e9)]
    camera_background_fit: Share | None
    camera_unknown_frames: list[Amount]
    camera_doubt: str | None


class TrackFigures(ChoiceFigures, CameraMotionFigures, total=False):
    """Figures of `track`.

    Attributes:
        camera_motion: `stands still`, `taken to stand still` (see `camera_doubt`), `turns`,
            `turns and zooms`, `from the camera file` or `not looked for`.
        camera_shift_px: How far a corner of the picture moves at most, in source pixels.
        camera_error_px: Mean distance of the background's points from where turns put them.
        camera_background_fit: Share of these points that turns explain, median over frames; null
            where nothing of the background was found again.
        camera_unknown_frames: Frames with too little background; their camera is interpolated.
        camera_doubt: `little background` or `other motion` (the camera travels, or much of the
            background moves) where this may be wrong; else null.
        swapped_frames: Frames in which the detections of the two were exchanged.
        people: Everybody in the clip.
        frames: Number of frames.
        both_seen: Share of frames in which both people were detected.
        not_seen_frames: Of each person: the frames without a detection.
        doubtful_frames: First and last frame of each stretch in which it is doubtful who is who.
        identity_confidence: How certain the identities are.
    """

    frames: Amount
    both_seen: Share
    not_seen_frames: list[list[Amount]]
    doubtful_frames: list[FrameRange]
    identity_confidence: IdentityConfidence


class EstimateFigures(TypedDict, total=False):
    """Figures of `init` about an estimate of another tool."""

    init_from: str
    init_from_share: list[Share]


class FitFigures(TypedDict, total=False):
    """Figures of `init` about its fit."""

    init_energy: float | None
    depth_order_start: str


class FocalFigures(TypedDict, total=False):
    """Figures of `init` about an unknown camera."""

    focal_px: Annotated[float, Meta(gt=0.0, le=1e9)]
    focal_log_sigma: Annotated[float, Meta(ge=0.0, le=10.0)]


class InitFigures(FitFigures, EstimateFigures, FocalFigures, total=False):
    """Figures of `init`.

    Attributes:
        focal_px: Only where nothing was known of the camera: the focal length that was found.
        focal_log_sigma: Standard deviation of its logarithm: about the share it may be off.
        init_energy: Final value of its objective.
        depth_order_start: Which depth order the fit started from.
        init_from: Only with `--init-from`: name of the tool.
        init_from_share: Only with `--init-from`: share of frames with an estimate, per person.
    """


class OptimizeFigures(TypedDict, total=False):
    """Figures of `optimize`.

    Attributes:
        optimize_status: `converged`, `step limit` or `diverged`.
        optimize_steps: Number of steps.
        depth_order_swapped_frames: Frames in which the two changed places to match the image.
        kept_keypoints: Share of confident keypoints that passed the identity filter.
        lpips: Network of the LPIPS term: `alexnet`, `squeezenet` (a stand-in) or `off`.
    """

    optimize_status: str
    optimize_steps: Amount
    depth_order_swapped_frames: Amount
    kept_keypoints: Share
    lpips: str


class ImplausibleContact(TypedDict):
    """Body parts that are deeper inside each other than bodies can be: an error of the poses.

    Attributes:
        person_0: Part of person 0.
        person_1: Part of person 1.
        frames: First and last frame of each stretch; both belong to it.
        max_penetration_mm: Deepest penetration.
    """

    person_0: Name
    person_1: Name
    frames: list[FrameRange]
    max_penetration_mm: Millimetres


class ExportFigures(TypedDict, total=False):
    """Figures of `export`.

    Attributes:
        penetration_mean_mm: Mean over all frames and over all vertices of both (A-PD).
        penetration_max_mm: The deepest penetration.
        contact_frames: Frames in which the two touch.
        contact_s: The same in seconds.
        implausible: Parts that are deeper inside each other than bodies can be, which is an error
            and no contact.
        valid_share: Share of person-frames whose pose rests on observations near in time.
        confidence: Mean confidence of each person.
        reprojection_error_px: Mean distance in source pixels from the surely detected keypoints
            (confidence above 0.5) to those of the body; null where there is none.
        camera_turn_deg: Only where the camera moves: how far it turns from the still camera.
    """

    penetration_mean_mm: Millimetres
    penetration_max_mm: Millimetres
    contact_frames: Amount
    contact_s: Seconds
    implausible: list[ImplausibleContact]
    valid_share: Share
    confidence: list[Share]
    reprojection_error_px: float | None
    camera_turn_deg: Annotated[float, Meta(ge=0.0, le=180.0)]


class Verdict(TypedDict, total=False):
    """How good the exported result is (docs/quality.md).

    Attributes:
        score: Probability that a careful person would keep it.
        reasons: What costs most of it, the worst first.
        good_frames: First and last frame of the longest stretch that would be kept; null where
            there is none.
    """

    score: Share
    reasons: list[str]
    good_frames: FrameRange | None


class Figures(Verdict, total=False):
    """The verdict on the result, and figures of each stage that has run.

    Attributes:
        score: Probability that a careful person would keep the result, 0 to 1.
        reasons: What costs most of it, the worst first.
        good_frames: First and last frame of the longest stretch that would be kept; null where
            there is none.
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
        quality: The score of the result, and figures of each stage.
    """

    closefit: str
    video: VideoInfo
    camera: CameraFacts
    settings: dict[str, Setting]
    status: str
    started: str
    finished: str
    error: str | None
    stages: dict[str, StageRecord]
    timing: Timing
    quality: Figures
