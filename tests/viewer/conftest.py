"""A small results folder, and the viewer on it in a process of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import roma
import torch

import closefit
from closefit.body.model import Body
from closefit.exporters.motion_files import Footage, write_motion_files
from closefit.geometry.camera import intrinsics
from closefit.records import Motion, OptimizedMotion, Track
from closefit.storage import artifacts
from closefit.storage.artifacts import Provenance
from closefit.storage.workspace import Workspace
from tests.clips import make_video
from tests.pipeline.test_track import FRAMES, SIZE_WH, make_observations
from tests.samples import make_optimized_motion

GAUSSIANS = 50
PROGRAM = [sys.executable, "-c", "from closefit.cli.main import main; main()"]


@pytest.fixture(scope="session")
def body() -> Body:
    return Body.load(Path(__file__).resolve().parents[2] / "weights" / "closefit_body.npz")


@pytest.fixture(scope="session")
def motion(body: Body) -> OptimizedMotion:
    """Both bend their arms and come together; 50 Gaussians anywhere on each body."""
    generator = np.random.default_rng(0)
    axis_angle = torch.zeros(FRAMES, 2, 24, 3)
    axis_angle[:, :, 0, 0] = torch.pi
    axis_angle[:, :, 16:18, 2] = torch.tensor([-1.2, 1.2])
    axis_angle[:, :, 18:20, 0] = torch.linspace(0.0, 1.2, FRAMES)[:, None, None]
    rotations = roma.rotvec_to_rotmat(axis_angle)
    betas = torch.tensor(generator.normal(size=(2, 10)), dtype=torch.float32)
    transl = torch.tensor([0.5, 0.0, 4.0]).repeat(FRAMES, 2, 1)
    transl[:, 0, 0] = torch.linspace(-0.9, 0.45, FRAMES)
    barycentric = generator.dirichlet(np.ones(3), (2, GAUSSIANS)).astype(np.float32)
    own = {
        "rotations": rotations.numpy(),
        "betas": betas.numpy(),
        "transl": transl.numpy(),
        "joints": body.joints(rotations, betas, transl).numpy(),
        "K": np.tile(intrinsics(*SIZE_WH, 300.0).astype(np.float32), (FRAMES, 1, 1)),
        "floor": np.array([0.0, -1.0, 0.0, 0.9], np.float32),
        "gaussian_face": generator.integers(0, len(body.faces), (2, GAUSSIANS)),
        "gaussian_barycentric": barycentric,
    }
    for name, scale in (("offset_m", 0.01), ("rotation", 1.0)):
        values = generator.normal(0.0, scale, (2, GAUSSIANS, 3))
        own[f"gaussian_{name}"] = values.astype(np.float32)
    return OptimizedMotion(**vars(make_optimized_motion(FRAMES, gaussians=GAUSSIANS)) | own)


@pytest.fixture(scope="session")
def results(
    tmp_path_factory: pytest.TempPathFactory, body: Body, motion: OptimizedMotion
) -> Workspace:
    """A tracked clip with a motion that was not fitted to it."""
    place = tmp_path_factory.mktemp("viewed")
    clip = make_video(place / "clip.mp4", FRAMES, SIZE_WH)
    given = make_observations(place / "given.npz")
    closefit.run(clip, out=place / "results", observations=given, until="track")
    workspace = Workspace(place / "results")
    track = artifacts.read(workspace.artifact("track"), Track)
    footage = Footage(track.time_s, float(track.fps), SIZE_WH)
    write_motion_files(workspace, body, motion, footage)
    first = {name: getattr(motion, name) for name in (field.name for field in fields(Motion))}
    for record in (Motion(**first), motion):
        origin = Provenance(stage=record.KIND, fingerprint="")
        artifacts.write(workspace.artifact(record.KIND), record, origin)
    return workspace


class Page:
    """What a browser knows of the viewer: nodes of the scene and controls, by name."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.nodes: dict[str, dict[str, Any]] = {}
        self.controls: dict[str, dict[str, Any]] = {}
        self._labels: dict[str, str] = {}
        camera = {"wxyz": (1, 0, 0, 0), "position": (0, 0, 0), "look_at": (0, 0, 1)}
        lens = {"fov": 1.0, "near": 0.1, "far": 10.0, "image_height": 100, "image_width": 100}
        self._send("ViewerCameraMessage", **camera, **lens, up_direction=(0, 1, 0))

    def until(self, fits: Callable[["Page"], Any], seconds: float = 20.0) -> Any:
        """Take in messages until something holds; returns it."""
        while not (found := fits(self)):
            self._take(self._socket.recv(timeout=seconds))
        return found

    def set(self, label: str, value: Any) -> None:
        """Do what a user does: give a control a value, or press a button."""
        uuid = next(uuid for uuid, name in self._labels.items() if name == label)
        self._send("GuiUpdateMessage", uuid=uuid, updates={"value": value})

    def _send(self, kind: str, **content: Any) -> None:
        self._socket.send(msgspec.msgpack.encode({"type": kind, **content}))

    def _take(self, data: bytes) -> None:
        import zstandard

        end = 16 + int.from_bytes(data[8:16], "little")
        content = msgspec.msgpack.decode(zstandard.decompress(data[16:end]))
        buffers, place = [], end
        for length in content["binaryBufferLengths"]:
            place += -place % 8
            buffers.append(data[place : place + length])
            place += length
        for message in content["messages"]:
            self._apply(message, buffers)

    def _apply(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        def full(values: dict[str, Any]) -> dict[str, Any]:
            return {
                name: buffers[value["__binary_index"]]
                if isinstance(value, dict) and "__binary_index" in value
                else value
                for name, value in values.items()
            }

        if "uuid" in message and "props" in message:
            label = message["props"].get("label") or message["type"]
            self._labels[message["uuid"]] = label
            self.controls[label] = full(message["props"]) | {"value": message.get("value")}
        elif message["type"] == "GuiUpdateMessage":
            self.controls[self._labels[message["uuid"]]].update(full(message["updates"]))
        elif "name" in message and "props" in message:
            self.nodes[message["name"]] = full(message["props"])
        elif message["type"] == "SceneNodeUpdateMessage":
            self.nodes[message["name"]].update(full(message["updates"]))


@pytest.fixture
def page(started: Callable[..., Any], results: Workspace) -> Iterator[Page]:
    viser = pytest.importorskip("viser")
    from websockets.sync.client import connect

    _, port = started(results.root, "--port", 18080)
    protocol, address = f"viser-v{viser.__version__}", f"ws://127.0.0.1:{port}"
    with connect(address, subprotocols=[protocol], max_size=None) as socket:
        yield Page(socket)


@pytest.fixture
def started() -> Iterator[Callable[..., tuple[subprocess.Popen[str], int]]]:
    """Starts `closefit view` with arguments; returns the process and the port."""
    processes = []

    def start(*arguments: object) -> tuple[subprocess.Popen[str], int]:
        command = [*PROGRAM, "view", *map(str, arguments)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        processes.append(process)
        assert process.stderr is not None
        process.said = ""
        for line in process.stderr:
            process.said += line
            if found := re.search(r"open http://127\.0\.0\.1:(\d+)", line):
                return process, int(found[1])
        raise AssertionError(process.said)

    yield start
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()
