"""The motion that fits have to find."""

import pytest

from tests.known_motion import KnownMotion, make_known_motion


@pytest.fixture(scope="session")
def known() -> KnownMotion:
    """Two people who face each other."""
    return make_known_motion()
