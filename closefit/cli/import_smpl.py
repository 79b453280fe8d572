"""`closefit import-smpl`: making the official SMPL body usable."""

from pathlib import Path
from typing import Annotated

import typer

from closefit.cli import options
from closefit.cli.console import Console
from closefit.models import weights as registry


def import_smpl(
    file: Annotated[Path, typer.Argument(help="The official SMPL .pkl or .npz.")],
    weights: options.WeightsDir = None,
) -> None:
    """Make the official SMPL body usable (from its .pkl, without running code from it)."""
    from closefit.imports.smpl import import_smpl as convert

    folder = Path(weights) if weights else registry.user_folder()
    destination = folder / registry.get("smpl").places[0]
    convert(file, destination)
    Console().say(f"SMPL is in `{destination}`; it is used from now on (or choose --set body=NAME)")
