"""Colours of people and contacts in every picture, told apart with any kind of colour vision."""

import numpy as np
from jaxtyping import Float

PERSON_COLOURS = np.array([[0.98, 0.52, 0.20], [0.25, 0.56, 0.88]], dtype=np.float32)
"""Orange and blue."""

DEPTH_COLOURS = ((1.0, 0.86, 0.20), (0.72, 0.50, 0.0), (0.36, 0.22, 0.0))
"""Contact: the darker, the deeper the bodies are in each other."""

DEPTH_STEPS_MM = (10.0, 30.0)
"""Penetrations at which the next colour begins."""

CONTACT_COLOUR = DEPTH_COLOURS[0]


def depth_colour(penetration_mm: float) -> tuple[float, float, float]:
    """Return the colour of a contact of this depth."""
    return DEPTH_COLOURS[sum(penetration_mm >= step for step in DEPTH_STEPS_MM)]


def hex_colour(rgb: Float[np.ndarray, "3"] | tuple[float, float, float]) -> str:
    """Return the colour as `#rrggbb`."""
    return "#" + "".join(f"{round(255 * float(channel)):02x}" for channel in rgb)
