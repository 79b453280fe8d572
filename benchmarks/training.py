"""Throughput of the prior's training loop, in float32 and with bf16 products.

    python benchmarks/training.py [--steps 12] [--batch 64] [--threads 1]

One step draws a batch (motion, camera, detector, masks), runs the network of the default size
forward and backward, and updates weights and average. Motion is made here: its content does not
matter. Wall time depends on what else the machine does; CPU time much less.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import roma
import torch
from lightning import Fabric
from measuring import RESULTS, machine, table

from closefit.body.model import Body
from closefit.learning.motions.shards import MotionShards, write_shards
from closefit.learning.training import loop
from closefit.learning.training.loop import Trainer, TrainingConfig
from closefit.learning.training.windows import WindowSource
from closefit.models.weights import locate
from closefit.records import PairMotion

PRECISIONS = {"float32": "32-true", "bf16": "bf16-mixed"}
WARM_UP = 2


def main() -> None:
    """Measure both precisions in turn, twice each, and publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loop.STATISTICS_WINDOWS = 256  # of the normalisation, which is not measured
    body = Body.load(locate("closefit_body"))
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder) / "shards", [swaying_pair(300, seed) for seed in range(8)])
        source = WindowSource([MotionShards.open(Path(folder) / "shards")], [1.0], body)
        rows = [
            [name, *measure(precision, source, body, options.steps, options.batch)]
            for _ in range(2)
            for name, precision in PRECISIONS.items()
        ]
    header = ["precision", "steps/s", "windows/s", "CPU s/step", "CPU windows/s", "CPU share"]
    command = f"python benchmarks/training.py {' '.join(sys.argv[1:])}"
    text = (
        f"# training\n\n{machine()['cpu']}, {os.cpu_count()} cores; `{command}`\n\n"
        f"Batches of {options.batch} windows, {options.threads} thread(s), {options.steps} steps "
        f"after {WARM_UP} to warm up, each precision twice. Other programs ran at the same time "
        f"(load average {os.getloadavg()[0]:.1f}): read the columns of CPU time. CPU windows/s is "
        "what a core to itself would do by them; CPU share is how much of a core the measurement "
        f"got.\n\n{table(header, rows)}\n"
    )
    (RESULTS / "training.md").write_text(text, encoding="utf-8")
    print(text)


def measure(
    precision: str, source: WindowSource, body: Body, steps: int, batch: int
) -> list[float | str]:
    """Return steps and windows a second, CPU seconds a step, and what follows from them."""
    config = TrainingConfig(steps=steps + WARM_UP, batch=batch)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    training = Trainer(config, body, source, fabric).steps()
    for _ in range(WARM_UP):
        next(training)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in training:
        pass
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return [
        f"{steps / wall:.2f}",
        f"{steps * batch / wall:.0f}",
        f"{cpu / steps:.3f}",
        f"{steps * batch / cpu:.0f}",
        f"{100.0 * cpu / wall:.0f} %",
    ]


def swaying_pair(frames: int, seed: int) -> PairMotion:
    """Two people who sway before each other."""
    generator = torch.Generator().manual_seed(seed)
    first, second = (0.25 * torch.randn(2, 24, 3, generator=generator) for _ in range(2))
    time_s = torch.arange(frames)[:, None, None, None] / 30.0
    vectors = first + second * torch.sin(2.0 * time_s)
    place = torch.tensor([[-0.4, 0.9, 0.0], [0.4, 0.9, 0.0]]) + 0.05 * torch.sin(time_s[:, :, 0])
    return PairMotion(
        rotations=roma.rotvec_to_rotmat(vectors).numpy(),
        pelvis_m=place.numpy().astype(np.float32),
        betas=np.zeros((2, 10), np.float32),
        fps=np.array(30.0),
        body_name=np.array("closefit"),
        name=np.array(f"sway/{seed}"),
    )


if __name__ == "__main__":
    main()
