"""`closefit report`: the page of a finished results folder."""

from pathlib import Path
from typing import Annotated

import typer

from closefit.cli.console import session


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results folder.")],
) -> None:
    """Write DIR/report.html again, from the other result files; `export` writes it too."""
    from closefit.pipeline import runner

    with session(False, folder) as (console, _):
        path = runner.report(folder)
    console.line(f"open `{path}` in a browser")
