"""What a finished run found, in a few lines: files to open, contact, confidence, doubts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from closefit.exporters.doubts import doubts


def summary(out: Path, run: dict[str, Any]) -> Iterator[str]:
    """Yield the lines for a results folder, from the content of its `run.json`.

    Figures that an older closefit did not record are left out.
    """
    from closefit.storage.workspace import Workspace

    workspace, quality = Workspace(out), run.get("quality", {})
    if workspace.report.is_file():
        yield f"  open first   {workspace.report}"
    also = (
        (workspace.overlay, "a video"),
        (workspace.glb, "for 3D programs"),
        (workspace.motion, "for Python"),
    )
    files = [f"{path.name} ({use})" for path, use in also if path.is_file()]
    if files:
        yield f"  then         {', '.join(files)}"
    figures, frames = quality.get("export", {}), quality.get("track", {}).get("frames")
    if frames and "contact_s" in figures:
        whole_s = frames / run["video"]["fps"]
        yield f"  touching     {figures['contact_s']:.1f} of {whole_s:.1f} seconds"
    if "confidence" in figures:
        means = (f"person {n} {mean:.2f}" for n, mean in enumerate(figures["confidence"]))
        yield f"  confidence   {', '.join(means)} (mean, of 1)"
    found = doubts(run)
    if not found:
        yield "  doubtful     nothing that closefit notices"
    for number, doubt in enumerate(found):
        yield f"  {'' if number else 'doubtful':<12} {doubt.text}"
        yield f"  {'':<12} -> {doubt.advice}"
