"""Cases: a command with input of which one file or option is spoiled. Same seed, same case."""

import random
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.campaign import surroundings
from benchmarks.campaign.corpus import QUICK, SETTINGS
from benchmarks.campaign.mutators import ODD_NUMBERS, ODD_TEXTS, become, mutate
from closefit.config import Config
from closefit.settings import flatten


@dataclass(frozen=True)
class Template:
    """A command and its input.

    Attributes:
        arguments: Words of the command; `in/NAME` is a copy of `NAME` in the corpus.
        spoil: Which of the copies is spoiled; none where options are odd instead.
        weight: How often it is drawn.
    """

    arguments: tuple[str, ...]
    spoil: tuple[str, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True)
class Case:
    """One call of the program, in a folder of its own.

    Attributes:
        number: Seed of the case within the campaign.
        name: Of the template.
        arguments: Words of the command, relative to the folder.
        spoiled: What is odd about it.
        environment: Variables of its environment.
    """

    number: int
    name: str
    arguments: tuple[str, ...]
    spoiled: str
    environment: Mapping[str, str] = field(default_factory=dict)


SMALL = ("stage", "track", "in/small.mp4", "--out", "out", "--set", "device=cpu", "--offline")
LARGE = ("run", "in/large.mp4", "--observations", "in/large.npz", *SETTINGS, "--out", "out")
DETECTIONS = ("coco_results.json", "coco_annotations.json", "alphapose.json", "openpose", "own.npz",
              "mot.txt", "masks_per_person", "masks_labelled", "masks.npz")  # fmt: skip
KEYPOINTS = ("--observations", "in/coco_results.json")
NEEDS_KEYPOINTS = ("mot.txt", "masks_per_person", "masks_labelled", "masks.npz")
ESTIMATES = ("wham", "phalp", "gvhmr", "prompthmr", "amass")
MOTIONS = ("walk.bvh", "acclaim", "walk_poses.npz", "interx", "interhuman.pkl", "motions.zip")
FOLDER = ("run.json", "artifacts/track.npz", "artifacts/init.npz", "artifacts/optimize.npz",
          "artifacts/export.json", "motion.npz", "contacts.json",
          "artifacts/detections.npz")  # fmt: skip
BATCH = (
    "batch/batch.json",
    "batch/index.jsonl",
    "batch/one/run.json",
    "batch/one/artifacts/init.npz",
)
NUMBER_FLAGS = ("--fov", "--focal", "--start", "--end", "--physics", "--seed", "--preset",
                "--device", "--people", "--perception")  # fmt: skip
PATH_FLAGS = ("--observations", "--corrections", "--camera", "--init-from", "--config", "--weights")
MORE_FOLDER = (*FOLDER[:-1], "artifacts/detections.npz", "scene.glb", "contacts.csv", "overlay.mp4",
               "report.html", "corrections.json")  # fmt: skip
"""What the page and the viewer read, too; `full` is a folder with appearance and overlay."""
ON_FULL_FOLDER = {
    "report": ("report", "in/full"),
    "view": ("view", "in/full", "--port", "18080"),
    "view of two": ("view", "in/full", "in/done", "--port", "18080"),
    "status of all": ("status", "in/full"),
    "export of all": ("stage", "export", "in/full", "--set", "export.usd=true", "--set",
                      "export.meshes=ply", "--set", "export.overlay=false"),
}  # fmt: skip
ON_FOLDER = {
    "status": ("status", "in/done", "--json"),
    "init": ("stage", "init", "in/done"),
    "optimize": ("stage", "optimize", "in/done"),
    "export": ("stage", "export", "in/done"),
    "run": ("run", "in/large.mp4", "--out", "in/done"),
    "evaluate": ("evaluate", "in/done", "--truth", "in/truth.npz", "--json"),
}


ON_BATCH = {
    "jsonl": (("batch", "in/takes/list.jsonl", "--out", "out"), ("takes/list.jsonl",)),
    "csv": (("batch", "in/takes/list.csv", "--out", "out"), ("takes/list.csv",)),
    "folder": (("batch", "in/takes/list.jsonl", "--out", "in/batch"), BATCH),
    "status": (("batch", "status", "in/batch", "--json"), BATCH),
}
"""Two clips, and the finished folder of their batch."""


REVIEWED = ("batch.json", "index.jsonl", "reviews.sqlite", "one/run.json", "one/motion.npz",
            "one/contacts.json", "one/artifacts/track.npz", "one/artifacts/film.mp4")  # fmt: skip
ON_DATASET = {
    "export": (("dataset", "export", "in/reviewed", "--out", "out"), "reviewed", REVIEWED),
    "shards": (
        ("dataset", "export", "in/reviewed", "--out", "out", "--format", "wds", "--no-pixels"),
        "reviewed",
        REVIEWED,
    ),
    "verify": (
        ("dataset", "verify", "in/dataset", "--json"),
        "dataset",
        ("card.json", "clips.jsonl", "SHA256SUMS", "clips/one.npz", "frames"),
    ),
}
"""Commands, the folder that they read, and what of it is spoiled."""
BENCHMARK_SETS = ("hi4d", "chi3d", "3dpw", "harmony4d", "expi")


LIGHT = (
    *(f"detections {name}" for name in DETECTIONS), "video", "corrections",
    *(f"motion {name}" for name in MOTIONS), "body smpl.npz", "body smpl.pkl",
)  # fmt: skip
"""Kinds of cases that take little time, and no bombs or results."""


def templates() -> dict[str, Template]:
    """All kinds of cases by name."""
    made: dict[str, Template] = {}
    for name in DETECTIONS:
        more = KEYPOINTS if name in NEEDS_KEYPOINTS else ()
        arguments = (*SMALL, "--observations", f"in/{name}", *more)
        made[f"detections {name}"] = Template(arguments, (name,), 2.0)
    made["video"] = Template((*SMALL, *KEYPOINTS), ("small.mp4",), 2.0)
    corrections = (*SMALL, *KEYPOINTS, "--corrections", "in/who_is_who.json")
    made["corrections"] = Template(corrections, ("who_is_who.json",), 2.0)
    settings = (*LARGE, "--config", "in/settings.toml", "--until", "init")
    made["settings file"] = Template(settings, ("settings.toml",), 2.0)
    camera = (*LARGE, "--camera", "in/camera.npz", "--until", "init")
    made["camera"] = Template(camera, ("camera.npz",), 1.0)
    for name in ESTIMATES:
        arguments = (*LARGE, "--until", "init", "--init-from", f"in/{name}")
        made[f"estimate {name}"] = Template(arguments, (name,), 0.7)
    for command, words in ON_FOLDER.items():
        made[f"folder {command}"] = Template(words, tuple(f"done/{file}" for file in FOLDER), 1.0)
    for command, words in ON_FULL_FOLDER.items():
        spoil = tuple(f"full/{file}" for file in MORE_FOLDER)
        made[f"folder {command}"] = Template(words, spoil, 1.0)
    for name, (words, spoil) in ON_BATCH.items():
        arguments = words if name == "status" else (*words, *SETTINGS, "--until", "init")
        made[f"batch {name}"] = Template(arguments, spoil, 0.5)
    for name, (words, place, files) in ON_DATASET.items():
        made[f"dataset {name}"] = Template(words, tuple(f"{place}/{f}" for f in files), 0.5)
    for name in BENCHMARK_SETS:
        arguments = (
            "benchmark",
            name,
            f"in/{name}",
            "--observations",
            f"in/{name}_seen",
            *SETTINGS,
        )
        arguments = (*arguments, "--out", "out", "--rows", "initial")
        made[f"benchmark {name}"] = Template(arguments, (name,), 0.2)
    truth = ("evaluate", "in/done", "--truth", "in/truth.npz", "--json")
    made["truth"] = Template(truth, ("truth.npz",), 0.7)
    for name in MOTIONS:
        arguments = ("prior", "prepare", f"in/{name}", "--out", "out", "--json")
        made[f"motion {name}"] = Template(arguments, (name,), 0.7)
    sample = ("prior", "sample", "--out", "out", "--count", "1", "--frames", "16", "--prior",
              "in/prior.safetensors", "--json")  # fmt: skip
    made["prior"] = Template(sample, ("prior.safetensors",), 1.0)
    given = (*sample[:8], "--prior", "in/prior.safetensors", "--given", "in/walk_poses.npz")
    made["given"] = Template(given, ("walk_poses.npz",), 0.5)
    for name in ("smpl.npz", "smpl.pkl"):
        arguments = ("import-smpl", f"in/{name}", "--weights", "out")
        made[f"body {name}"] = Template(arguments, (name,), 0.7)
    made["options"] = Template((*LARGE, "--until", "init"), weight=5.0)
    made["other commands"] = Template((), weight=2.0)
    made["bombs"] = Template((), weight=0.1)
    made |= {kind: Template((), (), weight) for kind, (*_, weight) in surroundings.KINDS.items()}
    return made


def make(
    number: int,
    seed: int,
    corpus: Path,
    folder: Path,
    among: Collection[str] = (),
    spoil: bool = True,
    locked: str = "",
) -> Case:
    """Write the input of a case into `folder` and return its command.

    Args:
        number: Of the case.
        seed: Of the campaign.
        corpus: Folder of valid input.
        folder: Where the case runs.
        among: Names of the templates to draw from; all if there are none.
        spoil: Whether anything is spoiled; what is not, the program has to accept.
        locked: Name of an input whose rights are taken from everybody; nothing else is spoiled.
    """
    draw = random.Random(f"{seed} {number}")
    known = {name: kind for name, kind in templates().items() if name in (among or {name})}
    name = draw.choices(list(known), [template.weight for template in known.values()])[0]
    template = known[name]
    if name in surroundings.KINDS:
        make_one, inputs, _ = surroundings.KINDS[name]
        (folder / "in").mkdir(parents=True)
        for source in inputs:
            _copy(corpus, folder, source, ())
        return Case(number, name, *make_one(draw, folder))
    if name == "bombs":
        arguments, spoiled = _bomb(draw)
    elif name == "options":
        arguments, spoiled = _odd_options(draw, template.arguments)
    elif name == "other commands":
        arguments, spoiled = _odd_command(draw)
    else:
        arguments, spoiled = template.arguments, ""
    named = {word.split("/")[1] for word in arguments if word.startswith("in/")}
    (folder / "in").mkdir(parents=True)
    for source in sorted(named):
        arguments = _copy(corpus, folder, source, arguments)
    if locked:
        (folder / _place(corpus, locked)).chmod(0)
        return Case(number, name, arguments, f"{locked}: rights taken")
    if not spoil:
        return Case(number, name, arguments, "nothing")
    if template.spoil:
        target = draw.choice(template.spoil)
        path = folder / _place(corpus, target)
        spoiled = mutate(draw, path)
    if draw.random() < 0.03 and named and not template.spoil:
        spoiled += "; " + become(draw, folder / _place(corpus, draw.choice(sorted(named))))
    return Case(number, name, arguments, spoiled)


def _copy(corpus: Path, folder: Path, name: str, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Copy one input; what other tools call their files stays."""
    target = folder / _place(corpus, name)
    source = corpus / name
    if name in ESTIMATES:
        source = corpus / (corpus / f"{name}.name").read_text()
        arguments = tuple(str(_place(corpus, name)) if w == f"in/{name}" else w for w in arguments)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copyfile(source, target)
    return arguments


def _place(corpus: Path, name: str) -> Path:
    """Where an input lies in the folder of a case."""
    if name in ESTIMATES:
        return Path("in") / Path((corpus / f"{name}.name").read_text()).name
    return Path("in") / name


def _odd_options(draw: random.Random, words: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Add an odd setting, option or path."""
    values = [text.strip('"') for text in (*ODD_NUMBERS, *ODD_TEXTS)] + ["", "none", "[1,2]", "{}"]
    values = [value for value in values if "\\u" not in value] + ["\x1b[31mred", "a\nb", "é" * 300]
    paths = (
        "/",
        "/proc",
        "/dev/zero",
        "~nobody/x",
        "x" * 5000,
        "in",
        "in/large.mp4",
        "",
        ".",
        "in/large.npz/x",
    )
    names = sorted(flatten(Config()))
    act = draw.choice(("set", "set", "set", "toml", "flag", "path", "out"))
    value = draw.choice(values)
    if act == "set":
        added = ("--set", f"{draw.choice(names)}={value}")
    elif act == "toml":
        text = draw.choice(
            ("[" * 5000, "a.b.c.d", "=", "1=1", "track={x=1}", "optimize.passes=[[1]]")
        )
        added = ("--set", text)
    elif act == "flag":
        flag = draw.choice(NUMBER_FLAGS)
        added = (flag, value)
    elif act == "path":
        flag = draw.choice(PATH_FLAGS)
        added = (flag, draw.choice(paths))
    else:
        return (*words[:-3], draw.choice(paths), *words[-2:]), "odd --out"
    return (*words, *added), " ".join(added)[:80]


def _odd_command(draw: random.Random) -> tuple[tuple[str, ...], str]:
    """Commands with odd words, and inputs that are no files."""
    values = [text.strip('"') for text in ODD_NUMBERS] + ["", "x", "\x1b[31m", "-", "--"]
    paths = (
        "/",
        "/proc",
        "/dev/zero",
        "/dev/null",
        "~nobody/x",
        "x" * 5000,
        "in/small.mp4",
        "",
        ".",
        "nothing",
    )
    path, value = draw.choice(paths), draw.choice(values)
    commands = (
        ("status", path), ("stage", value, path), ("stage", "track", path, "--out", "out"),
        ("run", path, "--out", "out", *(w for s in QUICK for w in ("--set", s))),
        ("evaluate", path, "--truth", path), ("evaluate", "in/done", "--truth", path),
        ("import-smpl", path, "--weights", "out"), ("download-weights", value, "--weights", "out"),
        ("download-weights", "rtmdet-nano", "--from", path, "--weights", "out"),
        ("download-weights", "--list", "--weights", path, "--json"),
        ("prior", "prepare", path, "--out", "out"),
        ("prior", "prepare", "in/walk.bvh", "--out", path),
        ("prior", "prepare", "in/walk.bvh", "--out", "out", "--unit", value),
        ("prior", "prepare", "in/walk.bvh", "--out", "out", "--retime", value),
        ("prior", "prepare", "in/walk.bvh", "--out", "out", "--seed", value, "--json"),
        ("prior", "sample", "--prior", path, "--out", "out", "--count", "1", "--frames", "16"),
        ("prior", "sample", "--prior", "in/prior.safetensors", "--out", "out", "--count", value),
        ("prior", "sample", "--prior", "in/prior.safetensors", "--out", "out", "--frames", value),
        ("prior", "sample", "--prior", "in/prior.safetensors", "--out", "out", "--count", "1",
         "--frames", "16", "--seed", value),
        ("train-prior", path, "--out", "out"), ("report", path), ("view", path),
        ("view", "in/full", "--host", value), ("view", "in/full", "--port", value),
        ("--install-completion",), ("--show-completion",), ("--install-completion", value),
        ("batch", path, "--out", "out"), ("batch", "in/small.mp4", "--out", path, *SETTINGS),
        ("dataset", "review", path, "--port", value), ("dataset", "verify", path),
        ("dataset", "export", path, "--out", "out"), ("benchmark", "hi4d", path, "--out", "out"),
        ("dataset", "export", "in/reviewed", "--out", "out", "--splits", value),
        ("benchmark", value, "in/hi4d", "--out", "out", "--split", value, "--rows", value),
        ("batch", "status", path), ("batch", path, "--out", "out", "--jobs", value),
        ("doctor", "--weights", path), ("doctor", value), ("demo", "--out", path, value),
        ("prior", "prepare", "in/walk.bvh", "--out", "out", "--max-input-size", value),
        ("evaluate", "in/done", "--truth", "in/truth.npz", "--max-input-size", value),
        ("import-smpl", "in/smpl.npz", "--weights", "out", "--max-input-size", value),
        ("train-prior", "in/shards", "--out", "out", "--set", f"lr={value}", "--steps", "0"),
        (value,), (value, "--help"), ("demo", "--frames", value), ("--version",), ("run", "--help"),
    )  # fmt: skip
    words = draw.choice(commands)
    return words, " ".join(words)[:80]


def _bomb(draw: random.Random) -> tuple[tuple[str, ...], str]:
    """Small files that unpack to much, or take ages."""
    words = draw.choice((
        (*SMALL, "--observations", "in/bomb.npz"), (*LARGE, "--init-from", "in/laughs.pkl"),
        ("import-smpl", "in/bomb.npz", "--weights", "out"),
        ("import-smpl", "in/laughs.pkl", "--weights", "out"),
        (*LARGE, "--init-from", "in/bomb.npz"), (*LARGE, "--init-from", "in/bomb.gz"),
        (*LARGE, "--camera", "in/bomb.npz"), ("evaluate", "in/done", "--truth", "in/bomb.npz"),
        ("prior", "prepare", "in/bomb.npz", "--out", "out"),
        ("prior", "prepare", "in/bomb.gz", "--out", "out"),
        ("prior", "sample", "--prior", "in/bomb.gz", "--out", "out"),
        ("prior", "sample", "--prior", "in/strange.safetensors", "--out", "out"),
    ))  # fmt: skip
    return words, next(
        word for word in words if "bomb" in word or "laughs" in word or "strange" in word
    )
