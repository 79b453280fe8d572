"""Runs of whole clips with full settings: does the score carry over to them?"""

from pathlib import Path

import numpy as np
import torch

from benchmarks.quality.sources import Source
from benchmarks.quality.table import Table, features_of
from benchmarks.quality.truths import errors, severity
from closefit.body.model import Body
from closefit.evaluation.runs import read_truth
from closefit.models import weights
from closefit.quality.windows import of_clip
from closefit.records import OptimizedMotion
from closefit.storage import artifacts
from closefit.storage.workspace import Workspace

PIECE_FRAMES = 18


def read_full_runs(folder: Path, sources: list[Source]) -> Table:
    """Cut results into pieces, each a row.

    Args:
        folder: Holds results folders, `CLIP-DETECTOR` or `CLIP-DETECTOR-DAMAGE`, of whole clips.
            The detector `own` are the clip's simulated observations.
        sources: The clips.
    """
    body = Body.load(weights.locate("closefit_body"))
    records, rows, bad, frames, rates = [], [], [], [], []
    for source in sources:
        for place in sorted(folder.glob(f"{source.name}-*")):
            of_frames, fps = features_of(place, body)
            path = Workspace(place).artifact("optimize")
            with torch.no_grad():
                motion = artifacts.read(path, OptimizedMotion)
                found = errors(motion, read_truth(source.truth), Body.load(source.body))
            for start in range(0, len(of_frames) - PIECE_FRAMES + 1, PIECE_FRAMES):
                piece = slice(start, start + PIECE_FRAMES)
                spec = {"clip": source.name, "start": start, "settings": "whole clip"}
                spec |= _named(place.name.removeprefix(f"{source.name}-"))
                own = {key: values[piece] for key, values in found.items()}
                records.append(
                    {"spec": spec, "family": source.family, "errors": own, "seconds": 0.0}
                )
                rows.append(of_clip(of_frames[piece], fps))
                bad.append(severity(own))
                frames.append(of_frames[piece])
                rates.append(fps)
    return Table(records, np.stack(rows), np.array(bad), frames, rates)


def _named(name: str) -> dict[str, str]:
    detector, _, kind = name.partition("-")
    return {
        "detector": "simulated" if detector == "own" else detector,
        "kind": kind.replace("_", " ") or "none",
    }
