"""The clip's two are found among any people, tracks and cameras, or an error gives the reason."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from closefit.errors import InputError
from closefit.fit.reprojection import KeypointProjector
from closefit.fit.variables import rest_pelvis
from closefit.geometry.camera import intrinsics
from closefit.imports.estimates.matching import (
    CHANGE_MISFIT,
    NOBODY_MISFIT,
    best_paths,
    find_pair,
    in_our_camera,
)
from closefit.imports.estimates.reading import read_estimates
from closefit.imports.estimates.tracks import unknown_camera
from closefit.records import PersonEstimates
from tests.estimate_files import (
    FOCAL_PX,
    HEIGHT,
    WIDTH,
    WRITERS,
    People,
    seen_through,
    video_info,
    write_amass,
    write_wham,
)
from tests.known_motion import FRAMES, KnownMotion

FOCAL = 520.0
PATH = Path("results.pkl")
VIDEO = video_info(FRAMES)


def estimates_of(people: People, focal_px: float | None = FOCAL) -> PersonEstimates:
    K = unknown_camera() if focal_px is None else intrinsics(WIDTH, HEIGHT, focal_px)
    return PersonEstimates(
        rotations=people.rotations.astype(np.float32),
        transl_m=np.where(people.known[..., None], people.pelvis_m, np.nan).astype(np.float32),
        known=people.known,
        K=K,
        tool="a tool",
        has_camera=True,
    )


def pair_of(
    known: KnownMotion, estimates: PersonEstimates, first_frame: int = 0, length: int = FRAMES
) -> PersonEstimates:
    video = video_info(length)
    return find_pair(PATH, estimates, known.targets, known.body, first_frame, video)


def degrees_between(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    trace = np.einsum("...ij,...ij->...", found.astype(np.float64), truth)
    return np.degrees(np.arccos(((trace - 1.0) / 2.0).clip(-1.0, 1.0)))


def assert_is_truth(pair: PersonEstimates, people: People, degrees: float = 0.1) -> None:
    assert pair.known.shape == (len(people.known), 2)
    off = degrees_between(pair.rotations, people.rotations)[pair.known]
    assert off.max() < degrees


@pytest.mark.parametrize("tool", WRITERS)
def test_the_pair_of_every_tool_is_the_same(
    tmp_path: Path, known: KnownMotion, people: People, tool: str
) -> None:
    """The people are listed the other way round, and seen through the tool's own camera."""
    if tool == "AMASS":
        path = write_amass(tmp_path, people.pick([1, 0]))
    else:
        path = WRITERS[tool](tmp_path, seen_through(people, FOCAL, FOCAL_PX[tool]).pick([1, 0]))
    pair = find_pair(path, read_estimates(path, VIDEO), known.targets, known.body, 0, VIDEO)
    assert pair.known.all()
    assert_is_truth(pair, people, degrees=12.0 if tool == "AMASS" else 0.1)
    if tool != "AMASS":
        np.testing.assert_allclose(pair.transl_m, people.pelvis_m, atol=2e-3)


def test_the_turn_with_the_line_of_sight_keeps_the_picture(
    known: KnownMotion, people: People
) -> None:
    """A body far off the axis of a long lens looks the same through ours only when it is turned."""
    theirs = seen_through(people, FOCAL, FOCAL_PX["4D-Humans"])
    estimates = estimates_of(theirs, FOCAL_PX["4D-Humans"])
    turned = in_our_camera(estimates, known.targets)
    projector = KeypointProjector(known.body, "coco17")

    def error_px(rotations: np.ndarray) -> float:
        transl = torch.from_numpy(turned.transl_m) - rest_pelvis(known.body, torch.zeros(2, 10))
        betas = torch.zeros(2, 10)
        _, pixels = projector(torch.from_numpy(rotations), betas, transl, known.targets.K)
        return float((pixels - known.targets.points_px).norm(dim=-1).mean())

    assert error_px(turned.rotations) < 0.1
    assert error_px(theirs.rotations.astype(np.float32)) > 1.0


def test_bystanders_are_left_out(known: KnownMotion, people: People) -> None:
    beside = dataclasses.replace(people, pelvis_m=people.pelvis_m + np.array([1.5, 0.0, 0.5]))
    crowd = People(
        *(
            np.concatenate([getattr(p, name) for p in (beside, people)], axis=1)
            for name in ("rotations", "pelvis_m", "known")
        )
    )
    pair = pair_of(known, estimates_of(crowd))
    assert pair.known.all()
    assert_is_truth(pair, people)


def test_tracks_that_break_off_are_joined(known: KnownMotion, people: People) -> None:
    """Person 0 is followed as three tracks with a gap, person 1 as two that overlap by a frame."""
    pieces = [(1, 0, 6), (0, 0, 4), (0, 6, 9), (0, 9, 12), (1, 5, 12)]
    tracks = people.pick([person for person, _, _ in pieces])
    tracks.known[:] = False
    for track, (_, first, last) in enumerate(pieces):
        tracks.known[first:last, track] = True
    pair = pair_of(known, estimates_of(tracks))
    assert_is_truth(pair, people)
    np.testing.assert_array_equal(np.flatnonzero(~pair.known[:, 0]), [4, 5])
    assert pair.known[:, 1].all()


def test_identities_that_the_tool_swaps_are_swapped_back(
    known: KnownMotion, people: People
) -> None:
    swapped = dataclasses.replace(
        people, rotations=people.rotations.copy(), pelvis_m=people.pelvis_m.copy()
    )
    for values in (swapped.rotations, swapped.pelvis_m):
        values[5:9] = values[5:9, ::-1]
    pair = pair_of(known, estimates_of(swapped))
    assert pair.known.all()
    assert_is_truth(pair, people)


def test_a_track_goes_on_where_its_person_is_hidden(known: KnownMotion, people: People) -> None:
    weight = known.targets.weight.clone()
    weight[3:7, 1] = 0.0
    hidden = dataclasses.replace(known.targets, weight=weight, seen=(weight > 0).sum(-1) >= 4)
    pair = find_pair(PATH, estimates_of(people), hidden, known.body, 0, VIDEO)
    assert pair.known.all()
    assert_is_truth(pair, people)


def test_one_person_is_matched_alone(known: KnownMotion, people: People) -> None:
    pair = pair_of(known, estimates_of(people.someone(1)))
    assert pair.known[:, 1].all()
    assert not pair.known[:, 0].any()
    np.testing.assert_array_equal(pair.rotations[:, 0], np.tile(np.eye(3), (FRAMES, 24, 1, 1)))


def test_an_unknown_camera_is_taken_for_ours(known: KnownMotion, people: People) -> None:
    assert_is_truth(pair_of(known, estimates_of(people, None)), people)


def in_longer_video(people: People, before: int, after: int) -> People:
    """The same people with other frames around them, in which they are other people."""
    rotations, pelvis_m = (
        np.concatenate([np.repeat(v[-1:], before, 0), v, np.repeat(v[:1], after, 0)])
        for v in (people.rotations, people.pelvis_m)
    )
    return People(rotations, pelvis_m, np.ones(rotations.shape[:2], dtype=bool))


def test_a_clip_is_cut_from_an_estimate_of_the_whole_video(
    known: KnownMotion, people: People
) -> None:
    whole = in_longer_video(people, 20, 10)
    pair = pair_of(known, estimates_of(whole), first_frame=20, length=FRAMES + 30)
    assert_is_truth(pair, people)
    unaligned = pair_of(known, estimates_of(whole), first_frame=10, length=FRAMES + 30)
    assert degrees_between(unaligned.rotations, people.rotations).max() > 1.0


def test_an_estimate_of_the_clip_alone_is_taken_as_it_is(
    known: KnownMotion, people: People
) -> None:
    pair = pair_of(known, estimates_of(people), first_frame=20, length=FRAMES + 30)
    assert_is_truth(pair, people)


def test_an_estimate_that_ends_early_leaves_frames_unknown(
    known: KnownMotion, people: People
) -> None:
    short = People(*(getattr(people, name)[:7] for name in ("rotations", "pelvis_m", "known")))
    pair = pair_of(known, estimates_of(short))
    np.testing.assert_array_equal(pair.known, np.repeat(np.arange(FRAMES)[:, None] < 7, 2, 1))
    assert_is_truth(pair, people)


def test_an_estimate_longer_than_the_video_is_refused(known: KnownMotion, people: People) -> None:
    whole = estimates_of(in_longer_video(people, 20, 10))
    with pytest.raises(InputError, match=r"has a frame 41, but `dance.mp4` has only 30 frames"):
        pair_of(known, whole, length=30)


def test_no_overlap_with_the_clip_is_refused(known: KnownMotion, people: People) -> None:
    whole = in_longer_video(people, 0, 30)
    whole.known[8:] = False
    reason = r"has people in frames 0 to 7 only, but the clip is frames 20 to 31 of `dance.mp4`"
    with pytest.raises(InputError, match=reason) as caught:
        pair_of(known, estimates_of(whole), first_frame=20, length=FRAMES + 30)
    assert "`results.pkl`" in caught.value.message


@pytest.mark.parametrize(
    ("unit", "stature"), [(10.0, "17"), (1000.0, r"1\.7e\+03"), (0.01, "0.01")]
)
def test_other_units_are_refused(
    known: KnownMotion, people: People, unit: float, stature: str
) -> None:
    giants = dataclasses.replace(people, pelvis_m=people.pelvis_m * unit)
    with pytest.raises(InputError, match=rf"would be {stature}[\d.]* m tall") as caught:
        pair_of(known, estimates_of(giants))
    assert "metres" in caught.value.hint


def test_people_of_another_video_are_refused(known: KnownMotion, people: People) -> None:
    elsewhere = dataclasses.replace(people, pelvis_m=people.pelvis_m + np.array([9.0, 0.0, 4.0]))
    with pytest.raises(InputError, match=r"none of the 2 people in the estimate `results.pkl`"):
        pair_of(known, estimates_of(elsewhere))


def brute_force(misfit: np.ndarray) -> float:
    """Least cost over all pairs of paths, by trying every one."""
    frames, tracks, _ = misfit.shape
    none = np.where((misfit > 0).any(axis=1, keepdims=True), NOBODY_MISFIT, 0.0)
    local = np.concatenate([misfit, none], axis=1)
    states = [
        (a, b) for a, b in itertools.product(range(tracks + 1), repeat=2) if a != b or a == tracks
    ]
    best = np.inf
    for path in itertools.product(states, repeat=frames):
        cost = sum(local[t, a, 0] + local[t, b, 1] for t, (a, b) in enumerate(path))
        for before, after in itertools.pairwise(path):
            cost += CHANGE_MISFIT * sum(x != y for x, y in zip(before, after, strict=True))
        best = min(best, cost)
    return best


def test_paths_are_the_best_of_all() -> None:
    rng = np.random.default_rng(1)
    for _ in range(4):
        misfit = rng.uniform(0.0, 2.0, (4, 2, 2))
        paths = best_paths(misfit)
        cost = CHANGE_MISFIT * np.count_nonzero(np.diff(paths, axis=0))
        for frame, person in np.ndindex(4, 2):
            track = paths[frame, person]
            cost += NOBODY_MISFIT if track < 0 else misfit[frame, track, person]
        assert cost == pytest.approx(brute_force(misfit))


def test_amass_of_someone_turned_away_is_turned_back(
    tmp_path: Path, known: KnownMotion, people: People
) -> None:
    """The world's heading is arbitrary: any turn of it gives the same pair."""
    angle = 2.1
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    turned = dataclasses.replace(people, rotations=people.rotations.copy())
    turned.rotations[:, :, 0] = turn @ people.rotations[:, :, 0]
    found = read_estimates(write_amass(tmp_path, turned), VIDEO)
    pair = find_pair(PATH, found, known.targets, known.body, 0, VIDEO)
    assert pair.known.all()
    assert_is_truth(pair, people, degrees=12.0)


def test_wham_with_gaps_through_its_file(
    tmp_path: Path, known: KnownMotion, people: People
) -> None:
    people.known[2:5, 0] = False
    path = write_wham(tmp_path, seen_through(people, FOCAL, FOCAL_PX["WHAM"]))
    pair = find_pair(path, read_estimates(path, VIDEO), known.targets, known.body, 0, VIDEO)
    np.testing.assert_array_equal(pair.known, people.known)
