"""The argument of every stage: settings, video, and access to the results folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from closefit.config import Config
from closefit.events import Emit, Step
from closefit.records import VideoInfo
from closefit.storage import artifacts
from closefit.storage.artifacts import Provenance, R, Record
from closefit.storage.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Job:
    """One execution of one stage.

    Attributes:
        workspace: The results folder.
        config: All settings; numerics get their own section or plain values.
        video: Facts of the input video.
        device: `cpu` or `cuda`.
        emit: Listener for progress.
        provenance: What `save` writes beside the arrays.
        quality: Figures that the stage reports for `run.json`.
        verdict: What it says of the whole result, for `run.json`.
        profile: Where the stage's time went, for `run.json`.
    """

    workspace: Workspace
    config: Config
    video: VideoInfo
    device: str
    emit: Emit
    provenance: Provenance
    quality: dict[str, Any] = field(default_factory=dict)
    verdict: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Hash of everything that this stage's result depends on."""
        return self.provenance.fingerprint

    def load(self, record_type: type[R]) -> R:
        """Read an earlier stage's record.

        Raises:
            ArtifactError: It is missing, damaged or of another version.
        """
        return artifacts.read(self.workspace.artifact(record_type.KIND), record_type)

    def save(self, record: Record) -> Path:
        """Write this stage's record as its artifact."""
        path = self.workspace.artifact(record.KIND)
        artifacts.write(path, record, self.provenance)
        return path

    def report(self, figures: Mapping[str, Any]) -> None:
        """Add quality figures (JSON values) of this stage to `run.json`."""
        self.quality.update(figures)

    def judge(self, verdict: Mapping[str, Any]) -> None:
        """Say of the whole result in `run.json` how good it is (JSON values)."""
        self.verdict.update(verdict)

    def progress(self, task: str) -> Callable[[int, int], None]:
        """Return a function `(done, total)` that reports the progress of `task`."""
        return lambda done, total: self.emit(Step(task, done, total))
