"""`closefit download-weights` and `closefit import-smpl`: getting model files."""

from pathlib import Path
from typing import Annotated

import typer

from closefit.cli import options
from closefit.cli.console import Console
from closefit.errors import ClosefitError


def download_weights(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Models; default: all that the presets need."),
    ] = None,
    list_only: Annotated[
        bool, typer.Option("--list", help="List all models and their state; fetch nothing.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="DIR|URL", help="Take the files from here instead."),
    ] = None,
    weights: options.WeightsDir = None,
    as_json: options.Json = False,
) -> None:
    """Fetch model files, check them, and show their licences."""
    from closefit.models import downloads
    from closefit.models import weights as registry

    console = Console()
    if list_only:
        _show_models(console, weights, as_json)
        return
    folder = Path(weights) if weights else registry.user_folder()
    chosen = [registry.get(name) for name in names or registry.default_downloads()]
    with console.progress() as emit:
        paths = downloads.fetch_all(chosen, folder, emit, source)
    for name, path in paths.items():
        console.say(f"{name} -> {path}")
    if not names:
        _explain_what_is_missing(console, weights)
    if as_json:
        console.data({name: str(path) for name, path in paths.items()})


def import_smpl(
    file: Annotated[Path, typer.Argument(help="The official SMPL .pkl or .npz.")],
    weights: options.WeightsDir = None,
) -> None:
    """Make the official SMPL body usable (from its .pkl, without running code from it)."""
    from closefit.imports.smpl import import_smpl as convert
    from closefit.imports.smpl_check import deviation_from_smplx
    from closefit.models import weights as registry

    folder = Path(weights) if weights else registry.user_folder()
    destination = folder / registry.get("smpl").places[0]
    convert(file, destination)
    try:
        deviation_m = deviation_from_smplx(destination)
    except ClosefitError:
        destination.unlink()
        raise
    if deviation_m is None:
        checked = "not compared with smplx, which is not installed: pip install 'closefit[smpl]'"
    else:
        checked = f"it agrees with smplx to {1000 * deviation_m:.4f} mm"
    console = Console()
    console.say(f"SMPL is in `{destination}`; {checked}")
    console.say("it is used from now on (or choose --set body=NAME)")


def _show_models(console: Console, weights: str | None, as_json: bool) -> None:
    from closefit.models import weights as registry

    models = registry.manifest().values()
    entries = [registry.describe(model, weights) for model in models]
    if as_json:
        console.data(entries)
        return
    rows = [
        [
            *(model.name, entry["state"], model.size_text, ", ".join(model.stages)),
            *(model.licence, model.commercial_use, model.checked_by, model.purpose),
        ]
        for model, entry in zip(models, entries, strict=True)
    ]
    console.table(
        ["model", "state", "size", "stage", "licence", "commercial use", "checked by", "for"], rows
    )
    for entry in entries:
        if entry["problem"]:
            console.say(f"{entry['model']}: {entry['path']}: {entry['problem']}")
    _explain_what_is_missing(console, weights)


def _explain_what_is_missing(console: Console, weights: str | None) -> None:
    """Explain models that only the user can get."""
    from closefit.models import weights as registry

    for model in registry.manifest().values():
        if model.explanation and registry.find(model.name, weights) is None:
            console.say(f"\n{model.explanation.strip()}")
