"""`python -m benchmarks.campaign --cases 10000 --seed 1 --jobs 2`: run, count, write the table.

Each case is added to a journal in `--out` as it ends, and is not run again: a campaign that was
stopped goes on where it was. `--again` runs those once more that failed.
"""

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
JOURNAL = "journal.jsonl"
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
    parser.add_argument("--kinds", help="names of kinds of cases to draw from, with commas")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after this time")
    parser.add_argument("--out", type=Path, default=Path("campaign"), help="corpus and findings")
    parser.add_argument("--again", action="store_true", help="run only what failed before")
    parser.add_argument("--locked", action="store_true", help="each input without rights first")
    parser.add_argument("--publish", action="store_true", help=f"write {RESULTS.name}")
    given = parser.parse_args()
    given.out = given.out.absolute()
    os.environ.update(ENVIRONMENT)
    build = corpus.build_light if given.light else corpus.build
    build(given.out / "corpus")
    if given.jobs == 1:
        forkserver.import_everything()  # once for all
    if given.locked and _run_locked(given):
        sys.exit(1)
    started = time.monotonic()
    wanted = _wanted(given)
    if wanted and not (given.out / JOURNAL).exists():
        with multiprocessing.get_context("fork").Pool(1) as pool:
            pool.apply(require_sound_corpus, (given,))
    if given.jobs == 1:
        run_cases(given, wanted, started)
    else:
        with multiprocessing.get_context("fork").Pool(given.jobs) as pool:
            parts = [
                pool.apply_async(run_cases, (given, wanted[job :: given.jobs], started))
                for job in range(given.jobs)
            ]
            for part in parts:
                part.get()
    found = list(_journal(given).values())
    failures = [entry for entry in found if entry["verdict"] in verdicts.FAILURES]
    table = report(found, given.seed)
    print(table)
    print(json.dumps(failures, indent=1))
    if given.publish:
        RESULTS.write_text(table)
    sys.exit(1 if failures else 0)


def _journal(given: argparse.Namespace) -> dict[int, dict[str, Any]]:
    """What came of the cases of this campaign so far, the last time that each was run."""
    path = given.out / JOURNAL
    lines = path.read_text().splitlines() if path.exists() else []
    entries = [json.loads(line) for line in lines]
    return {entry["number"]: entry for entry in entries if entry["seed"] == given.seed}


def _wanted(given: argparse.Namespace) -> list[int]:
    """Numbers of the cases that are to be run."""
    known = _journal(given)
    if given.again:
        failed = {n: e["name"] for n, e in known.items() if e["verdict"] in verdicts.FAILURES}
        given.names = failed  # other kinds of cases may have been added since
        return list(failed)
    return [n for n in range(given.first, given.first + given.cases) if n not in known]


def require_sound_corpus(given: argparse.Namespace) -> None:
    """Make sure that what is spoiled is accepted as it is, or nothing could be learned from it.

    Not isolated, so that kernels are compiled and stored: a case could not store them.

    Raises:
        RuntimeError: The program refuses one of the commands.
    """
    forkserver.import_everything()
    known = cases.templates()
    for name in (name for name in _among(given) or known if known[name].spoil):
        folder = Path(tempfile.mkdtemp(prefix="sound-", dir=given.out))
        case = cases.make(0, 0, given.out / "corpus", folder, (name,), spoil=False)
        entry = run_case(case, folder, False, isolated=False)
        if entry["verdict"] != verdicts.ACCEPTED:
            raise RuntimeError(f"the input of `{name}` is not accepted: {entry}")
        shutil.rmtree(folder)


def _run_locked(given: argparse.Namespace) -> int:
    """Take all rights from each input of each kind of case; returns how many fail."""
    forkserver.import_everything()
    isolated, failed, known = forkserver.can_isolate(), 0, cases.templates()
    for name, target in ((n, target) for n in _among(given) or known for target in known[n].spoil):
        folder = Path(tempfile.mkdtemp(prefix="locked-", dir=given.out))
        case = cases.make(0, 0, given.out / "corpus", folder, (name,), locked=target)
        entry = run_case(case, folder, False, isolated)
        failed += entry["verdict"] in verdicts.FAILURES
        print(name, target, entry["verdict"], entry["reason"], sep="\t")
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700)
        shutil.rmtree(folder)
    return failed


def _among(given: argparse.Namespace) -> tuple[str, ...]:
    if given.kinds:
        return tuple(given.kinds.split(","))
    return cases.LIGHT if given.light else ()


def run_cases(given: argparse.Namespace, numbers: list[int], started: float) -> None:
    """Run cases one after the other, and add each to the journal."""
    forkserver.import_everything()
    place = given.out / "corpus"
    if not given.light:
        with tempfile.TemporaryDirectory(dir=given.out) as folder:  # compiles, fills caches
            video, seen = str(place / "large.mp4"), str(place / "large.npz")
            words = ("run", video, "--observations", seen, *corpus.SETTINGS, "--out", folder)
            forkserver.call_here(words)
    isolated = forkserver.can_isolate()
    for number in numbers:
        if time.monotonic() > started + 60 * given.minutes:
            break
        folder = Path(tempfile.mkdtemp(prefix="case-", dir=given.out))
        is_fresh = number % 1000 < 1000 * given.fresh
        try:
            names = (given.names[number],) if given.again else _among(given)
            case = cases.make(number, given.seed, place, folder, names)
            entry = run_case(case, folder, is_fresh, isolated)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        with open(given.out / JOURNAL, "a") as file:  # one short write: jobs do not mix lines
            file.write(json.dumps({"seed": given.seed, **entry}) + "\n")


def run_case(case: cases.Case, folder: Path, is_fresh: bool, isolated: bool) -> dict[str, Any]:
    """Run one case, whose input is in the folder, and judge it."""
    before = verdicts.state_of(folder / "in")
    (folder / "home").mkdir()
    home = str(folder / "home")
    environment = {**ENVIRONMENT, "HOME": home, "TMPDIR": home, **case.environment}
    arguments = tuple(word.replace("\0", "") for word in case.arguments)
    is_fresh = is_fresh and arguments[:1] != ("view",)  # which needs somebody who ends it
    if is_fresh:
        outcome = forkserver.run_fresh(arguments, folder, environment)
    else:
        outcome = forkserver.run(arguments, folder, environment, isolated)
    try:
        verdict, reason = verdicts.judge(case, outcome, folder, before)
    except Exception as error:  # noqa: BLE001 - what it left cannot even be looked at
        verdict, reason = "silent wrong", f"results cannot be judged: {error!r}"
    explained = verdict in verdicts.FAILURES or case.spoiled == "nothing"
    return {
        "number": case.number, "name": case.name, "verdict": verdict, "reason": reason,
        "spoiled": case.spoiled, "arguments": [word[:200] for word in case.arguments],
        "exit_code": outcome.exit_code, "seconds": round(outcome.seconds, 2),
        "cpu_s": round(outcome.cpu_s, 2), "peak_mb": outcome.peak_bytes >> 20,
        "fresh": is_fresh, "isolated": isolated and not is_fresh,
        "stderr": outcome.stderr[-1500:] if explained else "",
    }  # fmt: skip


def report(found: list[dict[str, Any]], seed: int) -> str:
    """Return the table of verdicts as Markdown."""
    kinds = (verdicts.CLEAN, verdicts.ACCEPTED, *verdicts.FAILURES)
    counts = Counter(entry["verdict"] for entry in found)
    minutes = sum(entry["cpu_s"] for entry in found) / 60
    fresh, isolated = (sum(entry[name] for entry in found) for name in ("fresh", "isolated"))
    lines = [
        "# Campaign of bad, odd and hostile input", "",
        f"`python -m benchmarks.campaign --seed {seed}`: {len(found)} cases in "
        f"{minutes:.0f} minutes of processor time, {fresh} in fresh",
        f"processes, {isolated} with a read-only disk and no network. "
        f"Python {platform.python_version()}.", "",
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
