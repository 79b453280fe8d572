"""Colours of people, contacts and warnings in every picture and page.

People and contacts are told apart with any kind of colour vision: a test simulates them.
"""

import numpy as np
from jaxtyping import Float

Rgb8 = tuple[int, int, int]

PERSON_COLOURS = np.array([[0.98, 0.52, 0.20], [0.25, 0.56, 0.88]], dtype=np.float32)
"""Orange and blue."""

DEPTH_COLOURS = ((1.0, 0.86, 0.20), (0.60, 0.42, 0.0), (0.32, 0.19, 0.0))
"""Contact: the darker, the deeper the bodies are in each other."""

DEPTH_STEPS_MM = (10.0, 30.0)
"""Penetrations at which the next colour begins."""

CONTACT_COLOUR = DEPTH_COLOURS[0]

WARNING_COLOUR = (0.86, 0.12, 0.12)
"""What should not be trusted; words always go with it."""

OTHER_COLOUR = (0.75, 0.75, 0.75)
"""People who are not of the pair."""


def depth_colour(penetration_mm: float) -> tuple[float, float, float]:
    """Return the colour of a contact of this depth."""
    return DEPTH_COLOURS[sum(penetration_mm >= step for step in DEPTH_STEPS_MM)]


def hex_colour(rgb: Float[np.ndarray, "3"] | tuple[float, float, float]) -> str:
    """Return the colour as `#rrggbb`."""
    return "#" + "".join(f"{channel:02x}" for channel in rgb8(rgb))


def rgb8(rgb: Float[np.ndarray, "3"] | tuple[float, float, float]) -> Rgb8:
    """Return the colour in whole numbers from 0 to 255."""
    red, green, blue = (round(255 * float(channel)) for channel in rgb)
    return red, green, blue
