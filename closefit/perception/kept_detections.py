"""The detections of a clip, kept so that `track` can decide again who is who without detecting.

Their fingerprint leaves out the settings that take effect after detection. A damaged or missing
file is not an error: the detector runs again.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace

from closefit.errors import ArtifactError
from closefit.records import DetectedPeople
from closefit.storage import artifacts
from closefit.storage.artifacts import Provenance
from closefit.storage.workspace import Workspace

REVISION = 1

AFTER_DETECTING = frozenset(
    {"track.corrections", "track.people", "track.max_gap_s", "camera.motion", "camera.file"}
)
"""Settings of `track` that the detections do not depend on."""


def kept_detections(workspace: Workspace, track: Provenance) -> DetectedPeople | None:
    """Return the kept detections if they are still valid for this run of `track`."""
    path = workspace.artifact(DetectedPeople.KIND)
    try:
        recorded = artifacts.read_provenance(path, DetectedPeople)
        if recorded.fingerprint != _provenance(track).fingerprint:
            return None
        return artifacts.read(path, DetectedPeople)
    except ArtifactError:
        return None


def keep_detections(workspace: Workspace, track: Provenance, detections: DetectedPeople) -> None:
    """Write the detections beside the result of `track`."""
    path = workspace.artifact(DetectedPeople.KIND)
    artifacts.write(path, detections, _provenance(track))


def are_kept(workspace: Workspace, track: Provenance, changed: Iterable[str]) -> bool:
    """Whether the kept detections remain valid after these settings have changed."""
    return AFTER_DETECTING.issuperset(changed) and kept_detections(workspace, track) is not None


def _provenance(track: Provenance) -> Provenance:
    """Provenance of the detections within a run of `track` that has this one."""
    settings = {key: value for key, value in track.settings.items() if key not in AFTER_DETECTING}
    content = {
        "kind": DetectedPeople.KIND,
        "version": DetectedPeople.VERSION,
        "revision": REVISION,
        "inputs": dict(track.inputs),
        "settings": settings,
        "weights": dict(track.weights),
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return replace(
        track,
        fingerprint=hashlib.sha256(canonical.encode()).hexdigest(),
        revision=REVISION,
        settings=settings,
    )
