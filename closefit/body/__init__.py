"""The human body: SMPL's skeleton, the body model, keypoint sets and the import of official SMPL.

Rest frame: y up, facing +z, arms along x, metres.
"""

from closefit.body.model import Body, PosedBody, RestBody

__all__ = ["Body", "PosedBody", "RestBody"]
