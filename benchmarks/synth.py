"""Score init and optimize on clips with exact truth.

    python benchmarks/synth.py CLIPS [--fov-default] [--preset draft] [--seeds 0 1]

CLIPS is a folder of clips (`NAME/video.mp4`, `observations.npz`, `truth.npz`) with the body of the
truth beside them (`body.npz`). Finished runs are kept and not repeated. With `--seeds` each clip is
run with newly simulated detections instead of its own.
"""

import argparse
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from measuring import publish, run_closefit, stage_seconds, table

from closefit.demo.detections import VisiblePeople, simulate_detections
from closefit.evaluation import Measures, evaluate_run

COLUMNS = {
    "mpjpe_mm": "MPJPE",
    "pa_mpjpe_mm": "PA",
    "pair_pa_mpjpe_mm": "pair PA",
    "mpvpe_mm": "MPVPE",
    "interaction_mm": "interaction",
    "a_pd_mm": "A-PD",
    "contact_precision": "contact prec.",
    "contact_recall": "contact rec.",
    "contact_gap_mm": "gap in contact",
    "wrong_depth_order": "wrong order",
    "acceleration_mm": "accel.",
    "identity_swaps": "swaps",
}
A_PD_FLOOR_MM = 0.1
"""Mean penetration after optimize may be half of init's, or this much."""
STAGES = ("init", "optimize")


def main() -> None:
    """Run, score, publish."""
    options = _options()
    jobs = [(clip, seed) for clip in _clips(options.clips) for seed in options.seeds or [None]]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda job: _score(*job, options), jobs))
    name = "synth" + "_default_fov" * options.fov_default + "_seeds" * bool(options.seeds)
    mean = {stage: _mean([result["scores"][stage] for result in results]) for stage in STAGES}
    seconds = _mean([result["seconds"] for result in results])
    publish(
        name,
        {
            "preset": options.preset,
            "settings": options.set,
            "mean": mean,
            "mean_seconds": seconds,
            "clips": results,
        },
        [_scores_table(results, mean), _seconds_table(results, seconds), _verdict(results, mean)],
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder of clips")
    parser.add_argument("--out", type=Path, default=Path("results/bench-synth"))
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--fov-default", action="store_true", help="do not tell the true focal")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--seeds", type=int, nargs="*", help="simulate detections with these seeds")
    parser.add_argument("--set", action="append", default=[], help="passed on to closefit")
    return parser.parse_args()


def _clips(folder: Path) -> list[Path]:
    return sorted(truth.parent for truth in folder.glob("*/truth.npz"))


def _score(clip: Path, seed: int | None, options: argparse.Namespace) -> dict[str, Any]:
    """Run one clip as far as optimize, unless that is done, and score both stages."""
    setting = "fov" if options.fov_default else "focal"
    folder = options.out / f"{clip.name}-{setting}{'' if seed is None else f'-seed{seed}'}"
    observations = clip / "observations.npz"
    if seed is not None:
        observations = _simulate(clip / "truth.npz", folder, seed)
    arguments = ["run", str(clip / "video.mp4"), "--out", str(folder), "--until", "optimize"]
    arguments += ["--observations", str(observations), "--preset", options.preset]
    if not options.fov_default:
        with np.load(clip / "truth.npz") as truth:
            arguments += ["--focal", str(float(truth["K"][0, 0]))]
    for assignment in options.set:
        arguments += ["--set", assignment]
    run_closefit(arguments)
    measures = evaluate_run(folder, clip / "truth.npz", clip.parent / "body.npz")
    return {
        "clip": clip.name,
        "seed": seed,
        "scores": {stage: measures[stage].as_dict() for stage in STAGES},
        "seconds": stage_seconds(folder),
    }


def _simulate(truth: Path, folder: Path, seed: int) -> Path:
    """Write detections of a truth with this seed (always the same bytes in the arrays)."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / f"{folder.name}-observations.npz"
    if not path.exists():
        with np.load(truth) as arrays:
            people = VisiblePeople.from_truth(dict(arrays))
        np.savez_compressed(path, **simulate_detections(people, seed))
    return path


def _mean(entries: list[dict[str, Any]]) -> dict[str, float | None]:
    """Mean of each figure over the clips that have it."""
    columns = {name: [entry[name] for entry in entries] for name in entries[0]}
    known = {name: [v for v in values if v is not None] for name, values in columns.items()}
    return {name: math.fsum(v) / len(v) if v else None for name, v in known.items()}


def _scores_table(results: list[dict[str, Any]], mean: dict[str, Any]) -> str:
    units = Measures.labels()
    header = ["clip", "stage", *(f"{COLUMNS[name]} ({units[name][1]})" for name in COLUMNS)]
    rows = []
    for label, scores in [*((_label(r), r["scores"]) for r in results), ("mean", mean)]:
        rows += [[label, stage, *(scores[stage][name] for name in COLUMNS)] for stage in STAGES]
    return table(header, rows)


def _seconds_table(results: list[dict[str, Any]], mean: dict[str, Any]) -> str:
    stages = ["track", *STAGES]
    rows = [[_label(r), *(r["seconds"][stage] for stage in stages)] for r in results]
    return table(
        ["clip", *(f"{stage} (s)" for stage in stages)],
        [*rows, ["mean", *(mean[stage] for stage in stages)]],
    )


def _verdict(results: list[dict[str, Any]], mean: dict[str, Any]) -> str:
    """Say whether optimising lowers the joint error everywhere and penetration enough."""
    worse = [
        _label(result)
        for result in results
        if result["scores"]["optimize"]["mpjpe_mm"] >= result["scores"]["init"]["mpjpe_mm"]
    ]
    allowed_mm = max(0.5 * mean["init"]["a_pd_mm"], A_PD_FLOOR_MM)
    deep = mean["optimize"]["a_pd_mm"] > allowed_mm
    lines = [
        f"MPJPE after optimize not lower than after init: {', '.join(worse) or 'on no clip'}.",
        f"Mean A-PD after optimize is {'over' if deep else 'within'} {allowed_mm:.3f} mm.",
    ]
    return "\n".join(lines)


def _label(result: dict[str, Any]) -> str:
    seed = result["seed"]
    return result["clip"] if seed is None else f"{result['clip']} seed {seed}"


if __name__ == "__main__":
    main()
