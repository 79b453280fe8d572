"""The human body: SMPL's skeleton, the body model, keypoint sets and poses.

Rest frame: y up, facing +z, arms along x, metres.

A body is evaluated in a chain of immutable typed states with any leading axes: `Body` -> `rest`
(shape) -> `RestBody`, or `pose` (shape, rotations, translation, skinning) -> `PosedBody`.

Poses have three forms, one for each purpose:

- in memory: `pose.PairPose` (torch), local rotations, shape and pelvis of both people;
- in files: the numpy records of `closefit.records`. `Motion` is a stage's result in the camera
  frame, `PairMotion` is motion data in a world frame, and `PersonEstimates` is what another tool
  has estimated;
- in optimisation: `fit.variables.MotionVariables`, the same facts in coordinates that suit Adam.
"""
