"""One run: a piece of a clip, a detector, a kind of damage; what it found and how wrong that is.

A run does what `closefit run` does, stage by stage in this process, but everybody was detected in
the whole clip before, and the damage is put between the stages. Of a finished run, `track.npz` and
`optimize.npz` (without its Gaussians) stay, and `run.json` with the errors of every frame: from
these the features can be computed again without running anything.
"""

import json
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.quality import damage
from benchmarks.quality.sources import Source
from benchmarks.quality.table import measured
from benchmarks.quality.truths import errors, part_of
from closefit import video
from closefit.body.model import Body
from closefit.config import Config
from closefit.demo.detections import VisiblePeople, simulate_detections
from closefit.errors import ClosefitError
from closefit.evaluation.runs import read_truth
from closefit.events import ignore
from closefit.geometry.penetration import PenetrationProxy
from closefit.mask_stack import MaskStack, deflate
from closefit.models.weights import locate
from closefit.perception import imported, yolo
from closefit.perception.clip import Clip
from closefit.perception.detectors.lite import LiteDetector
from closefit.perception.people import Detector, choose, detect
from closefit.perception.result import to_track
from closefit.perception.separation import separated_masks
from closefit.pipeline import device
from closefit.records import DetectedPeople, Motion, OptimizedMotion, Track, VideoInfo
from closefit.settings import build_config
from closefit.stages import init, optimize
from closefit.storage import artifacts
from closefit.storage.artifacts import Provenance
from closefit.storage.job import Job
from closefit.storage.workspace import Workspace
from closefit.tracking.masks import detected_masks

DETECTORS = ("yolo", "lite", "simulated")

SETTINGS: dict[str, dict[str, Any]] = {
    "fast": {
        "init.prior_steps": 60,
        "init.prior_samples": 2,
        "optimize.appearance": False,
        "optimize.passes": 8,
    },
    "better": {
        "init.prior_steps": 200,
        "init.prior_samples": 2,
        "optimize.appearance": False,
        "optimize.passes": 10,
    },
    "quick": {
        "init.prior_steps": 60,
        "init.prior_samples": 2,
        "optimize.passes": 8,
        "optimize.warmup_passes": 2,
        "optimize.image_size_px": 64,
        "optimize.map_size": 48,
        "optimize.latent_channels": 8,
        "optimize.decoder_width": 8,
    },
    "draft": {},
}
"""Changes to the preset `draft`."""


@dataclass(frozen=True)
class Spec:
    """What a run is.

    Attributes:
        number: Its place in the plan.
        clip: Name of the source.
        detector: One of `DETECTORS`.
        start: First frame.
        frames: Number of frames.
        kind: Kind of damage.
        strength: Of the damage, 0 to 1.
        settings: Key of `SETTINGS`.
        check_order: Whether `optimize` compares both depth orders.
    """

    number: int
    clip: str
    detector: str
    start: int
    frames: int
    kind: str
    strength: float
    settings: str = "fast"
    check_order: bool = True

    @property
    def seed(self) -> int:
        """Of the damage and of the simulated detector."""
        return 1000 + self.number


class Runner:
    """Does runs in a folder; those that are finished are not repeated."""

    def __init__(self, out: Path, sources: list[Source]) -> None:
        """Work in `out`."""
        self._out = out
        self._sources = {source.name: source for source in sources}

    def record(self, spec: Spec) -> Path:
        """Where the outcome of a run is."""
        return self._out / "runs" / f"{spec.number:04d}" / "run.json"

    def run(self, spec: Spec) -> dict[str, Any]:
        """Do a run, unless it is done, and return what is recorded of it."""
        path = self.record(spec)
        if path.is_file():
            known: dict[str, Any] = json.loads(path.read_text())
            if known["spec"] == asdict(spec):
                return known
        shutil.rmtree(path.parent, ignore_errors=True)
        workspace = Workspace(path.parent)
        workspace.create()
        started = time.monotonic()
        try:
            outcome = self._outcome(spec, workspace)
        except ClosefitError as error:
            outcome = {"error": f"{type(error).__name__}: {error}"}
        except Exception:  # noqa: BLE001 - one bad run must not end a night of them
            outcome = {"error": traceback.format_exc()}
        record = {
            "spec": asdict(spec),
            "family": self._sources[spec.clip].family,
            "seconds": round(time.monotonic() - started, 2),
            **outcome,
        }
        for name in ("init", "detections"):
            workspace.artifact(name).unlink(missing_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(record) + "\n")
        partial.rename(path)
        return record

    def _outcome(self, spec: Spec, workspace: Workspace) -> dict[str, Any]:
        source = self._sources[spec.clip]
        info = video.probe(source.video)
        times = video.frame_times(info)
        piece = slice(spec.start, spec.start + spec.frames)
        people = _piece(self._detections(spec, source, info), times, piece)
        people = damage.damaged_detections(people, spec.kind, spec.strength, spec.seed)
        truth = read_truth(source.truth)
        factor = damage.focal_factor(spec.kind, spec.strength, spec.seed)
        config = _config(spec, float(truth.K[0, 0]) * factor)
        until = len(times) == piece.stop
        part = replace(
            config.track,
            start_s=float(times[piece.start]),
            end_s=None if until else float(times[piece.stop]),
        )
        job = _job(workspace, replace(config, track=part), info)
        device.prepare(0)
        track = _track(job, times[piece], people, spec.detector)
        if spec.detector == "simulated":
            track = _with_union(track, source, piece)
        track = damage.damaged_track(track, spec.kind, spec.strength, spec.seed)
        job.save(track)
        clock = [time.monotonic()]
        if spec.detector == "simulated":
            given = replace(part, perception="import", observations=("simulated.npz",))
            job = _job(workspace, replace(config, track=given), info)
        init.run(job)
        clock.append(time.monotonic())
        first = damage.damaged_motion(job.load(Motion), spec.kind, spec.strength, spec.seed)
        job.save(first)
        with _remembered_proxy():
            optimize.run(job)
        clock.append(time.monotonic())
        motion = job.load(OptimizedMotion)
        _save_without_gaussians(workspace, motion)
        body = Body.load(source.body)
        measured(workspace.root, Body.load(locate("closefit_body")))
        return {
            "errors": errors(motion, part_of(truth, piece), body),
            "errors_of_init": errors(first, part_of(truth, piece), body),
            "status": str(motion.status),
            "seconds_of_stages": np.diff(clock).round(2).tolist(),
        }

    def _detections(self, spec: Spec, source: Source, info: VideoInfo) -> DetectedPeople:
        """Everybody in the whole clip, detected once."""
        workspace = Workspace(self._out / "detections" / f"{source.name}-{spec.detector}")
        path = workspace.artifact(DetectedPeople.KIND)
        if not path.is_file():
            workspace.create()
            values: dict[str, Any] = {"track.perception": spec.detector}
            if spec.detector == "simulated":
                with np.load(source.truth) as truth:
                    people = VisiblePeople.from_truth(dict(truth))
                seen = simulate_detections(people, Body.load(source.body), seed=7)
                np.savez_compressed(workspace.root / "seen.npz", **seen)
                values = {"track.observations": [str(workspace.root / "seen.npz")]}
            config = build_config(values={"preset": "draft", "device": "cpu", **values})
            clip = Clip(_job(workspace, config, info), video.frame_times(info))
            found = imported.perceive(clip) if clip.given else detect(clip, _detector(clip))
            if isinstance(found, DetectedPeople):  # imported ones are kept already
                artifacts.write(path, found, clip.job.provenance)
        return artifacts.read(path, DetectedPeople)


def _detector(clip: Clip) -> Detector:
    """The networks of `yolo` and `lite`."""
    settings = clip.job.config.track
    if settings.perception == "yolo":
        return yolo.load(clip, with_masks=True)
    return LiteDetector(
        locate("rtmdet-nano"),
        locate(f"blazepose-{settings.blazepose}"),
        settings.detection_confidence,
    )


@contextmanager
def _remembered_proxy() -> Iterator[None]:
    """Make the coarse body of the penetration term once: it takes longer than a short fit.

    All runs have the same body.
    """

    def create(*arguments: Any, **named: Any) -> PenetrationProxy:
        if not _PROXIES:
            _PROXIES.append(made(*arguments, **named))
        return _PROXIES[0]

    made = PenetrationProxy.create
    with mock.patch.object(PenetrationProxy, "create", create):
        yield


_PROXIES: list[PenetrationProxy] = []


def _config(spec: Spec, focal_px: float) -> Config:
    values = {
        "preset": "draft",
        "device": "cpu",
        "offline": True,
        "camera.focal_px": focal_px,
        "camera.motion": "still",
        "track.perception": "yolo" if spec.detector == "simulated" else spec.detector,
        "optimize.check_depth_order": spec.check_order,
        **SETTINGS[spec.settings],
    }
    return build_config(values=values)


def _job(workspace: Workspace, config: Config, info: VideoInfo) -> Job:
    return Job(
        workspace=workspace,
        config=config,
        video=info,
        device="cpu",
        emit=ignore,
        provenance=Provenance(stage="quality", fingerprint="0" * 64),
    )


def _piece(people: DetectedPeople, times: np.ndarray, piece: slice) -> DetectedPeople:
    """The detections of a piece; frames count from its first one."""
    chosen = people.of(np.flatnonzero((people.frame >= piece.start) & (people.frame < piece.stop)))
    return replace(chosen, time_s=times[piece], frame=chosen.frame - piece.start)


def _track(job: Job, times: np.ndarray, people: DetectedPeople, detector: str) -> Track:
    """Who is who in damaged detections, with masks as the detector's backend makes them."""
    clip = Clip(job, times)
    found = choose(clip, lambda: people)
    if detector == "simulated":
        return to_track(clip, found)
    masks = separated_masks(found, clip.images, clip.size_wh)
    return to_track(clip, found, masks, detected_masks(found.detected, clip.size_wh))


def _with_union(track: Track, source: Source, piece: slice) -> Track:
    """The masks of both together, as a file of observations has them."""
    with np.load(source.truth) as truth:
        shape = tuple(truth["masks_shape"])
        masks = np.unpackbits(truth["masks"], count=int(np.prod(shape))).reshape(shape)
    union = masks[piece].any(axis=1)
    stack = MaskStack.of((deflate(mask) for mask in union), (shape[3], shape[2]))
    return replace(
        track,
        union_mask_bytes=stack.joined,
        union_mask_ends=stack.ends,
        mask_size_wh=np.array(stack.size_wh),
    )


def _save_without_gaussians(workspace: Workspace, motion: OptimizedMotion) -> None:
    """Keep the motion; the appearance is by far the most and no feature needs it."""
    few = {
        f.name: getattr(motion, f.name)[:, :1]
        for f in fields(motion)
        if f.name.startswith("gaussian_")
    }
    provenance = Provenance(stage="quality", fingerprint="0" * 64)
    artifacts.write(workspace.artifact("optimize"), replace(motion, **few), provenance)
