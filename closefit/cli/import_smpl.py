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
    max_input_gb: options.MaxInput = options.DEFAULT_MAX_INPUT_GB,
) -> None:
    """Make the official SMPL body usable (from its .pkl, without running code from it)."""
    from closefit.imports.smpl import import_smpl as convert
    from closefit.imports.smpl_check import deviation_from_smplx

    folder = registry.download_folder(weights)
    destination = folder / registry.get("smpl").places[0]
    with options.reading_at_most(max_input_gb):
        deviation_m = convert(file, destination, deviation_from_smplx)
    if deviation_m is None:
        checked = "not compared with smplx, which is not installed: pip install 'closefit[smpl]'"
    else:
        checked = f"it agrees with smplx to {1000 * deviation_m:.4f} mm"
    console = Console()
    console.line(f"SMPL is in `{destination}`; {checked}")
    console.line("it is used from now on (or choose --set body=NAME)")
