"""`closefit train-prior`: training the proxemics prior."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from closefit.cli import options
from closefit.cli.console import Console


def train_prior(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="SHARDS...", help="Motion from `closefit prior prepare`."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the training.")
    ],
    held_out: Annotated[
        list[str] | None,
        typer.Option("--validate", metavar="NAME=SHARDS", help="Motion to score on; repeatable."),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option("--start-from", metavar="FILE", help="Checkpoint to begin with."),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Training steps.")] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Windows in a step, per device.")
    ] = None,
    seed: options.Seed = None,
    device: Annotated[
        Literal["auto", "cuda", "cpu"], typer.Option("--device", help="Where to train.")
    ] = "auto",
    devices: Annotated[int, typer.Option("--devices", min=1, help="Devices of a machine.")] = 1,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Machines.")] = 1,
    config_file: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings as TOML.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting.")
    ] = None,
) -> None:
    """Train the prior of how two people move together; continues a started folder."""
    from closefit.learning.training.loop import TrainingConfig
    from closefit.learning.training.run import Machines, named_folders, train
    from closefit.settings import build_section

    config = build_section(
        TrainingConfig,
        config_file=config_file,
        assignments=assignments or [],
        flags={"steps": steps, "batch": batch, "seed": seed},
    )
    machines = Machines(accelerator=device, devices=devices, nodes=nodes)
    console = Console()
    with console.progress() as emit:
        path = train(
            folders, named_folders(held_out or []), out, config, machines, emit, start_from
        )
    if path is not None:
        console.line(f"the prior is in `{path}`; use it with --set init.prior_file={path}")
