"""The kinds of contact as data: for each name one or more scenes.

Add a scene with poses of `poses.POSES` and sites of `sites.PLACES`; a test checks the names.
"""

from collections.abc import Mapping

from closefit.choreography.scenes import Moment, Range, Scene, apart, both

_CHESTS = (("chest", "chest"),)
_QUICK: Range = (0.28, 0.38)
_FLASH: Range = (0.05, 0.12)
_LONG: Range = (1.4, 2.6)
_NO: Range = (0.0, 0.1)

_OPEN = Moment(("open arms", "open arms"), 0.80, hold_s=_NO)
_BOXERS = Moment(("boxing", "boxing"), 0.95, hold_s=(0.2, 0.5), reach_s=(0.4, 0.6))

SCENES: Mapping[str, tuple[Scene, ...]] = {
    "hug": (
        Scene((
            apart(), _OPEN,
            Moment(("hug low", "hug high"), 0.30, hold_s=_LONG, contacts=(
                *_CHESTS, ("left_palm", "right_shoulder_blade"), ("right_palm", "left_loin"),
                ("left_shoulder_blade", "right_palm"), ("right_shoulder_blade", "left_palm"),
            )),
            _OPEN,
        )),
        Scene((
            apart(), _OPEN,
            Moment(("hug crossed", "hug crossed"), 0.30, left_m=0.04, hold_s=_LONG, contacts=(
                *_CHESTS, ("left_palm", "right_shoulder_blade"), ("right_palm", "left_loin"),
                ("right_shoulder_blade", "left_palm"), ("left_loin", "right_palm"),
            )),
            _OPEN,
        )),
        Scene((
            apart(), _OPEN,
            Moment(("hug waist", "hug high"), 0.29, hold_s=_LONG, contacts=(
                ("belly", "belly"), *both("palm>*loin"), ("nape", "left_wrist_inside"),
                ("upper_back", "right_palm"),
            )),
            _OPEN,
        ), walk_m_s=0.1),
    ),
    "hug from behind": (
        Scene((
            apart(1.1, heading_deg=0.0),
            Moment(("open arms", "relaxed"), 0.55, heading_deg=0.0, hold_s=_NO),
            Moment(("hug waist", "relaxed"), 0.28, heading_deg=0.0, hold_s=_LONG, contacts=(
                ("chest", "upper_back"), ("left_palm", "right_waist"), ("right_palm", "left_waist"),
            )),
            Moment(("open arms", "relaxed"), 0.55, heading_deg=0.0, hold_s=_NO),
        )),
        Scene((
            apart(1.1, heading_deg=0.0),
            Moment(("hug high", "relaxed"), 0.30, heading_deg=0.0, hold_s=_LONG, contacts=(
                ("chest", "upper_back"), ("left_palm", "right_breast"),
                ("right_wrist_inside", "left_shoulder_front"),
            )),
        ), ratio=(0.82, 1.0)),
    ),
    "hug a child": (
        Scene((
            apart(1.1, ("kneel", "relaxed")),
            Moment(("kneel reach", "open arms"), 0.7, hold_s=_NO),
            Moment(("kneel hug", "hug high"), 0.30, hold_s=_LONG, contacts=(
                ("chest", "belly"), *both("palm>*loin"), ("left_shoulder_top", "right_palm"),
                ("upper_back", "left_palm"),
            )),
        ), ratio=(0.66, 0.80), stature_m=(1.6, 2.0)),
        Scene((
            apart(1.1),
            Moment(("bend reach", "open arms"), 0.75, hold_s=_NO),
            Moment(("hug down", "hug high"), 0.42, hold_s=_LONG, contacts=(
                *both("palm>*shoulder_blade"), ("left_flank", "right_palm"),
                ("right_flank", "left_palm"),
            )),
        ), ratio=(0.72, 0.84), stature_m=(1.6, 2.0)),
    ),
    "handshake": (
        Scene((
            apart(1.3),
            Moment(("shake right", "shake right"), 0.78, hold_s=(0.1, 0.3),
                   contacts=(("right_palm", "right_palm"),)),
            Moment(("shake right", "shake right"), 0.72, hold_s=(0.5, 1.4), reach_s=(0.2, 0.3),
                   contacts=(("right_palm", "right_palm"),)),
        )),
        Scene((
            apart(1.3),
            Moment(("shake right", "shake right"), 0.66, hold_s=(0.2, 0.6),
                   contacts=(("right_palm", "right_palm"),)),
            Moment(("shake hug", "shake hug"), 0.48, left_m=-0.06, hold_s=(0.6, 1.2), contacts=(
                ("right_palm", "right_palm"),
                ("left_palm", "right_shoulder_blade"), ("right_shoulder_blade", "left_palm"),
            )),
        )),
    ),
    "hold hands": (
        Scene((
            apart(1.3),
            Moment(("hands low", "hands low"), 0.66, hold_s=_LONG, contacts=both("palm>*palm")),
        ), turn_deg_s=50.0, lively=1.5),
        Scene((
            apart(0.0, left_m=0.8, heading_deg=0.0),
            Moment(("hand left side", "hand right side"), 0.0, left_m=0.52, heading_deg=0.0,
                   hold_s=(2.0, 3.0), contacts=(("left_palm", "right_palm"),)),
        ), ratio=(0.70, 1.3), walk_m_s=0.9),
        Scene((
            apart(1.3),
            Moment(("hands front", "hands front"), 0.62, hold_s=_LONG,
                   contacts=both("palm>*palm")),
            Moment(("open arms", "open arms"), 0.55, hold_s=(0.5, 1.0),
                   contacts=both("palm>*palm")),
        ), turn_deg_s=40.0),
    ),
    "hand on shoulder": (
        Scene((
            apart(1.25),
            Moment(("hand up to shoulder", "relaxed"), 0.56, hold_s=(0.8, 1.6),
                   contacts=(("right_palm", "left_shoulder_top"),)),
        ), ratio=(0.76, 1.18)),
        Scene((
            apart(1.2),
            Moment(("hands on shoulders", "hands low"), 0.52, hold_s=_LONG, contacts=(
                *both("palm>*shoulder_top"), ("left_waist", "right_palm"),
                ("right_waist", "left_palm"),
            )),
        ), turn_deg_s=40.0),
        Scene((
            apart(1.2, heading_deg=0.0),
            Moment(("hands on shoulders", "relaxed"), 0.48, heading_deg=0.0, hold_s=_LONG,
                   contacts=both("palm>shoulder_top")),
        ), walk_m_s=0.7),
    ),
    "side hug": (
        Scene((
            apart(0.0, left_m=0.9, heading_deg=0.0),
            Moment(("arm around left", "arm around right low"), 0.02, left_m=0.36,
                   heading_deg=0.0, hold_s=_LONG, contacts=(
                       ("left_palm", "left_upper_arm_outside"), ("left_waist", "right_palm"),
                       ("left_hip_side", "right_hip_side"),
                   )),
        ), walk_m_s=0.6),
    ),
    "ballroom": (
        Scene((
            apart(1.2),
            Moment(("lead", "follow"), 0.42, left_m=-0.06, hold_s=(2.5, 4.0), contacts=(
                ("left_palm", "right_palm"), ("right_palm", "left_shoulder_blade"),
                ("right_shoulder_top", "left_palm"),
            )),
        ), turn_deg_s=90.0, walk_m_s=0.5, lively=1.5),
    ),
    "push": (
        Scene((
            apart(1.1),
            Moment(("push", "brace"), 0.70, hold_s=(0.2, 0.5), contacts=both("palm>*breast")),
            Moment(("push", "pushed"), 0.84, hold_s=_NO, reach_s=(0.3, 0.5),
                   contacts=both("palm>*breast")),
        ), lively=1.3),
        Scene((
            apart(1.1),
            Moment(("push", "push"), 0.86, hold_s=_LONG, contacts=both("palm>*palm")),
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
        ), turn_deg_s=40.0, lively=2.0),
        Scene((
            _BOXERS,
            Moment(("uppercut", "boxing"), 0.52, hold_s=_FLASH, reach_s=_QUICK,
                   contacts=(("right_knuckles", "belly"),)),
            _BOXERS,
            Moment(("boxing", "punch left"), 0.74, hold_s=_FLASH, reach_s=_QUICK,
                   contacts=(("right_forearm_outside", "left_knuckles"),)),
        ), turn_deg_s=40.0, lively=2.0),
    ),
    "kick": (
        Scene((
            _BOXERS,
            Moment(("kick front", "bent guard"), 0.92, hold_s=_FLASH, reach_s=(0.35, 0.5),
                   contacts=(("right_sole", "left_forearm_outside"),)),
            _BOXERS,
            Moment(("kick round", "high guard"), 0.80, hold_s=_FLASH, reach_s=(0.35, 0.5),
                   contacts=(("right_shin_front", "left_thigh_outside"),)),
        ), turn_deg_s=30.0, lively=2.0),
    ),
    "clinch": (
        Scene((
            _BOXERS,
            Moment(("clinch high", "clinch under"), 0.46, hold_s=_LONG, contacts=(
                ("left_palm", "nape"), ("right_palm", "right_shoulder_blade"),
                ("left_shoulder_blade", "right_palm"), ("right_flank", "left_palm"),
            )),
            Moment(("knee strike", "clinch under"), 0.44, hold_s=_FLASH, reach_s=(0.35, 0.5),
                   contacts=(("left_palm", "nape"), ("right_knee_front", "belly"))),
        ), turn_deg_s=60.0, walk_m_s=0.3, lively=2.0),
        Scene((
            apart(1.0, ("bent guard", "bent guard")),
            Moment(("clinch under", "clinch under"), 0.52, hold_s=_LONG, contacts=(
                ("left_palm", "right_shoulder_blade"), ("right_shoulder_blade", "left_palm"),
                ("right_palm", "left_elbow_crook"), ("left_temple", "left_temple"),
            )),
        ), turn_deg_s=60.0, walk_m_s=0.3, lively=2.0),
    ),
    "lift": (
        Scene((
            apart(1.1),
            Moment(("lift crouch", "hands on shoulders"), 0.40, hold_s=_NO,
                   contacts=both("palm>*flank")),
            Moment(("lift", "lifted"), 0.24, up_m=0.22, hold_s=_LONG, contacts=(
                ("chest", "belly"), ("left_palm", "right_loin"), ("right_palm", "left_loin"),
                ("left_shoulder_top", "right_forearm_inside"),
                ("upper_back", "left_palm"),
            )),
            Moment(("lift crouch", "hands on shoulders"), 0.40, hold_s=_NO,
                   contacts=both("palm>*flank")),
        ), ratio=(0.62, 1.0), stature_m=(1.6, 2.0), turn_deg_s=60.0),
        Scene((
            Moment(("lift", "ride front"), 0.22, up_m=0.14, hold_s=_LONG, contacts=(
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
                   hold_s=_LONG, contacts=(
                       ("left_forearm_inside", "upper_back"),
                       ("right_forearm_inside", "left_thigh_back"),
                       ("chest", "right_upper_arm_outside"),
                   )),
        ), ratio=(0.62, 0.98), stature_m=(1.6, 2.0), turn_deg_s=60.0, walk_m_s=0.5),
    ),
    "piggyback": (
        Scene((
            Moment(("carry piggyback", "ride piggyback"), -0.24, up_m=0.10, heading_deg=0.0,
                   hold_s=_LONG, contacts=(
                       ("upper_back", "chest"), *both("palm>thigh_back"),
                       ("chest", "left_palm"), ("right_shoulder_front", "right_wrist_inside"),
                   )),
        ), ratio=(0.62, 0.98), stature_m=(1.6, 2.0), turn_deg_s=40.0, walk_m_s=0.7),
    ),
    "help up": (
        Scene((
            Moment(("bend reach", "floor sit reach"), 0.95, hold_s=(0.5, 0.9),
                   contacts=both("palm>*palm")),
            Moment(("pull back", "squat"), 0.90, hold_s=_NO, reach_s=(0.7, 1.0),
                   contacts=both("palm>*palm")),
            Moment(("hands low", "hands low"), 0.68, hold_s=(0.5, 1.0), reach_s=(0.7, 1.0),
                   contacts=both("palm>*palm")),
            Moment(("pull back", "squat"), 0.90, hold_s=_NO, reach_s=(0.8, 1.2),
                   contacts=both("palm>*palm")),
        ), turn_deg_s=0.0),
    ),
    "ground wrestling": (
        Scene((
            Moment(("mount", "on back push"), -0.12, heading_deg=180.0, hold_s=_LONG, contacts=(
                *both("palm>*shoulder_front"), ("left_flank", "right_palm"),
                ("right_flank", "left_palm"),
            )),
            Moment(("mount", "on back pinned"), -0.08, heading_deg=180.0, hold_s=_LONG,
                   contacts=both("palm>*wrist_inside")),
        ), turn_deg_s=0.0, lively=2.0),
        Scene((
            Moment(("in guard", "on back guard"), 0.34, heading_deg=180.0, hold_s=_LONG,
                   contacts=(*both("palm>*breast"), *both("hip_side>*thigh_inside"))),
            Moment(("in guard", "on back guard"), 0.34, heading_deg=180.0, hold_s=_LONG,
                   contacts=(
                       ("left_palm", "right_shoulder_front"), ("nape", "left_palm"),
                       *both("hip_side>*thigh_inside"),
                   )),
        ), turn_deg_s=0.0, lively=2.0),
    ),
    "massage": (
        Scene((
            apart(0.8, ("relaxed", "sit"), heading_deg=0.0),
            Moment(("massage", "sit"), 0.36, heading_deg=0.0, hold_s=_LONG,
                   contacts=both("palm>shoulder_top")),
        ), turn_deg_s=0.0, lively=1.5),
        Scene((
            Moment(("kneel reach", "cross legs"), 0.46, heading_deg=0.0, hold_s=_LONG,
                   contacts=both("palm>shoulder_blade")),
            Moment(("kneel reach", "cross legs"), 0.46, heading_deg=0.0, hold_s=_LONG,
                   contacts=both("palm>loin")),
        ), turn_deg_s=0.0, lively=1.5),
    ),
    "sit side by side": (
        Scene((
            Moment(("sit", "sit"), 0.0, left_m=0.52, heading_deg=0.0, hold_s=(0.6, 1.2)),
            Moment(("sit arm left", "sit lean right"), 0.0, left_m=0.36, heading_deg=0.0,
                   hold_s=_LONG, contacts=(
                       ("left_palm", "left_upper_arm_outside"),
                       ("left_thigh_outside", "right_thigh_outside"),
                   )),
        ), turn_deg_s=0.0),
        Scene((
            Moment(("cross legs hands", "cross legs hands"), 0.82, hold_s=_LONG,
                   contacts=both("palm>*palm")),
        ), turn_deg_s=0.0),
    ),
    "lie together": (
        Scene((
            Moment(("spoon", "on side"), 0.26, heading_deg=0.0, hold_s=_LONG,
                   contacts=(("chest", "upper_back"), ("right_palm", "belly"))),
        ), turn_deg_s=0.0),
        Scene((
            Moment(("on back", "on back"), 0.0, left_m=0.50, heading_deg=0.0, hold_s=_LONG,
                   contacts=(("left_palm", "right_palm"),)),
        ), turn_deg_s=0.0),
    ),
}  # fmt: skip
