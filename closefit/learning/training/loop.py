"""The training loop of the prior; Lightning Fabric handles devices and precision."""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from closefit.body.model import Body
from closefit.boundary.ranges import Count, CountOrNone, Rate, Seed, Share, Weight
from closefit.learning.training.batches import DataRanges, TrainingBatch, draw_minibatch
from closefit.learning.training.windows import WindowSource
from closefit.prior.diffusion import diffuse
from closefit.prior.network import Denoiser, NetworkConfig
from closefit.prior.objective import GeometryOf, LossWeights, prior_loss
from closefit.prior.state import PLACE_SIZE, POSE_SIZE, SHAPE_SIZE, decode

STATISTICS_WINDOWS = 4096
FARTHEST_STD = 6.0
"""States farther from the mean are clamped: a network could recognise them in spite of noise."""

SMALLEST_STD = 0.02
"""Lower bound of the standard deviation by which a dimension is divided."""

Momentum = Annotated[float, Meta(ge=0.0, le=0.99999)]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(DataRanges):
    """Settings of `closefit train-prior`."""

    steps: Annotated[int, Meta(ge=1, le=10**9)] = 15_000
    batch: Count = 32
    lr: Rate = 8e-4
    warmup: CountOrNone = 300
    weight_decay: Share = 0.01
    betas: tuple[Momentum, Momentum] = (0.9, 0.98)
    gradient_clip: Weight = 1.0
    ema: Share = 0.998
    seed: Seed = 0
    share_exponent: Share = 0.25
    validate_every: Annotated[int, Meta(ge=1, le=10**9)] = 1000
    network: NetworkConfig = NetworkConfig()
    loss: LossWeights = LossWeights()


class Trainer:
    """Adam with warm-up and cosine decay, exponential moving average, exact resume.

    Every minibatch is drawn from a generator that is seeded by (seed, rank, step), so a resumed run
    draws the same ones as a run that was never stopped.

    Attributes:
        step: Steps done.
        log: Results of the validations so far.
        sums: Sum of each term since the last validation, and the `steps` in it.
        average: Network with the averaged weights.
    """

    def __init__(
        self,
        config: TrainingConfig,
        body: Body,
        source: WindowSource,
        fabric: Any,
        saved: dict[str, Any] | None = None,
    ) -> None:
        """Build the network; its normalisation comes from the data, or all from `saved`.

        Args:
            config: Settings.
            body: Body on the CPU.
            source: Training windows.
            fabric: A launched `lightning.Fabric`.
            saved: What `state_dict()` gave: training continues from there.
        """
        self.config = config
        self.step = 0
        self.log: list[dict[str, float]] = []
        self.sums: dict[str, float] = {}
        self._fabric = fabric
        self._source = source
        self._geometry_of = GeometryOf(body)
        self._device_geometry_of = GeometryOf(body.to(fabric.device))
        torch.manual_seed(config.seed)
        network = Denoiser(config.network)
        if saved is None:
            self._set_statistics(network)
        self.average = Denoiser(config.network).to(fabric.device).eval().requires_grad_(False)
        self.average.load_state_dict(network.state_dict())
        optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=config.lr,
            betas=config.betas,
            weight_decay=config.weight_decay,
        )
        self._network, self._optimizer = fabric.setup(network, optimizer)
        if saved is not None:
            self._load(saved)

    @property
    def is_first(self) -> bool:
        """This process is the one that validates and writes files."""
        return bool(self._fabric.is_global_zero)

    @property
    def device(self) -> torch.device:
        """Where this process trains."""
        device: torch.device = self._fabric.device
        return device

    def start_from(self, network: Denoiser) -> None:
        """Begin with the weights (and normalisation) of a trained network of the same size."""
        self._network.load_state_dict(network.state_dict())
        self.average.load_state_dict(network.state_dict())

    def steps(self) -> Iterator[dict[str, float]]:
        """Train from the current step to the last; yields the terms of each step."""
        while self.step < self.config.steps:
            yield self._step()

    def _step(self) -> dict[str, float]:
        config, step = self.config, self.step
        batch = draw_minibatch(
            self._source, self._geometry_of, config.batch, config, self._generator(step)
        )
        batch = moved(batch, self._fabric.device)
        for group in self._optimizer.param_groups:
            group["lr"] = config.lr * self._rate(step)
        self._network.train()
        torch.manual_seed(self._seed(step))  # dropout repeats after a resume
        terms = self.terms(self._network, batch)
        self._optimizer.zero_grad(set_to_none=True)
        self._fabric.backward(torch.stack(list(terms.values())).sum())
        norm = self._fabric.clip_gradients(
            self._network, self._optimizer, max_norm=config.gradient_clip, error_if_nonfinite=False
        )
        # One bad minibatch in millions must not end a run of hours.
        if bool(torch.isfinite(norm)):
            self._optimizer.step()
            self._update_average()
        self.step += 1
        return {name: float(term.detach()) for name, term in terms.items()}

    def terms(self, network: Any, batch: TrainingBatch) -> dict[str, Float[Tensor, ""]]:
        """All weighted terms of the loss on one minibatch."""
        average = self.average
        clean = average.normalise(batch.state).clamp(-FARTHEST_STD, FARTHEST_STD)
        noisy = diffuse(clean, batch.noise, batch.timestep)
        predicted = network(noisy, batch.timestep, batch.conditions, batch.state_hidden).float()
        error = smooth_l1_loss(predicted, clean, reduction="none", beta=2.0).mean((0, 1, 2)) * 4.0
        pose, shape, place = error.split([POSE_SIZE, SHAPE_SIZE, PLACE_SIZE])
        state = self.config.loss.state * (pose.mean() + 0.1 * shape.mean() + place.mean())
        people = decode(average.denormalise(predicted), batch.view)
        shown = self._device_geometry_of(people)
        return {"state": state} | prior_loss(
            people, batch.truth, shown, batch.geometry, batch.view.size, self.config.loss
        )

    def _seed(self, step: int) -> int:
        rank = int(self._fabric.global_rank)
        return (self.config.seed * 1_000_003 + rank) * 100_000_007 + step

    def _generator(self, step: int) -> torch.Generator:
        return torch.Generator().manual_seed(self._seed(step))

    def _rate(self, step: int) -> float:
        """Factor on the learning rate: linear warm-up, cosine decay to a hundredth."""
        warm = min(1.0, (step + 1) / max(self.config.warmup, 1))
        return warm * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * step / self.config.steps)))

    @torch.no_grad()
    def _update_average(self) -> None:
        # At first the average follows quickly, so that the random start is forgotten.
        keep = min(self.config.ema, (1.0 + self.step) / (10.0 + self.step))
        average: list[Tensor] = list(self.average.parameters())
        current = [value.to(mine) for mine, value in
                   zip(average, self._network.parameters(), strict=True)]  # fmt: skip
        torch._foreach_lerp_(average, current, 1.0 - keep)

    def _set_statistics(self, network: Denoiser) -> None:
        generator = torch.Generator().manual_seed(self.config.seed)
        draws = [
            draw_minibatch(self._source, self._geometry_of, 256, self.config, generator).state
            for _ in range(STATISTICS_WINDOWS // 256)
        ]
        states = torch.cat(draws).flatten(0, 2)
        # A few views of almost hidden people are far out: they must not widen the scale.
        some = states[torch.randperm(len(states), generator=generator)[:40_000]]
        low, high = torch.quantile(some, torch.tensor([0.005, 0.995]), dim=0)
        some = some.clamp(low, high)
        network.state_mean.copy_(some.mean(0))
        network.state_std.copy_(some.std(0).clamp_min(SMALLEST_STD))

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue exactly."""
        return {
            "step": self.step,
            "log": self.log,
            "sums": self.sums,
            "network": self._network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def _load(self, saved: dict[str, Any]) -> None:
        self.step, self.log = saved["step"], saved["log"]
        self.sums = saved.get("sums", {})  # earlier versions had none
        self._network.load_state_dict(saved["network"])
        self.average.load_state_dict(saved["average"])
        self._optimizer.load_state_dict(saved["optimizer"])


def moved(batch: Any, device: torch.device | str) -> Any:
    """Move every tensor of a (nested) dataclass or named tuple to a device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, tuple):
        return type(batch)(*(moved(value, device) for value in batch))
    values = {f.name: moved(getattr(batch, f.name), device) for f in dataclasses.fields(batch)}
    return dataclasses.replace(batch, **values)
