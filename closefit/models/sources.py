"""Where the files of a model come from: its publisher, a mirror on the web, or a folder."""

import os
import ssl
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from closefit.errors import (
    ConfigError,
    WeightsDamagedError,
    WeightsError,
    WeightsMissingError,
)
from closefit.events import Emit, Notice, Transferred
from closefit.models import weights
from closefit.models.transfer import FETCH_ELSEWHERE, Patience, StoppedError, Transfer
from closefit.models.weights import Hub, Model, ModelFile

HUB = "https://huggingface.co"
TRIES = 3
"""How often a file that arrives with wrong content is fetched from its start."""

BLOCK_BYTES = 1 << 20
SHA256_DIGITS = 64
CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Where `requests` looks for certificates, the first one first."""

FALSE_WORDS = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What is brought, where it is put, and who is told.

    Attributes:
        model: What is brought.
        folder: Gets the files; it may hold parts of them already.
        patience: How much to put up with from servers.
        tell: Told what happens.
        stop: Set by others to end it.
    """

    model: Model
    folder: Path
    patience: Patience
    tell: Emit
    stop: threading.Event

    def progress(self, file: ModelFile, done: int, total: int | None) -> None:
        """Tell how much of `file` has arrived."""
        self.tell(Transferred(self.model.label(file), done, total))


def check(source: str | None) -> None:
    """Refuse a source that can be none.

    Raises:
        ConfigError: It is an address of another kind.
        WeightsError: It is a folder that does not exist.
    """
    if source is None or _is_web(source):
        return
    if "://" in source and not _is_file_address(source):
        raise ConfigError(
            f"`{source}` is neither a folder nor an address on the web",
            hint="give --from a folder, or an address that begins with https:// or http://",
        )
    if not _folder(source).is_dir():
        raise WeightsError(
            f"there is no folder `{_folder(source)}`", hint="check the folder given with --from"
        )


def check_certificates(source: str | None) -> None:
    """Refuse certificates that downloads could not use.

    Raises:
        ConfigError: The environment names a file or folder that holds none.
    """
    name = next((name for name in CERTIFICATE_VARIABLES if os.environ.get(name)), None)
    if name is None or (source is not None and not source.lower().startswith("https:")):
        return
    path = Path(os.environ[name])
    try:
        if path.is_dir():
            ssl.create_default_context(capath=path)
        else:
            ssl.create_default_context(cafile=path)
    except OSError as error:
        raise ConfigError(
            f"{name} is `{path}`, but there are no certificates",
            hint=f"let {name} name the certificate file (PEM) of the server or of your proxy, or "
            "unset it",
        ) from error


def require(model: Model, source: str | None) -> None:
    """Refuse a model that cannot come from its publisher by itself.

    Raises:
        WeightsError: The manifest names no place for it.
    """
    if source is not None or model.source:
        return
    by_hand = "it has to be fetched by hand" if model.obtain else "the manifest names no source"
    raise WeightsError(
        f"`{model.name}` cannot be downloaded: {by_hand}",
        hint=model.explanation.strip() or weights.obtain_hint(model),
    )


def bring(source: str | None, delivery: Delivery) -> tuple[ModelFile, ...]:
    """Put the intact files of the delivery's model into its folder.

    Returns:
        The files that are there now: all of a hub's folder, or one of the model's alternatives.

    Raises:
        WeightsMissingError: The source does not have them.
        WeightsDamagedError: What it has is not what the manifest says.
        WeightsError: They cannot be had now.
        StoppedError: The delivery was stopped.
        OSError: They cannot be written.
    """
    if source is None:
        return _from_publisher(delivery)
    if _is_web(source):
        return _from_mirror(source.rstrip("/"), delivery)
    return _from_folder(_folder(source), delivery)


def _is_web(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _is_file_address(source: str) -> bool:
    return source.lower().startswith("file:")


def _folder(source: str) -> Path:
    if _is_file_address(source):
        source = unquote(urlsplit(source).path)
    return Path(source).expanduser()


def _from_publisher(delivery: Delivery) -> tuple[ModelFile, ...]:
    model = delivery.model
    if model.hub is not None:
        if os.environ.get("HF_HUB_OFFLINE", "").lower() not in FALSE_WORDS:
            raise WeightsError(
                f"cannot download `{model.source}`: HF_HUB_OFFLINE forbids it",
                hint=f"unset HF_HUB_OFFLINE, or {FETCH_ELSEWHERE}",
            )
        endpoint = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
        return _from_hub(model.hub, _hub_address(endpoint, model.hub), delivery)
    (file,) = model.wanted
    if file.member is None:
        _receive(file, str(file.url), delivery)
    else:
        _receive_from_archive(file, str(file.url), file.member, delivery)
    return (file,)


def _hub_address(endpoint: str, hub: Hub) -> str:
    return f"{endpoint}/{hub.repo}/resolve/{hub.revision or 'main'}"


def _from_hub(hub: Hub, address: str, delivery: Delivery) -> tuple[ModelFile, ...]:
    for file in hub.files:
        _receive(file, f"{address}/{file.name}", delivery)
    return hub.files


def _from_mirror(address: str, delivery: Delivery) -> tuple[ModelFile, ...]:
    """Try the places where a mirror may have it: by our names, then as the model hub has it."""
    model = delivery.model
    if model.hub is not None:
        try:
            return _from_hub(model.hub, f"{address}/{model.name}", delivery)
        except WeightsMissingError:
            return _from_hub(model.hub, _hub_address(address, model.hub), delivery)
    for file in model.files:
        if _receive_if_there(file, f"{address}/{file.name}", delivery):
            return (file,)
    raise _not_in(address, model.places)


def _receive_if_there(file: ModelFile, url: str, delivery: Delivery) -> bool:
    try:
        _receive(file, url, delivery)
    except WeightsMissingError:
        return False
    return True


def _receive(file: ModelFile, url: str, delivery: Delivery) -> None:
    """Download `file` and check it; begin anew where its content is wrong."""
    target = delivery.folder / file.name
    pinned = len(file.sha256) == SHA256_DIGITS
    if pinned and target.is_file() and weights.file_problem(file, target) is None:
        return  # an earlier run has brought it, but not all that belongs to it
    transfer = Transfer(
        url=url,
        target=target,
        size=file.size,
        pinned=pinned,
        patience=delivery.patience,
        stop=delivery.stop,
        report=lambda done, total: delivery.progress(file, done, total),
        complain=lambda reason: delivery.tell(Notice(f"{delivery.model.label(file)}: {reason}")),
    )
    for tries in range(1, TRIES + 1):
        transfer.run()
        problem = weights.file_problem(file, target)
        if problem is None:
            return
        target.unlink()
        if tries < TRIES:
            delivery.tell(Notice(f"`{file.name}` is fetched again from its start: {problem}"))
    raise WeightsDamagedError(
        f"`{url}` is not what the manifest says about `{file.name}`: {problem}",
        hint="try again later; if it stays so, the file there has changed: check the address given "
        "with --from, or report it",
    )


def _receive_from_archive(file: ModelFile, url: str, member: str, delivery: Delivery) -> None:
    name = Path(urlsplit(url).path).name
    _receive(ModelFile(name=name, sha256=file.archive_sha256), url, delivery)
    archive_path, target = delivery.folder / name, delivery.folder / file.name
    try:
        with zipfile.ZipFile(archive_path) as archive, archive.open(member) as content:
            if file.size not in (None, archive.getinfo(member).file_size):
                raise zipfile.BadZipFile("its size is another one")
            with open(target, "wb") as out:
                while block := content.read(BLOCK_BYTES):
                    out.write(block)
        problem = weights.file_problem(file, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        problem = str(error)
    archive_path.unlink()
    if problem is not None:
        target.unlink(missing_ok=True)
        raise WeightsDamagedError(
            f"`{member}` in `{url}` is not what the manifest says: {problem}",
            hint="try again later; if it stays so, the publisher's file has changed: please "
            "report it",
        )


def _from_folder(folder: Path, delivery: Delivery) -> tuple[ModelFile, ...]:
    model = delivery.model
    if model.hub is not None:
        found = _snapshot_in(folder, model, model.hub)
        for file in model.hub.files:
            _copy(file, found / file.name, delivery)
        return model.hub.files
    for file in model.files:
        if (folder / file.name).is_file():
            _copy(file, folder / file.name, delivery)
            return (file,)
    raise _not_in(str(folder), model.places)


def _snapshot_in(folder: Path, model: Model, hub: Hub) -> Path:
    """Find a hub's folder under our name, the hub's own, or in a cache of the hub's client."""
    cached = f"models--{hub.repo.replace('/', '--')}"
    candidates = [folder / model.name, folder / hub.repo]
    for cache in (folder, folder / "hub"):
        snapshots = cache / cached / "snapshots"
        others = sorted(snapshots.iterdir()) if snapshots.is_dir() else []
        candidates += [snapshots / hub.revision, *others]
    found = next((one for one in candidates if (one / hub.files[0].name).is_file()), None)
    if found is None:
        raise _not_in(str(folder), [model.name, hub.repo, cached])
    return found


def _not_in(place: str, names: Sequence[str]) -> WeightsMissingError:
    return WeightsMissingError(
        f"`{place}` has no {' or '.join(f'`{name}`' for name in names)}",
        hint="check the folder or address given with --from",
    )


def _copy(file: ModelFile, found: Path, delivery: Delivery) -> None:
    if not found.is_file():
        raise _not_in(str(found.parent), [file.name])
    target, done, total = delivery.folder / file.name, 0, found.stat().st_size
    with open(target, "wb") as out:
        for block in _blocks(found):
            if delivery.stop.is_set():
                raise StoppedError
            out.write(block)
            done += len(block)
            delivery.progress(file, done, total)
    problem = weights.file_problem(file, target)
    if problem is not None:
        target.unlink()
        raise WeightsDamagedError(
            f"`{found}` is not what the manifest says about `{file.name}`: {problem}",
            hint="get another copy of it, or leave out --from to fetch it from its publisher",
        )


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
    except OSError as error:
        raise WeightsError(
            f"cannot read `{path}`: {error.strerror or error}",
            hint="check the folder given with --from, and the disk that it is on",
        ) from error
