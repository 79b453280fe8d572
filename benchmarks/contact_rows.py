"""How near parts of two people were found, and whether they truly touch, in many finished runs.

Nothing is run: results come from `benchmarks/quality` and `benchmarks/ablation.py`.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.quality.sources import Source, given, made
from closefit.body.model import Body
from closefit.body.skeleton import EVALUATION_JOINTS
from closefit.evaluation import metrics
from closefit.evaluation.runs import Truth, read_truth
from closefit.exporters.contacts import Contacts, find_contacts, join
from closefit.geometry.camera import project
from closefit.geometry.contact import CONTACT_M
from closefit.models import weights
from closefit.records import Motion, OptimizedMotion
from closefit.storage import artifacts

AT_ONCE = 64
RECORDS = {"init": Motion, "optimize": OptimizedMotion}


@dataclass(frozen=True, eq=False)
class Judged:
    """A finished motion and which parts truly touch.

    Attributes:
        clip: Name of the source.
        detector: `simulated`, `yolo` or `lite`.
        stage: `init` or `optimize`.
        of: Folder of a whole clip's run; nothing for a piece.
        arrays: `near_m`, `depth_mm` and `truth` (frame, part of true person 0, part of person 1),
            `joints`, `confidence` and `valid` (frame, true person, ...).
    """

    clip: str
    detector: str
    stage: str
    of: str
    arrays: dict[str, np.ndarray]

    @property
    def found(self) -> Contacts:
        """What is known of the contacts of the motion."""
        near_m = self.arrays["near_m"].astype(np.float64)
        touching = near_m < CONTACT_M
        depth_mm = self.arrays["depth_mm"].astype(np.float64)
        frames = len(near_m)
        return Contacts(
            gap_m=near_m.min(axis=(1, 2)),
            mean_depth_mm=np.zeros(frames),
            max_depth_mm=depth_mm.max(axis=(1, 2)),
            distance_m=np.where(touching, near_m, np.inf),
            near_m=near_m,
            depth_mm=depth_mm,
            place_m=np.zeros((*near_m.shape, 3), np.float32),
            probability=touching.astype(np.float64),
        )


class Collector:
    """Measures runs; truths are posed once."""

    def __init__(self, sources: list[Source]) -> None:
        """Measure runs of these clips."""
        self._sources = {source.name: source for source in sources}
        self._truths: dict[str, tuple[Truth, np.ndarray, np.ndarray]] = {}
        self._body = Body.load(weights.locate("closefit_body"))

    def pieces(self, out: Path) -> Iterator[Judged]:
        """Runs of `benchmarks/quality`."""
        for path in sorted(out.glob("runs/*/run.json")):
            record = json.loads(path.read_text())
            if "error" in record:
                continue
            spec = record["spec"]
            piece = slice(spec["start"], spec["start"] + spec["frames"])
            yield self._judged(path.parent, "optimize", spec["clip"], spec["detector"], piece)

    def cells(self, out: Path) -> Iterator[Judged]:
        """Runs of `benchmarks/ablation.py`, whole clips."""
        for path in sorted(out.glob("runs/*-*/artifacts")):
            clip, detector = path.parent.name.split("-")[:2]
            if not (path / "init.npz").is_file():
                continue
            detector = "simulated" if detector == "own" else detector
            stage = "optimize" if (path / "optimize.npz").is_file() else "init"
            yield self._judged(path.parent, stage, clip, detector, None)

    def _judged(
        self, folder: Path, stage: str, clip: str, detector: str, piece: slice | None
    ) -> Judged:
        motion = artifacts.read(folder / "artifacts" / f"{stage}.npz", RECORDS[stage])
        truth, target_joints, target = self._truth(clip)
        frames = piece or slice(None)
        joints = motion.joints.astype(np.float64)
        people = list(
            metrics.assign_people(
                _pixels(joints[:, :, EVALUATION_JOINTS], motion.K),
                _pixels(target_joints[frames][:, :, EVALUATION_JOINTS], truth.K[None]),
                motion.valid,
            ).people
        )
        found = contacts_of(self._body, motion, people)
        return Judged(
            clip,
            detector,
            stage,
            "" if piece is not None else folder.parent.parent.name,
            {
                "near_m": found.near_m.astype(np.float32),
                "depth_mm": found.depth_mm.astype(np.float32),
                "joints": joints[:, people].astype(np.float32),
                "confidence": motion.confidence[:, people],
                "valid": motion.valid[:, people],
                "truth": target[frames],
            },
        )

    def _truth(self, clip: str) -> tuple[Truth, np.ndarray, np.ndarray]:
        """A truth, its joints, and which parts touch."""
        if clip not in self._truths:
            source = self._sources[clip]
            truth, body = read_truth(source.truth), Body.load(source.body)
            pelvis = body.rest(torch.from_numpy(truth.betas)).joints[:, 0].numpy()
            moved = truth.transl - pelvis
            posed = _posed(body, truth.rotations, truth.betas, moved)
            found = _contacts(body, posed.vertices)
            touching = np.isfinite(found.distance_m)
            self._truths[clip] = truth, posed.joints.double().numpy(), touching
        return self._truths[clip]


def contacts_of(body: Body, motion: Motion, people: list[int]) -> Contacts:
    """Contacts of a motion with its people in this order."""
    posed = _posed(body, motion.rotations, motion.betas, motion.transl)
    return _contacts(body, posed.vertices[:, people])


def _posed(body: Body, *arrays: np.ndarray) -> Any:
    with torch.no_grad():
        return body.pose(*(torch.from_numpy(np.asarray(a, np.float32)) for a in arrays))


def _contacts(body: Body, vertices: torch.Tensor) -> Contacts:
    parts = body.vertex_parts()
    return join([find_contacts(v, body.faces, parts) for v in vertices.split(AT_ONCE)])


def _pixels(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    tensor = torch.from_numpy(np.asarray(K, np.float64))[:, None, None]
    pixels: np.ndarray = project(torch.from_numpy(points), tensor).numpy()
    return pixels


def collect(folders: list[Path], quality: Path, cells: list[Path], cache: Path) -> list[Judged]:
    """Measure all runs, or read them from `cache`."""
    if not cache.is_file():
        collector = Collector([*given(folders), *made(quality / "clips")])
        found = []
        for runs in (collector.pieces(quality), *(collector.cells(cell) for cell in cells)):
            for judged in runs:
                found.append(judged)
                if len(found) % 10 == 0:
                    print(f"{len(found)} runs measured", file=sys.stderr, flush=True)
        _save(cache, found)
    return _read(cache)


def _save(cache: Path, found: list[Judged]) -> None:
    index = [(j.clip, j.detector, j.stage, j.of, list(j.arrays)) for j in found]
    arrays = {f"{n}.{name}": a for n, j in enumerate(found) for name, a in j.arrays.items()}
    np.savez_compressed(cache, index=np.array(json.dumps(index)), **arrays)


def _read(cache: Path) -> list[Judged]:
    with np.load(cache) as file:
        return [
            Judged(clip, detector, stage, of, {name: file[f"{n}.{name}"] for name in names})
            for n, (clip, detector, stage, of, names) in enumerate(json.loads(str(file["index"])))
        ]
