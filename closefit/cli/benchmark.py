"""`closefit benchmark`: the field's data sets, run and scored."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from closefit.boundary.refusals import named
from closefit.cli import options
from closefit.cli.batch_table import showing
from closefit.cli.console import Console
from closefit.errors import ConfigError, file_guard
from closefit.interruption import InOrder
from closefit.settings import GivenSettings, build_config, given_values

ROWS = ("initial", "no-appearance", "no-proxemics", "no-physics", "full")


@options.takes_settings
def benchmark(
    dataset: Annotated[
        Literal["hi4d", "chi3d", "3dpw", "harmony4d", "expi"],
        typer.Argument(metavar="DATASET", help="hi4d, chi3d, 3dpw, harmony4d or expi."),
    ],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder of the data set.")],
    given: GivenSettings,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Runs, scores and tables go here.")
    ],
    split: Annotated[
        str | None, typer.Option("--split", help="Part of the data set (docs/benchmarks.md).")
    ] = None,
    view: Annotated[
        str | None, typer.Option("--view", help="Camera (docs/benchmarks.md); all: each of them.")
    ] = None,
    more_rows: Annotated[
        list[str] | None,
        typer.Argument(metavar="ROW", hidden=True, help="Further words of --rows."),
    ] = None,
    rows: Annotated[
        str, typer.Option("--rows", metavar="ROW...", help=f"Of {', '.join(ROWS)}.")
    ] = "initial,full",
    joints: Annotated[
        Literal["smpl", "lsp"], typer.Option("--joints", help="Joints that count.")
    ] = "smpl",
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Most sequences at once, as of batch.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads of each sequence.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run failed sequences again, too.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Run closefit on a data set of the field and print the paper's tables; continues."""
    from closefit.benchmark.run import Request, run_benchmark
    from closefit.benchmark.sequences import Options
    from closefit.benchmark.tables import notes, tables

    values = given_values(given)
    own = values.pop("track.observations", None)
    build_config(values=values)
    request = Request(
        dataset=dataset,
        root=path,
        out=out,
        options=Options(split=split, view=view),
        rows=_rows(",".join([rows, *(more_rows or [])])),
        joints=joints,
        values=values,
        observations=_one_folder(own),
        jobs=jobs,
        threads=threads,
        retry_failed=retry_failed,
    )
    console = Console()
    with InOrder(), file_guard(out), showing(console, as_data=False) as listen:
        report = run_benchmark(request, listen, console.line)
    if as_json:
        console.data(report)
        return
    for title, header, cells in tables(report):
        console.table([f"{title} (mm)", *header[1:]], cells)
    for note in notes(report):
        console.line(note)
    console.line(f"the same is in `{out / 'table.md'}`")


def _rows(text: str) -> tuple[str, ...]:
    wanted = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in wanted if word not in ROWS]
    if unknown or not wanted:
        raise ConfigError(
            f"{named(unknown)} is no row of the table", hint=f"some of {' '.join(ROWS)}"
        )
    return tuple(row for row in ROWS if row in wanted)


def _one_folder(own: object) -> Path | None:
    """The folder of detections, where one is given."""
    if own is None:
        return None
    paths = [Path(str(path)) for path in own] if isinstance(own, list | tuple) else []
    if len(paths) != 1 or not paths[0].is_dir():
        raise ConfigError(
            "`--observations` of a benchmark is one folder with an entry for each sequence",
            hint="a file or folder per sequence, called after it (docs/benchmarks.md)",
        )
    return paths[0]
