"""`closefit status`: the state of a results folder."""

from pathlib import Path
from typing import Annotated

import typer

from closefit.cli import options
from closefit.cli.console import Console


def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results folder.")],
    as_json: options.Json = False,
) -> None:
    """Show what is done, what would run and why; run nothing."""
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
