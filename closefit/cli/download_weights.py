"""`closefit download-weights`: fetching and listing model files."""

from typing import Annotated

import typer

from closefit.cli import options
from closefit.cli.console import Console
from closefit.models import weights as registry


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

    console = Console()
    if list_only:
        _show_models(console, weights, as_json)
        return
    folder = registry.download_folder(weights)
    chosen = [registry.get(name) for name in names or registry.default_downloads()]
    with console.progress() as emit:
        paths = downloads.fetch_all(chosen, folder, emit, source)
    for name, path in paths.items():
        console.line(f"{name} -> {path}")
    if not names:
        _explain_what_is_missing(console, weights)
    if as_json:
        console.data({name: str(path) for name, path in paths.items()})


def _show_models(console: Console, weights: str | None, as_json: bool) -> None:
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
            console.line(f"{entry['model']}: {entry['path']}: {entry['problem']}")
    _explain_what_is_missing(console, weights)


def _explain_what_is_missing(console: Console, weights: str | None) -> None:
    """Explain models that only the user can get."""
    for model in registry.manifest().values():
        if model.explanation and registry.find(model.name, weights) is None:
            console.line(f"\n{model.explanation.strip()}")
