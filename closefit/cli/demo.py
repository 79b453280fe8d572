"""`closefit demo`: the built-in clip through the whole pipeline."""

import os
from pathlib import Path
from typing import Annotated

import typer

from closefit.cli import options
from closefit.cli.console import session
from closefit.cli.evaluate import show_scores
from closefit.config import DEFAULT_FOV_DEG
from closefit.errors import OutputFolderError
from closefit.events import Notice
from closefit.settings import build_config


def demo(
    out: options.Out = Path("demo"),
    frames: Annotated[int, typer.Option(min=8, max=600, help="Length of the clip.")] = 48,
    device: options.Device = None,
    weights: options.WeightsDir = None,
    seed: options.Seed = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Make a clip of two people and run everything on it, scored against its truth."""
    from closefit.demo import make_clip
    from closefit.evaluation.runs import evaluate_run
    from closefit.pipeline import runner
    from closefit.storage.workspace import Workspace

    folder = out / "clip"
    _require_own(out, folder)
    Workspace(out).create()
    with session(verbose, out) as (console, emit):
        emit(Notice("making a clip of two people"))
        clip = make_clip(folder, frames=frames, seed=seed or 0)
        config = build_config(
            assignments=[
                "preset=draft",
                "body=closefit",
                f"camera.fov_deg={DEFAULT_FOV_DEG}",  # that of the clip
                f"track.observations={clip.observations}",
            ],
            flags={"device": device, "weights_dir": weights, "seed": seed},
        )
        runner.run(clip.video, out, config, emit)
        scores = evaluate_run(out, clip.truth)
    show_scores(console, scores, as_json)
    console.line(
        f"\nopen `{out / 'report.html'}` in a browser first: 3D player, video, contacts, doubts\n"
        f"then `{out / 'overlay.mp4'}`, or `{out / 'scene.glb'}` in Blender"
    )


def _require_own(out: Path, folder: Path) -> None:
    """Refuse to replace a clip that is not the demo's.

    Raises:
        OutputFolderError: It would.
        ArtifactDamagedError: `run.json` of the folder cannot be read.
    """
    from closefit.storage.workspace import Workspace

    workspace = Workspace(out)
    if not os.path.lexists(folder):
        return
    video = workspace.read_run().get("video", {}).get("path")
    began = video is None and workspace.artifacts.is_dir() and not os.path.lexists(workspace.log)
    is_demo = began or (video is not None and Path(video) == (folder / "video.mp4").absolute())
    if folder.is_symlink() or not is_demo:
        raise OutputFolderError(
            f"the demo would write its clip to `{folder}`, but that is something else",
            hint="choose another folder with --out",
        )
