"""Generated motion of two people in close contact.

Poses and scenes are authored as data (`authored`); people, places and timing are sampled; key poses
are solved so that contacts hold without penetration; the motion between them is interpolated and
refined. World frame: y up, floor at y = 0, metres.
"""

from closefit.learning.choreography.generator import KINDS, generate

__all__ = ["KINDS", "generate"]
