"""Cases whose input is sound but stands in odd surroundings: names, links, variables, crowds."""

import json
import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmarks.campaign.corpus import SETTINGS
from benchmarks.campaign.mutators import ODD_NUMBERS, mutate

Made = tuple[tuple[str, ...], str, dict[str, str]]
"""Words of the command, what is odd, and variables of its environment."""

TRACK = ("--out", "out", "--set", "device=cpu", "--offline")
DETECTED = ("--observations", "in/coco_results.json")

NAMES = (
    "a\nb", "\x1b[31mred\x1b]0;title\x07", "-x", "--out", "ü字", "x" * 240, "x" * 5000,
    "a b'\"`$(x)", "%d", "10:32", "\udcff\udcfe", "\u202eabc", "con", "a\\b", "*", "~", "[x]", " ",
    "&amp;<b>",
)  # fmt: skip

PLAYLISTS = (
    "ffconcat version 1.0\nfile small.mp4\n", "#EXTM3U\n#EXTINF:1,\nsmall.mp4\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n", "file 'small.mp4'\n",
    '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "%PDF-1.4\n", "WEBVTT\n\n",
    '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>',
    "1\n00:00:00,0 --> 00:00:01,0\nx\n",
    "YUV4MPEG2 W999999 H999999 F25:1\nFRAME\n", "BM" + "\0" * 60, "GIF89a\xff\xff\xff\xff",
)  # fmt: skip
NO_FILES = ("http://127.0.0.1:9/x.mp4", "pipe:0", "-", "/dev/stdin", "lavfi:testsrc", "data:,x",
            "concat:in/small.mp4|in/small.mp4", "file:in/small.mp4", "/dev/zero", "/proc/self/fd/0",
            "crypto:in/small.mp4", "subfile,,start,0,end,9,,:in/small.mp4")  # fmt: skip

LINKED = (
    "log.txt", "run.json", "artifacts", "artifacts/.lock", "artifacts/track.npz", "gaussians",
    "artifacts/optimize.checkpoint", "artifacts/export.json", "meshes", "overlay.mp4",
    "preview.mp4", ".closefit-partial-overlay.mp4", "artifacts/.closefit-partial-film.mp4",
    "corrections.json", "report.html", ".closefit-partial-preview.mp4", "gaussians/person_0.ply",
    "motion.npz", "scene.usdc", "artifacts/crop_0.npy", "artifacts/film.mp4",
)  # fmt: skip
ON_LINKED = (
    ("run", "in/large.mp4", "--out", "in/full"), ("stage", "export", "in/full"),
    ("report", "in/full"), ("view", "in/full", "--port", "18080"), ("status", "in/full"),
    ("stage", "track", "in/full", "--preview"), ("stage", "optimize", "in/full", "--force"),
)  # fmt: skip
VARIABLES = {
    "TMPDIR": ("/nonexistent", "in/small.mp4", "/", ""),
    "HOME": ("", "/nonexistent", "/dev/null", "in/small.mp4", "x" * 5000),
    "XDG_CACHE_HOME": ("", "relative", "/dev/null", "/nonexistent"),
    "LC_ALL": ("C", "tr_TR.UTF-8", "nonsense", "POSIX"),
    "OMP_NUM_THREADS": ("", "0", "-1", "4,2", "1e9", "nan", "99999"),
    "NUMBA_NUM_THREADS": ("0", "x"),
    "COLUMNS": ("0", "-1", "1", "999999999", "x"),
    "TERM": ("", "dumb", "xterm-256color", "nonsense"),
    "FORCE_COLOR": ("1", "x"),
    "TZ": ("nonsense", "/dev/zero", "UTC+99"),
    "CLOSEFIT_WEIGHTS": ("", "/dev/null", "/nonexistent", "in/small.mp4", "\x1b[31m"),
    "CLOSEFIT_OFFLINE": ("", "maybe", "2"),
    "PYTHONIOENCODING": ("ascii", "utf-16", "latin-1:strict"),
}


def names(draw: random.Random, folder: Path) -> Made:
    """A video, detections and results folder with an odd name."""
    name = draw.choice(NAMES)
    part = draw.choice(("video", "detections", "out"))
    words = {"video": "in/small.mp4", "detections": "in/coco_results.json", "out": "out"}
    odd = words[part] = f"in/{name}.{'mp4' if part == 'video' else 'json'}" if part != "out" else (
        f"out/{name}")  # fmt: skip
    if part != "out":
        source = folder / ("in/small.mp4" if part == "video" else "in/coco_results.json")
        with suppress(OSError):  # too long: it is not there
            shutil.copyfile(source, folder / odd)
    given = ("--observations", words["detections"], "--out", words["out"], *TRACK[2:])
    return ("stage", "track", words["video"], *given), f"{part} called {name[:20]!a}", {}


def playlists(draw: random.Random, folder: Path) -> Made:
    """What is no video, but what ffmpeg might follow to other files."""
    video = draw.choice((*NO_FILES, "text", "text"))
    if video == "text":
        video, text = "in/list.mp4", draw.choice(PLAYLISTS)
        (folder / video).write_bytes(text.encode("latin-1"))
        return ("stage", "track", video, *DETECTED, *TRACK), f"video is {text[:20]!a}", {}
    return ("stage", "track", video, *DETECTED, *TRACK), f"video is {video}", {}


def links(draw: random.Random, folder: Path) -> Made:
    """A results folder in which somebody has put links to files of the user."""
    victims = folder / "in" / "victims"
    victims.mkdir()
    for name in ("a.txt", "person_0_00000.obj", ".closefit-partial-1-track.npz"):
        (victims / name).write_text("mine")
    did = []
    for name in draw.sample(LINKED, draw.choice((1, 1, 3))):
        path = folder / "in" / "full" / name
        if path.parent.is_symlink() or not path.parent.is_dir():
            continue
        if path.is_dir():
            shutil.rmtree(path)
        kept = path.exists() and draw.random() < 0.5
        target = victims / ("copy" if kept else draw.choice(("a.txt", "new", "")))
        if kept:
            shutil.copyfile(path, target)
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        did.append(f"{name} -> {target.name or 'folder'}")
    return draw.choice(ON_LINKED), ", ".join(did), {}


def told(draw: random.Random, folder: Path) -> Made:
    """A results folder whose settings and video name other places."""
    path = folder / "in" / "full" / "run.json"
    run = json.loads(path.read_text())
    victims = folder / "in" / "victims"
    victims.mkdir()
    shutil.copyfile(folder / "in" / "large.mp4", victims / "large.mp4")
    for name in ("corrections.json", "mine.json"):
        if draw.random() < 0.5:
            (victims / name).write_text('{"swap": [3]}')
    places = [str(victims / name) for name in ("mine.json", "corrections.json", "", "new/x.json")]
    if draw.random() < 0.5:
        run["video"]["path"] = str(victims / "large.mp4")
    for key in ("track.corrections", "weights_dir", "camera.file", "init.prior_file"):
        if draw.random() < 0.4:
            run["settings"][key] = draw.choice(
                (*places, 7, "\x1b[31m", "", "~nobody/x", [], "/dev/zero")
            )
    path.write_text(json.dumps(run))
    return draw.choice(ON_LINKED), f"settings {sorted(run['settings'])[:1]}", {}


def variables(draw: random.Random, _: Path) -> Made:
    """Odd variables of the environment."""
    chosen = draw.sample(sorted(VARIABLES), draw.choice((1, 2, 4)))
    odd = {name: draw.choice(VARIABLES[name]) for name in chosen}
    words = draw.choice((
        ("stage", "track", "in/small.mp4", *DETECTED, *TRACK), ("status", "in/full"),
        ("report", "in/full"), ("doctor",), ("download-weights", "--list", "--json"),
        ("evaluate", "in/full", "--truth", "in/truth.npz"),
        ("prior", "prepare", "in/walk.bvh", "--out", "out"),
    ))  # fmt: skip
    return words, f"{odd}"[:80], odd


def crowds(draw: random.Random, folder: Path) -> Made:
    """Very many people, labels or points in a few frames."""
    count, kind = draw.choice((3, 50, 500, 5000)), draw.choice(("json", "npz", "mot", "labels"))
    boxes = np.random.default_rng(draw.randrange(2**32)).uniform(0, 24, (6, count, 4))
    boxes[..., 2:] += boxes[..., :2] + draw.choice((1.0, 1e-30, 20.0))
    path = folder / "in" / {"json": "c.json", "npz": "c.npz", "mot": "c.txt", "labels": "c"}[kind]
    if kind == "json":
        content = [
            {"image_id": f"{frame}.jpg", "category_id": 1, "score": 0.9, "track_id": person,
             "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
             "keypoints": [float(box[0]), float(box[1]), 0.9] * 17}
            for frame, people in enumerate(boxes) for person, box in enumerate(people)
        ]  # fmt: skip
        path.write_text(json.dumps(content))
    elif kind == "npz":
        points = np.concatenate(
            [boxes[..., None, :2].repeat(17, 2), np.full((6, count, 17, 1), 0.9)], -1
        )
        np.savez(path, boxes=boxes, keypoints=points, width=64, height=48, fps=30.0)
    elif kind == "mot":
        rows = [f"{f + 1},{p + 1},{b[0]:g},{b[1]:g},{b[2] - b[0]:g},{b[3] - b[1]:g},1,-1,-1,-1"
                for f, people in enumerate(boxes) for p, b in enumerate(people)]  # fmt: skip
        path.write_text("\n".join(rows))
    else:
        from PIL import Image

        path.mkdir()
        labels = np.arange(48 * 64, dtype=np.int32).reshape(48, 64) % (count + 1)
        for frame in range(6):
            Image.fromarray(labels.astype(np.uint16)).save(path / f"{frame:05}.png")
    given = ("--observations", f"in/{path.name}")
    more = DETECTED if kind in ("mot", "labels") else ()
    return ("stage", "track", "in/small.mp4", *given, *more, *TRACK), f"{count} people, {kind}", {}


def combinations(draw: random.Random, _: Path) -> Made:
    """Several options together, each of them sound or nearly so."""
    options = (
        ("--from", draw.choice(("track", "init", "optimize", "export", "x"))), ("--force",),
        ("--until", draw.choice(("track", "init", "optimize", "export", ""))), ("--json",),
        ("--verbose",), ("--preset", draw.choice(("draft", "default", "paper"))),
        ("--start", draw.choice(("0.1", "0", "5", "-0", "1e-9"))),
        ("--end", draw.choice(("0.2", "0", "9"))),
        ("--people", draw.choice(("A,B", "B,A", "A", "A,A", "Z,A", "5,5@0;9,9@0", "1,1@9", ","))),
        ("--perception", draw.choice(("import", "yolo", "lite", "full", "auto"))), ("--fov", "55"),
        ("--focal", draw.choice(("520", "1", "1e6"))), ("--camera", "in/camera.npz"),
        ("--corrections", draw.choice(("in/who_is_who.json", "none", ""))), ("--physics", "0"),
        ("--observations", draw.choice(("in/large.npz", "in/mot.txt", "in/masks.npz"))),
        ("--observations", "in/coco_results.json"), ("--init-from", "in/large.npz"),
        ("--seed", draw.choice(ODD_NUMBERS)),
        ("--max-input-size", draw.choice(("0.001", "1e-9", "5"))),
        ("--set", "export.meshes=obj"), ("--set", "export.usd=true"), ("--set", "body=smpl"),
        ("--set", "export.overlay=true"), ("--set", "optimize.motion=latent"),
        ("--config", "in/settings.toml"),
    )  # fmt: skip
    chosen = [word for option in draw.sample(options, draw.choice((2, 3, 5))) for word in option]
    words = draw.choice((
        ("run", "in/large.mp4", "--out", "in/done", *chosen),
        ("stage", draw.choice(("track", "init", "export")), "in/done", *chosen),
        ("run", "in/large.mp4", "--out", "out", *SETTINGS, "--until", "init", *chosen),
    ))  # fmt: skip
    return words, " ".join(chosen)[:80], {}


def trainings(draw: random.Random, folder: Path) -> Made:
    """Shards that are spoiled, or a training folder with something of the user's in it."""
    did = ""
    if draw.random() < 0.7:
        did = mutate(draw, folder / "in" / "shards")
    tiny = ("network.width=16", "network.blocks=1", "network.heads=2", "network.feed_forward=16")
    given = tuple(word for setting in tiny for word in ("--set", setting))
    words = ("train-prior", "in/shards", "--out", "out", "--steps", "1", "--batch", "1", *given)
    if draw.random() < 0.3:
        (folder / "out").mkdir()
        name = draw.choice(("prior.safetensors", "log.json", "last.ckpt", "thesis.txt"))
        (folder / "out" / name).write_text("mine")
        did += f"; {name} of the user"
    if draw.random() < 0.3:
        words = (
            *words,
            "--start-from",
            draw.choice(("in/prior.safetensors", "out/prior.safetensors")),
        )
    return words, did, {}


def deliveries(draw: random.Random, folder: Path) -> Made:
    """Models from a folder that holds something else under their names."""
    place = folder / "in" / "files"
    place.mkdir()
    name = draw.choice(("rtmdet-nano", "blazepose-full", "yolo11n-pose", "vitpose-base",
                        "sam2.1-hiera-tiny", "alexnet"))  # fmt: skip
    kind = draw.choice(("nothing", "fifo", "folder", "page", "link"))
    for file in (
        "rtmdet_nano.onnx",
        "rtmdet-nano.onnx",
        name,
        f"{name}.tflite",
        f"{name}.onnx",
        "config.json",
    ):
        path = place / file
        if os.path.lexists(path):
            continue
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "page":
            path.write_text("<!DOCTYPE html><html>log in</html>")
        elif kind == "link":
            path.symlink_to("/dev/zero")
    source = draw.choice(
        ("in/files", "in/files", "in/small.mp4", "http://127.0.0.1:9", "ftp://x", "file:///etc")
    )
    return ("download-weights", name, "--from", source, "--weights", "out"), f"{source}: {kind}", {}


KINDS: dict[str, tuple[Callable[[random.Random, Path], Made], tuple[str, ...], float]] = {
    "odd names": (names, ("small.mp4", "coco_results.json"), 1.5),
    "playlists": (playlists, ("small.mp4", "coco_results.json"), 1.0),
    "planted links": (links, ("full", "large.mp4"), 2.0),
    "settings of a folder": (told, ("full", "large.mp4"), 1.5),
    "environment": (
        variables,
        ("small.mp4", "coco_results.json", "full", "truth.npz", "walk.bvh"),
        2.0,
    ),
    "crowds": (crowds, ("small.mp4", "coco_results.json"), 1.0),
    "combinations": (
        combinations,
        ("done", "large.mp4", "large.npz", "camera.npz", "who_is_who.json", "settings.toml",
         "mot.txt", "masks.npz", "coco_results.json"),
        3.0,
    ),
    "trainings": (trainings, ("shards", "prior.safetensors"), 0.3),
    "deliveries": (deliveries, ("small.mp4",), 0.5),
}  # fmt: skip
"""By name: what makes a case in its folder, what of the corpus it needs, how often it is drawn."""
