"""Stand-ins for the four stages and the video reader: real artifacts in no time, and counted."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from closefit.errors import FileMissingError
from closefit.events import Step
from closefit.perception.detectors.blazepose import BlazePoseResult
from closefit.perception.detectors.regions import Region
from closefit.pipeline.declarations import STAGES
from closefit.records import Motion, Track, VideoInfo
from closefit.storage.hashing import sha256_of
from closefit.storage.job import Job
from tests.samples import make_motion, make_optimized_motion, make_track, make_video_info


@dataclass
class StubStage:
    """A stage whose result depends on its settings, its seed and its inputs."""

    compute: Callable[[Job], None]
    runs: int = 0
    fails_with: BaseException | None = None

    def run(self, job: Job) -> None:
        self.runs += 1
        job.emit(Step("work", 1, 1))
        if self.fails_with is not None:
            raise self.fails_with
        self.compute(job)


def _track(job: Job) -> None:
    job.save(make_track())


def _init(job: Job) -> None:
    job.load(Track)
    motion = make_motion(seed=job.config.seed)
    job.save(replace(motion, transl=motion.transl + np.float32(job.config.camera.fov_deg or 55.0)))
    job.report({"steps": job.config.init.steps})


def _optimize(job: Job) -> None:
    motion = job.load(Motion)
    noise = np.random.random(motion.transl.shape)  # noqa: NPY002 - what the pipeline has seeded
    optimized = make_optimized_motion(seed=job.config.seed)
    job.save(replace(optimized, transl=motion.transl + noise.astype(np.float32)))


def _export(job: Job) -> None:
    job.workspace.motion.write_bytes(job.workspace.artifact("optimize").read_bytes())
    job.workspace.contacts.write_text("{}")


class BlindBlazePose:
    """Stands in for BlazePose and is sure of nothing, so the first look stands."""

    def estimate_in_box(
        self, _picture: Pillow.Image, box_xyxy: np.ndarray, _upright_rad: float
    ) -> BlazePoseResult:
        return BlazePoseResult(
            keypoints=np.zeros((17, 3)),
            landmarks_m=np.zeros((17, 4)),
            presence=0.0,
            upright_rad=0.0,
            segmentation=np.zeros((256, 256)),
            region=Region.around(box_xyxy, 1.0),
        )


@dataclass
class StubStages:
    """All four, by name."""

    track: StubStage = field(default_factory=lambda: StubStage(_track))
    init: StubStage = field(default_factory=lambda: StubStage(_init))
    optimize: StubStage = field(default_factory=lambda: StubStage(_optimize))
    export: StubStage = field(default_factory=lambda: StubStage(_export))

    def by_name(self, name: str) -> StubStage:
        stage: StubStage = getattr(self, name)
        return stage

    def install(self) -> None:
        """Put the stand-ins in the place of the stages' functions."""
        for name, stage in STAGES.items():
            STAGES[name] = replace(stage, function=self.by_name(name).run)

    def take_runs(self) -> dict[str, int]:
        """Return how often each has run since the last call, leaving out those that did not."""
        counts = {}
        for name in ("track", "init", "optimize", "export"):
            stage = self.by_name(name)
            if stage.runs:
                counts[name] = stage.runs
            stage.runs = 0
        return counts


def write_video(path: Path, content: bytes = b"a video") -> Path:
    """Write something that `stub_probe` takes for a video."""
    path.write_bytes(content)
    return path


def stub_probe(path: Path) -> VideoInfo:
    """Stand in for `video.probe`: every file is a video."""
    if not path.is_file():
        raise FileMissingError(f"there is no file `{path}`", hint="check the path")
    return replace(make_video_info(content_sha256=sha256_of(path)), path=str(path))
