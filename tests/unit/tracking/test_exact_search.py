"""Each dynamic programme finds what enumeration of all possibilities finds on small problems."""

from itertools import pairwise, product

import numpy as np
import pytest

from closefit.tracking.association import Tracklet
from closefit.tracking.crowd import MAX_ABSENCE_S, NEW_PERSON_COST, _chains
from closefit.tracking.pair_search import Jumps, best_assignment
from closefit.tracking.swaps import MEMORY, STATES, _cheapest, _probability, _start
from tests.unit.tracking.scenes import see, walk

FRAMES = 7
SEEDS = range(8)


def total(costs: np.ndarray, choices: tuple[int, ...], start: int) -> float:
    """Cost of a sequence of choices; bit j of a state is the choice j + 1 frames ago."""
    state, sum_of_costs = start, 0.0
    for cost, choice in zip(costs, choices, strict=True):
        sum_of_costs += cost[state, choice]
        state = (state << 1 | choice) % STATES
    return sum_of_costs


def enumerate_choices(seed: int, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random costs, all sequences of choices, and the cost of each sequence."""
    costs = np.random.default_rng(seed).exponential(2.0, (FRAMES, STATES, 2))
    sequences = list(product((0, 1), repeat=FRAMES))
    totals = np.array([total(costs, choices, start) for choices in sequences])
    return costs, np.array(sequences), totals


@pytest.mark.parametrize("seed", SEEDS)
def test_the_cheapest_swaps(seed: int) -> None:
    costs, sequences, totals = enumerate_choices(seed, start=0)
    np.testing.assert_array_equal(_cheapest(costs), sequences[totals.argmin()] == 1)


@pytest.mark.parametrize("start", [0, 0b0101, STATES - 1])
@pytest.mark.parametrize("anchors", [(), (0,), (2, 5)])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_probability_of_each_choice(seed: int, anchors: tuple[int, ...], start: int) -> None:
    """The share of all sequences that agree at the anchors, weighted by likelihood."""
    costs, sequences, totals = enumerate_choices(seed, start)
    chosen = sequences[seed % len(sequences)] == 1
    anchored = np.isin(np.arange(FRAMES), anchors)
    likelihood = np.exp(-totals) * (sequences[:, anchored] == chosen[anchored]).all(axis=1)
    expected = (likelihood[:, None] * (sequences == chosen)).sum(axis=0) / likelihood.sum()
    found = _probability(costs, chosen, anchored, _start(start))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(found[anchored], 1.0)


def test_states_cover_the_memory() -> None:
    """A choice affects the costs of exactly the next `MEMORY` frames."""
    costs = np.zeros((FRAMES, STATES, 2))
    for age in range(MEMORY):
        costs[age + 1, (np.arange(STATES) >> age) & 1 == 0] = 1.0
    costs[0, :, 1] = MEMORY - 0.5
    assert _cheapest(costs)[0]
    costs[0, :, 1] = MEMORY + 0.5
    assert not _cheapest(costs)[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_pair_of_chains_of_tracklets(seed: int) -> None:
    """Over all ways to give each tracklet to person 0, to person 1, or to nobody."""
    rng, count = np.random.default_rng(seed), 6
    table = rng.normal(0.3, 1.0, (count, count + 1, count + 1))  # the last index: nobody yet
    table[rng.random(table.shape) < 0.15] = np.nan

    def worth(number: int, own: int, other: int) -> float | None:
        value = float(table[number, own, other])
        return None if np.isnan(value) else value

    def total_worth(owners: tuple[int, ...]) -> float:
        last, value = [-1, -1], 0.0
        for number, person in enumerate(owners):
            if person < 2:
                gain = worth(number, last[person], last[1 - person])
                value += -np.inf if gain is None else gain
                last[person] = number
        return value

    best = max(total_worth(owners) for owners in product((0, 1, 2), repeat=count))
    members = best_assignment(worth, count)
    assert not set(members[0]) & set(members[1])
    found = [0 if n in members[0] else 1 if n in members[1] else 2 for n in range(count)]
    assert total_worth(tuple(found)) == pytest.approx(best)


def test_the_cheapest_joins_of_tracklets() -> None:
    """Over all ways to join four tracklets of bystanders into chains."""
    fps = 30.0
    people = see([walk(np.tile([150.0, 400.0], (60, 1)))])
    people = people.of(np.flatnonzero((people.frame < 25) | (people.frame >= 35)))
    early, right = people.frame < 25, people.boxes_xyxy[:, 0] > 250.0
    parts = [np.flatnonzero((early == e) & (right == r)) for e in (True, False) for r in (0, 1)]
    tracklets = [
        Tracklet(own, int(people.frame[own[0]]), int(people.frame[own[-1]])) for own in parts
    ]
    jumps = Jumps(people, tracklets, fps)

    def price(followers: tuple[int, ...]) -> float:
        """Follower of each tracklet; 4 for none."""
        joined = [(a, b) for a, b in enumerate(followers) if b < 4]
        gaps = [tracklets[b].start - tracklets[a].end for a, b in joined]
        if len({b for _, b in joined}) < len(joined):
            return np.inf
        if not all(0 < gap <= MAX_ABSENCE_S * fps for gap in gaps):
            return np.inf
        alone = NEW_PERSON_COST * (4 - len(joined))
        return alone + sum(jumps.implausibility(a, b) for a, b in joined)

    best = min(product(range(5), repeat=4), key=price)
    chains = _chains(people, tracklets, fps)
    assert {join for chain in chains for join in pairwise(chain)} == {
        (a, b) for a, b in enumerate(best) if b < 4
    }
    assert sorted(number for chain in chains for number in chain) == [0, 1, 2, 3]
