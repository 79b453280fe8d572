"""Motion files and generated motion -> shards that the prior is trained on."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from closefit.body.model import Body
from closefit.errors import ConfigError, InputError
from closefit.events import Emit, Notice, Step, ignore
from closefit.learning.motions.composing import compose_pairs
from closefit.learning.motions.editing import mirror, resample, retime
from closefit.learning.motions.reading import MotionSource, find_motions, opened
from closefit.learning.motions.shards import MotionShards, write_shards
from closefit.records import PairMotion

FPS = 30.0

SLOWEST, FASTEST = 0.25, 4.0
"""Range of tempi that still look like people."""

BATCH_FRAMES = 200_000
"""Single people are composed into pairs within batches of this size, which fit in memory."""

GENERATED_FRAMES = 150
GENERATED_BATCH = 64
"""Length of a generated motion, and how many are made before they are written."""

SEED_STRIDE = 1_000_003
"""Between the seeds of two batches: batches of near seeds do not meet."""


MOST_HOURS = 10_000.0
LARGEST_UNIT_M = 1000.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What training data is made of.

    Attributes:
        sources: Motion files, folders and archives.
        mirror: Add the mirror image of every motion.
        tempi: Add every motion at these speeds, 1 being its own.
        exclude: Leave out motions with one of these in their name (`*`, `?` as in a shell).
        generated_hours: Hours of generated contact motion to add.
        seed: Of composed pairs and of generated motion.
        unit_m: Metres per unit of BVH files, where it is none of the usual ones.
    """

    sources: tuple[Path, ...] = ()
    mirror: bool = False
    tempi: tuple[float, ...] = ()
    exclude: tuple[str, ...] = ()
    generated_hours: float = 0.0
    seed: int = 0
    unit_m: float | None = None

    def __post_init__(self) -> None:
        """Check what a user may get wrong."""
        for tempo in self.tempi:
            if not SLOWEST <= tempo <= FASTEST:
                raise ConfigError(
                    f"a tempo is `{tempo:g}`, but must lie between {SLOWEST} and {FASTEST:g}",
                    hint="2 is twice as fast, 0.5 half as fast: --retime 0.8,1.25",
                )
        if not 0.0 <= self.generated_hours <= MOST_HOURS:
            raise ConfigError(
                f"`{self.generated_hours:g}` hours cannot be generated",
                hint="for example --generate 2",
            )
        if self.unit_m is not None and not 0.0 < self.unit_m <= LARGEST_UNIT_M:
            raise ConfigError(
                f"a unit of `{self.unit_m:g}` m is none", hint="centimetres are --unit 0.01"
            )
        if not self.sources and not self.generated_hours:
            raise ConfigError(
                "nothing was named to prepare",
                hint="name motion files or folders, or add --generate HOURS",
            )


def prepare(folder: Path, recipe: Recipe, body: Body, emit: Emit = ignore) -> MotionShards:
    """Write the shards of `recipe` to `folder`, all or nothing, and open them.

    Single people are composed into pairs. Mirroring and tempi apply to motion from files; generated
    motion is as varied already.

    Raises:
        InputError: A file is missing, damaged or of no known kind, or nothing remains.
        OutputFolderError: `folder` holds something else.
        DiskFullError: The disk is full.
    """
    with ExitStack() as stack:
        found = [
            source
            for path in recipe.sources
            for source in find_motions(stack.enter_context(opened(path)), body, recipe.unit_m)
        ]
        kept = _without_excluded(found, recipe.exclude, emit)
        write_shards(folder, _all_motions(kept, recipe, body, emit), fps=FPS)
    return MotionShards.open(folder)


def _without_excluded(
    found: list[MotionSource], patterns: tuple[str, ...], emit: Emit
) -> list[MotionSource]:
    """Drop excluded motions. A pattern without a match is an error: held-out motion could stay."""
    matches = {pattern: 0 for pattern in patterns}
    kept = []
    for source in found:
        fitting = [name for name in patterns if fnmatchcase(source.name, f"*{name}*")]
        for pattern in fitting:
            matches[pattern] += 1
        if not fitting:
            kept.append(source)
    unused = [pattern for pattern, count in matches.items() if not count]
    if unused:
        names = ", ".join(f"`{source.name}`" for source in found[:5])
        raise InputError(
            f"no motion is called `{unused[0]}`, so --exclude leaves nothing out",
            hint=f"motions are called, for example, {names or 'nothing: there are none'}",
        )
    if len(kept) < len(found):
        emit(Notice(f"left out {len(found) - len(kept)} of {len(found)} motions"))
    return kept


def _all_motions(
    sources: list[MotionSource], recipe: Recipe, body: Body, emit: Emit
) -> Iterator[PairMotion]:
    for pair in _pairs(sources, recipe.seed, body, emit):
        yield from _variants(pair, recipe)
    if recipe.generated_hours:
        yield from _generated(recipe, body, emit)


def _pairs(sources: list[MotionSource], seed: int, body: Body, emit: Emit) -> Iterator[PairMotion]:
    """Yield two-person motion as it is read, and pairs of single people batch by batch."""
    singles: list[PairMotion] = []
    batch = 0
    for done, source in enumerate(sources, start=1):
        motion = resample(source.read(), FPS)
        if motion.rotations.shape[1] == 1:
            singles.append(motion)
        else:
            yield motion
        emit(Step("reading motion", done, len(sources)))
        is_full = sum(len(single.pelvis_m) for single in singles) >= BATCH_FRAMES
        if singles and (is_full or done == len(sources)):
            yield from compose_pairs(singles, seed + SEED_STRIDE * batch, body, fps=FPS)
            singles, batch = [], batch + 1


def _variants(motion: PairMotion, recipe: Recipe) -> Iterator[PairMotion]:
    """Yield the motion, its mirror image, and both at other tempi, as the recipe requires."""
    for seen in (motion, mirror(motion)) if recipe.mirror else (motion,):
        yield seen
        for tempo in recipe.tempi:
            yield retime(seen, tempo)


def _generated(recipe: Recipe, body: Body, emit: Emit) -> Iterator[PairMotion]:
    from closefit.learning.choreography import generate

    total = math.ceil(recipe.generated_hours * 3600.0 * FPS / GENERATED_FRAMES)
    for batch, first in enumerate(range(0, total, GENERATED_BATCH)):
        count = min(GENERATED_BATCH, total - first)
        seed = recipe.seed + SEED_STRIDE * batch
        yield from generate(body, count, seed, GENERATED_FRAMES)
        emit(Step("generating motion", first + count, total))
