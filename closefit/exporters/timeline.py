"""`timeline.png`: who touches whom where over time, and how sure each person's pose is."""

from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from closefit.exporters.contacts import Touch
from closefit.palette import (
    DEPTH_COLOURS,
    DEPTH_STEPS_MM,
    PERSON_COLOURS,
    depth_colour,
    hex_colour,
)
from closefit.storage.artifacts import atomic_write

MAX_ROWS = 24
"""Only the pairs of parts with the longest contact are drawn."""

WIDTH_IN, ROW_IN, CONFIDENCE_IN, MARGIN_IN, DPI = 11.0, 0.25, 1.0, 1.4, 120
INK, GRID = "#222222", "#d8d8d4"

Pair = tuple[str, str]


def write_timeline(
    path: Path,
    found: list[Touch],
    times_s: Float[np.ndarray, " frame"],
    confidence: Float[np.ndarray, "frame 2"],
    valid: Bool[np.ndarray, "frame 2"],
) -> None:
    """Draw the contacts of a clip as bars, and both people's confidence below, all or nothing.

    Seconds count from the first of `times_s`, as in `contacts.json`.
    """
    since = times_s - times_s[0]
    last_frame_s = since[-1] / (len(since) - 1) if len(since) > 1 else 1.0
    edges_s = np.append(since, since[-1] + last_frame_s)
    rows = _by_pair(found)
    heights = [ROW_IN * max(min(len(rows), MAX_ROWS), 2), CONFIDENCE_IN]
    figure = Figure((WIDTH_IN, sum(heights) + MARGIN_IN), dpi=DPI, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    _draw_contacts(above, rows, edges_s)
    _draw_confidence(below, confidence, valid, edges_s)
    for axes in (above, below):
        axes.grid(axis="x", color=GRID)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    content = BytesIO()
    figure.savefig(content, format="png")
    with atomic_write(path) as file:
        file.write(content.getvalue())


def _by_pair(found: list[Touch]) -> dict[Pair, list[Touch]]:
    """Contacts of each pair of parts, the longest first."""
    pairs: dict[Pair, list[Touch]] = {}
    for touch in found:
        pairs.setdefault((touch.part_0, touch.part_1), []).append(touch)
    frames = {pair: sum(t.last_frame - t.first_frame + 1 for t in pairs[pair]) for pair in pairs}
    return {pair: pairs[pair] for pair in sorted(pairs, key=lambda pair: (-frames[pair], pair))}


def _draw_contacts(
    axes: Axes, rows: dict[Pair, list[Touch]], edges_s: Float[np.ndarray, " edge"]
) -> None:
    shown = list(rows)[:MAX_ROWS]
    for row, pair in enumerate(shown):
        for touch in rows[pair]:
            start, end = edges_s[touch.first_frame], edges_s[touch.last_frame + 1]
            colour = depth_colour(touch.penetration_mm)
            axes.barh(row, end - start, 0.7, start, color=colour, edgecolor=INK, linewidth=0.6)
    axes.set_yticks(range(len(shown)), [" / ".join(pair) for pair in shown])
    axes.set_ylim(max(len(shown), 2) - 0.5, -0.5)
    title = "part of person 0 / part of person 1" if rows else "no contact"
    if len(rows) > len(shown):
        title += f" ({len(shown)} of {len(rows)} pairs)"
    axes.set_title(title, loc="left", fontsize=10)
    near, deep = (f"{step:g}" for step in DEPTH_STEPS_MM)
    names = (f"touch, under {near} mm inside", f"{near} to {deep} mm", f"over {deep} mm")
    keys = [
        Patch(facecolor=colour, edgecolor=INK, label=name)
        for colour, name in zip(DEPTH_COLOURS, names, strict=True)
    ]
    if rows:
        axes.legend(handles=keys, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3,
                    fontsize=8, frameon=False)  # fmt: skip


def _draw_confidence(
    axes: Axes,
    confidence: Float[np.ndarray, "frame 2"],
    valid: Bool[np.ndarray, "frame 2"],
    edges_s: Float[np.ndarray, " edge"],
) -> None:
    for person, colour in enumerate(map(hex_colour, PERSON_COLOURS)):
        values = confidence[:, person]
        axes.stairs(values, edges_s, baseline=None, color=colour, linewidth=1.6,
                    linestyle=("-", "--")[person], label=f"person {person}")  # fmt: skip
        guessed = ~valid[:, person]
        axes.plot(edges_s[:-1][guessed], values[guessed], "x", color=colour, markersize=4)
    axes.set(ylim=(0.0, 1.02), xlim=(0.0, edges_s[-1]), xlabel="seconds from frame 0")
    axes.set_ylabel("confidence\n(x: a guess)")
    axes.legend(loc="upper right", bbox_to_anchor=(1.0, 1.2), ncols=2, fontsize=8, frameon=False)
