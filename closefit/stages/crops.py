"""The part of every frame that holds the two people, decoded once, small, and kept on disk.

Pixels live in memory-mapped files beside the artifacts, so memory does not grow with the clip.
"""

from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from closefit.geometry.camera import crop_intrinsics
from closefit.optimize.objective import CroppedFrames
from closefit.records import Track
from closefit.stages.inputs import still_pictures
from closefit.storage.artifacts import TEMPORARY_PREFIX
from closefit.storage.job import Job
from closefit.system import allocate

MARGIN = 0.08
"""Room around the two boxes, as a share of the larger side."""

CHUNK = 64
MAX_ON_GPU_BYTES = 4 * 2**30
"""Larger clips stay on disk; each step then reads its pixels there and sends them to the GPU."""

IMAGES, MASKS, KNOWN = (
    f"{TEMPORARY_PREFIX}crop_{name}.npy" for name in ("images", "masks", "known")
)
"""Left by a killed run, they are removed by the next one, also where `optimize` is up to date."""

Region = tuple[int, int, int, int]


def people_region(boxes: Float[np.ndarray, "frame 2 4"], width: int, height: int) -> Region:
    """One rectangle (x0, y0, x1, y1) that holds both people in all frames, inside the image."""
    known = boxes.reshape(-1, 4)[np.isfinite(boxes.reshape(-1, 4)).all(-1)]
    low, high = known[:, :2].min(0), known[:, 2:].max(0)
    room = MARGIN * (high - low).max()
    x0, y0 = np.maximum(np.floor(low - room), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(high + room), (width, height)).astype(int)
    return int(x0), int(y0), int(max(x1, x0 + 2)), int(max(y1, y0 + 2))


def crop_frames(
    job: Job,
    filmed: Track,
    track: Track,
    K: Float[np.ndarray, "frame 3 3"],
    size_px: int,
) -> CroppedFrames:
    """Decode, crop and shrink all frames and masks so that the longer side has `size_px` pixels.

    Args:
        job: The run.
        filmed: The track in pixels of the video.
        track: The same in pixels of the still camera.
        K: Intrinsics of the still camera.
        size_px: Longer side of the result.
    """
    width, height = (int(n) for n in track.size_wh)
    x0, y0, x1, y1 = region = people_region(track.boxes_xyxy, width, height)
    scale = size_px / max(x1 - x0, y1 - y0)
    size_wh = (max(8, round((x1 - x0) * scale)), max(8, round((y1 - y0) * scale)))
    num_frames = len(track.time_s)
    shape = (num_frames, size_wh[1], size_wh[0])
    images = _new_on_disk(job.workspace.artifacts / IMAGES, (*shape, 3))
    masks = _new_on_disk(job.workspace.artifacts / MASKS, shape)
    known = _new_on_disk(job.workspace.artifacts / KNOWN, shape) if filmed.camera_moves else None
    on_frame = job.progress("crop frames")
    for index, (picture, in_frame) in enumerate(still_pictures(job.video, filmed, size_wh, region)):
        images[index] = picture
        if known is not None:
            known[index] = in_frame
        on_frame(index + 1, num_frames)
    # The masks of a camera that moves are those of a larger picture.
    chunk = max(1, int(CHUNK * filmed.size_wh.prod() / track.size_wh.prod()))
    for start in range(0, num_frames, chunk):
        part = slice(start, start + chunk)
        masks[part] = _shrink(track.union_masks[part], region, width, size_wh)
    x_scale, y_scale = size_wh[0] / (x1 - x0), size_wh[1] / (y1 - y0)
    intrinsics = crop_intrinsics(torch.from_numpy(K), float(x0), float(y0), x_scale, y_scale)
    place = job.device if images.nbytes + masks.nbytes <= MAX_ON_GPU_BYTES else "cpu"
    return CroppedFrames(
        images=torch.from_numpy(images).to(place),
        masks=torch.from_numpy(masks).to(place),
        masked=torch.from_numpy(masks.reshape(num_frames, -1).any(1)).to(job.device),
        K=intrinsics.to(job.device),
        known=None if known is None else torch.from_numpy(known).to(place),
    )


def _new_on_disk(
    path: Path, shape: tuple[int, ...]
) -> UInt8[np.ndarray, "frame height width *channel"]:
    """Make a memory-mapped array in a file that has its room on the disk."""
    pixels: UInt8[np.ndarray, "frame height width *channel"] = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.uint8, shape=shape
    )
    allocate(path)
    return pixels


def _shrink(
    union: Bool[np.ndarray, "frame mask_height mask_width"],
    region: Region,
    width: int,
    size_wh: tuple[int, int],
) -> UInt8[np.ndarray, "frame height width"]:
    """Cut the region out of masks (which may be smaller than the video) and resize it."""
    scale = union.shape[2] / width
    x0, y0, x1, y1 = (round(edge * scale) for edge in region)
    cut = torch.from_numpy(union[:, y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]).float()
    resized = torch.nn.functional.interpolate(
        cut[:, None], size=(size_wh[1], size_wh[0]), mode="bilinear", antialias=True
    )
    return (resized[:, 0] * 255.0).round().to(torch.uint8).numpy()


def remove_crops(artifacts: Path) -> None:
    """Delete the pixels once no stage needs them."""
    for name in (IMAGES, MASKS, KNOWN):
        with suppress(OSError):
            (artifacts / name).unlink()
