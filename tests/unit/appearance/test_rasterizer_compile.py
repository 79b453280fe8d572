"""The compiled parts of the portable rasteriser that have laws of their own."""

import tempfile
from pathlib import Path

import numba
import numpy as np
import pytest

from closefit.appearance.raster import compile as raster_compile
from closefit.appearance.raster.compile import compiled
from closefit.appearance.raster.frames import sort_by_depth
from closefit.appearance.raster.lanes import LANES, exp, load, some, store, total
from closefit.appearance.raster.projection import DEPTH, SPLAT_WIDTH


def twice(x):
    return 2 * x


def test_code_is_kept_until_any_source_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    hits = []
    for stamp in ((("a.py", 1, 1),), (("a.py", 1, 1),), (("a.py", 2, 1),)):
        monkeypatch.setattr(raster_compile, "_sources_stamp", lambda stamp=stamp: stamp)
        function = compiled(twice)
        assert function(2) == 4
        hits.append(sum(function.stats.cache_hits.values()))
    assert hits == [0, 1, 0]


def test_code_runs_where_it_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("no locator available")

    monkeypatch.setattr("numba.core.dispatcher.Dispatcher.enable_caching", refuse)
    assert compiled(twice)(2) == 4


@numba.njit
def lanes_of(values, result):
    for start in range(0, len(values), LANES):
        lanes = load(values, start)
        store(result, start, exp(lanes))
    return total(lanes), some(lanes >= 0.0)


def test_lanes_compute_like_numpy() -> None:
    values = np.linspace(-60.0, 0.0, 1000 * LANES, dtype=np.float32)
    result = np.empty_like(values)
    last_sum, has_zero = lanes_of(values, result)
    np.testing.assert_allclose(result, np.exp(values.astype(np.float64)), rtol=5e-6)
    assert last_sum == pytest.approx(values[-LANES:].sum(), rel=1e-5)
    assert has_zero


def test_exp_of_very_low_values_vanishes() -> None:
    values = np.full(LANES, -np.inf, np.float32)
    values[1] = -1e30
    result = np.empty_like(values)
    lanes_of(values, result)
    assert result.max() < 1e-30
    assert result.min() >= 0.0


@pytest.mark.parametrize("number", [0, 1, 5000])
def test_sort_is_stable_and_by_depth(number: int) -> None:
    random = np.random.default_rng(0)
    splats = np.zeros((number + 3, SPLAT_WIDTH), np.float32)
    splats[:, DEPTH] = np.float32(10.0) ** random.integers(-2, 5, number + 3)
    splats[::2, DEPTH] += random.random(len(splats[::2])).astype(np.float32)
    order = sort_by_depth(splats, number, np.empty((2, number + 3), np.int32))
    np.testing.assert_array_equal(order, np.argsort(splats[:number, DEPTH], kind="stable"))


def test_a_cache_that_is_damaged_or_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert compiled(twice)(2) == 4
    kept = list(tmp_path.rglob("*.nb?"))
    assert len(kept) == 2
    for file in kept:
        file.write_bytes(file.read_bytes()[:9])
    assert compiled(twice)(2) == 4
    function = compiled(twice)
    monkeypatch.setattr(tempfile, "_mkstemp_inner", full_disk)
    assert function(2.0) == 4.0
