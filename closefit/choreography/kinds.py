"""The kinds of contact by name: for each one or more scenes.

Add a scene in one of the tables, with poses of `poses.POSES` and sites of `sites.PLACES`; a test
checks the names.
"""

from collections.abc import Mapping

from closefit.choreography.care_scenes import CARE
from closefit.choreography.fight_scenes import FIGHTS
from closefit.choreography.scenes import Scene
from closefit.choreography.social_scenes import SOCIAL

SCENES: Mapping[str, tuple[Scene, ...]] = {**SOCIAL, **FIGHTS, **CARE}
