"""Files of a dataset's folder, their checksums, and whose folder it is."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from closefit import __version__
from closefit.boundary.files import read_json, read_text
from closefit.boundary.refusals import RefusedError, named, refusals_as, refuse
from closefit.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    ArtifactVersionError,
    ClosefitError,
    OutputFolderError,
)
from closefit.storage.hashing import sha256_now

FORMAT, VERSION = "closefit-dataset", 1

CARD, CARD_TEXT, CLIPS, SUMS = "card.json", "card.md", "clips.jsonl", "SHA256SUMS"

AGAIN = "fetch it again, or export it again with `closefit dataset export`"


def files_below(root: Path) -> Iterator[str]:
    """Yield the names of all files, relative to the folder, in order; links count as files."""
    for here, folders, files in os.walk(root):
        folders.sort()
        linked = [name for name in folders if os.path.islink(os.path.join(here, name))]
        for name in sorted(files + linked):
            yield os.path.relpath(os.path.join(here, name), root)


def write_sums(root: Path) -> None:
    """Write the checksum of every file, as `sha256sum` does."""
    names = sorted(files_below(root))
    with (root / SUMS).open("w", encoding="ascii", newline="\n") as file:
        for name in names:
            file.write(f"{sha256_now(root / name)}  {name}\n")


def read_sums(root: Path) -> dict[str, str]:
    """Return the checksum of each file by name.

    Raises:
        ArtifactDamagedError: The list is missing or damaged.
    """
    with refusals_as(ArtifactDamagedError, root / SUMS, AGAIN):
        found = {}
        for number, line in enumerate(read_text(root / SUMS).splitlines(), 1):
            digest, separator, name = line.partition("  ")
            is_inside = not os.path.isabs(name) and ".." not in Path(name).parts
            if len(digest) != 64 or not separator or not name or not is_inside:
                refuse(f"line {number} is no checksum of a file in this folder")
            found[name] = digest
    return found


def read_card(root: Path) -> dict[str, Any]:
    """Return the data card of a dataset.

    Raises:
        ArtifactMissingError: The folder is none.
        ArtifactVersionError: A later closefit wrote it.
        ArtifactDamagedError: The card is damaged.
    """
    path = root / CARD
    if not path.is_file():
        raise ArtifactMissingError(
            f"`{root}` is not a dataset of closefit: it has no `{CARD}`",
            hint="name the folder that `closefit dataset export` wrote",
        )
    with refusals_as(ArtifactDamagedError, path, AGAIN):
        card = read_json(path)
        if not isinstance(card, dict) or card.get("format") != FORMAT:
            refuse("it is not the card of a dataset of closefit")
    if card.get("version") != VERSION:
        raise ArtifactVersionError(
            f"`{root}` has layout version `{card.get('version')}`; this closefit ({__version__}) "
            f"reads {VERSION}",
            hint="use the version of closefit that wrote it",
        )
    return card


def require_own(root: Path) -> None:
    """Refuse to replace anything but a dataset, and a dataset with other files among its own.

    Raises:
        OutputFolderError: It would be replaced.
    """
    hint = "choose another --out"
    if os.path.lexists(root) and not root.is_dir():
        raise OutputFolderError(f"`{root}` is not a folder", hint)
    if not root.is_dir() or not any(root.iterdir()):
        return
    try:
        read_card(root)
        own = read_sums(root).keys()
    except (ClosefitError, RefusedError) as error:
        raise OutputFolderError(f"`{root}` is not empty and holds no dataset", hint) from error
    if foreign := [name for name in files_below(root) if name not in own and name != SUMS]:
        raise OutputFolderError(
            f"`{root}` holds {named(foreign)}, which would be lost: it is to be replaced", hint
        )
