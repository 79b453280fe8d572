"""`python -m benchmarks.campaign --cases 10000 --seed 1 --jobs 2`: run, count, write the table."""

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from benchmarks.campaign import cases, corpus, forkserver, verdicts

RESULTS = Path(__file__).resolve().parents[1] / "results" / "campaign.md"
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200",
    "CLOSEFIT_OFFLINE": "1", "YOLO_OFFLINE": "true", "HF_HUB_OFFLINE": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}  # fmt: skip


def main() -> None:
    """Run the campaign that the options describe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", type=int, help="run this case alone, and show what it printed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--fresh", type=float, default=0.01, help="share run in fresh processes")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after this time")
    parser.add_argument("--out", type=Path, default=Path("campaign"), help="corpus and findings")
    parser.add_argument("--publish", action="store_true", help=f"write {RESULTS.name}")
    given = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    corpus.build(given.out.absolute() / "corpus")
    if given.only is not None:
        found = run_cases([given.only], given.seed, given.out.absolute(), 0.0, float("inf"))[0]
        print(json.dumps(found, indent=2))
        return
    started = time.monotonic()
    end = started + 60 * given.minutes
    numbers = range(given.first, given.first + given.cases)
    with multiprocessing.get_context("fork").Pool(given.jobs) as pool:
        parts = [
            pool.apply_async(
                run_cases,
                (numbers[job :: given.jobs], given.seed, given.out.absolute(), given.fresh, end),
            )
            for job in range(given.jobs)
        ]
        found = [entry for part in parts for entry in part.get()]
    (given.out / "cases.json").write_text(json.dumps(found, indent=0))
    failures = [entry for entry in found if entry["verdict"] in verdicts.FAILURES]
    (given.out / "failures.json").write_text(json.dumps(failures, indent=1))
    table = report(found, given.seed, time.monotonic() - started)
    print(table)
    if given.publish:
        RESULTS.write_text(table)


def run_cases(
    numbers: Iterable[int], seed: int, out: Path, fresh: float, end: float
) -> list[dict[str, Any]]:
    """Run cases one after another; returns what came of each."""
    forkserver.import_everything()
    with tempfile.TemporaryDirectory(dir=out) as folder:  # compiles, and fills caches
        place, warm = out / "corpus", ("--out", folder, *corpus.SETTINGS)
        observations = ("--observations", str(place / "large.npz"))
        forkserver.call_here(("run", str(place / "large.mp4"), *observations, *warm))
    isolated = forkserver.can_isolate()
    found = []
    for number in numbers:
        if time.monotonic() > end:
            break
        folder = Path(tempfile.mkdtemp(prefix="case-", dir=out))
        try:
            found.append(run_case(number, seed, out / "corpus", folder, fresh, isolated))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if found[-1]["verdict"] in verdicts.FAILURES:
            with open(out / "failures.jsonl", "a") as file:
                file.write(json.dumps(found[-1]) + "\n")
    return found


def run_case(
    number: int,
    seed: int,
    place: Path,
    folder: Path,
    fresh: float,
    isolated: bool,
    among: Collection[str] = (),
) -> dict[str, Any]:
    """Run one case in an empty folder and judge it."""
    case = cases.make(number, seed, place, folder, among)
    before = verdicts.state_of(folder / "in")
    (folder / "home").mkdir()
    home = str(folder / "home")
    environment = {**ENVIRONMENT, "HOME": home, "TMPDIR": home}
    arguments = tuple(word.replace("\0", "") for word in case.arguments)
    is_fresh = number % 1000 < 1000 * fresh
    if is_fresh:
        outcome = forkserver.run_fresh(arguments, folder, environment)
    else:
        outcome = forkserver.run(arguments, folder, environment, isolated)
    verdict, reason = verdicts.judge(case, outcome, folder, before)
    return {
        "number": number, "name": case.name, "verdict": verdict, "reason": reason,
        "spoiled": case.spoiled, "arguments": [word[:200] for word in case.arguments],
        "exit_code": outcome.exit_code, "seconds": round(outcome.seconds, 2),
        "cpu_s": round(outcome.cpu_s, 2),         "peak_mb": outcome.peak_bytes >> 20, "fresh": is_fresh, "isolated": isolated,
        "stderr": outcome.stderr[-1500:] if verdict in verdicts.FAILURES else "",
    }  # fmt: skip


def report(found: list[dict[str, Any]], seed: int, seconds: float) -> str:
    """Return the table of verdicts as Markdown."""
    kinds = (verdicts.CLEAN, verdicts.ACCEPTED, *verdicts.FAILURES)
    counts = Counter(entry["verdict"] for entry in found)
    lines = [
        "# Campaign of bad, odd and hostile input", "",
        f"`python -m benchmarks.campaign --seed {seed}`: {len(found)} cases in "
        f"{seconds / 60:.0f} minutes, {sum(entry['fresh'] for entry in found)} in fresh processes,",
        f"{sum(entry['isolated'] and not entry['fresh'] for entry in found)} with a read-only disk "
        f"and no network. Python {platform.python_version()}.", "",
        "| verdict | cases |", "| --- | --- |",
        *(f"| {kind} | {counts[kind]} |" for kind in kinds), "",
        "| input | cases | clean errors | accepted | failures |", "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name in sorted({entry["name"] for entry in found}):
        own = Counter(entry["verdict"] for entry in found if entry["name"] == name)
        failed = sum(own[kind] for kind in verdicts.FAILURES)
        lines.append(f"| {name} | {own.total()} | {own[kinds[0]]} | {own[kinds[1]]} | {failed} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
