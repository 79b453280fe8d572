"""The pure parsers under atheris, which follows the branches that an input takes.

`python -m benchmarks.campaign.parsers PARSER CORPUS -max_total_time=600` needs `pip install
atheris`; `CORPUS` is the `corpus` of a campaign, and options of libFuzzer follow. Any error but a
refusal ends it.
"""

import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["closefit"]):
    from closefit.boundary.files import parse_json, parse_toml
    from closefit.boundary.values import RefusedError
    from closefit.errors import ClosefitError
    from closefit.imports.detections import rle
    from closefit.imports.detections.frame_range import FrameRange
    from closefit.imports.detections.reading import read_all
    from closefit.imports.pickles import load_pickle, load_torch
    from closefit.learning.motions.acclaim import read_amc
    from closefit.learning.motions.bvh import read_bvh
    from closefit.prior.loading import load_prior

from tests.samples import make_video_info
from tests.unit.imports.detections.writers import FRAMES

CUT = b"\n:FULLY-SPECIFIED"
"""Where the two files of an Acclaim motion are joined."""

VIDEO = make_video_info(FRAMES)
FRAME_RANGE = FrameRange(VIDEO, slice(0, FRAMES), (VIDEO.width, VIDEO.height))


def _detections(path: Path) -> None:
    read_all([path], FRAME_RANGE)


def _acclaim(path: Path) -> None:
    skeleton, mark, motion = path.read_bytes().partition(CUT)
    path.with_suffix(".asf").write_bytes(skeleton)
    path.write_bytes(mark.lstrip() + motion)
    read_amc(path)


def _rle(path: Path) -> None:
    encoded = parse_json(path.read_text(errors="replace"))
    height, width = rle.size_of(encoded)
    if height * width < 1 << 20:
        rle.decode(encoded, (height, width))


PARSERS: dict[str, tuple[Callable[[Path], Any], str, tuple[str, ...]]] = {
    "json": (
        _detections,
        ".json",
        ("coco_results.json", "coco_annotations.json", "alphapose.json"),
    ),
    "mot": (_detections, ".txt", ("mot.txt",)),
    "npz": (_detections, ".npz", ("own.npz", "masks.npz")),
    "rle": (_rle, ".json", ()),
    "bvh": (read_bvh, ".bvh", ("walk.bvh",)),
    "acclaim": (_acclaim, ".amc", ()),
    "safetensors": (load_prior, ".safetensors", ("prior.safetensors", "strange.safetensors")),
    "pickle": (load_pickle, ".pkl", ("interhuman.pkl", "laughs.pkl")),
    "torch": (load_torch, ".pt", ("estimates/gvhmr/person0/hmr4d_results.pt",)),
    "toml": (lambda p: parse_toml(p.read_text(errors="replace")), ".toml", ("settings.toml",)),
}
"""By name: the parser, the suffix of its files, valid files of the corpus."""


def main() -> None:
    """Drive one parser."""
    name, corpus, *options = sys.argv[1:]
    parse, suffix, valid = PARSERS[name]
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    (folder / "seeds").mkdir()
    contents = [(Path(corpus) / file).read_bytes() for file in valid]
    if name == "rle":
        contents = [
            b'{"size": [4, 6], "counts": [2, 3, 19]}',
            b'{"size": [48, 64], "counts": "0_1o1"}',
        ]
    elif name == "acclaim":
        files = [next((Path(corpus) / "acclaim").glob(f"*.{kind}")) for kind in ("asf", "amc")]
        contents = [b"\n".join(file.read_bytes() for file in files)]
    for number, content in enumerate(contents):
        (folder / "seeds" / str(number)).write_bytes(content)
    file = folder / f"input{suffix}"

    def once(data: bytes) -> None:
        file.write_bytes(data)
        with suppress(ClosefitError, RefusedError):
            parse(file)

    atheris.Setup([sys.argv[0], *options, str(folder / "seeds")], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
