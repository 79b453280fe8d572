"""The authored poses and scenes: what the fields of `poses.toml` and `scenes.toml` mean."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from closefit.learning.choreography.angles import Angles

Range = tuple[float, float]


@dataclass(frozen=True)
class Pose:
    """One person's posture.

    Attributes:
        angles: Degrees by group name (`angles`).
        planted: Feet that stand flat on the floor and do not slide; by default both, but none of a
            person who floats or rests on something.
        floating: The partner carries the person, so the floor does not determine the height.
        rests_on: Parts (`capsules.NAMES`; without a side both) that lie on the floor.
        seat_m: Height of the seat under the person's hips; 0: no seat.
        jitter_deg: Standard deviation of every angle's variation.
        stiff: Factor on the solver's reluctance to change the pose, 1 as usual.
    """

    angles: Angles
    planted: tuple[str, ...] = ("left", "right")
    floating: bool = False
    rests_on: tuple[str, ...] = ()
    seat_m: float = 0.0
    jitter_deg: float = 4.0
    stiff: float = 1.0


@dataclass(frozen=True)
class Moment:
    """Both people at one time of a scene, in the pair's frame.

    The pair's frame has its origin on the floor under the first role, which faces +z there; +x is
    on that role's left. Distances are for people 1.7 m tall and scale with the pair.

    Attributes:
        poses: Names in `POSES` for the first and the second role.
        ahead_m: How far in front of the first role the second one is.
        left_m: How far to its left.
        up_m: Height of a floating second role's pelvis above the first role's pelvis.
        heading_deg: Where the second role faces: 0 as the first, 180 opposite.
        contacts: Pairs of sites (`sites.PLACES`), the first role's first, that touch.
        hold_s: How long it lasts.
        reach_s: How long the way from the moment before takes.
    """

    poses: tuple[str, str]
    ahead_m: float
    left_m: float = 0.0
    up_m: float = 0.0
    heading_deg: float = 180.0
    contacts: tuple[tuple[str, str], ...] = ()
    hold_s: Range = (0.8, 1.8)
    reach_s: Range = (0.7, 1.1)


@dataclass(frozen=True)
class Scene:
    """Moments in sequence; after the last one it starts again.

    Attributes:
        moments: In order of time.
        ratio: Bounds of the second role's stature over the first's.
        stature_m: Bounds of the taller person's stature.
        turn_deg_s: Largest rate at which the pair turns as a whole.
        walk_m_s: Largest speed at which it walks as a whole.
        lively: Strength of small variation (sway, breathing, gestures), 1 as usual.
        cycle_s: Time from one step of a foot to its next.
    """

    moments: tuple[Moment, ...]
    ratio: Range = (0.86, 1.16)
    stature_m: Range = (1.2, 2.0)
    turn_deg_s: float = 25.0
    walk_m_s: float = 0.0
    lively: float = 1.0
    cycle_s: Range = (0.8, 1.0)


def read_table(name: str) -> dict[str, Any]:
    """Return the content of a TOML file beside this module, with tuples for arrays."""
    content = tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return {key: _with_tuples(value) for key, value in content.items()}


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(inner) for key, inner in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _poses() -> dict[str, Pose]:
    parts, *sections = read_table("poses.toml").values()
    return {name: _pose(given, parts) for poses in sections for name, given in poses.items()}


def _pose(given: dict[str, Any], parts: Mapping[str, Any]) -> Pose:
    angles: dict[str, Any] = {}
    for source in (*(parts[name] for name in given.pop("parts", ())), given):
        for group, prefix in (("trunk", ""), ("both", ""), ("left", "left_"), ("right", "right_")):
            angles |= {prefix + name: value for name, value in source.get(group, {}).items()}
    options = {name: value for name, value in given.items() if name in Pose.__annotations__}
    if "rests_on" in options or "floating" in options:
        options.setdefault("planted", ())
    return Pose(angles, **options)


def _scenes() -> dict[str, tuple[Scene, ...]]:
    table = read_table("scenes.toml")
    durations = table["durations_s"]

    def with_durations(given: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: durations.get(value, value) if isinstance(value, str) else value
            for key, value in given.items()
        }

    def moment(given: str | Mapping[str, Any]) -> Moment:
        if isinstance(given, str):
            given = {"like": given}
        fields = with_durations(table["moments"].get(given.get("like"), {}) | given)
        fields.pop("like", None)
        contacts = [pair for text in fields.pop("contacts", ()) for pair in _contacts(text)]
        return Moment(contacts=tuple(contacts), **fields)

    def scene(given: Mapping[str, Any]) -> Scene:
        moments = tuple(moment(one) for one in given["moments"])
        return Scene(**with_durations(given) | {"moments": moments})

    return {kind: tuple(map(scene, scenes)) for kind, scenes in table["kinds"].items()}


def _contacts(text: str) -> list[tuple[str, str]]:
    """Return the pairs of sites of `left_palm > nape`, `both palm > flank` or `crossed ...`."""
    first, second = text.split(" > ")
    sides, _, first = first.rpartition(" ")
    if not sides:
        return [(first, second)]
    others = ("left", "right") if sides == "both" else ("right", "left")
    return [
        (f"{side}_{first}", f"{other}_{second}")
        for side, other in zip(("left", "right"), others, strict=True)
    ]


POSES: Mapping[str, Pose] = _poses()

SCENES: Mapping[str, tuple[Scene, ...]] = _scenes()
"""One or more scenes for each kind of contact."""
