"""First motion of both people, from keypoints, the prior or another tool's estimate."""
