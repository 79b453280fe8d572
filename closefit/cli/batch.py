"""`closefit batch`: many clips, and `closefit batch status`: how far they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from closefit.boundary.refusals import word
from closefit.cli import options
from closefit.cli.batch_table import showing
from closefit.cli.console import Console
from closefit.errors import file_guard
from closefit.interruption import InOrder
from closefit.settings import GivenSettings, build_config, given_values

if TYPE_CHECKING:
    from closefit.batch.run import Progress
    from closefit.batch.status import BatchStatus

MOST_SHOWN = 20
"""Failed clips that the end of a batch names."""


@options.takes_settings
def batch(
    clips: Annotated[
        list[str],
        typer.Argument(metavar="CLIPS...", help="Videos, folders, patterns, lists (CSV, JSONL)."),
    ],
    given: GivenSettings,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="A folder per clip goes here.")
    ],
    split_shots: Annotated[
        bool,
        typer.Option(
            "--split-shots",
            help="Cut long videos at hard cuts, and take what shows two people together.",
        ),
    ] = False,
    together: Annotated[
        float,
        typer.Option(
            "--together", metavar="S", min=0.1, help="With --split-shots: for so many seconds."
        ),
    ] = 2.0,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, help="Most clips at once; default: as many as fit."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, help="Threads of each clip; default: a fair share."),
    ] = None,
    gpu_share: Annotated[
        float,
        typer.Option("--gpu-share", min=0.01, max=1.0, help="Share of a GPU that a clip takes."),
    ] = 1.0,
    ray_address: Annotated[
        str | None,
        typer.Option("--ray-address", metavar="HOST:PORT", help="A Ray cluster; default: here."),
    ] = None,
    retries: Annotated[
        int,
        typer.Option("--retries", min=0, help="Further tries after a process has died."),
    ] = 3,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Do failed clips again, too.")
    ] = False,
    first: options.First = None,
    last: options.Last = None,
    force: options.Force = False,
) -> None:
    """Run everything on many videos; continue a started folder."""
    from closefit.batch.clips import find_clips
    from closefit.batch.run import Request, run_batch
    from closefit.batch.shots import ShotRule
    from closefit.pipeline.runner import Selection

    Selection(first=first, last=last, force=force)  # refused before any clip starts
    values = given_values(given)
    build_config(values=values)
    console = Console()
    with InOrder(), file_guard(out), showing(console) as listen:
        request = Request(
            clips=find_clips(clips, out, values),
            out=out,
            values=values,
            first=first,
            last=last,
            force=force,
            retry_failed=retry_failed,
            retries=retries,
            threads=threads,
            jobs=jobs,
            gpu_share=gpu_share,
            ray_address=ray_address,
            shots=ShotRule(together) if split_shots else None,
        )
        ended = run_batch(request, listen)
    _report(console, out, ended)
    if ended.failed:
        raise typer.Exit(1)


def batch_status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a batch.")],
    as_json: options.Json = False,
) -> None:
    """Show how far a batch is, and what failed and why; run nothing."""
    from closefit.batch.status import read_status

    console, found = Console(), read_status(folder)
    if as_json:
        console.data(found.as_dict())
        return
    console.line(_counts(found))
    if found.failed:
        console.table(["failed clip", "code", "why", "what to do"], _failures(found))


def _report(console: Console, out: Path, ended: "Progress") -> None:
    from closefit.batch.status import read_status

    console.line(f"{ended.done} done, {ended.failed} failed; the index is `{out / 'index.jsonl'}`")
    failed = _failures(read_status(out))
    for name, code, error, hint in failed[:MOST_SHOWN]:
        console.line(f"failed: {name} (exit code {code}): {error}", "red")
        console.line(f"        -> {hint}")
    if len(failed) > MOST_SHOWN:
        console.line(
            f"... and {len(failed) - MOST_SHOWN} more: `closefit batch status {word(out)}`"
        )


def _counts(found: "BatchStatus") -> str:
    state = "running" if found.is_running else "not running"
    return (
        f"{found.total} clips: {len(found.done)} done, {len(found.failed)} failed, "
        f"{len(found.begun)} begun, {len(found.waiting)} waiting; {state}"
    )


def _failures(found: "BatchStatus") -> list[list[str]]:
    return [
        [record["name"], str(record["exit_code"]), record["error"] or "", record["hint"] or ""]
        for record in found.failed
    ]
