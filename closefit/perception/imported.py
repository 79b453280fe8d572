"""The backend `import`."""

from closefit.errors import ObservationsError
from closefit.imports.detections.imported import Imported
from closefit.perception.clip import Clip
from closefit.perception.evidence import Evidence, from_sightings
from closefit.perception.people import choose
from closefit.tracking.sightings import Sightings, SightingsBuilder


def perceive(clip: Clip) -> Evidence:
    """Detections made elsewhere; the video only adds the colours of the clothes."""
    given = clip.given
    assert given is not None
    if given.lacks is not None:
        named = ", ".join(f"`{path}`" for path in clip.job.config.track.observations)
        raise ObservationsError(
            f"{named}: {given.lacks}",
            hint="add `--perception yolo` (or another detector), which finds what is missing",
        )
    return from_sightings(clip, choose(clip, lambda: _read_given(clip, given)))


def _read_given(clip: Clip, given: Imported) -> Sightings:
    """Everybody whom an import knows, with the colours of their clothes from the video."""
    builder = SightingsBuilder()
    for frame, picture in enumerate(clip.images("reading")):
        builder.add(picture, given.detections(frame))
    return builder.finish()
