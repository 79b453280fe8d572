"""The paper's tables, with a row for each variant of closefit that was run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from closefit.benchmark.published import NOTES, TABLES, Published
from closefit.benchmark.scoring import COLUMNS

LABELS = {
    "initial": "closefit, initial",
    "no-appearance": "closefit, w/o appearance",
    "no-proxemics": "closefit, w/o proxemics",
    "no-physics": "closefit, w/o physics",
    "full": "closefit",
}

ABLATION = "Table 3"
"""The table of what each part of the method contributes: all our rows; others have the result."""

JOINTS = {
    "smpl": "hips, knees, ankles, neck, head, shoulders, elbows, wrists of the skeleton",
    "lsp": "the points of LSP-14 on the SMPL body; not the regressor that published rows use",
}


def tables(report: Mapping[str, Any]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield title, header and rows of each table."""
    for title, published in TABLES[report["dataset"]].items():
        ours = report["rows"]
        if title != ABLATION and "full" in ours:
            ours = {"full": ours["full"]}
        names = [
            name
            for name in COLUMNS
            if any(name in row.scores for row in published)
            or any(row.get(name) is not None for row in ours.values())
        ]
        header = ["method", *(COLUMNS[name] for name in names), "note"]
        rows = [[row.method, *_as_published(row, names), row.note] for row in published]
        rows += [[LABELS[name], *_cells(row, names), "ours"] for name, row in ours.items()]
        yield title, header, rows


def notes(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what has to be known about the numbers, a sentence each."""
    sequences = report["sequences"]
    yield f"scored: {sequences['scored']} of {sequences['of']} sequences"
    for name, problem in sequences["failed"].items():
        yield f"not scored: `{name}`: {problem}"
    for name, problems in sequences["incomplete"].items():
        yield f"incomplete: `{name}`: {'; '.join(problems)}"
    for row, scores in report["rows"].items():
        guessed = scores["guessed"] or 0.0
        yield f"{LABELS[row]}: {scores['frames']} frames, {guessed:.1%} of the poses guessed"
    yield from report["protocol"]
    yield f"joints: {JOINTS[report['joints']]}"
    if all(scores["mpvpe"] is None for scores in report["rows"].values()):
        yield (
            "MPVPE: not measured, because truth and result have different meshes; "
            "`closefit import-smpl FILE`, then `--set body=smpl`, where the data set has vertices"
        )
    for letter in sorted({row.note for row in _published(report)}):
        yield f"{letter}: {NOTES[letter]}"


def _published(report: Mapping[str, Any]) -> Iterator[Published]:
    for rows in TABLES[report["dataset"]].values():
        yield from rows


def as_markdown(report: Mapping[str, Any]) -> str:
    """Return all tables and notes."""
    lines = [f"# {report['dataset']}", "", "In millimetres; lower is better.", ""]
    for title, header, rows in tables(report):
        lines += [f"## {title}", ""]
        lines += [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
        lines.append("")
    return "\n".join([*lines, *(f"- {note}" for note in notes(report)), ""])


def _as_published(row: Published, names: Sequence[str]) -> list[str]:
    """With the digits that were published."""
    values = [row.scores.get(name) for name in names]
    return ["-" if v is None else max(f"{v:.1f}", f"{v:g}", key=len) for v in values]


def _cells(scores: Mapping[str, float | None], names: Sequence[str]) -> list[str]:
    return [_number(scores.get(name)) for name in names]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
