"""Valid input of every format that the command line takes, made once for a campaign."""

import gzip
import json
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as save_tensors
from scipy.spatial.transform import Rotation

from closefit import video
from closefit.batch.folder import REVIEWS
from closefit.benchmark import hi4d
from closefit.body.model import Body
from closefit.body.skeleton import PARENTS
from closefit.datasets.ranking import result_of
from closefit.datasets.reviews import Review, Reviews
from closefit.demo import make_clip
from closefit.exporters.motion import read_motion
from closefit.learning.motions.shards import write_shards
from closefit.prior.loading import PriorFacts, prior_content
from closefit.prior.network import Denoiser, NetworkConfig
from closefit.records import PairMotion
from tests import estimate_files
from tests.batch_folder import make_batch, make_results
from tests.benchmark_sets import test_hi4d
from tests.benchmark_sets.conftest import Footage
from tests.benchmark_sets.test_whole_runs import SETS as MINIATURES
from tests.clips import make_video
from tests.known_motion import FRAMES, make_known_motion
from tests.unit.imports.detections import writers
from tests.unit.learning.motions import layouts

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
BOMB_BYTES = 5 << 30
"""What a decompression bomb unpacks to; more than a case may take."""

FOCAL_PX = 520.0
CLIPS = ("one", "two")
BENCHMARK_SETS = {"hi4d": (test_hi4d.write, "pair23_hug23", hi4d.FPS), **MINIATURES}
"""What writes a miniature of each; name and rate of a sequence."""

QUICK = (
    "device=cpu", "offline=true", "init.prior=false", "init.steps=3", "init.focal_search=false",
    "optimize.appearance=false", "optimize.passes=2", "optimize.check_depth_order=false",
    "export.overlay=false",
)  # fmt: skip
SETTINGS = tuple(word for setting in QUICK for word in ("--set", setting))
ALL_PARTS = (
    "device=cpu", "offline=true", "init.prior=false", "init.steps=3", "init.focal_search=false",
    "optimize.passes=2",
    "optimize.warmup_passes=1", "optimize.image_size_px=48", "optimize.map_size=32",
    "optimize.latent_channels=4", "optimize.decoder_width=4",
    "optimize.check_depth_order=false", "export.panel_height_px=64",
)  # fmt: skip
"""With appearance and overlay, as small as they can be."""


def build(folder: Path) -> None:
    """Write everything into `folder`, which takes a minute; done before, it does nothing."""
    if (folder / "complete").exists():
        return
    build_light(folder)
    _estimates(folder)
    _bombs(folder)
    _results(folder)
    _batch(folder)
    _dataset(folder)
    _benchmark_sets(folder)
    (folder / "complete").touch()


def build_light(folder: Path) -> None:
    """Write what takes seconds: all but estimates, bombs and results."""
    if (folder / "light").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    _detections(folder)
    _motions(folder)
    _models(folder)
    _texts(folder)
    (folder / "light").touch()


def _detections(folder: Path) -> None:
    people = writers.make_people()
    make_video(folder / "small.mp4", writers.FRAMES, (writers.WIDTH, writers.HEIGHT))
    writers.coco_results(folder / "coco_results.json", people)
    writers.coco_annotations(folder / "coco_annotations.json", people)
    writers.alphapose(folder / "alphapose.json", people)
    writers.openpose(folder / "openpose", people)
    writers.mot(folder / "mot.txt", people)
    writers.masks_per_person(folder / "masks_per_person", people)
    writers.masks_labelled(folder / "masks_labelled", people)
    np.savez(folder / "masks.npz", masks=people.masks, object_ids=[1, 2], fps=30.0)
    _own_layout(folder / "own.npz", people.boxes, people.keypoints, people.masks.any(1))


def _own_layout(path: Path, boxes: np.ndarray, points: np.ndarray, union: np.ndarray) -> None:
    np.savez_compressed(
        path,
        boxes=boxes,
        keypoints=points,
        union_masks=np.packbits(union),
        union_masks_shape=np.array(union.shape),
        width=union.shape[2],
        height=union.shape[1],
        fps=30.0,
    )


def _estimates(folder: Path) -> None:
    known = make_known_motion()
    size_wh = estimate_files.WIDTH, estimate_files.HEIGHT
    make_video(folder / "large.mp4", FRAMES, size_wh)
    points = known.targets.points_px.numpy()
    low, high = points.min(2) - 10, points.max(2) + 10
    boxes = np.concatenate([low, high], axis=-1)
    union = np.zeros((FRAMES, size_wh[1], size_wh[0]), bool)
    for frame, pair in enumerate(boxes.astype(int)):
        for x0, y0, x1, y1 in pair:
            union[frame, max(y0, 0) : y1, max(x0, 0) : x1] = True
    keypoints = np.concatenate([points, np.full((*points.shape[:3], 1), 0.9)], axis=-1)
    _own_layout(folder / "large.npz", boxes, keypoints, union)
    people = estimate_files.make_people(known.variables.rotations(), known.joints[:, :, 0])
    writing = folder / "estimates"
    writing.mkdir(exist_ok=True)
    for write in ("wham", "phalp", "gvhmr", "prompthmr", "amass"):
        (writing / write).mkdir(exist_ok=True)
        given = people
        if write == "phalp":  # assumes a much longer focal length, so people are farther away
            ratio = estimate_files.FOCAL_PX["4D-Humans"] / FOCAL_PX
            given = replace(people, pelvis_m=people.pelvis_m * np.array([1.0, 1.0, ratio]))
        made = getattr(estimate_files, f"write_{write}")(writing / write, given)
        (folder / f"{write}.name").write_text(str(Path(made).relative_to(folder)))
    K = np.array([[FOCAL_PX, 0, 240], [0, FOCAL_PX, 180], [0, 0, 1]])
    np.savez(folder / "camera.npz", K=np.tile(K, (FRAMES, 1, 1)))


def moving_people(people: int, frames: int = 75, seed: int = 0) -> PairMotion:
    """Smooth random motion of standing people, 1 m apart."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None, None] / 15.0
    turns = 0.25 * np.sin(time + random.uniform(0, 6, (people, 24, 3)))
    pelvis = np.zeros((frames, people, 3), np.float32)
    pelvis[..., 0], pelvis[..., 1] = np.arange(people), 0.9
    matrices = Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix()
    return PairMotion(
        rotations=matrices.reshape(frames, people, 24, 3, 3).astype(np.float32),
        pelvis_m=pelvis,
        betas=np.zeros((people, 10), np.float32),
        fps=np.array(30.0),
        body_name=np.array("closefit"),
        name=np.array(f"motion{seed}"),
    )


def _motions(folder: Path) -> None:
    from closefit.exporters.bvh import write_bvh
    from tests.unit.learning.motions.test_acclaim import write_acclaim

    body = Body.load(WEIGHTS / "closefit_body.npz")
    pair, single = moving_people(2), moving_people(1, seed=1)
    rest = body.joints_template.numpy()
    write_bvh(folder / "walk.bvh", rest, single.rotations[:, 0], single.pelvis_m[:, 0], 30.0)
    (folder / "acclaim").mkdir(exist_ok=True)
    write_acclaim(folder / "acclaim", moving_people(1, 300, seed=1), body)  # 120 a second
    layouts.write_amass_layout(folder / "walk_poses.npz", moving_people(1, 300, seed=1))
    (folder / "interx").mkdir(exist_ok=True)
    layouts.write_interx(folder / "interx" / "G001T000A000R000", pair)
    layouts.write_interhuman_raw(folder / "interhuman.pkl", pair)
    with zipfile.ZipFile(folder / "motions.zip", "w") as archive:
        archive.write(folder / "walk.bvh", "walk.bvh")
    write_shards(folder / "shards", [pair])


def _models(folder: Path) -> None:
    torch.manual_seed(0)
    network = Denoiser(NetworkConfig(width=32, blocks=1, heads=4, feed_forward=32))
    facts = PriorFacts(network=network.config, body="closefit")
    (folder / "prior.safetensors").write_bytes(prior_content(network, facts))
    generator = np.random.default_rng(0)
    regressor = np.zeros((24, 6890))
    regressor[:, :24] = np.eye(24)
    smpl = {
        "v_template": generator.normal(0, 0.5, (6890, 3)).astype(np.float32),
        "shapedirs": generator.normal(0, 0.02, (6890, 3, 10)).astype(np.float32),
        "posedirs": np.zeros((6890, 3, 207), np.float32),
        "J_regressor": regressor,
        "weights": np.full((6890, 24), 1 / 24, np.float32),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(24)], np.uint32),
        "f": generator.integers(0, 6890, (13776, 3)).astype(np.uint32),
    }
    np.savez_compressed(folder / "smpl.npz", **smpl)
    (folder / "smpl.pkl").write_bytes(pickle.dumps(smpl, protocol=2))
    (folder / "body.npz").write_bytes((WEIGHTS / "closefit_body.npz").read_bytes())


def _bombs(folder: Path) -> None:
    """Small files that unpack to gigabytes."""
    block = bytes(1 << 24)
    with (
        zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("boxes.npy", "w", force_zip64=True) as entry,
    ):
        header = str({"descr": "|u1", "fortran_order": False, "shape": (BOMB_BYTES,)}).encode()
        header += b" " * (117 - len(header)) + b"\n"
        entry.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        for _ in range(BOMB_BYTES // len(block)):
            entry.write(block)
    with gzip.open(folder / "bomb.gz", "wb", compresslevel=1) as file:
        for _ in range(BOMB_BYTES // len(block)):
            file.write(block)
    # A tuple of two equal tuples, 60 levels deep, as the key of a dictionary: its hash takes ages.
    (folder / "laughs.pkl").write_bytes(b"\x80\x02})" + b"2\x86" * 60 + b"K\x01s.")
    tensors = {"a": torch.zeros(4)}
    (folder / "strange.safetensors").write_bytes(save_tensors(tensors, metadata={"closefit": "[]"}))


def _texts(folder: Path) -> None:
    settings = "seed = 3\n[track]\nstart_s = 0.0\nmax_gap_s = 0.25\n[init]\nsteps = 2\n"
    (folder / "settings.toml").write_text(settings + '[optimize]\nmotion = "direct"\npasses = 2\n')
    content = {"swap": [2], "drop": [{"person": 1, "frames": [1, 2]}],
               "box": [{"person": 0, "frame": 1, "xyxy": [4, 4, 24, 40]}],
               "point": [{"person": 1, "frame": 4, "xy": [40, 20]}]}  # fmt: skip
    (folder / "who_is_who.json").write_text(json.dumps(content))


def _results(folder: Path) -> None:
    """Finished results folders: `done` without appearance and overlay, `full` with both."""
    video = ("run", folder / "large.mp4", "--observations", folder / "large.npz")
    given = tuple(word for setting in ALL_PARTS for word in ("--set", setting))
    _call(*video, *SETTINGS, "--out", folder / "done")
    _call(*video, *given, "--out", folder / "full")
    found = read_motion(folder / "done" / "motion.npz")
    np.savez(  # scored against itself
        folder / "truth.npz",
        rotations=found.rotations,
        betas=found.betas,
        transl=found.joints[:, :, 0],
        joints3d=found.joints,
        K=found.K.reshape(-1, 3, 3)[0],
        order=np.zeros(FRAMES, int),
        contact=np.zeros(FRAMES, bool),
    )
    (folder / "full" / "corrections.json").write_text('{"swap": [2]}')
    sample = ("prior", "sample", "--count", "1", "--frames", "16", "--prior")
    _call(*sample, folder / "prior.safetensors", "--out", folder / "sample")


def _batch(folder: Path) -> None:
    """Lists of two clips beside their videos, and the finished folder of the batch."""
    takes = folder / "takes"
    takes.mkdir()
    for name in ("large.mp4", "large.npz"):
        shutil.copyfile(folder / name, takes / name)
    rows = [{"clip": "large.mp4", "name": name, "observations": "large.npz", "end": end}
            for name, end in (("one", 0.2), ("two", 0.3))]  # fmt: skip
    (takes / "list.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    cells = [",".join(map(str, row.values())) for row in ({k: k for k in rows[0]}, *rows)]
    (takes / "list.csv").write_text("\n".join(cells) + "\n")
    given = (*SETTINGS, "--until", "init")
    _call("batch", takes / "list.jsonl", "--out", folder / "batch", *given)


def _dataset(folder: Path) -> None:
    """A batch whose clips were accepted, and the dataset of it."""
    results = make_results(folder / "result", folder / "result.mp4").root
    batch = make_batch(folder / "reviewed", results, CLIPS)
    reviews, (records, _) = Reviews(batch.root / REVIEWS), batch.records()
    for clip in CLIPS:
        about = {"clip": clip, "result": result_of(records[clip]), "reviewer": "anna"}
        reviews.add(Review(**about, verdict="accept", reviewed="2026-11-29T12:00:00+00:00"))
    _call("dataset", "export", batch.root, "--out", folder / "dataset")


def _benchmark_sets(folder: Path) -> None:
    """A miniature of each data set, and detections for its sequences."""
    clip = make_clip(folder / "rendered", frames=20, size=(160, 120))
    with np.load(clip.truth, allow_pickle=False) as file:
        truth = {name: file[name] for name in ("K", "joints3d", "joints2d")}
    footage = Footage(list(video.frames(video.probe(clip.video))), truth, clip.observations)
    for name, (write, sequence, fps, *_) in BENCHMARK_SETS.items():
        write(folder / name, footage)
        footage.observations_as(folder / f"{name}_seen", sequence, fps)


def _call(*words: object) -> None:
    program = (sys.executable, "-c", "from closefit.cli.main import main; main()")
    subprocess.run([*program, *map(str, words)], check=True, capture_output=True)
