"""`python -m benchmarks.campaign --cases 10000 --seed 1 --jobs 2`: run, count, write the table."""

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
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
    """Run the campaign that the options describe; exit code 1 if a case failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--fresh", type=float, default=0.01, help="share run in fresh processes")
    parser.add_argument("--light", action="store_true", help="only kinds that take little time")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after this time")
    parser.add_argument("--out", type=Path, default=Path("campaign"), help="corpus and findings")
    parser.add_argument("--publish", action="store_true", help=f"write {RESULTS.name}")
    given = parser.parse_args()
    given.out = given.out.absolute()
    os.environ.update(ENVIRONMENT)
    build = corpus.build_light if given.light else corpus.build
    build(given.out / "corpus")
    started = time.monotonic()
    if given.jobs == 1:
        found = run_cases(given, 0, started)
    else:
        with multiprocessing.get_context("fork").Pool(given.jobs) as pool:
            parts = [
                pool.apply_async(run_cases, (given, job, started)) for job in range(given.jobs)
            ]
            found = [entry for part in parts for entry in part.get()]
    (given.out / "cases.json").write_text(json.dumps(found, indent=0))
    failures = [entry for entry in found if entry["verdict"] in verdicts.FAILURES]
    table = report(found, given.seed, time.monotonic() - started)
    print(table)
    print(json.dumps(failures, indent=1))
    if given.publish:
        RESULTS.write_text(table)
    sys.exit(1 if failures else 0)


def run_cases(given: argparse.Namespace, job: int, started: float) -> list[dict[str, Any]]:
    """Run every `jobs`-th case; returns what came of each."""
    forkserver.import_everything()
    place, among = given.out / "corpus", cases.LIGHT if given.light else ()
    if not given.light:
        with tempfile.TemporaryDirectory(dir=given.out) as folder:  # compiles, fills caches
            video, seen = str(place / "large.mp4"), str(place / "large.npz")
            words = ("run", video, "--observations", seen, *corpus.SETTINGS, "--out", folder)
            forkserver.call_here(words)
    isolated, found = forkserver.can_isolate(), []
    for number in range(given.first + job, given.first + given.cases, given.jobs):
        if time.monotonic() > started + 60 * given.minutes:
            break
        folder = Path(tempfile.mkdtemp(prefix="case-", dir=given.out))
        is_fresh = number % 1000 < 1000 * given.fresh
        try:
            case = cases.make(number, given.seed, place, folder, among)
            found.append(run_case(case, folder, is_fresh, isolated))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if found[-1]["verdict"] in verdicts.FAILURES:
            with open(given.out / "failures.jsonl", "a") as file:
                file.write(json.dumps(found[-1]) + "\n")
    return found


def run_case(case: cases.Case, folder: Path, is_fresh: bool, isolated: bool) -> dict[str, Any]:
    """Run one case, whose input is in the folder, and judge it."""
    before = verdicts.state_of(folder / "in")
    (folder / "home").mkdir()
    home = str(folder / "home")
    environment = {**ENVIRONMENT, "HOME": home, "TMPDIR": home}
    arguments = tuple(word.replace("\0", "") for word in case.arguments)
    if is_fresh:
        outcome = forkserver.run_fresh(arguments, folder, environment)
    else:
        outcome = forkserver.run(arguments, folder, environment, isolated)
    verdict, reason = verdicts.judge(case, outcome, folder, before)
    failed = verdict in verdicts.FAILURES
    return {
        "number": case.number, "name": case.name, "verdict": verdict, "reason": reason,
        "spoiled": case.spoiled, "arguments": [word[:200] for word in case.arguments],
        "exit_code": outcome.exit_code, "seconds": round(outcome.seconds, 2),
        "cpu_s": round(outcome.cpu_s, 2), "peak_mb": outcome.peak_bytes >> 20,
        "fresh": is_fresh, "isolated": isolated and not is_fresh,
        "stderr": outcome.stderr[-1500:] if failed else "",
    }  # fmt: skip


def report(found: list[dict[str, Any]], seed: int, seconds: float) -> str:
    """Return the table of verdicts as Markdown."""
    kinds = (verdicts.CLEAN, verdicts.ACCEPTED, *verdicts.FAILURES)
    counts = Counter(entry["verdict"] for entry in found)
    lines = [
        "# Campaign of bad, odd and hostile input", "",
        f"`python -m benchmarks.campaign --seed {seed}`: {len(found)} cases in "
        f"{seconds / 60:.0f} minutes, {sum(entry['fresh'] for entry in found)} in fresh processes,",
        f"{sum(entry['isolated'] for entry in found)} with a read-only disk "
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
