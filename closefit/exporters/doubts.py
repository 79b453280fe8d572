"""What in a finished run is not to be trusted, in words, and what to do about it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

GUESSED_SHARE, LOW_CONFIDENCE, DEEP_MM = 0.1, 0.4, 30.0
"""Worth a warning: more frames without a person; less trust; deeper penetration."""

MOST_IMPLAUSIBLE = 3
"""So many pairs of parts that are too deep inside each other are named."""


class Doubt(NamedTuple):
    """What is doubtful, and what to do."""

    text: str
    advice: str


def doubts(run: Mapping[str, Any]) -> list[Doubt]:
    """Return the doubts about a results folder, from the content of its `run.json`."""
    quality = run.get("quality", {})
    stages = (_of_track, _of_optimize, _of_export)
    found = [doubt for stage in stages for doubt in stage(quality)]
    return [*found, *_of_camera(run.get("camera", {}), quality.get("init", {}))]


def _of_track(quality: Mapping[str, Any]) -> Iterator[Doubt]:
    figures = quality.get("track", {})
    yield from _of_camera_motion(figures)
    frames = figures.get("frames", 0)
    for person, missed in enumerate(figures.get("not_seen_frames", ())):
        if len(missed) > GUESSED_SHARE * frames:
            yield Doubt(
                f"person {person} was not found in {len(missed)} of {frames} frames; there the "
                "pose is filled in or guessed",
                "give a `box` or `point` in these frames in a corrections file "
                "(docs/tracking.md), or try another `--perception`",
            )
    doubtful = figures.get("doubtful_frames", ())
    if doubtful:
        ranges = ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in doubtful)
        yield Doubt(
            f"who is who is doubtful in frames {ranges}",
            "look with `closefit stage track DIR --preview`; put a `swap` into a corrections file "
            "where the two are mixed up",
        )


def _of_camera_motion(figures: Mapping[str, Any]) -> Iterator[Doubt]:
    doubt = figures.get("camera_doubt")
    unknown = len(figures.get("camera_unknown_frames", ()))
    if doubt == "other motion":
        yield Doubt(
            f"only {figures.get('camera_background_fit') or 0.0:.0%} of the background moves as a "
            "turning camera sees it: the camera travels, or much else moves; it is taken to stand "
            "still",
            "if it does, `--set camera.motion=still` says so; if it travels, choose a part of the "
            "clip in which it stays (`--start`, `--end`)",
        )
    elif doubt is not None:
        yield Doubt(
            f"in {unknown} of {figures.get('frames', unknown)} frames too little of the background "
            "is seen to know whether the camera moves; it is taken to stand still",
            "if it does, `--set camera.motion=still` says so; if not, give `R` in a camera file "
            "(docs/formats.md)",
        )


def _of_optimize(quality: Mapping[str, Any]) -> Iterator[Doubt]:
    status = quality.get("optimize", {}).get("optimize_status")
    if status == "diverged":
        yield Doubt(
            "the optimisation diverged; this is its best state before that",
            "run `closefit stage optimize DIR --set optimize.lr_motion=5e-4`",
        )
    elif status == "step limit":
        yield Doubt(
            "the optimisation reached its step limit before it settled",
            "give it more with `--set optimize.passes=200`",
        )


def _of_export(quality: Mapping[str, Any]) -> Iterator[Doubt]:
    figures = quality.get("export", {})
    for person, mean in enumerate(figures.get("confidence", ())):
        if mean < LOW_CONFIDENCE:
            yield Doubt(
                f"the poses of person {person} are uncertain: the mean confidence is {mean:.2f}, "
                f"which stands for a joint error of about {130 - 100 * mean:.0f} mm",
                "trust the rows of confidence; film larger, sharper or with less occlusion",
            )
    yield from map(_implausible, figures.get("implausible", ())[:MOST_IMPLAUSIBLE])
    deepest = figures.get("penetration_max_mm", 0.0)
    if deepest > DEEP_MM:
        yield Doubt(
            f"the bodies are up to {deepest:.0f} mm inside each other",
            "run again with `--physics 1`, which weighs penetration more",
        )


def _implausible(pair: Mapping[str, Any]) -> Doubt:
    ranges = ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in pair["frames"])
    return Doubt(
        f"{pair['person_0']} of person 0 and {pair['person_1']} of person 1 are up to "
        f"{pair['max_penetration_mm']:.0f} mm inside each other in frames {ranges}, deeper than "
        "bodies can be: an error of the poses, which does not count as a contact",
        "look there in the viewer; correct who is who, or give the focal length if it is known",
    )


def _of_camera(camera: Mapping[str, Any], init: Mapping[str, Any]) -> Iterator[Doubt]:
    if camera.get("from") == "estimated":
        sigma = init.get("focal_log_sigma")
        share = "" if sigma is None else f", to about {100 * sigma:.0f} %"
        yield Doubt(
            f"the focal length is estimated from the clip{share}: distances from the camera scale "
            "with it",
            "give `--focal` or `--fov` if you know the camera",
        )
    if camera.get("from") == "assumed":
        yield Doubt(
            "the focal length is assumed, not known: sizes and distances scale with it",
            "give `--focal` or `--fov` if you know the camera",
        )
