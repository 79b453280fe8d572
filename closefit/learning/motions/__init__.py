"""Motion files of one and two people: reading, retargeting, composing pairs, shards for training.

Everything becomes `records.PairMotion`: world frame, y up, metres, the floor at y = 0.
"""

from closefit.learning.motions.composing import compose_pairs
from closefit.learning.motions.editing import join_people, mirror, resample, retime
from closefit.learning.motions.reading import MotionSource, find_motions, opened, read_motion
from closefit.learning.motions.shards import MotionShards, write_shards

__all__ = [
    "MotionShards",
    "MotionSource",
    "compose_pairs",
    "find_motions",
    "join_people",
    "mirror",
    "opened",
    "read_motion",
    "resample",
    "retime",
    "write_shards",
]
