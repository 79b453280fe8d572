"""The authored poses by name: joint angles in degrees (`angles`), and what carries the person.

Add a pose in `standing_poses` or `low_poses` and name it in a scene. Poses are only starting
points: the solver moves them until contacts hold.
"""

from collections.abc import Mapping

from closefit.learning.choreography.low_poses import LOW
from closefit.learning.choreography.pose_parts import Pose
from closefit.learning.choreography.standing_poses import STANDING

POSES: Mapping[str, Pose] = {**STANDING, **LOW}
