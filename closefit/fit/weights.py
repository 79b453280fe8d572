"""The table of all weights and expected errors of the fits.

Motion terms are negative log likelihoods: half the squared error in units of an expected error
(`..._SIGMA...`). A weight has no unit; 1 counts every frame as an independent observation, less
than 1 allows for what is counted twice. `..._OUTLIER_SIGMAS` is the error, in expected errors, at
which a robust loss (Geman-McClure) levels off.

Weights that a user may set are not here but in `config.py`: `init.prior_trust`, `init.prior_pose`
and `optimize.weight_*`. docs/method.md explains both.

Sources: "paper" is the paper that closefit follows, with its equation; "measured" is a comparison
on the rendered clips (docs/experiments.md); "assumed" is a plausible value that was never varied.
"""

from dataclasses import dataclass

# --- Keypoints (paper Eq. 4) ---

NOISE_PER_HEIGHT = 0.012
"""Share of a person's height in the image. Keypoint noise of current detectors; assumed."""

MIN_NOISE_PX = 0.5
"""Pixels. Detectors do not resolve less, however small the person is; assumed."""

LIFTING_OUTLIER_SIGMAS = 8.0
"""Expected errors. First poses are far off, so keypoints attract from farther away; assumed."""

WIDE_OUTLIER_SIGMAS = 12.0
"""Expected errors. The trials from another tool's poses, whose limbs may be far off; assumed."""

PLACING_OUTLIER_SIGMAS = 4.0
"""Expected errors. Outlier keypoints while a person is placed by least squares; assumed."""

# --- The people and the scene ---

ACCELERATION_SIGMA_M_S2 = 8.0
"""m/s^2. Joint accelerations of dancers; the paper's Eq. 8 penalises velocity instead; assumed."""

MEAN_STATURE_M = 1.72
"""Metres. Mean height of women and men with shoes; measured (1.70 m was worse)."""

STATURE_SIGMA_M = 0.10
"""Metres. Spread of adult heights, which keeps either person's height ordinary; assumed."""

SCALE_SIGMA = 0.02
"""Share of the mean height. Spread of the mean height of the two, which fixes the scale of the
scene; measured (ten times as hard was worse)."""

FLOOR_SIGMA_M = 0.03
"""Metres. Deviation of the lowest sole point from a flat floor; assumed."""

FLOOR_OUTLIER_SIGMAS, BELOW_FLOOR_OUTLIER_SIGMAS = 3.0, 30.0
"""Expected errors above and below the floor. A jump is an outlier; a foot in the floor is an error
at any depth; assumed."""

UPRIGHT_SIGMA_RAD = 0.1
"""Radians. Mean lean of a trunk over a clip; assumed."""

UPRIGHT_OUTLIER_SIGMAS = 4.0
"""Expected errors. Some people never stand in a clip; assumed."""

CAMERA_PITCH = -0.15
"""z over -y of the floor normal: most videos look slightly down; assumed."""

CAMERA_PITCH_SIGMA, CAMERA_ROLL_SIGMA = 0.2, 0.04
"""Slopes of the floor. Cameras are pitched often and rolled rarely; assumed."""


@dataclass(frozen=True, kw_only=True)
class MotionWeights:
    """Weights of the terms that `init` and `optimize` share.

    Attributes:
        keypoints: 1: the reference for all others.
        outlier_sigmas: Of the keypoint loss, in expected errors; assumed.
        pose: Authored joint limits. Neighbouring frames are not independent; assumed.
        smooth: Acceleration. Sets the temporal bandwidth; assumed.
        floor: Measured: without it the interaction error was three times as large.
        shape: Both people's body shapes and heights; assumed.
        scale: Mean height of the two; 0 where another tool's heights set the scale.
        upright: Trunks point up on average; assumed.
        camera: Typical pitch and roll; assumed.
    """

    keypoints: float = 1.0
    outlier_sigmas: float = 4.0
    pose: float = 0.5
    smooth: float = 4.0
    floor: float = 3.0
    shape: float = 0.3
    scale: float = 1.0
    upright: float = 1.0
    camera: float = 1.0

    @classmethod
    def with_prior(cls, *, pose: float, keypoints: float) -> "MotionWeights":
        """Weights for a motion that started from the diffusion prior.

        Keypoints and the prior's poses determine where people are. People who lie, kneel or are
        lifted neither stand on the floor nor are upright, so these terms count less; measured.
        """
        return cls(pose=pose, keypoints=keypoints, floor=1.0, upright=0.2)


# --- Lifting single frames ---

LIFTING_TILT_SIGMA_RAD = 0.6
"""Radians. Lean of a body against the camera's vertical; assumed."""

LIFTING_DEPTH_SIGMA = 0.25
"""Log depth. Spread over a clip; keeps badly seen frames near the others; assumed."""

LANDMARK_SIGMA_M = 0.08
"""Metres. Error of a detector's single-image 3D landmark; assumed."""

LANDMARK_OUTLIER_SIGMAS = 3.0
"""Expected errors; assumed."""

JUMP_SIGMA_M = 0.12
"""Metres between frames. Root mean square joint displacement of a plausible path; assumed."""

JUMP_JOINTS = 12.0
"""Independent joints among the 24, which weigh a jump against keypoints; assumed."""

# --- Staying near poses that the prior or another tool found ---

PRIOR_KEYPOINTS = 12.0
"""Weight of imported keypoints in `init` after the prior, whose poses are weighted 10; measured."""

DETECTED_KEYPOINTS = 3.0
"""The same for the detectors of `track`. Their keypoints are off by twice the expected noise, and
in the same direction for many frames, which the fit counts as many observations; measured for
`yolo` and `lite`, assumed for `full`."""

REFERENCE_OUTLIER_SIGMAS = 4.0
"""Expected errors. A joint that keypoints contradict by more leaves the prior's pose; assumed."""

RELATIVE_TRANSLATION_SIGMA_M = 0.1
"""Metres. Error of where one person stands, as seen from the other; assumed."""

ESTIMATE_SIGMA_RAD = 0.14
"""Radians (8 degrees). Error of a joint rotation of current tools; assumed."""

ESTIMATE_POSE = 1.0
"""Weight of another tool's poses, twice that of the joint limits; assumed."""

ESTIMATE_OUTLIER_SIGMAS = 3.0
"""Expected errors. A joint that keypoints contradict by more leaves the tool's pose; assumed."""

ESTIMATE_STATURE_SIGMA_M = 0.06
"""Metres. Error of the body heights that other tools imply; assumed."""

ESTIMATE_SHARE = 0.7
"""Share of another tool's poses in the mean with the prior's; assumed."""

# --- Masks ---

SILHOUETTE_WEIGHTS = {"cover": 200.0, "inside": 60.0, "front": 100.0}
"""Of the terms of `silhouettes`; compared on three real and four rendered clips."""

MASK_STRIDE = 2
"""Every second frame of a fit is compared with its masks: neighbours show nearly the same."""

COVERED = 0.025
"""Heights of a person. Vertices are so dense that a pixel of the body is this near to one."""

MASK_SIGMA, MASK_OUTLIER_SIGMAS = 0.02, 8.0
"""Heights of a person. Distance between a body and the edge of a mask: clothes, errors of masks;
and expected errors; assumed."""

FRONT_SIGMA_M, FRONT_OUTLIER_SIGMAS = 0.1, 5.0
"""Metres by which the body that a mask shows may be too far back, and expected errors; assumed."""
