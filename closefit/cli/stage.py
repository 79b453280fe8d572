"""`closefit stage`: one stage of the pipeline."""

from pathlib import Path
from typing import Annotated

import typer

from closefit.boundary.refusals import word
from closefit.cli import options
from closefit.cli.console import session
from closefit.config import StageName
from closefit.errors import ConfigError
from closefit.settings import GivenSettings, build_config, is_given


@options.takes_settings
def stage(
    name: Annotated[StageName, typer.Argument(help="The stage.")],
    target: Annotated[Path, typer.Argument(metavar="DIR|VIDEO", help="A started folder.")],
    given: GivenSettings,
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
    """Run one stage, with the settings of the last run in its folder."""
    if preview and name != "track":
        raise ConfigError(
            f"`stage {name}` has no `--preview`",
            hint=f"use `closefit stage track {word(target)} --preview`",
        )
    if out is None and target.is_file():
        raise ConfigError(
            f"`{target}` is a file, but no results folder was named",
            hint=f"add --out DIR: closefit stage NAME {word(target)} --out DIR",
        )
    from closefit.pipeline import recorded, runner

    if out is None:  # stage NAME DIR [VIDEO]
        folder = target
        video = video or recorded.video_of(folder)
    else:  # stage NAME VIDEO --out DIR
        folder, video = out, target
    selection = runner.Selection(only=name, force=force)
    with session(verbose, folder) as (console, emit):
        config = (
            recorded.config_of(folder, given, emit)
            if out is None
            else build_config(**given, emit=emit)
        )
        known = out is not None or is_given("weights_dir", **given)
        run_facts = runner.run(video, folder, config, emit, selection, weights_given=known)
        shown = runner.preview(video, folder, emit) if preview else None
    if shown is not None:
        console.line(f"who is who: `{shown}`")
    console.run_finished(folder, run_facts, as_json, exported=name == "export")
