"""How far a batch is, from the files in its folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closefit.batch.clips import RESULTS_MARK
from closefit.batch.folder import BatchFolder
from closefit.batch.record import ClipRecord


@dataclass(frozen=True, kw_only=True)
class BatchStatus:
    """The clips of the last command in a folder, by state.

    Attributes:
        done: Records of those with a result.
        failed: Records of those that failed for good.
        begun: Names of those whose results are not complete.
        waiting: Names of those that no process has begun.
        is_running: Whether a process works on them.
    """

    done: list[ClipRecord]
    failed: list[ClipRecord]
    begun: list[str]
    waiting: list[str]
    is_running: bool

    @property
    def total(self) -> int:
        """Number of clips."""
        return len(self.done) + len(self.failed) + len(self.begun) + len(self.waiting)

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "running": self.is_running,
            "clips": self.total,
            "done": len(self.done),
            "failed": [
                {key: record[key] for key in ("name", "clip", "exit_code", "error", "hint")}
                for record in self.failed
            ],
            "begun": self.begun,
            "waiting": self.waiting,
        }


def read_status(root: Path) -> BatchStatus:
    """Return the state of a folder; writes nothing.

    Raises:
        ArtifactError: It is not the folder of a batch, or a file of it is damaged.
    """
    folder = BatchFolder(root)
    names = folder.require_plan()["clips"]
    records, _ = folder.records()
    found = [records[name] for name in names if name in records]
    left = [name for name in names if name not in records]
    begun = [name for name in left if (folder.results(name) / RESULTS_MARK).is_file()]
    waiting = set(left).difference(begun)
    return BatchStatus(
        done=[record for record in found if record["status"] == "done"],
        failed=[record for record in found if record["status"] == "failed"],
        begun=begun,
        waiting=[name for name in left if name in waiting],
        is_running=folder.is_in_use,
    )
