"""One small result, made once; commands called in this process."""

from pathlib import Path

import pytest

from tests.batch_folder import make_results
from tests.cli.conftest import invoke as invoke


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("dataset")
    return make_results(place / "results", place / "clip.mp4").root
