"""Numbers that others published, in mm, and under which protocol."""

from collections.abc import Mapping
from dataclasses import dataclass

PAPER = "Huang et al., CVPR 2025 (the paper that closefit implements)"
SECOND_HAND = "second hand: quoted by others, not read in the paper itself"


@dataclass(frozen=True)
class Published:
    """One row.

    Attributes:
        method: Name of the method.
        scores: Scores by name, as in `scoring.COLUMNS`.
        note: Number of its protocol note in `NOTES`.
    """

    method: str
    scores: Mapping[str, float]
    note: str


NOTES = {
    "a": f"{PAPER}, Table 2; 14 LSP joints of an SMPL regressor, truth of a gendered SMPL body, "
    "cameras as in CloseInt's annotation file, which is not public",
    "b": f"{PAPER}, Table 3; as a",
    "c": "SAM 3D Body, Table 8; per person, 24 SMPL joints; the masks are the data set's own; "
    "subset and cameras not stated",
    "d": "PromptHMR, one alignment for both people, 14 H36M joints, true masks and cameras; "
    f"trained on Hi4D and CHI3D; {SECOND_HAND}",
    "e": f"PromptHMR without training on these data sets; otherwise as d; {SECOND_HAND}",
    "f": f"BUDDI, its own split and joints, best of both orders of people; {SECOND_HAND}",
    "g": f"{PAPER}, Table 2; two-person sequences, of which no list is public",
    "h": "whole test set, most of it one person: another subset than the rows above; "
    "SAM 3D Body's repository (PA-MPJPE at second hand)",
    "i": f"whole test set, as h; {SECOND_HAND}",
    "j": "SAM 3D Body, Table 3; Harmony4D was held out from its training",
    "k": "SAM 3D Body, Table 8; trained on Harmony4D, the masks are the data set's own",
    "l": "SAM 3D Body, Table 3; other methods as they ran them",
    "m": f"quoted beside PromptHMR's own numbers; split and joints not known here; {SECOND_HAND}",
}


def _row(method: str, note: str, **scores: float) -> Published:
    return Published(method, scores, note)


def _table_2(method: str, note: str, *values: float | None) -> Published:
    names = ("mpjpe", "pa_mpjpe", "mpvpe", "interaction")
    return Published(method, {n: v for n, v in zip(names, values, strict=True) if v}, note)


def _table_3(method: str, *values: float) -> Published:
    names = ("mpjpe", "pa_mpjpe", "mpvpe", "interaction", "a_pd_grid")
    return Published(method, dict(zip(names, values, strict=True)), "b")


TABLES: Mapping[str, Mapping[str, tuple[Published, ...]]] = {
    "hi4d": {
        "Table 2": (
            _table_2("4D-Humans", "a", 72.1, 52.4, 88.6, None),
            _table_2("CLIFF", "a", 91.3, 53.6, 109.6, 141.5),
            _table_2("BEV", "a", 91.8, 52.2, 101.2, 131.0),
            _table_2("GroupRec", "a", 82.4, 51.6, 88.6, 98.8),
            _table_2("BUDDI", "a", 96.8, 70.6, 116.0, 102.6),
            _table_2("CloseInt", "a", 63.1, 47.5, 76.4, 81.4),
            _table_2("CloseInt with WildCHI", "a", 61.4, 45.1, 75.4, 80.5),
            _table_2("CloseApp", "a", 59.1, 44.3, 72.0, 80.2),
            _row("SAM 3D Body, no masks", "c", mpjpe=76.4, mpvpe=91.4),
            _row("SAM 3D Body, true masks", "c", mpjpe=47.0, mpvpe=58.3),
            _row("PromptHMR, zero shot", "e", pair_pa_mpjpe=78.1),
            _row("PromptHMR", "d", pair_pa_mpjpe=39.5),
            _row("BUDDI, as PromptHMR quotes it", "m", pair_pa_mpjpe=98.0),
        ),
        "Table 3": (
            _table_3("CloseApp, initial prediction", 65.05, 48.54, 78.35, 86.20, 1.16),
            _table_3("CloseApp, w/o appearance", 60.68, 45.86, 73.52, 81.01, 0.83),
            _table_3("CloseApp, w/o proxemics", 61.52, 47.13, 74.84, 87.13, 0.85),
            _table_3("CloseApp, w/o physics", 57.01, 42.67, 69.57, 78.50, 1.30),
            _table_3("CloseApp", 59.06, 44.29, 71.99, 80.18, 0.81),
        ),
    },
    "3dpw": {
        "Table 2": (
            _table_2("4D-Humans", "g", 72.9, 49.1, 81.8, None),
            _table_2("BEV", "g", 78.3, 48.5, 82.3, 136.4),
            _table_2("GroupRec", "g", 73.3, 48.7, 81.2, 110.6),
            _table_2("BUDDI", "g", 83.6, 53.6, 93.8, 113.1),
            _table_2("CloseInt", "g", 70.6, 51.4, 80.6, 100.3),
            _table_2("CloseInt with WildCHI", "g", 66.4, 48.3, 77.4, 95.9),
            _table_2("CloseApp", "g", 64.5, 45.6, 75.2, 96.4),
            _row("SAM 3D Body", "h", mpjpe=54.8, pa_mpjpe=33.2),
            _row("PromptHMR", "i", mpjpe=58.7, pa_mpjpe=36.6, mpvpe=69.4),
        ),
    },
    "chi3d": {
        "Scores": (
            _row("BUDDI", "f", pair_pa_mpjpe=68.0),
            _row("PromptHMR, zero shot", "e", pair_pa_mpjpe=58.5),
            _row("PromptHMR", "d", pair_pa_mpjpe=45.3),
        ),
    },
    "harmony4d": {
        "Scores": (
            _row("NLF", "l", mpjpe=84.9, mpvpe=97.3),
            _row("PromptHMR", "l", mpjpe=78.0, mpvpe=91.9),
            _row("CameraHMR", "l", mpjpe=70.8, mpvpe=84.6),
            _row("SAM 3D Body", "j", mpjpe=54.0, mpvpe=63.5),
            _row("SAM 3D Body, trained on it, true masks", "k", mpjpe=30.1, mpvpe=36.5),
        ),
    },
    "expi": {"Scores": ()},
}
