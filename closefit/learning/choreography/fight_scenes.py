"""Scenes of people who fight, standing and on the ground."""

from collections.abc import Mapping

from closefit.learning.choreography.scenes import LONG, NO_HOLD, Moment, Range, Scene, apart, both

_QUICK: Range = (0.28, 0.38)
_FIGHT: Range = (0.5, 0.62)
"""Fighters step fast."""
_FLASH: Range = (0.05, 0.12)
_BOXERS = Moment(("boxing", "boxing"), 0.95, hold_s=(0.2, 0.5), reach_s=(0.4, 0.6))

FIGHTS: Mapping[str, tuple[Scene, ...]] = {
    "push": (
        Scene((
            apart(1.1),
            Moment(("push", "brace"), 0.70, hold_s=(0.2, 0.5), contacts=both("palm>*breast")),
            Moment(("push", "pushed"), 0.84, hold_s=NO_HOLD, reach_s=(0.3, 0.5),
                   contacts=both("palm>*breast")),
        ), lively=1.3),
        Scene((
            apart(1.1),
            Moment(("push", "push"), 0.86, hold_s=LONG, contacts=both("palm>*palm")),
        ), lively=1.8),
    ),
    "punch": (
        Scene((
            _BOXERS,
            Moment(("punch left", "high guard"), 0.72, hold_s=_FLASH, reach_s=_QUICK,
                   contacts=(("left_knuckles", "right_forearm_outside"),)),
            _BOXERS,
            Moment(("punch right", "high guard"), 0.70, hold_s=_FLASH, reach_s=_QUICK,
                   contacts=(("right_knuckles", "left_forearm_outside"),)),
            _BOXERS,
            Moment(("boxing", "punch right"), 0.72, hold_s=_FLASH, reach_s=_QUICK,
                   contacts=(("left_upper_arm_outside", "right_knuckles"),)),
        ), turn_deg_s=40.0, lively=2.0, cycle_s=_FIGHT),
        Scene((
            _BOXERS,
            Moment(("uppercut", "boxing"), 0.52, hold_s=_FLASH, reach_s=_QUICK,
                   contacts=(("right_knuckles", "belly"),)),
            _BOXERS,
            Moment(("boxing", "punch left"), 0.74, hold_s=_FLASH, reach_s=_QUICK,
                   contacts=(("right_forearm_outside", "left_knuckles"),)),
        ), turn_deg_s=40.0, lively=2.0, cycle_s=_FIGHT),
    ),
    "kick": (
        Scene((
            _BOXERS,
            Moment(("kick front", "high guard"), 1.0, hold_s=_FLASH, reach_s=(0.4, 0.5),
                   contacts=(("right_sole", "belly"),)),
            _BOXERS,
            Moment(("kick round", "high guard"), 0.80, hold_s=_FLASH, reach_s=(0.42, 0.55),
                   contacts=(("right_shin_front", "left_thigh_outside"),)),
        ), turn_deg_s=30.0, lively=2.0, cycle_s=_FIGHT),
    ),
    "clinch": (
        Scene((
            _BOXERS,
            Moment(("clinch high", "clinch under"), 0.46, hold_s=LONG, contacts=(
                ("left_palm", "nape"), ("right_palm", "right_shoulder_blade"),
                ("left_shoulder_blade", "right_palm"), ("right_flank", "left_palm"),
            )),
            Moment(("knee strike", "clinch under"), 0.44, hold_s=_FLASH, reach_s=(0.35, 0.5),
                   contacts=(("left_palm", "nape"), ("right_knee_front", "belly"))),
        ), turn_deg_s=60.0, walk_m_s=0.3, lively=2.0, cycle_s=_FIGHT),
        Scene((
            apart(1.0, ("bent guard", "bent guard")),
            Moment(("clinch under", "clinch under"), 0.52, hold_s=LONG, contacts=(
                ("left_palm", "right_shoulder_blade"), ("right_shoulder_blade", "left_palm"),
                ("right_palm", "left_elbow_crook"), ("left_temple", "left_temple"),
            )),
        ), turn_deg_s=60.0, walk_m_s=0.3, lively=2.0, cycle_s=_FIGHT),
    ),
    "tackle": (
        Scene((
            apart(1.2, ("bent guard", "boxing")),
            Moment(("shoot", "bent guard"), 0.42, hold_s=(0.3, 0.8), contacts=(
                *both("palm>*thigh_back"), ("left_shoulder_front", "right_thigh_front"),
                ("left_shoulder_blade", "right_palm"), ("right_shoulder_blade", "left_palm"),
            )),
        ), lively=2.0, cycle_s=_FIGHT),
        Scene((
            Moment(("shoot", "sprawl"), 0.50, hold_s=LONG, contacts=(
                ("upper_back", "chest"), *both("flank>*palm"),
            )),
        ), turn_deg_s=0.0, lively=1.5),
    ),
    "choke": (
        Scene((
            Moment(("sit straddle", "floor sit reach"), 0.28, heading_deg=0.0, hold_s=LONG,
                   contacts=(
                       ("chest", "upper_back"), ("right_elbow_crook", "neck_front"),
                       ("left_palm", "back_of_head"), ("right_forearm_inside", "left_palm"),
                   )),
        ), turn_deg_s=0.0, lively=1.5),
        Scene((
            _BOXERS,
            Moment(("hug high", "bent guard"), 0.26, heading_deg=0.0, hold_s=LONG, contacts=(
                ("chest", "upper_back"), ("right_forearm_front", "neck_front"),
                ("right_forearm_outside", "right_palm"), ("left_palm", "left_upper_arm_outside"),
            )),
        ), ratio=(0.85, 1.05), lively=1.5),
    ),
    "ground wrestling": (
        Scene((
            Moment(("side control", "on back push"), 0.30, left_m=0.22, heading_deg=95.0,
                   hold_s=LONG, contacts=(
                       ("chest", "chest"), ("left_forearm_inside", "right_neck_side"),
                       ("right_palm", "left_hip_side"),
                   )),
        ), turn_deg_s=0.0, lively=2.0),
        Scene((
            Moment(("mount", "prone"), 0.04, heading_deg=0.0, hold_s=LONG,
                   contacts=(*both("palm>shoulder_blade"), ("crotch", "lower_back"))),
            Moment(("mount", "prone"), 0.0, heading_deg=0.0, hold_s=LONG, contacts=(
                ("left_palm", "left_wrist_outside"), ("right_palm", "right_shoulder_blade"),
                ("crotch", "lower_back"),
            )),
        ), turn_deg_s=0.0, lively=2.0),
        Scene((
            Moment(("mount", "on back push"), -0.12, heading_deg=180.0, hold_s=LONG, contacts=(
                *both("palm>*shoulder_front"), ("left_flank", "right_palm"),
                ("right_flank", "left_palm"),
            )),
            Moment(("mount", "on back pinned"), -0.08, heading_deg=180.0, hold_s=LONG,
                   contacts=both("palm>*wrist_inside")),
        ), turn_deg_s=0.0, lively=2.0, cycle_s=_FIGHT),
        Scene((
            Moment(("in guard", "on back guard"), 0.34, heading_deg=180.0, hold_s=LONG,
                   contacts=(*both("palm>*breast"), *both("hip_side>*thigh_inside"))),
            Moment(("in guard", "on back guard"), 0.34, heading_deg=180.0, hold_s=LONG,
                   contacts=(
                       ("left_palm", "right_shoulder_front"), ("nape", "left_palm"),
                       *both("hip_side>*thigh_inside"),
                   )),
        ), turn_deg_s=0.0, lively=2.0, cycle_s=_FIGHT),
    ),
}  # fmt: skip
