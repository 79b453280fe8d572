"""Runs what is missing of the plan, or fits the model: `python -m benchmarks.quality --help`."""

import argparse
import sys
import time
from datetime import datetime
from pathlib import Path

from benchmarks.quality.full_runs import read_full_runs
from benchmarks.quality.plan import plan
from benchmarks.quality.publishing import fit_and_publish
from benchmarks.quality.runs import Runner
from benchmarks.quality.sources import Source, frames_of, given, made


def main() -> None:
    """Do runs until the count or the time is reached, then fit if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("clips", type=Path, nargs="*", help="folders of clips with truth")
    parser.add_argument("--out", type=Path, default=Path("results/bench-quality"))
    parser.add_argument("--count", type=int, default=400, help="runs in all (default: 400)")
    parser.add_argument("--until", metavar="HH:MM", help="start no run after this time of day")
    parser.add_argument("--fit", action="store_true", help="fit the model and publish its figures")
    parser.add_argument(
        "--full", type=Path, help="with --fit: results of whole clips, CLIP-DETECTOR, to check"
    )
    options = parser.parse_args()
    out = options.out.resolve()
    sources = given([folder.resolve() for folder in options.clips])
    if options.clips and not options.fit:
        _do_runs(out, sources, options.count, options.until)
    if options.fit:
        full = options.full and read_full_runs(options.full.resolve(), sources)
        fit_and_publish(out, full)


def _do_runs(out: Path, known: list[Source], count: int, until: str | None) -> None:
    sources = [*known, *made(out / "clips")]
    runner = Runner(out, sources)
    clips = {source.name: frames_of(source) for source in sources}
    for spec in plan(clips, count):
        if until is not None and datetime.now().strftime("%H:%M") >= until:
            break
        started = time.monotonic()
        record = runner.run(spec)
        problem = record.get("error", "").strip().splitlines()[-1:] or [""]
        print(
            f"{spec.number} {spec.clip} {spec.detector} {spec.kind} {spec.strength:g}: "
            f"{time.monotonic() - started:.1f} s {problem[0]}",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    main()
