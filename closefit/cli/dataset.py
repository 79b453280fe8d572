"""`closefit dataset ...`: from the results of a batch to a dataset."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from closefit.boundary.refusals import word
from closefit.cli import options
from closefit.cli.console import Console
from closefit.errors import file_guard
from closefit.interruption import InOrder, Interrupted

dataset_app = typer.Typer(
    no_args_is_help=True, help="Results of a batch: look at them, and make a dataset of them."
)

CTRL_C = 130

BatchDir = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a batch.")]


@dataset_app.command()
def review(
    folder: BatchDir,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port of 127.0.0.1; 0: any free one.")
    ] = 8090,
) -> None:
    """Show one result after the other in a browser, to accept or reject; until Ctrl-C."""
    from closefit.datasets.review.desk import Desk
    from closefit.datasets.review.server import ReviewServer

    console = Console()
    with InOrder(), file_guard(folder):
        server = ReviewServer(Desk(folder), port)
        try:
            console.line(f"open {server.url} in a browser; Ctrl-C ends it, nothing is lost")
            server.serve_forever()
        except Interrupted as ended:
            if ended.exit_code != CTRL_C:
                raise
            console.line("the review has ended")
        finally:
            server.server_close()


@dataset_app.command()
def export(
    folder: BatchDir,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DATASET", help="Folder of the dataset.")
    ],
    layout: Annotated[
        Literal["npz", "wds", "prior"],
        typer.Option(
            "--format",
            help="npz: a file per clip; wds: WebDataset shards; prior: shards for train-prior.",
        ),
    ] = "npz",
    pixels: Annotated[
        bool,
        typer.Option("--pixels/--no-pixels", help="Add the pictures; else the times of frames."),
    ] = True,
    shares: Annotated[
        str,
        typer.Option("--splits", metavar="A,B,C", help="Shares of train, val and test."),
    ] = "80,10,10",
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the dataset; default: of its folder.")
    ] = None,
    scene: Annotated[
        str, typer.Option("--scene", help="Where it was filmed, for the card: indoor, outdoor.")
    ] = "-",
    as_json: options.Json = False,
) -> None:
    """Write what was accepted as a dataset with splits, checksums and a data card."""
    from closefit.datasets.export import Request, export_dataset
    from closefit.datasets.splits import parse_shares

    request = Request(
        batch=folder,
        out=out,
        layout=layout,
        pixels=pixels,
        shares=parse_shares(shares),
        name=name or out.absolute().name,
        scene=scene,
    )
    console = Console()
    with InOrder(), file_guard(out), console.progress() as emit:
        card = export_dataset(request, emit)
    if as_json:
        console.data(card)
        return
    console.line(f"{card['clips']} clips, {card['frames']} frames, are in `{out}`")
    console.line(f"read `{out / 'card.md'}` first; `closefit dataset verify {word(out)}` checks it")


@dataset_app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of a dataset.")],
    as_json: options.Json = False,
) -> None:
    """Check a dataset: every file and its checksum, every array, and that splits are apart."""
    from closefit.datasets.verify import verify_dataset

    console = Console()
    with InOrder(), file_guard(folder):
        found = verify_dataset(folder)
    if as_json:
        console.data(found)
    else:
        console.line(f"`{folder}` is whole: {found['clips']} clips, {found['files']} files")
