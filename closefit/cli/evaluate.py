"""`closefit evaluate`: errors of finished runs against exact truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from closefit.cli import options
from closefit.cli.console import Console

if TYPE_CHECKING:
    from closefit.evaluation.runs import Measures

Score = float | int | None


def evaluate(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Results folders of the same clip.")
    ],
    truth: Annotated[Path, typer.Option("--truth", metavar="FILE", help="Exact motion, .npz.")],
    truth_body: Annotated[
        Path | None, typer.Option("--truth-body", metavar="FILE", help="The truth's body model.")
    ] = None,
    joints: Annotated[
        Literal["smpl", "lsp"], typer.Option("--joints", help="Joints that count.")
    ] = "smpl",
    max_input_gb: options.MaxInput = options.DEFAULT_MAX_INPUT_GB,
    as_json: options.Json = False,
) -> None:
    """Score a run against exact truth: before and after optimize; or compare several runs."""
    from closefit.evaluation.runs import doubts, evaluate_run

    console = Console()
    runs = {}
    for folder in folders:
        with options.reading_at_most(max_input_gb):
            scores = runs[str(folder)] = evaluate_run(folder, truth, truth_body, joints)
        for doubt in doubts(folder, scores):
            console.line(f"warning: {doubt}", "yellow")
    if len(runs) == 1:
        show_scores(console, runs[str(folders[0])], as_json)
    elif as_json:
        console.data({name: _as_data(scores) for name, scores in runs.items()})
    else:
        short = len({folder.name for folder in folders}) == len(folders)
        names = [folder.name if short else str(folder) for folder in folders]
        last = [list(scores.values())[-1] for scores in runs.values()]
        show_scores(console, dict(zip(names, last, strict=False)), as_json)


def show_scores(console: Console, scores: "Mapping[str, Measures]", as_json: bool) -> None:
    """Write scores by stage (or by run) to stdout, as a table or as JSON."""
    from closefit.evaluation.runs import Measures

    if as_json:
        console.data(_as_data(scores))
    else:
        console.table(*score_rows(_as_data(scores), Measures.labels()))


def score_rows(
    scores: Mapping[str, Mapping[str, Score]], labels: Mapping[str, tuple[str, str]]
) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a table: a row per measure, a column per stage (or run).

    With several stages, one more column shows by how much the last differs from the first.
    """
    several = len(scores) > 1
    rows = []
    for name, (label, unit) in labels.items():
        found = [stage_scores.get(name) for stage_scores in scores.values()]
        change = [_change(found[0], found[-1])] if several else []
        rows.append([label, *map(_number, found), *change, unit])
    return ["measure", *scores, *["change (%)"] * several, "unit"], rows


def _as_data(scores: "Mapping[str, Measures]") -> dict[str, dict[str, Score]]:
    return {name: measures.as_dict() for name, measures in scores.items()}


def _change(before: Score, after: Score) -> str:
    """Relative change in percent; counts of frames have none."""
    if not isinstance(before, float) or not isinstance(after, float) or before == 0:
        return "-"
    return f"{100.0 * (after / before - 1.0):+.1f}"


def _number(value: Score) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
