"""Laws of the identity filter: whose pixel a keypoint lies on."""

import torch

from closefit.optimize.identity_filter import foreign_keypoints


def _halves() -> torch.Tensor:
    """Person 0 owns the left third, person 1 the right third, nobody the middle."""
    ownership = torch.zeros(1, 20, 60, 2)
    ownership[:, :, :20, 0] = 1.0
    ownership[:, :, 40:, 1] = 1.0
    return ownership


def _points(*x: float) -> torch.Tensor:
    return torch.tensor([[[[value, 10.0] for value in x]] * 2])


def test_only_keypoints_on_the_other_person_are_rejected() -> None:
    rejected = foreign_keypoints(_halves(), _points(5.0, 30.0, 55.0), 2.0)
    assert rejected[0, 0].tolist() == [False, False, True]
    assert rejected[0, 1].tolist() == [True, False, False]


def test_the_papers_filter_keeps_only_keypoints_on_their_own_person() -> None:
    rejected = foreign_keypoints(_halves(), _points(5.0, 30.0, 55.0, 70.0), 2.0, only_own=True)
    assert rejected[0, 0].tolist() == [False, True, True, True]
    assert rejected[0, 1].tolist() == [True, True, False, True]


def test_a_radius_forgives_small_errors() -> None:
    touching = torch.zeros(1, 20, 60, 2)
    touching[:, :, :30, 0] = 1.0
    touching[:, :, 30:, 1] = 1.0
    assert not foreign_keypoints(touching, _points(31.5), 3.0)[0, 0, 0]
    assert foreign_keypoints(touching, _points(31.5), 0.0)[0, 0, 0]


def test_points_outside_the_image_are_kept() -> None:
    outside = torch.tensor([[[[-5.0, 3.0], [70.0, 3.0]]] * 2])
    assert not foreign_keypoints(_halves(), outside, 2.0).any()


def test_swapping_people_swaps_the_answer() -> None:
    points = _points(5.0, 30.0, 55.0)
    once = foreign_keypoints(_halves(), points, 2.0)
    swapped = foreign_keypoints(_halves().flip(-1), points, 2.0)
    assert torch.equal(once, swapped.flip(1))
