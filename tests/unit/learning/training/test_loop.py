"""Laws of the training loop."""

import dataclasses

import pytest
import torch
from lightning import Fabric

from closefit.body.model import Body
from closefit.learning.motions.shards import MotionShards
from closefit.learning.training import loop
from closefit.learning.training.loop import Trainer, TrainingConfig
from closefit.learning.training.validation import PLAIN
from closefit.learning.training.windows import WindowSource
from closefit.prior.masking import MaskingConfig
from closefit.prior.network import NetworkConfig
from closefit.simulation.detections import DetectorRanges

SMALL = TrainingConfig(
    steps=100,
    batch=8,
    warmup=10,
    lr=2e-3,
    network=NetworkConfig(width=32, blocks=1, heads=4, feed_forward=32, dropout=0.0),
)


@pytest.fixture(autouse=True)
def few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Normalisation from fewer windows: quicker, and enough here."""
    monkeypatch.setattr(loop, "STATISTICS_WINDOWS", 256)


@pytest.fixture
def source(shards: MotionShards, body: Body) -> WindowSource:
    return WindowSource([shards], [1.0], body)


def trainer(config: TrainingConfig, body: Body, source: WindowSource) -> Trainer:
    fabric = Fabric(accelerator="cpu", devices=1)
    return Trainer(config, body, source, fabric)


def test_the_learning_rate_rises_and_then_falls(body: Body, source: WindowSource) -> None:
    rate = trainer(SMALL, body, source)._rate
    rising = [rate(step) for step in range(10)]
    falling = [rate(step) for step in range(10, 100)]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert rising[0] == pytest.approx(0.1)
    assert max(rising) <= 1.0
    assert falling[-1] == pytest.approx(0.01, abs=1e-3)
    assert rate(50) == pytest.approx(0.505)


def test_the_average_follows_and_starts_quickly(body: Body, source: WindowSource) -> None:
    training = trainer(SMALL, body, source)
    start = [value.clone() for value in training.average.parameters()]
    expected = [value.clone() for value in start]
    steps = training.steps()
    for step in range(3):
        next(steps)
        keep = min(SMALL.ema, (1.0 + step) / (10.0 + step))
        weights = training.state_dict()["network"]
        names = [name for name, _ in training.average.named_parameters()]
        expected = [
            keep * mine + (1.0 - keep) * weights[name]
            for mine, name in zip(expected, names, strict=True)
        ]
    for found, value in zip(training.average.parameters(), expected, strict=True):
        torch.testing.assert_close(found, value, atol=1e-6, rtol=1e-4)
    moved = zip(training.average.parameters(), start, strict=True)
    assert any(not torch.equal(mine, before) for mine, before in moved)


def test_each_step_has_its_own_batch_whenever_it_is_drawn(body: Body, source: WindowSource) -> None:
    whole, first = (trainer(dataclasses.replace(SMALL, steps=6), body, source) for _ in range(2))
    terms = list(whole.steps())
    assert terms[0] != terms[1]
    steps = first.steps()
    for _ in range(3):
        next(steps)
    fabric = Fabric(accelerator="cpu", devices=1)
    saved = first.state_dict()
    second = Trainer(dataclasses.replace(SMALL, steps=6), body, source, fabric, saved)
    assert list(second.steps()) == terms[3:]


def test_a_batch_that_is_not_finite_is_skipped(
    body: Body, source: WindowSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = trainer(SMALL, body, source)
    before = {name: value.clone() for name, value in training.state_dict()["network"].items()}
    honest = training.terms
    monkeypatch.setattr(
        training, "terms", lambda *a: {k: v * float("nan") for k, v in honest(*a).items()}
    )
    next(training.steps())
    after = training.state_dict()["network"]
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert training.step == 1


def test_training_lowers_the_loss_by_a_lot(body: Body, source: WindowSource) -> None:
    """On windows of one tiny shard, seen without noise and with nothing hidden."""
    config = dataclasses.replace(
        SMALL,
        steps=120,
        lr=5e-3,
        augmentation=PLAIN,
        detector=DetectorRanges(clean_probability=1.0, miss_probability=0.0),
        masking=MaskingConfig(
            span_probability=0.0,
            person_probability=0.0,
            nobody_probability=0.0,
            part_probability=0.0,
            state_probability=0.0,
        ),
    )
    totals = [sum(terms.values()) for terms in trainer(config, body, source).steps()]
    first, last = (sum(part) / len(part) for part in (totals[:5], totals[-20:]))
    assert last < 0.5 * first, (first, last)


def test_another_seed_is_another_training(body: Body, source: WindowSource) -> None:
    terms = [
        next(trainer(dataclasses.replace(SMALL, seed=seed), body, source).steps())
        for seed in (0, 0, 1)
    ]
    assert terms[0] == terms[1] != terms[2]
