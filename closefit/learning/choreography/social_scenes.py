"""Scenes of people who greet, embrace and dance."""

from collections.abc import Mapping

from closefit.learning.choreography.scenes import LONG, NO_HOLD, Moment, Scene, apart, both

_CHESTS = (("chest", "chest"),)
_OPEN = Moment(("open arms", "open arms"), 0.80, hold_s=NO_HOLD)

SOCIAL: Mapping[str, tuple[Scene, ...]] = {
    "hug": (
        Scene((
            apart(), _OPEN,
            Moment(("hug low", "hug high"), 0.30, hold_s=LONG, contacts=(
                *_CHESTS, ("left_palm", "right_shoulder_blade"), ("right_palm", "left_loin"),
                ("left_shoulder_blade", "right_palm"), ("right_shoulder_blade", "left_palm"),
            )),
            _OPEN,
        )),
        Scene((
            apart(), _OPEN,
            Moment(("hug crossed", "hug crossed"), 0.30, left_m=0.04, hold_s=LONG, contacts=(
                *_CHESTS, ("left_palm", "right_shoulder_blade"), ("right_palm", "left_loin"),
                ("right_shoulder_blade", "left_palm"), ("left_loin", "right_palm"),
            )),
            _OPEN,
        )),
        Scene((
            apart(), _OPEN,
            Moment(("hug waist", "hug high"), 0.29, hold_s=LONG, contacts=(
                ("belly", "belly"), *both("palm>*loin"), ("nape", "left_wrist_inside"),
                ("upper_back", "right_palm"),
            )),
            _OPEN,
        ), walk_m_s=0.1),
    ),
    "hug from behind": (
        Scene((
            apart(1.1, heading_deg=0.0),
            Moment(("open arms", "relaxed"), 0.55, heading_deg=0.0, hold_s=NO_HOLD),
            Moment(("hug waist", "relaxed"), 0.28, heading_deg=0.0, hold_s=LONG, contacts=(
                ("chest", "upper_back"), ("left_palm", "belly"),
                ("right_wrist_inside", "right_waist"),
            )),
            Moment(("open arms", "relaxed"), 0.55, heading_deg=0.0, hold_s=NO_HOLD),
        )),
        Scene((
            apart(1.1, heading_deg=0.0),
            Moment(("hug high", "relaxed"), 0.30, heading_deg=0.0, hold_s=LONG, contacts=(
                ("chest", "upper_back"), ("left_palm", "right_breast"),
                ("right_wrist_inside", "left_shoulder_front"),
            )),
        ), ratio=(0.82, 1.0)),
    ),
    "hug a child": (
        Scene((
            apart(1.1, ("kneel", "relaxed")),
            Moment(("kneel reach", "open arms"), 0.7, hold_s=NO_HOLD),
            Moment(("kneel hug", "hug high"), 0.30, hold_s=LONG, contacts=(
                ("chest", "belly"), *both("palm>*loin"), ("left_shoulder_top", "right_palm"),
                ("upper_back", "left_palm"),
            )),
        ), ratio=(0.66, 0.80), stature_m=(1.6, 2.0)),
        Scene((
            apart(1.1),
            Moment(("bend reach", "open arms"), 0.75, hold_s=NO_HOLD),
            Moment(("hug down", "hug high"), 0.42, hold_s=LONG, contacts=(
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
            Moment(("hands offered", "hands laid"), 0.66, hold_s=LONG,
                   contacts=both("palm>*palm")),
        ), turn_deg_s=50.0, lively=1.5),
        Scene((
            apart(0.0, left_m=0.8, heading_deg=0.0),
            Moment(("hand left side", "hand right side"), 0.0, left_m=0.52, heading_deg=0.0,
                   hold_s=(2.0, 3.0), contacts=(("left_palm", "right_palm"),)),
        ), ratio=(0.70, 1.3), walk_m_s=0.9),
        Scene((
            apart(1.3),
            Moment(("hands offered", "hands laid"), 0.62, hold_s=LONG,
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
            Moment(("hands on shoulders", "hands low"), 0.52, hold_s=LONG, contacts=(
                *both("palm>*shoulder_top"), ("left_waist", "right_palm"),
                ("right_waist", "left_palm"),
            )),
        ), turn_deg_s=40.0),
        Scene((
            apart(1.2, heading_deg=0.0),
            Moment(("hands on shoulders", "relaxed"), 0.48, heading_deg=0.0, hold_s=LONG,
                   contacts=both("palm>shoulder_top")),
        ), walk_m_s=0.7),
    ),
    "side hug": (
        Scene((
            apart(0.0, left_m=0.9, heading_deg=0.0),
            Moment(("arm around left", "arm around right low"), 0.02, left_m=0.36,
                   heading_deg=0.0, hold_s=LONG, contacts=(
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
    "dip": (
        Scene((
            Moment(("lead", "follow"), 0.42, left_m=-0.06, hold_s=(0.6, 1.2), contacts=(
                ("left_palm", "right_palm"), ("right_palm", "left_shoulder_blade"),
                ("right_shoulder_top", "left_palm"),
            )),
            Moment(("dip", "dipped"), 0.34, left_m=-0.04, hold_s=(0.8, 1.5), contacts=(
                ("left_palm", "right_palm"), ("right_palm", "left_shoulder_blade"),
                ("right_shoulder_top", "left_palm"), ("belly", "belly"),
            )),
        ), turn_deg_s=40.0),
    ),
    "high five": (
        Scene((
            apart(1.3, hold_s=(0.1, 0.4)),
            Moment(("hands raised", "hands raised"), 0.72, hold_s=(0.05, 0.2), reach_s=(0.6, 0.9),
                   contacts=both("palm>*palm")),
        ), lively=1.5),
        Scene((
            Moment(("hands raised", "hands raised"), 0.68, hold_s=LONG,
                   contacts=both("palm>*palm")),
            Moment(("hands front", "hands front"), 0.74, hold_s=(0.5, 1.0),
                   contacts=both("palm>*palm")),
        ), turn_deg_s=40.0, lively=1.5),
    ),
    "support": (
        Scene((
            Moment(("arm around right low", "arm around left"), 0.0, left_m=-0.36, heading_deg=0.0,
                   hold_s=LONG, contacts=(
                       ("right_palm", "right_waist"), ("left_shoulder_front", "left_wrist_inside"),
                       ("right_hip_side", "left_hip_side"),
                   )),
        ), ratio=(0.9, 1.15), walk_m_s=0.8),
    ),
    "back to back": (
        Scene((
            apart(1.0, heading_deg=0.0),
            Moment(("relaxed", "relaxed"), -0.24, heading_deg=180.0, hold_s=LONG,
                   contacts=(("upper_back", "upper_back"), *both("buttock>*buttock"))),
        ), turn_deg_s=0.0),
        Scene((
            Moment(("cross legs", "floor sit reach"), -0.26, heading_deg=180.0, hold_s=LONG,
                   contacts=(("upper_back", "upper_back"),)),
        ), turn_deg_s=0.0),
    ),
}  # fmt: skip
