"""`closefit demo`: the built-in clip through the whole pipeline."""

from pathlib import Path
from typing import Annotated

import typer

from closefit.cli import options
from closefit.cli.console import session
from closefit.cli.evaluate import show_scores
from closefit.config import DEFAULT_FOV_DEG
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

    Workspace(out).create()
    with session(verbose, out) as (console, emit):
        emit(Notice("making a clip of two people"))
        clip = make_clip(out / "clip", frames=frames, seed=seed or 0)
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
