"""Marks that a user sets in the viewer, as entries of a file of corrections."""

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closefit.boundary.files import read_json, to_json
from closefit.settings import build_config
from closefit.storage.artifacts import atomic_write
from closefit.storage.workspace import Workspace
from closefit.tracking import corrections


@dataclass(frozen=True)
class Swapped:
    """The two people are swapped from frame `first` to frame `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        """Return it for the list of marks."""
        return f"swapped in frames {self.first} to {self.last}"


@dataclass(frozen=True)
class Placed:
    """A person is in this box (left, top, right, bottom in source pixels) in a frame."""

    person: int
    frame: int
    xyxy: tuple[float, float, float, float]

    def __str__(self) -> str:
        """Return it for the list of marks."""
        sides = ", ".join(f"{side:g}" for side in self.xyxy)
        return f"person {self.person} in frame {self.frame} is in the box {sides}"


Mark = Swapped | Placed


def apply_marks(
    workspace: Workspace, marks: Iterable[Mark], num_frames: int, size_wh: tuple[int, int]
) -> tuple[Path, str]:
    """Add marks to `corrections.json` in the folder, all or nothing.

    Only there is written: the folder's settings, and the place of its video, may be somebody
    else's. Where there is no such file yet, it begins with the corrections in use: those that the
    settings name, or those beside the video.

    Returns:
        The file, and the command that runs again with it.

    Raises:
        CorrectionsError: The corrections cannot be read, or the marks contradict them.
        ConfigError: A setting of the folder cannot be used.
    """
    run = workspace.require_started()
    video, path = Path(run["video"]["path"]), workspace.corrections
    config = build_config(recorded=run.get("settings", {}), recorded_in=workspace.run_json)
    named = config.track.corrections
    in_use = corrections.find(video, None if named is None else Path(named), path)
    known = path if os.path.lexists(path) else in_use
    content: dict[str, Any] = {}
    if known is not None:
        corrections.read(known, num_frames, size_wh)
        content = read_json(known, corrections.MAX_BYTES)
    for mark in marks:
        content = _added(content, mark, num_frames)
    corrections.check(content, path, num_frames, size_wh)
    with atomic_write(path) as file:
        file.write((to_json(content, indent=2) + "\n").encode())
    command = ["closefit", "run", str(video), "--out", str(workspace.root)]
    if in_use is None or not in_use.exists() or not in_use.samefile(path):
        command += ["--corrections", str(path)]
    return path, shlex.join(command)


def _added(content: dict[str, Any], mark: Mark, num_frames: int) -> dict[str, Any]:
    if isinstance(mark, Swapped):
        # Each entry of `swap` changes all later frames, so equal entries cancel each other.
        ends = {mark.first, mark.last + 1} - {num_frames}
        return content | {"swap": sorted(ends ^ set(content.get("swap", [])))}
    places = {
        part: [
            entry
            for entry in content.get(part, [])
            if (entry["person"], entry["frame"]) != (mark.person, mark.frame)
        ]
        for part in ("box", "point")
        if part in content
    }
    box = {"person": mark.person, "frame": mark.frame, "xyxy": list(mark.xyxy)}
    return content | places | {"box": [*places.get("box", []), box]}
