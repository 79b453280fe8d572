"""The elements of a scene: moments with poses, places and contacts, and the pair's movement."""

from dataclasses import dataclass

Range = tuple[float, float]

LONG: Range = (1.4, 2.6)
NO_HOLD: Range = (0.0, 0.1)
"""Durations of holds, seconds."""


@dataclass(frozen=True)
class Moment:
    """Both people at one time of a scene, in the pair's frame.

    The pair's frame has its origin on the floor under the first role, which faces +z there; +x is
    on that role's left. Distances are for people 1.7 m tall and scale with the pair.

    Attributes:
        poses: Names in `poses.POSES` for the first and the second role.
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


def apart(
    distance_m: float = 1.25,
    poses: tuple[str, str] = ("relaxed", "relaxed"),
    heading_deg: float = 180.0,
    left_m: float = 0.0,
    hold_s: Range = (0.2, 0.7),
    reach_s: Range = (1.0, 1.4),
) -> Moment:
    """Return a moment without contact, from which people come or to which they go."""
    return Moment(
        poses,
        ahead_m=distance_m,
        left_m=left_m,
        heading_deg=heading_deg,
        hold_s=hold_s,
        reach_s=reach_s,
    )


def both(*names: str) -> tuple[tuple[str, str], ...]:
    """Return contacts of both sides from names without side: `("palm>flank",)`.

    `a>b` puts the first role's left a on the second's left b and right on right; `a>*b` crosses
    (left on right), which is what two people face to face do.
    """
    pairs = []
    for name in names:
        first, second = name.split(">")
        crossed = second.startswith("*")
        second = second.removeprefix("*")
        for side, other in (("left", "right"), ("right", "left")):
            pairs.append((f"{side}_{first}", f"{other if crossed else side}_{second}"))
    return tuple(pairs)
