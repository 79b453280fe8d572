"""One time for several results folders, which may begin elsewhere or have another frame rate."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from closefit.viewer.results import Results


class Clock:
    """The frames of the longest folder; others show what they have at the same time.

    Folders of one video meet at its time, those of different videos at their first frames.
    """

    def __init__(self, results: Sequence[Results]) -> None:
        """Read the times of all folders."""
        self._is_one_video = len({one.video.content_sha256 for one in results}) == 1
        longest = max(results, key=lambda one: float(np.ptp(one.times_s)))
        self.times_s = self._times(longest)

    def frame_in(self, results: Results, step: int) -> int:
        """Return the frame of a folder that is nearest to a step of the clock."""
        times = self._times(results)
        middles = 0.5 * (times[1:] + times[:-1])
        return int(np.searchsorted(middles, self.times_s[step], side="right"))

    def _times(self, results: Results) -> Float[np.ndarray, " frame"]:
        return results.times_s - (0.0 if self._is_one_video else results.times_s[0])
