"""What a dry run of the day does not need at full length: fits of its own input, statistics."""

from typing import Any

from closefit.demo import hold
from closefit.geometry.penetration import PenetrationProxy
from closefit.learning.choreography import key_poses, refinement
from closefit.learning.training import loop


def shorten() -> None:
    """Make clips, generated motion and training rough and quick, for the rest of this process."""
    hold.STEPS = 4
    key_poses.STEPS = refinement.STEPS = 2
    loop.STATISTICS_WINDOWS = 256
    create, made = PenetrationProxy.create, {}

    def once(vertices: Any, faces: Any, *arguments: Any, **options: Any) -> PenetrationProxy:
        """Coarsening the mesh takes seconds, and every run of the day has the same body."""
        key = (vertices.shape, *arguments)
        if key not in made:
            made[key] = create(vertices, faces, *arguments, **options)
        return made[key]

    PenetrationProxy.create = staticmethod(once)  # type: ignore[method-assign]
