"""Puts the page together: template, style, program, scene, video and content in one file."""

import base64
import gzip
import hashlib
import html
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from closefit.boundary.files import UNREADABLE, read_bytes, to_json
from closefit.boundary.refusals import refusals_as, refuse, word
from closefit.errors import ArtifactDamagedError
from closefit.exporters.report.content import read_content
from closefit.exporters.report.film import film_of
from closefit.storage.artifacts import atomic_write
from closefit.storage.workspace import Workspace

PARTS = Path(__file__).parent
GZIP_LEVEL = 4
"""Of the scene: the highest takes five times as long for 0.2 per cent less."""

PROGRAM = ("clock.js", "scene.js", "timeline.js", "page.js")
"""Parts of one script, in this order."""


def write_report(workspace: Workspace, run: Mapping[str, Any]) -> None:
    """Write `report.html` from the other files of the folder, all or nothing.

    Args:
        workspace: Folder with `motion.npz`, `contacts.json`, `scene.glb` and, for the video,
            `overlay.mp4` or what `export` made of it for the page.
        run: Content of `run.json`.

    Raises:
        ArtifactError: One of them is missing or damaged.
        DiskFullError: The disk is full.
    """
    content = read_content(workspace, run)
    script, three = "".join(map(_part, PROGRAM)), _part("three.min.js")
    style = _part("page.css")
    data = _block("data", "application/json", to_json(content).replace("<", "\\u003c"))
    hint = f"run `closefit stage export {word(workspace.root)}` to write it again"
    with refusals_as(ArtifactDamagedError, workspace.glb, hint):
        scene = gzip.compress(thinned_scene(workspace.glb, content["stride"]), GZIP_LEVEL, mtime=0)
    data += _block("scene-bytes", "text/plain", base64.b64encode(scene).decode())
    film = film_of(workspace)
    if film is not None:
        data += _block("film-bytes", "text/plain", base64.b64encode(film).decode())
    page = Template(_part("page.html")).substitute(
        policy=_policy(scripts=(three, script), style=style),
        title=html.escape(content["title"]),
        summary=html.escape(content["summary"]),
        style=style,
        data=data,
        three=three,
        script=script,
    )
    with atomic_write(workspace.report) as file:
        file.write(page.encode())


def thinned_scene(path: Path, stride: int) -> bytes:
    """Return a GLB whose animation keeps one key in `stride`.

    The other arrays stay as they are, where they are.

    Raises:
        RefusedError: It is no GLB, or damaged.
    """
    content = read_bytes(path)
    if content[:4] != b"glTF" or content[8:12] != len(content).to_bytes(4, "little"):
        refuse("it is cut short, or no GLB file")
    try:
        return content if stride == 1 else _thinned(content, stride)
    except UNREADABLE as error:
        refuse(f"it is damaged ({type(error).__name__})")


def _thinned(content: bytes, stride: int) -> bytes:
    import pygltflib as gl

    scene = gl.GLTF2.load_from_bytes(content)
    blob = bytearray(scene.binary_blob())
    samplers = scene.animations[0].samplers
    for index in {index for sampler in samplers for index in (sampler.input, sampler.output)}:
        accessor = scene.accessors[index]
        view = scene.bufferViews[accessor.bufferView]
        keys = np.frombuffer(bytes(blob), np.float32, view.byteLength // 4, view.byteOffset)
        kept = np.ascontiguousarray(keys.reshape(accessor.count, -1)[::stride])
        accessor.count = len(kept)
        accessor.bufferView = len(scene.bufferViews)
        scene.bufferViews.append(
            gl.BufferView(buffer=0, byteOffset=len(blob), byteLength=kept.nbytes)
        )
        if accessor.max is not None:
            accessor.min, accessor.max = kept.min(0).tolist(), kept.max(0).tolist()
        blob += kept.tobytes()
    return _repacked(scene, bytes(blob))


def _repacked(scene: Any, blob: bytes) -> bytes:
    """Return the `GLTF2` document with only those bytes that an accessor uses."""
    import pygltflib as gl

    packed = bytearray()
    views: list[gl.BufferView] = []
    for accessor in scene.accessors:
        view = scene.bufferViews[accessor.bufferView]
        view.byteOffset, start = len(packed), view.byteOffset
        packed += blob[start : start + view.byteLength]
        accessor.bufferView = len(views)
        views.append(view)
    scene.bufferViews, scene.buffers = views, [gl.Buffer(byteLength=len(packed))]
    scene.set_binary_blob(bytes(packed))
    return b"".join(scene.save_to_bytes())


def _policy(scripts: tuple[str, ...], style: str) -> str:
    """Allow exactly this program and style, and no connection of any kind."""
    sources = " ".join(map(_source, scripts))
    return (
        f"default-src 'none'; script-src {sources}; style-src {_source(style)}; "
        "media-src blob: data:; img-src blob: data:; connect-src 'none'; base-uri 'none'; "
        "form-action 'none'"
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _block(name: str, kind: str, text: str) -> str:
    return f'<script id="{name}" type="{kind}">{text}</script>\n'


def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")
