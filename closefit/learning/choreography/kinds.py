"""The kinds of contact by name: for each one or more scenes.

Add a scene in one of the tables, with poses of `poses.POSES` and sites of `sites.PLACES`; a test
checks the names.
"""

from collections.abc import Mapping

from closefit.learning.choreography.care_scenes import CARE
from closefit.learning.choreography.fight_scenes import FIGHTS
from closefit.learning.choreography.scenes import Scene
from closefit.learning.choreography.social_scenes import SOCIAL

SCENES: Mapping[str, tuple[Scene, ...]] = {**SOCIAL, **FIGHTS, **CARE}
