"""`closefit run`: everything, from a video to a results folder."""

from pathlib import Path
from typing import Annotated

import typer

from closefit.cli import options
from closefit.cli.console import session
from closefit.config import StageName
from closefit.settings import GivenSettings


@options.takes_settings
def run(
    video: Annotated[Path, typer.Argument(help="Video of two people.")],
    out: options.Out,
    given: GivenSettings,
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

    selection = runner.Selection(first=first, last=last, force=force)
    with session(verbose, out) as (console, emit):
        run_facts = runner.run_as_given(video, out, given, emit, selection)
    console.run_finished(out, run_facts, as_json)
