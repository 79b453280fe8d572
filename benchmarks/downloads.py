"""Inject faults into downloads and count what came of them.

    python benchmarks/downloads.py [--faults 200] [--seeds 5]

A local web server breaks connections off, stalls, sends truncated or wrong content, ignores range
requests, returns 404, 429, 503 or a login page. No fault may ever leave a corrupt file under a
model's name, and every interrupted download has to go on where it stopped.
"""

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path

from fault_injection import Figures, run
from measuring import publish, table

COLUMNS = (
    *("seed", "faults", "files fetched", "calls", "corrupt files installed", "requests"),
    *("interrupted", "resumed", "range requests", "seconds"),
)


def main() -> None:
    """Run the faults for several seeds and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    figures: dict[int, Figures] = {}
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            figures[seed] = run(Path(folder), options.faults, seed)
    kinds = next(iter(figures.values())).faults
    publish(
        "downloads",
        {"seeds": {seed: asdict(result) for seed, result in figures.items()}},
        [
            table(COLUMNS, [_row(seed, result) for seed, result in figures.items()]),
            "A call is what one `closefit download-weights` does; one that gave up is made again.",
            "Faults of seed 0:",
            table(["fault", "times"], [[kind, count] for kind, count in kinds.items()]),
        ],
    )


def _row(seed: int, result: Figures) -> list[object]:
    return [
        *(seed, sum(result.faults.values()), result.downloads, result.commands, result.corrupt),
        *(result.requests, result.interrupted, result.resumed, result.ranges, result.seconds),
    ]


if __name__ == "__main__":
    main()
