"""Stage `track`: a video in, two people's boxes, keypoints and masks in every frame out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from closefit import video
from closefit.config import Backend
from closefit.detectors.detections import Detections
from closefit.detectors.lite import LiteDetector
from closefit.detectors.yolo import YoloDetector
from closefit.errors import ObservationsError
from closefit.events import Notice, Step
from closefit.records import Track
from closefit.stages.detections import keep_detections, kept_detections
from closefit.stages.job import Job
from closefit.tracking.corrections import NO_CORRECTIONS, Corrections
from closefit.tracking.corrections import read as read_corrections
from closefit.tracking.identify import Identified, Wishes, identify, scaled_choice
from closefit.tracking.imports.given import Given, read_given
from closefit.tracking.imports.part import Part
from closefit.tracking.masks import PairMask, chosen_masks, pack
from closefit.tracking.prompts import choose_prompts
from closefit.tracking.repair import RepairedPair, doubtful_frames, with_keypoints
from closefit.tracking.sightings import Sightings, SightingsBuilder
from closefit.weights import locate

REVISION = 3

Image = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a backend found out about two people.

    Attributes:
        people: Who is who among those detected.
        repaired: Told apart and followed through gaps, in pixels of the source video.
        union_masks: Packed bits of both people's pixels; all zeros where unknown.
        person_masks: Packed bits of each person's pixels; size 0 where a backend has none.
        mask_size_wh: Width and height of the masks.
        features: Image feature of each person; size 0 where a backend has none.
        landmarks_3d_m: As in `Track`; size 0 where a backend has none.
    """

    people: Identified
    repaired: RepairedPair
    union_masks: UInt8[np.ndarray, "frame union_bytes"]
    person_masks: UInt8[np.ndarray, "frame person person_bytes"]
    mask_size_wh: Int[np.ndarray, "2"]
    features: Float[np.ndarray, "frame person feature"]
    landmarks_3d_m: Float[np.ndarray, "frame person landmark 4"]


@dataclass(frozen=True, eq=False)
class Clip:
    """The chosen part of the video, and how to read it at working size."""

    job: Job
    time_s: Float[np.ndarray, " frame"]

    @property
    def size_wh(self) -> tuple[int, int]:
        """Working size: the video's, or smaller."""
        info, height = self.job.video, self.job.config.track.work_height_px
        scale = min(1.0, height / info.height)
        return max(1, round(info.width * scale)), max(1, round(info.height * scale))

    @property
    def scale(self) -> Float[np.ndarray, "2"]:
        """Source pixels per working pixel, across and down."""
        width, height = self.size_wh
        return np.array([self.job.video.width / width, self.job.video.height / height])

    @cached_property
    def given(self) -> Given | None:
        """What the user knows already of these frames."""
        paths, info = self.job.config.track.observations, self.job.video
        if not paths:
            return None
        first = int(np.searchsorted(video.frame_times(info), self.time_s[0]))
        part = Part(info, slice(first, first + len(self.time_s)), self.size_wh)
        return read_given([Path(path) for path in paths], part)

    @cached_property
    def corrections(self) -> Corrections:
        """What the user says was wrong, in pixels of the source video."""
        named, info = self.job.config.track.corrections, self.job.video
        if named is None:
            return NO_CORRECTIONS
        return read_corrections(Path(named), len(self.time_s), (info.width, info.height))

    def images(self, task: str) -> Iterator[Image]:
        """Stream the pictures at working size, reporting progress under the name `task`."""
        track = self.job.config.track
        pictures = video.frames(self.job.video, track.start_s, track.end_s, size_wh=self.size_wh)
        for done, picture in enumerate(pictures, start=1):
            yield picture
            self.job.emit(Step(task, done, len(self.time_s)))


@runtime_checkable
class Detector(Protocol):
    """Finds everybody in pictures given in order of time, `batch_size` of them at once."""

    batch_size: int

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the people in RGB pictures of one size."""


def run(job: Job) -> None:
    """Find and follow the two people, and write `artifacts/track.npz`.

    Raises:
        InputError: The video, the detections or the corrections cannot be used.
        WeightsError: A network is missing or damaged.
        PeopleError: The clip does not show two people together, or not those who were chosen.
    """
    settings = job.config.track
    clip = Clip(job, video.frame_times(job.video, settings.start_s, settings.end_s))
    if settings.corrections is not None:  # wrong ones are refused before the long work
        job.emit(Notice(f"{clip.corrections.count} corrections from `{settings.corrections}`"))
    evidence = BACKENDS[settings.backend(job.device)](clip)
    job.save(_record(clip, evidence))
    _report(clip, evidence.people)


def _from_import(clip: Clip) -> Evidence:
    """Detections made elsewhere; the video only adds the colours of the clothes."""
    given = clip.given
    assert given is not None
    if given.lacks is not None:
        named = ", ".join(f"`{path}`" for path in clip.job.config.track.observations)
        raise ObservationsError(
            f"{named}: {given.lacks}",
            hint="add `--perception yolo` (or another detector), which finds what is missing",
        )
    people = _choose(clip, lambda: _read_given(clip, given))
    evidence = _from_sightings(clip, people)
    if given.has_masks:
        return evidence
    return replace(evidence, person_masks=evidence.person_masks[..., :0])


def _from_yolo(clip: Clip) -> Evidence:
    """Everything from YOLO, in one pass over the video."""
    masks_given = clip.given is not None and clip.given.has_masks
    return _from_sightings(
        clip, _choose(clip, lambda: _detect(clip, _yolo(clip, with_masks=not masks_given)))
    )


def _from_lite(clip: Clip) -> Evidence:
    """Everything from RTMDet and BlazePose, in one pass over the video."""
    return _from_sightings(clip, _choose(clip, lambda: _detect(clip, _lite(clip))))


def _from_sightings(clip: Clip, people: Identified) -> Evidence:
    """Masks and landmarks of the detections that were chosen."""
    sightings, repaired = people.sightings, people.repaired
    masks = chosen_masks(sightings, people.chosen, clip.size_wh)
    landmarks_3d_m = np.zeros((*people.chosen.shape, *sightings.landmarks_3d_m.shape[1:]))
    chosen = people.chosen >= 0
    landmarks_3d_m[chosen] = sightings.landmarks_3d_m[people.chosen[chosen]]
    if landmarks_3d_m.shape[2]:
        # A landmark deserves no more trust than the same detection's keypoint was left with.
        trust = np.where(repaired.seen[..., None], repaired.keypoints[..., 2], 0.0)
        landmarks_3d_m[..., 3] = np.minimum(landmarks_3d_m[..., 3], trust)
    features = np.zeros((len(clip.time_s), 2, 0))
    return _from_masks(clip, people, repaired, masks, features, landmarks_3d_m)


def _from_full(clip: Clip) -> Evidence:
    """Boxes and identities from YOLO, keypoints and features from ViTPose, masks from SAM 2.1.

    Networks are asked only for what an import lacks.
    """
    identified = _choose(clip, lambda: _detect(clip, _yolo(clip, with_masks=False)))
    people, given = identified.repaired, clip.given
    features = np.zeros((*people.seen.shape, 0))
    if given is None or not given.has_keypoints:
        people, features = _with_vitpose(clip, people)
    if given is not None and given.has_masks:
        masks = chosen_masks(identified.sightings, identified.chosen, clip.size_wh)
    else:
        masks = _sam2_masks(clip, identified, people)
    no_landmarks = np.zeros((*people.seen.shape, 0, 4))
    return _from_masks(clip, identified, people, masks, features, no_landmarks)


def _with_vitpose(
    clip: Clip, people: RepairedPair
) -> tuple[RepairedPair, Float[np.ndarray, "frame person feature"]]:
    """Keypoints of people whose boxes are known, and an image feature of each."""
    # Imported here: transformers is slow to import, and the other backends do without.
    from closefit.detectors.vitpose import VitPoseEstimator

    job = clip.job
    model = f"vitpose-{job.config.track.vitpose}"
    estimator = VitPoseEstimator(locate(model, job.config.weights_dir), job.device)
    keypoints = np.zeros((*people.seen.shape, 17, 3))
    features = np.zeros((*people.seen.shape, estimator.feature_size))
    frame = 0
    for pictures in batches(clip.images("keypoints"), estimator.batch_size):
        frames = range(frame, frame + len(pictures))
        boxes = [people.boxes_xyxy[number, people.seen[number]] for number in frames]
        for number, (points, feature) in zip(
            frames, estimator.estimate(pictures, boxes), strict=True
        ):
            keypoints[number, people.seen[number]] = points
            features[number, people.seen[number]] = feature
        frame += len(pictures)
    max_gap_s = job.config.track.max_gap_s
    return with_keypoints(people, keypoints, clip.time_s, job.video.fps, max_gap_s), features


def _sam2_masks(clip: Clip, identified: Identified, people: RepairedPair) -> Iterator[PairMask]:
    """Masks of people who are followed by SAM 2.1."""
    from closefit.detectors.sam2 import Sam2Segmenter

    job = clip.job
    model = f"sam2.1-hiera-{job.config.track.sam2}"
    segmenter = Sam2Segmenter(locate(model, job.config.weights_dir), job.device)
    prompts = choose_prompts(
        people.boxes_xyxy,
        people.seen,
        people.identity_confidence,
        job.video.fps,
        identified.stated,
    )
    return segmenter.follow(clip.images("masks"), prompts)


BACKENDS: dict[Backend, Callable[[Clip], Evidence]] = {
    "import": _from_import,
    "yolo": _from_yolo,
    "lite": _from_lite,
    "full": _from_full,
}


def _read_given(clip: Clip, given: Given) -> Sightings:
    """Everybody whom an import knows, with the colours of their clothes from the video."""
    builder = SightingsBuilder()
    for frame, picture in enumerate(clip.images("reading")):
        builder.add(picture, given.detections(frame))
    return builder.finish()


def _yolo(clip: Clip, *, with_masks: bool) -> Detector:
    weights_dir = clip.job.config.weights_dir
    return YoloDetector(
        locate("yolo11n-pose", weights_dir),
        locate("yolo11n-seg", weights_dir) if with_masks else None,
        clip.job.device,
        clip.job.config.track.detection_confidence,
    )


def _lite(clip: Clip) -> Detector:
    weights_dir = clip.job.config.weights_dir
    return LiteDetector(
        locate("rtmdet-nano", weights_dir),
        locate("blazepose-lite", weights_dir),
        clip.job.config.track.detection_confidence,
    )


def _detect(clip: Clip, detector: Detector) -> Sightings:
    """Detect everybody; what an import knows is believed."""
    builder = SightingsBuilder()
    seen = (
        pair
        for pictures in batches(clip.images("people"), detector.batch_size)
        for pair in zip(pictures, detector.detect(pictures), strict=True)
    )
    for frame, (picture, found) in enumerate(seen):
        builder.add(picture, found if clip.given is None else clip.given.complete(frame, found))
    return builder.finish()


def _choose(clip: Clip, detect: Callable[[], Sightings]) -> Identified:
    """Choose the two people and tell them apart, unless an import has done so.

    `detect` is called only if no detections are kept from before.
    """
    job, given = clip.job, clip.given
    settings, info = job.config.track, job.video
    kept = kept_detections(job.workspace, job.provenance)
    if kept is not None:
        job.emit(Notice("the detections are up to date; only who is who is decided again"))
        sightings = Sightings.from_record(kept)
    else:
        sightings = detect() if given is None else given.identified(detect())
        record = sightings.to_record(clip.time_s, clip.size_wh)
        keep_detections(job.workspace, job.provenance, record)
    across, down = 1.0 / clip.scale
    people = settings.chosen_people
    wishes = Wishes(
        people=people and scaled_choice(people, across, down),
        corrections=clip.corrections.scaled(across, down),
        identities_known=given is not None and given.knows_identities,
        video=info.path,
    )
    return identify(sightings, clip.time_s, info.fps, settings.max_gap_s, wishes)


def _from_masks(
    clip: Clip,
    people: Identified,
    repaired: RepairedPair,
    masks: Iterable[PairMask],
    features: Float[np.ndarray, "frame person feature"],
    landmarks_3d_m: Float[np.ndarray, "frame person landmark 4"],
) -> Evidence:
    """Pack the masks, doubt the keypoints that they cover, go to pixels of the source video."""
    packed = pack(masks, repaired.boxes_xyxy, repaired.keypoints)
    repaired = replace(
        repaired,
        boxes_xyxy=repaired.boxes_xyxy * np.tile(clip.scale, 2),
        keypoints=_scaled(packed.doubted(repaired.keypoints), clip.scale),
    )
    union, person_masks, size_wh = packed.union, packed.people, clip.size_wh
    if clip.given is not None and clip.given.silhouettes is not None:
        union, person_masks, size_wh = clip.given.with_silhouettes(person_masks)
        union = union.copy()
        for first, last in clip.corrections.ignored:
            union[first : last + 1] = 0
    return Evidence(
        people=people,
        repaired=repaired,
        union_masks=union,
        person_masks=person_masks,
        mask_size_wh=np.array(size_wh),
        features=features,
        landmarks_3d_m=landmarks_3d_m,
    )


def _record(clip: Clip, evidence: Evidence) -> Track:
    info, repaired = clip.job.video, evidence.repaired
    return Track(
        time_s=clip.time_s,
        fps=np.array(info.fps),
        size_wh=np.array([info.width, info.height]),
        boxes_xyxy=repaired.boxes_xyxy.astype(np.float32),
        keypoints=repaired.keypoints.astype(np.float32),
        keypoint_set=np.array("coco17"),
        landmarks_3d_m=evidence.landmarks_3d_m.astype(np.float32),
        features=evidence.features.astype(np.float32),
        union_masks=evidence.union_masks,
        person_masks=evidence.person_masks,
        mask_size_wh=evidence.mask_size_wh,
        seen=repaired.seen,
        filled=repaired.filled,
        identity_confidence=repaired.identity_confidence.astype(np.float32),
    )


def _report(clip: Clip, people: Identified) -> None:
    """Say in which frames a person was not seen, or may be the other one."""
    repaired = people.repaired
    for person, seen in enumerate(repaired.seen.T):
        if seen.all():
            continue
        filled = int(repaired.filled[:, person].sum())
        clip.job.emit(
            Notice(
                f"person {person} was not found in {int((~seen).sum())} of {len(seen)} frames "
                f"({filled} filled in): {_ranges(np.flatnonzero(~seen))}",
                warning=bool(seen.mean() < 0.8),
            )
        )
    doubtful = doubtful_frames(repaired)
    if doubtful.any():
        frames = np.flatnonzero(doubtful)
        clip.job.emit(
            Notice(
                f"who is who is doubtful in {len(frames)} of {len(doubtful)} frames: "
                f"{_ranges(frames)}; look at them with `closefit stage track DIR --preview`",
                warning=True,
            )
        )
    known = repaired.identity_confidence[repaired.seen | repaired.filled]
    clip.job.report(
        {
            "frames": len(repaired.seen),
            "both_seen": round(float(repaired.seen.all(axis=1).mean()), 4),
            "not_seen_frames": [np.flatnonzero(~seen).tolist() for seen in repaired.seen.T],
            "exchanged_frames": np.flatnonzero(repaired.exchanged).tolist(),
            "doubtful_frames": [[int(run[0]), int(run[-1])] for run in _runs(doubtful)],
            "identity_confidence": {
                "mean": round(float(known.mean()), 4),
                "least": round(float(known.min()), 4),
            },
            "people": people.crowd.described(clip.scale),
        }
    )


def _runs(chosen: Bool[np.ndarray, " frame"]) -> list[Int[np.ndarray, " number"]]:
    """Numbers of the chosen frames, one array for each unbroken run."""
    numbers = np.flatnonzero(chosen)
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return [run for run in runs if len(run)]


def _ranges(numbers: Int[np.ndarray, " number"]) -> str:
    """Write sorted numbers as `3-8, 20`."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _scaled(
    keypoints: Float[np.ndarray, "frame 2 17 3"], factor: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "frame 2 17 3"]:
    scaled: Float[np.ndarray, "frame 2 17 3"] = keypoints * np.append(factor, 1.0)
    return scaled


def batches(images: Iterable[Image], size: int) -> Iterator[list[Image]]:
    """Yield lists of `size` images; the last one may be shorter."""
    stream = iter(images)
    while batch := list(islice(stream, size)):
        yield batch
