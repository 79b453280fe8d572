"""The command line: parses, builds the settings, calls one function, renders what it returns.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from closefit import __version__
from closefit.cli import options
from closefit.cli.console import Console, score_rows
from closefit.cli.options import Given, takes_settings
from closefit.cli.prior import prior_app
from closefit.cli.train_prior import train_prior
from closefit.cli.weights import download_weights, import_smpl
from closefit.errors import ClosefitError, ConfigError
from closefit.events import Emit, Notice
from closefit.settings import flatten

StageName = Literal["track", "init", "optimize", "export"]

INTERRUPTED = 130


class Boundary(TyperGroup):
    """The one place where errors become sentences and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; end it in words if it fails as documented."""
        try:
            return super().invoke(ctx)
        except ClosefitError as error:
            Console().error(error)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            Console().say("stopped; run the same command again to continue where it was")
            raise typer.Exit(INTERRUPTED) from error


app = typer.Typer(
    cls=Boundary,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 2 wrong usage, 3 input, 4 settings, 5 weights, 6 results folder, "
    "7 device, 8 fit diverged, 9 people, 10 output, 130 interrupted, 1 a bug.",
)

app.add_typer(prior_app, name="prior")
for command in (download_weights, import_smpl, train_prior):
    app.command()(command)


def main() -> None:
    """Entry point of the `closefit` program."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    # Idle OpenMP threads that spin starve the rasteriser's threads: on 2 busy cores the joint
    # optimisation took three times as long. Has to be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except Exception as error:  # noqa: BLE001 - the outermost handler: nothing passes unexplained
        Console().bug(error)
        traceback.print_exception(error)
        sys.exit(1)


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"closefit {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """From a video of two people in close contact to their 3D motion, contacts and looks."""
    del version  # its callback has dealt with it


@app.command()
@takes_settings
def run(
    video: Annotated[Path, typer.Argument(help="Video of two people.")],
    out: options.Out,
    given: Given,
    first: Annotated[
        StageName | None, typer.Option("--from", help="Run this stage and all later ones again.")
    ] = None,
    last: Annotated[
        StageName | None, typer.Option("--until", help="Stop after this stage.")
    ] = None,
    force: options.Force = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Run everything on a video; continue a started folder."""
    from closefit.pipeline import runner
    from closefit.storage.workspace import Workspace

    kept = Workspace(out).choices(of=video if force else None)
    config = given.config(kept=kept)
    selection = runner.Selection(first=first, last=last, force=force)
    with _session(verbose, out) as (console, emit):
        for name, value in kept.items():
            if flatten(config)[name] == value:
                text = f"`{name}` is {value}, as chosen before; `--set {name}=none` takes it back"
                emit(Notice(text))
        run_facts = runner.run(video, out, config, emit, selection)
    _show_run(console, out, run_facts, as_json)


@app.command()
@takes_settings
def stage(
    name: Annotated[StageName, typer.Argument(help="The stage.")],
    target: Annotated[Path, typer.Argument(metavar="DIR|VIDEO", help="A started folder.")],
    given: Given,
    video: Annotated[
        Path | None, typer.Argument(help="The folder's video, where it has moved.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Results folder of a VIDEO.")
    ] = None,
    preview: Annotated[
        bool,
        typer.Option("--preview", help="With `track`: draw who is who into DIR/preview.mp4."),
    ] = False,
    force: options.Force = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Run one stage, with the settings that its folder was last run with."""
    if preview and name != "track":
        raise ConfigError(
            f"`stage {name}` has no `--preview`",
            hint=f"use `closefit stage track {target} --preview`",
        )
    from closefit.pipeline import runner

    folder, video = _folder_and_video(target, video, out)
    recorded = None
    if out is None:
        recorded = runner.recorded_config(folder)
        video = video or runner.recorded_video(folder)
    config = given.config(recorded)
    selection = runner.Selection(only=name, force=force)
    with _session(verbose, folder) as (console, emit):
        run_facts = runner.run(video or target, folder, config, emit, selection)
        if preview:
            runner.preview(video or target, folder, emit)
    if preview:
        console.say(f"who is who: `{folder / 'preview.mp4'}`")
    _show_run(console, folder, run_facts, as_json)


@app.command()
def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results folder.")],
    as_json: options.Json = False,
) -> None:
    """Say what is done, what would run and why; run nothing."""
    from closefit.pipeline import runner

    stages = runner.status(folder)
    console = Console()
    if as_json:
        console.data([entry.as_dict() for entry in stages])
        return
    rows = [
        [
            entry.stage,
            "up to date" if entry.reason is None else "would run",
            "" if entry.reason is None else str(entry.reason),
            "" if entry.seconds is None else f"{entry.seconds:.1f}",
        ]
        for entry in stages
    ]
    console.table(["stage", "state", "reason", "seconds"], rows)


@app.command()
def doctor(weights: options.WeightsDir = None, as_json: options.Json = False) -> None:
    """Look at the machine: what works, what is missing, how to get it."""
    from dataclasses import asdict

    from closefit.cli.doctor import examine

    checks = examine(weights)
    console = Console()
    if as_json:
        console.data([asdict(check) for check in checks])
    else:
        for check in checks:
            console.check(check.name, check.state, check.found, check.fix)
    if any(check.state == "problem" for check in checks):
        raise typer.Exit(1)


@app.command()
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

    flags = {"device": device, "weights_dir": weights, "seed": seed}
    Workspace(out).create()
    with _session(verbose, out) as (console, emit):
        emit(Notice("making a clip of two people"))
        clip = make_clip(out / "clip", frames=frames, seed=seed or 0)
        fixed = ["preset=draft", "body=closefit", f"track.observations={clip.observations}"]
        config = Given(config_file=None, assignments=fixed, flags=flags).config()
        runner.run(clip.video, out, config, emit)
        scores = evaluate_run(out, clip.truth)
    _show_scores(console, scores, as_json)
    console.say(
        f"\nlook at `{out / 'overlay.mp4'}`: input, overlay, side and top view\n"
        f"open `{out / 'scene.glb'}` in Blender, or read `{out / 'motion.npz'}` with numpy"
    )


@app.command()
def evaluate(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Results folders of the same clip.")
    ],
    truth: Annotated[Path, typer.Option("--truth", metavar="FILE", help="Exact motion, .npz.")],
    truth_body: Annotated[
        Path | None, typer.Option("--truth-body", metavar="FILE", help="The truth's body model.")
    ] = None,
    joints: Annotated[
        Literal["smpl", "lsp"], typer.Option("--joints", help="Joints that count.")
    ] = "smpl",
    as_json: options.Json = False,
) -> None:
    """Score a run against exact truth: before and after optimize; or compare several runs."""
    from closefit.evaluation.runs import doubts, evaluate_run

    console = Console()
    runs = {}
    for folder in folders:
        scores = runs[str(folder)] = evaluate_run(folder, truth, truth_body, joints)
        for doubt in doubts(folder, scores):
            console.say(f"warning: {doubt}", "yellow")
    if len(runs) == 1:
        _show_scores(console, runs[str(folders[0])], as_json)
    elif as_json:
        console.data({name: _as_data(scores) for name, scores in runs.items()})
    else:
        short = len({folder.name for folder in folders}) == len(folders)
        names = [folder.name if short else str(folder) for folder in folders]
        last = [list(scores.values())[-1] for scores in runs.values()]
        _show_scores(console, dict(zip(names, last, strict=False)), as_json)


@contextmanager
def _session(verbose: bool, folder: Path) -> Iterator[tuple[Console, Emit]]:
    """Prepare progress and logging for a command that works on `folder`."""
    console = Console()
    log = folder / "log.txt"
    try:
        with _log_on_screen(verbose), console.progress() as emit:
            yield console, emit
    except ClosefitError:
        if verbose:
            traceback.print_exc()
        raise
    except Exception as error:
        if verbose or not log.is_file():
            raise
        console.bug(error, log)
        raise typer.Exit(1) from error


@contextmanager
def _log_on_screen(wanted: bool) -> Iterator[None]:
    """Show the log on stderr while the block runs."""
    logger = logging.getLogger("closefit")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    if wanted:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _folder_and_video(
    target: Path, video: Path | None, out: Path | None
) -> tuple[Path, Path | None]:
    """Tell `stage NAME DIR [VIDEO]` from `stage NAME VIDEO --out DIR`."""
    if out is not None:
        return out, target
    if target.is_file():
        raise ConfigError(
            f"`{target}` is a file, but no results folder was named",
            hint=f"add --out DIR: closefit stage NAME {target} --out DIR",
        )
    return target, video


def _show_run(console: Console, out: Path, run_facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        console.data({"out": str(out), **run_facts})
    else:
        console.say(f"results are in `{out}`")


def _show_scores(console: Console, scores: dict[str, Any], as_json: bool) -> None:
    from closefit.evaluation.runs import Measures

    if as_json:
        console.data(_as_data(scores))
    else:
        console.table(*score_rows(_as_data(scores), Measures.labels()))


def _as_data(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: measures.as_dict() for name, measures in scores.items()}


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt
