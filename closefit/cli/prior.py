"""`closefit prior ...`: the data of the proxemics prior, and the prior by itself."""

from pathlib import Path
from typing import Annotated

import typer

from closefit.cli import options
from closefit.cli.console import Console
from closefit.errors import ConfigError

prior_app = typer.Typer(
    no_args_is_help=True, help="The proxemics prior: its data, and motion drawn from it."
)


@prior_app.command()
def prepare(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the shards.")],
    sources: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[SOURCE]...", help="Motion files, folders of them, archives."),
    ] = None,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Add the mirror image of every motion.")
    ] = False,
    retime: Annotated[
        str, typer.Option("--retime", metavar="X,Y", help="Add every motion at these speeds.")
    ] = "",
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="NAME", help="Leave out motions of this name."),
    ] = None,
    generate: Annotated[
        float, typer.Option("--generate", metavar="HOURS", help="Add generated contact motion.")
    ] = 0.0,
    unit: Annotated[
        float | None,
        typer.Option("--unit", metavar="M", help="Metres per unit of BVH files, if unusual."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            min=0,
            max=options.MAX_SEED,
            help="Of pairs of single people and of generated motion.",
        ),
    ] = 0,
    weights: options.WeightsDir = None,
    max_input_gb: options.MaxInput = options.DEFAULT_MAX_INPUT_GB,
    as_json: options.Json = False,
) -> None:
    """Turn motion files into shards for training; people alone are put into pairs."""
    from closefit.body.model import Body
    from closefit.learning.preparation import Recipe
    from closefit.learning.preparation import prepare as write
    from closefit.models.weights import locate

    recipe = Recipe(
        sources=tuple(sources or ()),
        mirror=mirror,
        tempi=_tempi(retime),
        exclude=tuple(exclude or ()),
        generated_hours=generate,
        seed=seed,
        unit_m=unit,
    )
    body = Body.load(locate("closefit_body", weights))
    console = Console()
    with console.progress() as emit, options.reading_at_most(max_input_gb):
        shards = write(out, recipe, body, emit)
    minutes = shards.seconds / 60.0
    console.line(f"{len(shards.names)} motions, {minutes:.1f} minutes, are in `{out}`")
    if as_json:
        console.data({"out": str(out), "motions": len(shards.names), "minutes": minutes})


@prior_app.command()
def sample(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="A folder per sample goes here.")
    ],
    count: Annotated[int, typer.Option("--count", help="Number of motions.")] = 4,
    frames: Annotated[
        int | None,
        typer.Option("--frames", help="Length at 30 fps; default: 96, or all of --given."),
    ] = None,
    given: Annotated[
        Path | None,
        typer.Option("--given", metavar="FILE", help="Motion of a person who is to be completed."),
    ] = None,
    person: Annotated[
        int | None,
        typer.Option("--person", metavar="0|1", help="Which person of FILE; default: the first."),
    ] = None,
    prior: Annotated[
        Path | None,
        typer.Option("--prior", metavar="FILE", help="Checkpoint; default: the one that ships."),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=options.MAX_SEED, help="Same seed, same motions.")
    ] = 0,
    weights: options.WeightsDir = None,
    max_input_gb: options.MaxInput = options.DEFAULT_MAX_INPUT_GB,
    as_json: options.Json = False,
) -> None:
    """Draw motion of two people from the prior; or the partner of a person who is given."""
    from closefit.body.model import Body
    from closefit.learning.sampling.run import SampleRequest, draw_samples
    from closefit.models.weights import PRIOR, locate

    request = SampleRequest(count=count, frames=frames, given=given, person=person, seed=seed)
    checkpoint = prior or locate(PRIOR, weights)
    body = Body.load(locate("closefit_body", weights))
    console = Console()
    with console.progress() as emit, options.reading_at_most(max_input_gb):
        samples = draw_samples(out, request, checkpoint, body, emit)
    console.line(f"{len(samples)} motions are in `{out}`; look at preview.mp4 in each folder")
    if as_json:
        entries = [
            {"folder": str(s.folder), "frames": s.frames, "nearest_m": round(s.nearest_m, 4)}
            for s in samples
        ]
        console.data({"prior": str(checkpoint), "seed": seed, "samples": entries})


def _tempi(text: str) -> tuple[float, ...]:
    """Parse `0.8,1.25`."""
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigError(
            f"`{text}` is no list of speeds", hint="write them with commas: --retime 0.8,1.25"
        ) from error
