"""The authored poses and scenes: what the fields of `poses.toml` and `scenes.toml` mean.

Angles are in degrees, distances in metres, times in seconds. Malformed tables raise a `ValueError`
when this module is imported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from closefit.learning.choreography.angles import Angles, angle_row
from closefit.learning.choreography.sites import PLACES
from closefit.learning.choreography.tables import Range, built, located, read_table


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


def poses_of(table: Mapping[str, Any]) -> dict[str, Pose]:
    """Return the poses by name of the content of `poses.toml`.

    Raises:
        ValueError: An unknown part, angle group or field, or a value of the wrong kind.
    """
    parts, *sections = table.values()
    poses: dict[str, Pose] = {}
    for name, given in ((name, given) for section in sections for name, given in section.items()):
        with located(f"poses.toml: pose `{name}`"):
            poses[name] = _pose(given, parts)
    return poses


def _pose(given: Mapping[str, Any], parts: Mapping[str, Any]) -> Pose:
    options = dict(given)
    own = {limbs: options.pop(limbs, {}) for limbs in ("trunk", "both", "left", "right")}
    angles: dict[str, Any] = {}
    for source in (*(parts[name] for name in options.pop("parts", ())), own):
        for limbs in own:
            prefix = f"{limbs}_" if limbs in ("left", "right") else ""
            angles |= {prefix + name: value for name, value in source.get(limbs, {}).items()}
    angle_row(angles)
    if "rests_on" in options or "floating" in options:
        options.setdefault("planted", ())
    return built(Pose, angles=angles, **options)


def scenes_of(table: Mapping[str, Any]) -> dict[str, tuple[Scene, ...]]:
    """Return the scenes by kind of contact of the content of `scenes.toml`.

    Raises:
        ValueError: An unknown pose, site, moment, duration or field, or a value of the wrong kind.
    """
    durations = table["durations_s"]

    def with_durations(given: Mapping[str, Any]) -> dict[str, Any]:
        named = {key: value for key, value in given.items() if isinstance(value, str)}
        return {**given, **{key: durations[value] for key, value in named.items()}}

    def moment(given: str | Mapping[str, Any]) -> Moment:
        own = {"like": given} if isinstance(given, str) else dict(given)
        like = own.pop("like", None)
        fields = with_durations((table["moments"][like] if like else {}) | own)
        contacts = tuple(pair for text in fields.pop("contacts", ()) for pair in _contacts(text))
        result = built(Moment, contacts=contacts, **fields)
        for name in result.poses:
            POSES[name]
        return result

    scenes: dict[str, tuple[Scene, ...]] = {}
    for kind, entries in table["kinds"].items():
        for number, given in enumerate(entries, 1):
            with located(f"scenes.toml: scene {number} of `{kind}`"):
                moments = tuple(moment(one) for one in given["moments"])
                scene = built(Scene, **with_durations(given) | {"moments": moments})
                scenes[kind] = (*scenes.get(kind, ()), scene)
    return scenes


def _contacts(text: str) -> list[tuple[str, str]]:
    """Return the pairs of sites of `left_palm > nape`, `both palm > flank` or `crossed ...`."""
    first, _, second = text.partition(" > ")
    sides, _, site = first.rpartition(" ")
    pairs = [(site, second)]
    if sides:
        others = {"both": ("left", "right"), "crossed": ("right", "left")}[sides]
        pairs = [
            (f"{side}_{site}", f"{other}_{second}")
            for side, other in zip(("left", "right"), others, strict=True)
        ]
    if not {site for pair in pairs for site in pair} <= PLACES.keys():
        raise ValueError(f"`{text}` is not a contact `SITE > SITE` of sites in sites.toml")
    return pairs


POSES: Mapping[str, Pose] = poses_of(read_table("poses.toml"))

SCENES: Mapping[str, tuple[Scene, ...]] = scenes_of(read_table("scenes.toml"))
"""One or more scenes for each kind of contact."""
