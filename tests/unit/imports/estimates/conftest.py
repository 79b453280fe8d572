"""A motion whose estimates the tests write."""

import pytest

from tests.estimate_files import People, make_people
from tests.known_motion import KnownMotion, make_known_motion


@pytest.fixture(scope="session")
def known() -> KnownMotion:
    """Two people who face each other, and their keypoints."""
    return make_known_motion()


@pytest.fixture
def people(known: KnownMotion) -> People:
    """The same two, as a tool with the true camera would estimate them."""
    return make_people(known.variables.rotations(), known.variables.pelvis())
