"""Shows a batch while it runs: a live table on a terminal, a JSON line per clip elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from closefit.boundary.files import to_json
from closefit.boundary.refusals import printable
from closefit.cli.console import Console
from closefit.cli.progress import duration

if TYPE_CHECKING:
    from closefit.batch.run import Listen, Progress

MOST_RUNNING = 8
LATEST_FAILED = 5


@contextmanager
def showing(console: Console, *, as_data: bool = True) -> "Iterator[Listen]":
    """Yield a listener of `run_batch`.

    With `as_data`, JSON lines go to stdout, unless a live table is drawn on stderr and nobody else
    reads.
    """
    output = sys.stdout  # Ray's words are led elsewhere while it runs
    writes = as_data and not (console.is_live and output.isatty())

    def line(progress: "Progress") -> None:
        if progress.notice is not None:
            console.line(f"note: {progress.notice}")
        if writes and (content := _content(progress)) is not None:
            output.write(to_json(content) + "\n")
            output.flush()

    if not console.is_live:
        yield line
        return
    with Live(console=console.terminal, transient=True, redirect_stdout=False) as live:
        table = _Table()

        def draw(progress: "Progress") -> None:
            line(progress)
            live.update(table.after(progress))

        yield draw


def _content(progress: "Progress") -> dict[str, Any] | None:
    """What a line says: a clip has ended, or the batch begins."""
    counts: dict[str, Any] = {
        "clips": progress.total,
        "done": progress.done,
        "failed": progress.failed,
        "running": len(progress.running),
        "left_s": None if progress.left_s is None else round(progress.left_s, 1),
    }
    if progress.ended is None:
        return None if progress.running or progress.notice else {"event": "begin", **counts}
    ended = progress.ended
    shown = ("name", "status", "exit_code", "error", "hint", "attempts", "seconds", "warnings")
    return {"event": "clip", **{key: ended[key] for key in shown}, **counts}  # type: ignore[literal-required]


class _Table:
    """Counts, what is under way, and what failed lately."""

    def __init__(self) -> None:
        self._failed: list[str] = []

    def after(self, progress: "Progress") -> Group:
        """The table once this has happened."""
        ended = progress.ended
        if ended is not None and ended["status"] == "failed":
            self._failed = [*self._failed, f"{ended['name']}: {ended['error']}"][-LATEST_FAILED:]
        counts = Table(box=None, pad_edge=False, header_style="bold")
        names = ("clips", "done", "running", "failed", "left")
        for name in names:
            counts.add_column(name, justify="right", min_width=7)
        left = "" if progress.left_s is None else duration(progress.left_s)
        numbers = (progress.total, progress.done, len(progress.running), progress.failed)
        counts.add_row(*map(str, numbers), left)
        running = [f"  {name}" for name in progress.running[:MOST_RUNNING]]
        if len(progress.running) > MOST_RUNNING:
            running.append(f"  and {len(progress.running) - MOST_RUNNING} more")
        lines = [Text(printable(text), no_wrap=True, overflow="ellipsis") for text in running]
        failed = [
            Text(printable(f"  failed: {text}"), style="red", no_wrap=True, overflow="ellipsis")
            for text in self._failed
        ]
        return Group(counts, *lines, *failed)
