"""What a finished run found, in a few lines: files to open, contact, confidence, doubts."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from closefit.exporters.doubts import doubts


def summary(out: Path, run: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield label and text of each line for a results folder, from the content of its `run.json`.

    Figures that an older closefit did not record are left out.
    """
    from closefit.storage.workspace import Workspace

    workspace, quality = Workspace(out), run.get("quality", {})
    if workspace.report.is_file():
        yield "open first", str(workspace.report)
    also = (
        (workspace.overlay, "a video"),
        (workspace.glb, "for 3D programs"),
        (workspace.motion, "for Python"),
    )
    files = [f"{path.name} ({use})" for path, use in also if path.is_file()]
    if files:
        yield "then", ", ".join(files)
    figures, frames = quality.get("export", {}), quality.get("track", {}).get("frames")
    if frames and "contact_s" in figures:
        whole_s = frames / run["video"]["fps"]
        yield "touching", f"{figures['contact_s']:.1f} of {whole_s:.1f} seconds"
    if "confidence" in figures:
        means = (f"person {n} {mean:.2f}" for n, mean in enumerate(figures["confidence"]))
        yield "confidence", f"{', '.join(means)} (mean, of 1)"
    if "score" in quality:
        yield "score", f"{quality['score']:.2f} (probability that a careful person would keep it)"
        for reason in quality.get("reasons", ()):
            yield "", f"- {reason}"
        yield from _good_part(quality.get("good_frames"), frames)
    found = doubts(run)
    if not found:
        yield "doubtful", "nothing that closefit notices"
    for number, doubt in enumerate(found):
        yield "" if number else "doubtful", doubt.text
        yield "", f"-> {doubt.advice}"


def _good_part(good: Sequence[int] | None, frames: int | None) -> Iterator[tuple[str, str]]:
    """Which frames to keep, where these are not all."""
    if good is not None and frames is not None and good[1] - good[0] + 1 < frames:
        yield "", f"frames {good[0]} to {good[1]} are good"
