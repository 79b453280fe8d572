"""Makes README's picture and the gallery from the demo's results: `python -m docs.pictures demo`.

From `demo` (what `make demo` leaves) come docs/demo.gif, the pictures in docs/gallery and the page
docs/gallery.md. The free view and the Gaussians are drawn here, from a camera that swings around
the two people.
"""

import math
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from closefit import ffmpeg, video
from closefit.appearance.avatar import GaussianMap, SurfaceRig
from closefit.appearance.raster.rasterizer import rasterize
from closefit.appearance.surface import SurfaceTexels
from closefit.body.model import Body
from closefit.exporters.appearance import rest_gaussians
from closefit.exporters.mesh_raster import MeshPainter
from closefit.exporters.scene import scene_from_camera
from closefit.exporters.unseen import fade_unseen, trust_in_skin
from closefit.exporters.views import project_perspective
from closefit.geometry.camera import intrinsics
from closefit.geometry.contact import lit_skin
from closefit.models import weights
from closefit.palette import PERSON_COLOURS
from closefit.records import OptimizedMotion
from closefit.storage import artifacts
from closefit.storage.workspace import NUM_PEOPLE, Workspace

DOCS = Path(__file__).parent
WIDTH, HEIGHT = 400, 300
"""Of one panel."""

SWING_DEG, RAISED_M, AWAY_M = 70.0, 1.7, 4.0
LOOKED_AT_M = 0.9
FOV_DEG = 30.0
NEAR_M = 0.1
TOWARDS_LIGHT = np.array([-0.36, -0.48, -0.8])
WALL, FLOOR, TILE = (236, 238, 242), (220, 216, 208), (198, 193, 184)
REACH_M, TILE_M = 3.0, 0.5
GIF_FPS, COLOURS = 15, 160
STILLS = (0.1, 0.4, 0.6, 0.8, 1.0)
"""Moments of the gallery, as shares of the clip."""

PAGE = """\
# Gallery

Everything here is made by `make pictures`, from the results of `make demo`: {frames} frames of the
built-in clip, in which the two people touch for {contact_s:.2f} s. Each picture has four parts: the
input; the bodies over the input; the bodies from a camera that swings around the two; the same
with the appearance that was learned from the clip. Sides that the clip never shows are guesses.

![the whole clip](demo.gif)

## Moments

{moments}
## Contacts over time

`timeline.png` of the same run: who touches whom, and how sure each pose is.

![contacts and confidence over time](gallery/timeline.jpg)
"""

TITLES = ("input", "bodies over the input", "from a free camera", "appearance (Gaussians)")

Picture = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True, eq=False)
class Result:
    """A results folder, with what is drawn of it."""

    workspace: Workspace
    motion: OptimizedMotion
    body: Body
    rig: SurfaceRig
    gaussians: GaussianMap

    @classmethod
    def open(cls, folder: Path) -> "Result":
        """Read a finished folder."""
        workspace = Workspace(folder)
        motion = artifacts.read(workspace.artifact("optimize"), OptimizedMotion)
        body = Body.load(weights.locate("closefit_body"))
        face = torch.from_numpy(motion.gaussian_face[0]).long()
        unused = torch.zeros(len(face))
        barycentric = torch.from_numpy(motion.gaussian_barycentric[0])
        texels = SurfaceTexels(0, unused.long(), unused.long(), face, barycentric, unused)
        gaussians = _as_exported(body, motion, workspace.read_run()["video"])
        return cls(workspace, motion, body, SurfaceRig(body, texels), gaussians)

    def seen_from(
        self, frame: int, T_view_camera: Float[np.ndarray, "4 4"]
    ) -> dict[str, torch.Tensor]:
        """The motion of a frame in the frame of another camera."""
        turn, move = T_view_camera[:3, :3], T_view_camera[:3, 3]
        rotations = self.motion.rotations[frame : frame + 1].copy()
        rotations[:, :, 0] = turn @ rotations[:, :, 0]
        pelvis = self.motion.joints[frame : frame + 1, :, 0]
        to_pelvis = pelvis - self.motion.transl[frame : frame + 1]
        transl = pelvis @ turn.T + move - to_pelvis
        arrays = {"rotations": rotations, "betas": self.motion.betas, "transl": transl}
        return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}


def _as_exported(body: Body, motion: OptimizedMotion, info: dict[str, Any]) -> GaussianMap:
    """The Gaussians of the exported files, where skin that was not seen has other colours."""
    trust = trust_in_skin(body, motion, (info["width"], info["height"]))
    faces = body.faces.numpy()
    people = [
        fade_unseen(
            rest_gaussians(body, motion, person),
            trust[person][faces[motion.gaussian_face[person]]].mean(axis=1),
        )
        for person in range(NUM_PEOPLE)
    ]

    def of_both(name: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([getattr(person, name) for person in people]))

    return GaussianMap(
        offset_m=torch.from_numpy(motion.gaussian_offset_m),
        rotation=torch.from_numpy(motion.gaussian_rotation),
        identity=torch.from_numpy(motion.gaussian_identity),
        colour=of_both("colour"),
        scale_m=of_both("scales_m"),
        opacity=of_both("opacity"),
    )


@dataclass(frozen=True, eq=False)
class FreeCamera:
    """A camera that looks at a point of the scene from an angle; 0 is where the video's stands."""

    centre: Float[np.ndarray, "3"]
    degrees: float

    @property
    def K(self) -> Float[np.ndarray, "3 3"]:
        """Intrinsics of a panel."""
        return intrinsics(WIDTH, HEIGHT, 0.5 * HEIGHT / math.tan(math.radians(0.5 * FOV_DEG)))

    @property
    def T_view_scene(self) -> Float[np.ndarray, "4 4"]:
        """From the scene (y up) to the camera (x right, y down, z forward)."""
        angle = math.radians(self.degrees)
        x, _, z = self.centre
        place = np.array([x + AWAY_M * math.sin(angle), RAISED_M, z + AWAY_M * math.cos(angle)])
        forward = self.centre - place
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 1.0, 0.0])
        right /= np.linalg.norm(right)
        transform = np.eye(4)
        transform[:3, :3] = np.stack([right, np.cross(forward, right), forward])
        transform[:3, 3] = -transform[:3, :3] @ place
        return transform

    def room(self) -> Picture:
        """An empty room with tiles of half a metre."""
        picture = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT), WALL)
        draw = ImageDraw.Draw(picture)
        x, z = self.centre[0], self.centre[2]
        low = REACH_M * np.array([-1.0, -1.0])
        corners = [low, low * [-1, 1], -low, low * [1, -1]]
        draw.polygon(self._pixels([(x + a, z + b) for a, b in corners]), fill=FLOOR)
        for step in np.arange(-REACH_M, REACH_M + 0.01, TILE_M):
            for line in (((step, -REACH_M), (step, REACH_M)), ((-REACH_M, step), (REACH_M, step))):
                draw.line(self._pixels([(x + a, z + b) for a, b in line]), fill=TILE, width=2)
        return np.array(picture.resize((WIDTH, HEIGHT), Image.Resampling.BOX))

    def _pixels(self, places: list[tuple[float, float]]) -> list[tuple[float, float]]:
        points = np.array([(x, 0.0, z) for x, z in places])
        seen = points @ self.T_view_scene[:3, :3].T + self.T_view_scene[:3, 3]
        pixels = 2.0 * (seen @ self.K.T)[:, :2] / seen[:, 2:]
        return [(float(x), float(y)) for x, y in pixels]


def sheets(result: Result) -> Iterator[Picture]:
    """Yield input, overlay, free view and Gaussians of every frame, two by two."""
    motion = result.motion
    T_scene_camera = scene_from_camera(motion.floor)
    pelvis = motion.joints[:, :, 0] @ T_scene_camera[:3, :3].T + T_scene_camera[:3, 3]
    centre = pelvis.mean(axis=(0, 1)) * [1.0, 0.0, 1.0] + [0.0, LOOKED_AT_M, 0.0]
    painter = MeshPainter(result.body.faces.numpy(), WIDTH, HEIGHT)
    frames = len(motion.transl)
    for frame, views in enumerate(camera_views(result.workspace)):
        turn = SWING_DEG * math.sin(2.0 * math.pi * frame / frames)
        camera = FreeCamera(centre, turn)
        pose = result.seen_from(frame, camera.T_view_scene @ T_scene_camera)
        room = camera.room()
        with torch.no_grad():
            bodies = result.body.pose(**pose).vertices[0].numpy().astype(np.float64)
            splats = result.rig.pose(result.gaussians, **pose)
            K = torch.from_numpy(camera.K[None]).float()
            drawn = rasterize(splats, K, WIDTH, HEIGHT)
        seen = project_perspective(bodies, camera.K, NEAR_M)
        lit = lit_skin(bodies)
        free = painter.draw(room, bodies, seen, TOWARDS_LIGHT, PERSON_COLOURS, 1.0, lit)
        alpha = drawn.alpha[0].numpy()[..., None]
        painted = 255.0 * drawn.features[0, ..., :3].numpy() + (1.0 - alpha) * room
        avatars = np.clip(painted, 0.0, 255.0).astype(np.uint8)
        yield _composed([*views, free, avatars])


def camera_views(workspace: Workspace) -> Iterator[tuple[Picture, Picture]]:
    """Yield the input and the bodies over it, from the upper half of `overlay.mp4`."""
    info = video.probe(workspace.overlay)
    for picture in video.frames(info, size_wh=(2 * WIDTH, 2 * HEIGHT)):
        yield picture[:HEIGHT, :WIDTH], picture[:HEIGHT, WIDTH:]


def _composed(panels: list[Picture]) -> Picture:
    rows = [np.concatenate(panels[row : row + 2], axis=1) for row in (0, 2)]
    picture = Image.fromarray(np.concatenate(rows))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=14)
    for number in (2, 3):
        place = ((number % 2) * WIDTH + 8, (number // 2) * HEIGHT + 6)
        draw.text(place, TITLES[number], (40, 40, 40), font, stroke_width=2, stroke_fill=WALL)
    return np.array(picture)


def write_gif(path: Path, pictures: list[Picture]) -> None:
    """Write a looping GIF with one palette for all pictures."""
    with tempfile.TemporaryDirectory() as folder:
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(Path(folder, f"{number:04}.png"))
        palette = (
            f"split[a][b];[a]palettegen=max_colors={COLOURS}:stats_mode=diff[p];"
            "[b][p]paletteuse=dither=bayer:bayer_scale=4:diff_mode=rectangle"
        )
        arguments = ["-framerate", str(GIF_FPS), "-i", f"{folder}/%04d.png"]
        done = ffmpeg.run([*arguments, "-filter_complex", palette, "-loop", "0", "-y", str(path)])
        if done.returncode:
            raise SystemExit(ffmpeg.last_line(done.stderr.decode()))


def main(folder: Path) -> None:
    """Write all pictures."""
    result = Result.open(folder)
    pictures = list(sheets(result))
    write_gif(DOCS / "demo.gif", pictures)
    stills = DOCS / "gallery"
    shutil.rmtree(stills, ignore_errors=True)
    stills.mkdir()
    moments = ""
    for share in STILLS:
        frame = round(share * (len(pictures) - 1))
        name = f"frame_{frame:03}.jpg"
        Image.fromarray(pictures[frame]).save(stills / name, quality=82)
        moments += f"Frame {frame}:\n\n![frame {frame}](gallery/{name})\n\n"
    contact_s = result.workspace.read_run()["quality"]["export"]["contact_s"]
    page = PAGE.format(frames=len(pictures), contact_s=contact_s, moments=moments)
    (DOCS / "gallery.md").write_text(page, encoding="utf-8")
    timeline = Image.open(result.workspace.timeline).convert("RGB")
    timeline.save(stills / "timeline.jpg", quality=85)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
