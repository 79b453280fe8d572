"""`closefit run`: everything, from a video to a results folder."""

from pathlib import Path
from typing import Annotated

import typer

from closefit.boundary.refusals import word
from closefit.cli import options
from closefit.cli.console import session
from closefit.errors import OutputFolderError
from closefit.settings import GivenSettings


@options.takes_settings
def run(
    video: Annotated[Path, typer.Argument(help="Video of two people.")],
    given: GivenSettings,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Results folder; default: one in the current folder, named after the video.",
        ),
    ] = None,
    first: options.First = None,
    last: options.Last = None,
    force: options.Force = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Run everything on a video; continue a started folder."""
    from closefit.pipeline import runner

    selection = runner.Selection(first=first, last=last, force=force)
    folder = out or _folder_named_after(video)
    with session(verbose, folder) as (console, emit):
        run_facts = runner.run_as_given(video, folder, given, emit, selection)
    console.run_finished(folder, run_facts, as_json, exported=last in (None, "export"))


def _folder_named_after(video: Path) -> Path:
    """The folder of a run that names none.

    Raises:
        OutputFolderError: Something else has this name.
    """
    from closefit.storage.workspace import Workspace

    folder = Path(video.stem)
    is_taken = folder.exists() if not folder.is_dir() else any(folder.iterdir())
    if video.is_file() and is_taken and not Workspace(folder).run_json.exists():
        raise OutputFolderError(
            f"results would go to `{folder}`, named after the video, but that is something else",
            hint=f"name another folder: closefit run {word(video)} --out DIR",
        )
    return folder
