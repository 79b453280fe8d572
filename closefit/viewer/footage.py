"""Pictures of the source video at any frame, with keypoints drawn on them."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from closefit import video
from closefit.body.skeleton import PARENTS
from closefit.errors import ClosefitError
from closefit.palette import PERSON_COLOURS, hex_colour
from closefit.viewer.results import Results

HEIGHT_PX = 360
"""Height of the pictures; they are sent to the browser at every step."""

CHUNK_FRAMES, CHUNKS = 32, 16
"""So many frames are decoded at once; so many chunks are kept, some hundred megabytes."""

SURE = 0.3
"""Keypoints with less confidence are not drawn."""


class Footage:
    """The clip's pictures, decoded when they are needed; grey where the video cannot be read."""

    def __init__(self, results: Results) -> None:
        """Prepare, reading nothing.

        Attribute `problem` becomes the reason once a picture cannot be read.
        """
        self.problem: ClosefitError | None = None
        self._results = results
        width, height = results.size_wh
        self._scale = min(1.0, HEIGHT_PX / height)
        self._size_wh = max(2, round(width * self._scale)), max(2, round(height * self._scale))
        self._chunk = lru_cache(CHUNKS)(self._decode)

    def picture(self, frame: int) -> video.Image:
        """Return the picture of a frame, at most `HEIGHT_PX` high."""
        number, offset = divmod(frame, CHUNK_FRAMES)
        if self.problem is None:
            try:
                chunk = self._chunk(number)
                return chunk[min(offset, len(chunk) - 1)]
            except ClosefitError as error:
                self.problem = error
        width, height = self._size_wh
        return np.full((height, width, 3), 128, np.uint8)

    def _decode(self, number: int) -> list[video.Image]:
        times, start = self._results.times_s, number * CHUNK_FRAMES
        after = start + CHUNK_FRAMES
        # Times of `motion.npz` are single precision: the middle between frames is safe.
        step = np.diff(times, append=times[-1] + 2.0 * video.STAMP_SLACK_S)
        first = max(0.0, times[start] - 0.5 * abs(step[max(start - 1, 0)])) if start else times[0]
        last = times[after] - 0.5 * step[after - 1] if after < len(times) else times[-1] + step[-1]
        return list(video.frames(self._results.video, first, last, size_wh=self._size_wh))

    def drawn(
        self,
        frame: int,
        detected: Float[np.ndarray, "2 keypoint 3"] | None,
        reprojected: Float[np.ndarray, "2 24 2"] | None,
        box_xyxy: tuple[float, ...] | None = None,
    ) -> video.Image:
        """Return the picture with detected keypoints (discs), joints (lines) and a box.

        Coordinates are pixels of the source video.
        """
        picture = Image.fromarray(self.picture(frame))
        draw = ImageDraw.Draw(picture)
        for person, colour in enumerate(map(hex_colour, PERSON_COLOURS)):
            if reprojected is not None:
                joints = (self._scale * reprojected[person]).tolist()
                for joint, parent in enumerate(PARENTS[1:], start=1):
                    draw.line([*joints[joint], *joints[parent]], fill=colour, width=2)
            if detected is not None:
                for x, y, confidence in detected[person].tolist():
                    if confidence > SURE:
                        self._disc(draw, x, y, colour)
        if box_xyxy is not None:
            draw.rectangle([self._scale * side for side in box_xyxy], outline="white", width=2)
        return np.asarray(picture)

    def _disc(self, draw: ImageDraw.ImageDraw, x: float, y: float, colour: str) -> None:
        x, y = self._scale * x, self._scale * y
        draw.ellipse([x - 4, y - 4, x + 4, y + 4], fill=colour, outline="white")
