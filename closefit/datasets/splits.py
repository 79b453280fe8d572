"""Splits in which no video, no source and no person is in two of them."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

from closefit.errors import ConfigError

SPLITS = ("train", "val", "test")


def parse_shares(text: str) -> tuple[float, ...]:
    """Parse `80,10,10`: shares of `SPLITS`, in any unit.

    Raises:
        ConfigError: They are not three numbers, or all zero.
    """
    hint = "for example --splits 80,10,10"
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"`{text}` is no list of shares", hint) from error
    total = sum(shares)
    if len(shares) != len(SPLITS) or not all(0.0 <= share < 1e9 for share in shares) or not total:
        raise ConfigError(f"`{text}` are no shares of {', '.join(SPLITS)}", hint)
    return tuple(share / total for share in shares)


def group(tokens: Mapping[str, Sequence[Hashable]]) -> list[list[str]]:
    """Return the clips in groups: two clips with a common token are in one group.

    Args:
        tokens: Of each clip: its video, its source, the people in it.
    """
    leader = {name: name for name in tokens}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    owners: dict[Hashable, str] = {}
    for name in sorted(tokens):
        for token in tokens[name]:
            first, second = sorted((find(owners.setdefault(token, name)), find(name)))
            leader[second] = first
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(tokens):
        groups[find(name)].append(name)
    return list(groups.values())


def assign(
    groups: Sequence[Sequence[str]], frames: Mapping[str, int], shares: Sequence[float]
) -> dict[str, str]:
    """Return the split of each clip; the same for the same clips, in whatever order they come.

    The largest group goes first, each to the split that lacks the most frames.

    Args:
        groups: Clips that have to stay together.
        frames: Length of each clip.
        shares: Wanted share of each of `SPLITS`.
    """
    total = sum(frames[name] for names in groups for name in names)
    left = [share * total for share in shares]
    found: dict[str, str] = {}
    ordered = sorted((-sum(frames[name] for name in names), sorted(names)) for names in groups)
    for negative, names in ordered:
        wanted = [number for number, share in enumerate(shares) if share]
        best = max(wanted, key=lambda number: left[number])
        left[best] += negative
        found |= dict.fromkeys(names, SPLITS[best])
    return found
