"""The data card of a dataset: what is in it, where it comes from, how it was made and chosen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from closefit import __version__
from closefit.datasets.decisions import Tally
from closefit.datasets.folder import FORMAT, VERSION
from closefit.datasets.splits import SPLITS
from closefit.datasets.writers import Facts, Layout

BINS = 10
NOT_GIVEN = "not given"
MOST_COMMANDS = 20

PAPER_ROWS = (
    ("CHI3D", "373", "63K", "indoor", "SMPLX", "MoCap", "yes", "yes"),
    ("Hi4D", "100", "11K", "indoor", "SMPL", "mRGB", "yes", "yes"),
    ("ExPI", "115", "30K", "indoor", "Skeleton", "mRGB", "yes", "yes"),
    ("InterHuman", "6,022", "1.7M", "indoor", "SMPL", "mRGB", "yes", "no"),
    ("Inter-X", "11,388", "8.1M", "indoor", "SMPLX", "MoCap", "yes", "no"),
    ("Flickr Fits", "-", "11K", "outdoor", "SMPLX", "Pseudo", "no", "yes"),
    ("WildCHI", "100", "20K", "outdoor", "SMPL", "Pseudo", "yes", "yes"),
)
"""Table 1 of "Reconstructing Close Human Interaction with Appearance and Proxemics Reasoning"."""

PAPER_HEAD = (
    *("dataset", "motions", "frames", "scene", "3D pose format", "scheme", "temporal", "RGB"),
)


def make_card(
    name: str,
    layout: Layout,
    pixels: bool,
    scene: str,
    clips: Sequence[Facts],
    tally: Tally,
    made_with: Mapping[str, int],
    commands: Mapping[str, int],
) -> dict[str, Any]:
    """Return the card as it is in `card.json`.

    Args:
        name: Name of the dataset.
        layout: Layout of its files.
        pixels: Whether it holds pictures.
        scene: Where it was filmed.
        clips: Lines of `clips.jsonl`.
        tally: What reviewers decided.
        made_with: Number of clips by version of closefit.
        commands: Number of clips by the command that makes such a result.
    """
    frames = sum(clip["num_frames"] for clip in clips)
    bodies = sorted({clip["body"] for clip in clips})
    scores = [clip["score"] for clip in clips if clip["score"] is not None]
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "layout": layout,
        "pixels": pixels,
        "clips": len(clips),
        "frames": frames,
        "seconds": round(sum(clip["num_frames"] / clip["fps"] for clip in clips), 3),
        "frames_in_contact": sum(clip["frames_in_contact"] for clip in clips),
        "body": bodies,
        "splits": {
            split: {
                "clips": sum(clip["split"] == split for clip in clips),
                "frames": sum(clip["num_frames"] for clip in clips if clip["split"] == split),
            }
            for split in SPLITS
        },
        "sources": _counted(clips, "source"),
        "licences": _counted(clips, "licence"),
        "videos": len({clip["video"]["sha256"] for clip in clips}),
        "subjects": len({who for clip in clips for who in clip["subjects"]}),
        "scores": {
            "clips": len(scores),
            "histogram": [
                sum(min(int(score * BINS), BINS - 1) == bin for score in scores)
                for bin in range(BINS)
            ],
        },
        "reviews": dict(tally),
        "closefit": {"exported_with": __version__, "made_with": dict(sorted(made_with.items()))},
        "commands": dict(sorted(commands.items())),
        "table_1": [
            *(name, len(clips), frames, scene, "SMPL" if bodies == ["smpl"] else "closefit body"),
            *("pseudo", "yes", "yes" if pixels else "no"),
        ],
    }


def _counted(clips: Sequence[Facts], key: str) -> dict[str, int]:
    return dict(sorted(Counter(clip[key] or NOT_GIVEN for clip in clips).items()))


def as_markdown(card: Mapping[str, Any]) -> str:
    """Return the card for people."""
    reviews, agreement = card["reviews"], card["reviews"]["agreement"]
    contact = card["frames_in_contact"] / max(card["frames"], 1)
    agreed = "no clip has two reviews"
    if agreement["pairs"]:
        beyond = "" if agreement["scott_pi"] is None else f", Scott's pi {agreement['scott_pi']}"
        agreed = f"{agreement['share']:.0%} of {agreement['pairs']} pairs of verdicts{beyond}"
    lines = [
        f"# {_cell(card['name'])}",
        "",
        "Motion of two people in close contact, reconstructed from video by closefit and chosen by "
        "people. These are estimates from single videos (pseudo ground truth), not measurements.",
        "",
        *_table(
            PAPER_HEAD,
            [[f"**{_cell(cell)}**" for cell in card["table_1"]], *PAPER_ROWS],
        ),
        "",
        "The other rows are from Table 1 of the paper that closefit implements (CVPR 2025).",
        "",
        "## Content",
        "",
        *_table(
            ("", ""),
            [
                ("clips", card["clips"]),
                ("frames", card["frames"]),
                ("minutes", f"{card['seconds'] / 60:.1f}"),
                ("frames with contact", f"{contact:.0%}"),
                ("pictures", "yes" if card["pixels"] else "no: times of the frames instead"),
                ("layout", card["layout"]),
                ("videos", card["videos"]),
                ("people named", card["subjects"] or NOT_GIVEN),
            ],
        ),
        "",
        "## Splits",
        "",
        "No video, no source and no named person is in two of them.",
        "",
        *_table(
            ("split", "clips", "frames"),
            [(name, split["clips"], split["frames"]) for name, split in card["splits"].items()],
        ),
        "",
        "## Sources and licences",
        "",
        *_table(("source", "clips"), card["sources"].items()),
        "",
        *_table(("licence", "clips"), card["licences"].items()),
        "",
        "As the list of the batch gives them. Footage without a licence must not be handed on.",
        "",
        "## How it was chosen",
        "",
        *_table(
            ("", "clips"),
            [
                ("accepted", reviews["accepted"]),
                ("of these, in part", reviews["trimmed"]),
                ("of these, identities mixed up somewhere", reviews["flagged"]),
                ("rejected", reviews["rejected"]),
                ("disputed: left out", reviews["disputed"]),
                ("not reviewed: left out", reviews["unreviewed"]),
            ],
        ),
        "",
        f"Reviewers: {reviews['reviewers']}. Agreement: {agreed}.",
        "",
        *_scores(card["scores"]),
        "",
        "## How it was made",
        "",
        *_table(("closefit", "clips"), card["closefit"]["made_with"].items()),
        "",
        *_commands(card["commands"]),
        "",
    ]
    return "\n".join(lines)


def _scores(scores: Mapping[str, Any]) -> list[str]:
    if not scores["clips"]:
        return ["Quality scores: none of these results has one."]
    bins = [
        (f"{number / BINS:.1f} to {(number + 1) / BINS:.1f}", count)
        for number, count in enumerate(scores["histogram"])
    ]
    return _table(("quality score", "clips"), bins)


def _commands(commands: Mapping[str, int]) -> list[str]:
    shown = sorted(commands.items(), key=lambda entry: (-entry[1], entry[0]))[:MOST_COMMANDS]
    lines = _table(("settings", "clips"), [(f"`{command}`", count) for command, count in shown])
    more = len(commands) - len(shown)
    return [*lines, "", f"{more} more are in `card.json`."] if more else lines


def _table(head: Sequence[object], rows: Any) -> list[str]:
    found = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(_cell, row)) + " |" for row in found]


def _cell(value: object) -> str:
    """Text for a table: words of a list may hold what Markdown or a browser would obey."""
    text = f"{value:,}" if isinstance(value, int) else str(value)
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
