import itertools

import numpy as np
import pytest

from closefit.palette import DEPTH_COLOURS, PERSON_COLOURS, hex_colour

LINEAR_LMS = np.array(
    [
        [0.4122215, 0.5363325, 0.0514460],
        [0.2119035, 0.6806995, 0.1073970],
        [0.0883025, 0.2817188, 0.6299787],
    ]
)
"""Linear sRGB to the cones' responses as Oklab has them."""

OKLAB = np.array(
    [
        [0.2104543, 0.7936178, -0.0040720],
        [1.9779985, -2.4285922, 0.4505937],
        [0.0259040, 0.7827718, -0.8086758],
    ]
)
CVD = {
    # Machado, Oliveira and Fernandes 2009, full severity; linear sRGB.
    "all cones": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def oklab(rgb: np.ndarray, seen_with: str) -> np.ndarray:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return OKLAB @ np.cbrt(LINEAR_LMS @ np.clip(CVD[seen_with] @ linear, 0.0, 1.0))


@pytest.mark.parametrize("seen_with", CVD)
def test_people_and_contacts_are_told_apart_with_any_colour_vision(seen_with: str) -> None:
    people = [oklab(np.asarray(colour, float), seen_with) for colour in PERSON_COLOURS]
    depths = [oklab(np.asarray(colour, float), seen_with) for colour in DEPTH_COLOURS]
    # A just noticeable difference is about 0.02.
    assert np.linalg.norm(people[0] - people[1]) > 0.2
    for first, second in [*itertools.product(people, depths), *itertools.combinations(depths, 2)]:
        assert np.linalg.norm(first - second) > 0.1


def test_colours_are_written_for_web_pages() -> None:
    assert hex_colour((1.0, 0.5, 0.0)) == "#ff8000"
