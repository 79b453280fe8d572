"""Terms that hold each body in the mask of its person: what a picture shows between the keypoints.

A mask states three things. Its pixels show its own person, so that person's body is there
(`cover`). The person is nowhere else in the picture, unless hidden behind the other (`inside`). And
where both bodies are at one of its pixels, its own person is in front (`front`).

Bodies are represented by vertices that are spread evenly over the surface. The size of a mask acts
neither on depth nor on stature: it depends on clothes, which the body does not have.
"""

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from closefit.body.model import Body
from closefit.fit.weights import (
    COVERED,
    FRONT_OUTLIER_SIGMAS,
    FRONT_SIGMA_M,
    MASK_OUTLIER_SIGMAS,
    MASK_SIGMA,
)
from closefit.geometry.camera import project
from closefit.geometry.robust import robust_square
from closefit.records import Track

VERTICES = 384
"""Vertices of each body, some 6 cm apart."""

POINTS = 48
"""Pixels of each mask."""

CELLS = 48
"""Cells of a distance map, across and down."""

REGION_MARGIN = 0.25
"""Room of a distance map around both masks, in its longer sides."""

CLEAR = COVERED + 0.015
"""Heights of a person. Pixels this far from the other's mask are not beside the other's body."""

LEAST_PIXELS = 30
"""A mask with fewer states nothing."""

FAR_AWAY = 1e4
"""Pixels, or metres."""


@dataclass(frozen=True, eq=False)
class Silhouettes:
    """What the masks of both people state, in pixels of the source video.

    Attributes:
        points_px: Pixels of each mask; arbitrary but finite where `known` is False.
        clear: Those that are not beside the other's mask, whose body may be in front there.
        known: Masks that exist.
        share: Share of the pixels of both masks that are the person's.
        distance: Distance from the centre of each cell of a grid to the nearest pixel at which the
            person may be, over `height_px`.
        corners_px: Left, top, right, bottom of the grid.
        shown_px: Corners, in a round, of what the frame shows; outside of it anything may be.
        height_px: Person's size in the image.
    """

    points_px: Float[Tensor, "frame person point 2"]
    clear: Bool[Tensor, "frame person point"]
    known: Bool[Tensor, "frame person"]
    share: Float[Tensor, "frame person"]
    distance: Float[Tensor, "frame person cell cell"]
    corners_px: Float[Tensor, "frame 4"]
    shown_px: Float[Tensor, "frame 4 2"]
    height_px: Float[Tensor, "frame person"]

    def cut(self, frames: slice | Tensor) -> "Silhouettes":
        """The same, some frames only."""
        every = (field.name for field in dataclasses.fields(self))
        return Silhouettes(**{name: getattr(self, name)[frames] for name in every})


def silhouettes_from_track(
    track: Track,
    height_px: Float[np.ndarray, "frame person"],
    device: str,
    shown_px: Float[np.ndarray, "frame 4 2"] | None = None,
) -> Silhouettes | None:
    """Silhouettes of a tracked clip, or None where it has no mask of a person.

    Args:
        track: The clip.
        height_px: Person's size in the image, in pixels of the video.
        device: Where to put them.
        shown_px: Corners of what each frame shows of the picture; None where that is all of it.
    """
    masks = track.person_masks
    if not masks.shown.any():
        return None
    scale = track.size_wh / track.mask_size_wh
    rng = np.random.default_rng(0)
    columns = zip(*(_of_frame(masks[f], rng) for f in range(len(masks))), strict=True)
    points, beside, known, share, distance, corners = (np.stack(c) for c in columns)
    height = height_px.astype(np.float32)
    heights_per_px = np.float32(scale.mean()) / height[..., None]
    if shown_px is None:
        right, bottom = track.size_wh
        whole = np.array([[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]])
        shown_px = np.tile(whole, (len(masks), 1, 1))

    def tensor(array: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), device=device)

    return Silhouettes(
        points_px=tensor((points * scale).astype(np.float32)),
        clear=tensor(beside * heights_per_px > CLEAR),
        known=tensor(known),
        share=tensor(share.astype(np.float32)),
        distance=tensor((distance * heights_per_px[..., None]).astype(np.float16)),
        corners_px=tensor((corners * np.tile(scale, 2)).astype(np.float32)),
        shown_px=tensor(shown_px.astype(np.float32)),
        height_px=tensor(height),
    )


def _of_frame(
    pair: Bool[np.ndarray, "2 height width"], rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Values of one frame, in pixels of the masks, in the order of `Silhouettes`."""
    area = pair.sum(axis=(1, 2))
    known = area >= LEAST_PIXELS
    corners = _region(np.asarray(pair.any(axis=0)))
    points, beside = np.zeros((2, POINTS, 2)), np.zeros((2, POINTS), np.float32)
    distance = np.zeros((2, CELLS, CELLS), np.float32)
    if known.any():
        left, top, right, bottom = corners
        part = pair[:, top:bottom, left:right]
        for person in np.flatnonzero(known):
            other = part[1 - person] & known[1 - person]
            rows, columns = np.nonzero(part[person])
            drawn = rng.choice(len(rows), POINTS, replace=len(rows) < POINTS)
            rows, columns = rows[drawn], columns[drawn]
            points[person] = np.stack([columns + left, rows + top], axis=-1) + 0.5
            beside[person] = _distance_to(other)[rows, columns]
            free = _distance_to(part[person] | other)
            distance[person] = cv2.resize(free, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    share = area / max(area.sum(), 1)
    return points, beside, known, share, distance, np.array(corners)


def _region(mask: Bool[np.ndarray, "height width"]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the mask with room around it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    if not len(rows):
        return 0, 0, width, height
    low, high = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]]) + 1
    room = int(REGION_MARGIN * (high - low).max()) + 1
    left, top = np.maximum(low - room, 0)
    right, bottom = np.minimum(high + room, (width, height))
    return int(left), int(top), int(right), int(bottom)


def _distance_to(mask: Bool[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Pixels to the nearest pixel of the mask; far away from an empty one."""
    if not mask.any():
        return np.full(mask.shape, FAR_AWAY, np.float32)
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5))


def spread_vertices(body: Body, count: int = VERTICES) -> Tensor:
    """Numbers of vertices spread evenly over the body: each one farthest from those before."""
    rest = body.v_template.double()
    chosen = torch.zeros(count, dtype=torch.int64, device=rest.device)
    nearest = (rest - rest[0]).square().sum(-1)
    for number in range(1, count):
        chosen[number] = nearest.argmax()
        nearest = torch.minimum(nearest, (rest - rest[chosen[number]]).square().sum(-1))
    return chosen


@dataclass(frozen=True, eq=False)
class SilhouetteLosses:
    """The three losses, each per frame and person; 0 where nothing is known.

    Attributes:
        cover: Squared distance of pixels of the mask from the own body, over the person's height.
        inside: Squared distance of the body from where the person may be, likewise.
        front: Squared depth by which the other's body is in front at pixels of the mask.
    """

    cover: Float[Tensor, "frame person"]
    inside: Float[Tensor, "frame person"]
    front: Float[Tensor, "frame person"]


def silhouette_losses(
    vertices: Float[Tensor, "frame 2 vertex 3"],
    shift_z: Float[Tensor, "frame 2"],
    K: Float[Tensor, "frame 3 3"],
    seen: Silhouettes,
) -> SilhouetteLosses:
    """Compare posed vertices with masks.

    Args:
        vertices: Some vertices of each body in the camera frame, metres. No gradient has to act on
            depth or stature through them.
        shift_z: Zero; the gradient of the depths acts through it.
        K: Intrinsics.
        seen: What the masks state.
    """
    pixels = project(vertices, K[:, None, None])
    depth = vertices[..., 2] + shift_z[..., None]
    found = _correspondences(pixels.detach(), depth.detach(), seen)
    known, height = seen.known.to(depth.dtype), seen.height_px[..., None]
    nearest = pixels.gather(2, found.nearest[..., None].expand(-1, -1, -1, 2))
    off = (nearest - seen.points_px).square().sum(-1).add(1e-9).sqrt() / height
    excess = (off - COVERED).clamp_min(0.0) / MASK_SIGMA
    cover = 0.5 * robust_square(excess.square(), MASK_OUTLIER_SIGMAS)
    own, other = depth.gather(2, found.own), depth.flip(1).gather(2, found.other)
    both = (found.both & seen.clear).to(depth.dtype)
    behind = ((own - other).clamp_min(0.0) / FRONT_SIGMA_M).square()
    pair = known.prod(-1, keepdim=True)
    return SilhouetteLosses(
        cover=known * cover.mean(-1),
        inside=known * _outside(pixels, seen),
        front=pair * seen.share * (both * robust_square(behind, FRONT_OUTLIER_SIGMAS)).mean(-1),
    )


@dataclass(frozen=True, eq=False)
class _Correspondences:
    """Numbers of vertices for each pixel of a mask.

    Attributes:
        nearest: Nearest one of the own body, in the image.
        own: The one nearest to the camera of those around the pixel, of the own body.
        other: The same of the other body.
        both: Both exist.
    """

    nearest: Int[Tensor, "frame 2 point"]
    own: Int[Tensor, "frame 2 point"]
    other: Int[Tensor, "frame 2 point"]
    both: Bool[Tensor, "frame 2 point"]


@torch.no_grad()
def _correspondences(
    pixels: Float[Tensor, "frame 2 vertex 2"],
    depth: Float[Tensor, "frame 2 vertex"],
    seen: Silhouettes,
) -> _Correspondences:
    """Find vertices at the pixels of masks. No gradient: only the vertices found have one."""
    reach = COVERED * seen.height_px[..., None, None]
    to_own = torch.cdist(seen.points_px, pixels)
    own, has_own = _front(depth, to_own < reach)
    other, has_other = _front(depth.flip(1), torch.cdist(seen.points_px, pixels.flip(1)) < reach)
    return _Correspondences(to_own.argmin(-1), own, other, has_own & has_other)


def _front(
    depth: Float[Tensor, "frame 2 vertex"], around: Bool[Tensor, "frame 2 point vertex"]
) -> tuple[Int[Tensor, "frame 2 point"], Bool[Tensor, "frame 2 point"]]:
    """The vertex nearest to the camera around each point, and whether there is one."""
    front = torch.where(around, depth[:, :, None], FAR_AWAY).min(-1)
    return front.indices, front.values < FAR_AWAY


def _outside(
    pixels: Float[Tensor, "frame 2 vertex 2"], seen: Silhouettes
) -> Float[Tensor, "frame 2"]:
    """Mean squared distance of vertices from where their person may be, in heights."""
    frames, people, count, _ = pixels.shape
    low, high = seen.corners_px[:, None, None, :2], seen.corners_px[:, None, None, 2:]
    place = 2.0 * (pixels - low) / (high - low) - 1.0
    grid = place.clamp(-1.0, 1.0).reshape(frames * people, 1, count, 2)
    maps = seen.distance.to(pixels.dtype).reshape(frames * people, 1, CELLS, CELLS)
    sampled = torch.nn.functional.grid_sample(
        maps, grid, align_corners=False, padding_mode="border"
    ).reshape(frames, people, count)
    beyond = pixels - torch.minimum(torch.maximum(pixels, low), high)
    beyond = beyond.square().sum(-1).add(1e-12).sqrt() / seen.height_px[..., None]
    off = ((sampled + beyond) / MASK_SIGMA).square()
    return 0.5 * (_shown(pixels, seen) * robust_square(off, MASK_OUTLIER_SIGMAS)).mean(-1)


@torch.no_grad()
def _shown(
    pixels: Float[Tensor, "frame 2 vertex 2"], seen: Silhouettes
) -> Bool[Tensor, "frame 2 vertex"]:
    """Which vertices the frame shows: those on the inner side of all edges."""
    edges = seen.shown_px.roll(-1, dims=1) - seen.shown_px
    off = pixels[:, :, :, None] - seen.shown_px[:, None, None]
    edges = edges[:, None, None]
    return (edges[..., 0] * off[..., 1] > edges[..., 1] * off[..., 0]).all(-1)
