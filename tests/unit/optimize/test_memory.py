"""Out of memory in the middle: smaller steps once, then the error."""

import pytest
import torch

from closefit.optimize.objective import CroppedFrames
from tests.known_motion import KnownMotion
from tests.unit.optimize.test_loop import _loop, crops  # noqa: F401 - a fixture


@pytest.mark.parametrize("fails", [1, 2])
def test_smaller_steps_are_tried_once(
    known: KnownMotion,
    crops: CroppedFrames,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fails: int,
) -> None:
    loop = _loop(known, crops)
    plain, drawn = loop.objective.appearance, []

    def appearance(*args):
        drawn.append(len(args[-1].K))
        if len(drawn) <= fails:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(*args)

    monkeypatch.setattr(loop.objective, "appearance", appearance)
    if fails == 2:
        with pytest.raises(torch.OutOfMemoryError):
            loop.step()
    else:
        loop.step()
        loop.step()
        assert loop.state.step == 2
        assert drawn[1] == drawn[2] == -(-drawn[0] // 2)
    (message,) = caplog.messages
    assert "out of memory: from here on, steps draw every second of their frames" in message
