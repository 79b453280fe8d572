"""Motion files of one and two people: reading, retargeting, composing pairs, shards for training.

Everything becomes `records.PairMotion`: world frame, y up, metres, the floor at y = 0.
"""
