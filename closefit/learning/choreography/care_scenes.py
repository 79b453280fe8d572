"""Scenes of people who carry, help, rest and play."""

from collections.abc import Mapping

from closefit.learning.choreography.scenes import LONG, NO_HOLD, Moment, Scene, apart, both

CARE: Mapping[str, tuple[Scene, ...]] = {
    "lift": (
        Scene((
            apart(1.1),
            Moment(("lift crouch", "hands on shoulders"), 0.40, hold_s=NO_HOLD,
                   contacts=both("palm>*flank")),
            Moment(("lift", "lifted"), 0.24, up_m=0.22, hold_s=LONG, contacts=(
                ("chest", "belly"), ("left_palm", "right_loin"), ("right_palm", "left_loin"),
                ("left_shoulder_top", "right_forearm_inside"),
                ("upper_back", "left_palm"),
            )),
            Moment(("lift crouch", "hands on shoulders"), 0.40, hold_s=NO_HOLD,
                   contacts=both("palm>*flank")),
        ), ratio=(0.62, 1.0), stature_m=(1.6, 2.0), turn_deg_s=60.0),
        Scene((
            Moment(("lift", "ride front"), 0.22, up_m=0.14, hold_s=LONG, contacts=(
                ("chest", "chest"), *both("palm>*thigh_back"),
                *((("nape", "left_wrist_inside"), ("upper_back", "right_palm"))),
            )),
        ), ratio=(0.62, 0.98), stature_m=(1.6, 2.0), turn_deg_s=60.0, walk_m_s=0.4),
        Scene((
            apart(0.9),
            Moment(("lift crouch", "hands front"), 0.45, hold_s=(0.1, 0.3),
                   contacts=both("palm>*flank")),
            Moment(("lift up", "held up"), 0.44, up_m=0.62, hold_s=(0.8, 1.5),
                   contacts=both("palm>*flank")),
            Moment(("lift crouch", "hands front"), 0.45, hold_s=(0.1, 0.3),
                   contacts=both("palm>*flank")),
        ), ratio=(0.60, 0.78), stature_m=(1.65, 2.0), turn_deg_s=60.0),
    ),
    "cradle": (
        Scene((
            Moment(("cradle", "cradled"), 0.34, left_m=0.10, up_m=0.10, heading_deg=-90.0,
                   hold_s=LONG, contacts=(
                       ("left_wrist_inside", "upper_back"),
                       ("right_wrist_inside", "left_knee_back"),
                       ("chest", "right_upper_arm_outside"),
                   )),
        ), ratio=(0.62, 0.98), stature_m=(1.6, 2.0), turn_deg_s=60.0, walk_m_s=0.5),
    ),
    "piggyback": (
        Scene((
            Moment(("carry piggyback", "ride piggyback"), -0.24, up_m=0.10, heading_deg=0.0,
                   hold_s=LONG, contacts=(
                       ("upper_back", "chest"), *both("palm>thigh_back"),
                       ("chest", "left_palm"), ("right_shoulder_front", "right_wrist_inside"),
                   )),
        ), ratio=(0.62, 0.98), stature_m=(1.6, 2.0), turn_deg_s=40.0, walk_m_s=0.7),
    ),
    "first aid": (
        Scene((
            Moment(("press down", "on back"), 0.40, left_m=-0.26, heading_deg=-90.0, hold_s=NO_HOLD,
                   contacts=(("left_palm", "chest"),)),
            Moment(("press down", "on back"), 0.36, left_m=-0.26, heading_deg=-90.0,
                   hold_s=(0.1, 0.4), reach_s=(0.25, 0.4), contacts=(("left_palm", "chest"),)),
        ), turn_deg_s=0.0),
        Scene((
            Moment(("kneel reach", "floor sit"), 0.52, left_m=0.05, heading_deg=-100.0,
                   hold_s=LONG, contacts=(("right_palm", "right_shoulder_top"),)),
            Moment(("kneel hug", "floor sit"), 0.40, heading_deg=-100.0, hold_s=LONG, contacts=(
                ("right_palm", "upper_back"), ("left_palm", "right_shoulder_front"),
            )),
        ), turn_deg_s=0.0),
    ),
    "kneel at": (
        Scene((
            apart(1.0),
            Moment(("half kneel", "relaxed"), 0.55, hold_s=LONG,
                   contacts=(("left_palm", "right_palm"),)),
        ), ratio=(0.7, 1.2), turn_deg_s=0.0),
        Scene((
            Moment(("tie shoe", "relaxed"), 0.58, hold_s=LONG,
                   contacts=(("left_palm", "right_ankle_outside"), ("right_palm", "right_instep"))),
        ), ratio=(0.62, 1.1), turn_deg_s=0.0),
    ),
    "crawl ride": (
        Scene((
            Moment(("fours", "straddle"), -0.30, up_m=0.26, heading_deg=0.0, hold_s=LONG,
                   contacts=(("lower_back", "crotch"), *both("shoulder_blade>palm"),
                             *both("flank>thigh_inside"))),
        ), ratio=(0.62, 0.75), stature_m=(1.65, 2.0), turn_deg_s=15.0),
    ),
    "stretch": (
        Scene((
            Moment(("kneel reach", "floor sit fold"), 0.50, heading_deg=0.0, hold_s=LONG,
                   contacts=both("palm>shoulder_blade")),
            Moment(("kneel reach", "floor sit fold"), 0.56, heading_deg=0.0, hold_s=LONG,
                   contacts=both("palm>shoulder_blade")),
        ), turn_deg_s=0.0),
        Scene((
            Moment(("floor sit reach", "floor sit reach"), 1.25, hold_s=LONG,
                   contacts=(*both("palm>*palm"), *both("sole>*sole"))),
        ), turn_deg_s=0.0, ratio=(0.9, 1.1)),
    ),
    "help up": (
        Scene((
            Moment(("bend reach", "floor sit reach"), 0.95, hold_s=(0.5, 0.9),
                   contacts=both("palm>*palm")),
            Moment(("pull back", "squat"), 0.90, hold_s=NO_HOLD, reach_s=(0.7, 1.0),
                   contacts=both("palm>*palm")),
            Moment(("hands laid", "hands offered"), 0.68, hold_s=(0.5, 1.0), reach_s=(0.7, 1.0),
                   contacts=both("palm>*palm")),
            Moment(("pull back", "squat"), 0.90, hold_s=NO_HOLD, reach_s=(0.8, 1.2),
                   contacts=both("palm>*palm")),
        ), turn_deg_s=0.0),
    ),
    "massage": (
        Scene((
            apart(0.8, ("relaxed", "sit"), heading_deg=0.0),
            Moment(("massage", "sit"), 0.36, heading_deg=0.0, hold_s=LONG,
                   contacts=both("palm>shoulder_top")),
        ), turn_deg_s=0.0, lively=1.5),
        Scene((
            Moment(("kneel reach", "cross legs"), 0.46, heading_deg=0.0, hold_s=LONG,
                   contacts=both("palm>shoulder_blade")),
            Moment(("kneel reach", "cross legs"), 0.46, heading_deg=0.0, hold_s=LONG,
                   contacts=both("palm>loin")),
        ), turn_deg_s=0.0, lively=1.5),
    ),
    "sit side by side": (
        Scene((
            Moment(("sit", "sit"), 0.0, left_m=0.52, heading_deg=0.0, hold_s=(0.6, 1.2)),
            Moment(("sit arm left", "sit lean right"), 0.0, left_m=0.36, heading_deg=0.0,
                   hold_s=LONG, contacts=(
                       ("left_palm", "left_upper_arm_outside"),
                       ("left_thigh_outside", "right_thigh_outside"),
                   )),
        ), turn_deg_s=0.0),
        Scene((
            Moment(("cross legs hands", "cross legs hands"), 0.82, hold_s=LONG,
                   contacts=both("palm>*palm")),
        ), turn_deg_s=0.0),
    ),
    "lie together": (
        Scene((
            Moment(("spoon", "on side"), 0.26, heading_deg=0.0, hold_s=LONG,
                   contacts=(("chest", "upper_back"), ("right_palm", "belly"))),
        ), turn_deg_s=0.0),
        Scene((
            Moment(("on back", "on back"), 0.0, left_m=0.50, heading_deg=0.0, hold_s=LONG,
                   contacts=(("left_palm", "right_palm"),)),
        ), turn_deg_s=0.0),
    ),
}  # fmt: skip
