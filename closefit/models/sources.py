"""Where the files of a model come from: its publisher, a mirror on the web, or a folder."""

import os
import ssl
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from urllib.parse import unquote, urlsplit

from closefit.errors import ConfigError, WeightsDamagedError, WeightsError, WeightsMissingError
from closefit.events import Notice
from closefit.models import weights
from closefit.models.delivery import Delivery, Part
from closefit.models.transfer import FETCH_ELSEWHERE, Transfer
from closefit.models.weights import Hub, Model, ModelFile

HUB = "https://huggingface.co"
TRIES = 3
"""Downloads of a file whose content turns out to be wrong."""

BLOCK_BYTES = 1 << 20
CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables with a certificate file, in the order in which `requests` reads them."""

FALSE_WORDS = frozenset({"", "0", "false", "no", "off"})


def check(source: str | None) -> None:
    """Refuse a source that cannot be one.

    Raises:
        ConfigError: It is an address of another kind.
        WeightsError: It is a folder that does not exist.
    """
    if source is None or _is_web(source):
        return
    if "://" in source and not source.lower().startswith("file:"):
        raise ConfigError(
            f"`{source}` is neither a folder nor an address on the web",
            hint="give --from a folder, or an address that begins with https:// or http://",
        )
    if not _folder(source).is_dir():
        raise WeightsError(
            f"there is no folder `{_folder(source)}`", hint="check the folder given with --from"
        )


def check_certificates(source: str | None) -> None:
    """Refuse certificates that downloads cannot use; `requests` only names them in a traceback.

    Raises:
        ConfigError: The environment names a file or folder without certificates.
    """
    name = next((name for name in CERTIFICATE_VARIABLES if os.environ.get(name)), None)
    if name is None or (source is not None and not source.lower().startswith("https:")):
        return
    path = Path(os.environ[name])
    try:
        ssl.create_default_context().load_verify_locations(
            **{"capath" if path.is_dir() else "cafile": str(path)}
        )
    except OSError as error:
        raise ConfigError(
            f"{name} is `{path}`, but there are no certificates",
            hint=f"let {name} name the certificate file (PEM) of the server or of your proxy, or "
            "unset it",
        ) from error


def require(model: Model, source: str | None) -> None:
    """Refuse a model that only its user can fetch.

    Raises:
        WeightsError: The manifest names no address for it.
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
        WeightsDamagedError: Their content does not match the manifest.
        WeightsError: They cannot be downloaded now.
        StoppedError: The delivery was stopped.
        OSError: They cannot be written.
    """
    model = delivery.model
    if source is None:
        return _from_publisher(delivery)
    alternatives = [model.hub.files] if model.hub else [(file,) for file in model.files]
    bases: Sequence[str | Path] = (
        _web_bases(source, model) if _is_web(source) else _folder_bases(source, model)
    )
    absent: dict[str, None] = {}
    for base, files in product(bases, alternatives):
        missing = _first_missing(files, base, delivery)
        if missing is None:
            return files
        absent[model.label(missing)] = None
    raise WeightsMissingError(
        f"`{source}` has no {' or '.join(f'`{name}`' for name in absent or model.places)}",
        hint="check the folder or address given with --from",
    )


def _first_missing(
    files: Sequence[ModelFile], base: str | Path, delivery: Delivery
) -> ModelFile | None:
    """Fetch `files` from `base`; return the first one that it does not have."""
    try:
        for file in files:
            if isinstance(base, str):
                _download(file, f"{base}/{file.name}", delivery)
            else:
                _copy(file, base / file.name, delivery)
    except WeightsMissingError:
        return file
    return None


def _is_web(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _folder(source: str) -> Path:
    if source.lower().startswith("file:"):
        source = unquote(urlsplit(source).path)
    return Path(source).expanduser()


def _from_publisher(delivery: Delivery) -> tuple[ModelFile, ...]:
    model = delivery.model
    if model.hub is None:
        (file,) = model.wanted
        if file.member is None:
            _download(file, str(file.url), delivery)
        else:
            _download_from_archive(file, str(file.url), file.member, delivery)
        return (file,)
    if os.environ.get("HF_HUB_OFFLINE", "").lower() not in FALSE_WORDS:
        raise WeightsError(
            f"cannot download `{model.source}`: HF_HUB_OFFLINE forbids it",
            hint=f"unset HF_HUB_OFFLINE, or {FETCH_ELSEWHERE}",
        )
    base = _hub_base(os.environ.get("HF_ENDPOINT", HUB), model.hub)
    for file in model.hub.files:
        _download(file, f"{base}/{file.name}", delivery)
    return model.hub.files


def _hub_base(endpoint: str, hub: Hub) -> str:
    return f"{endpoint.rstrip('/')}/{hub.repo}/resolve/{hub.revision or 'main'}"


def _web_bases(address: str, model: Model) -> list[str]:
    """Return where a mirror may have the files: under our name, then as the model hub has them."""
    address = address.rstrip("/")
    return [f"{address}/{model.name}", _hub_base(address, model.hub)] if model.hub else [address]


def _folder_bases(source: str, model: Model) -> list[Path]:
    """Return where a folder may have the files; it may be a cache of the hub's client."""
    folder, hub = _folder(source), model.hub
    if hub is None:
        return [folder]
    bases = [folder / model.name, folder / hub.repo]
    for cache in (folder, folder / "hub"):
        snapshots = cache / f"models--{hub.repo.replace('/', '--')}" / "snapshots"
        others = sorted(snapshots.iterdir()) if snapshots.is_dir() else []
        bases += [snapshots / hub.revision, *others]
    return [base for base in bases if (base / hub.files[0].name).is_file()]


def _download(file: ModelFile, url: str, delivery: Delivery) -> None:
    """Download `file` and check it; start again where its content is wrong."""
    part = Part(file, delivery)
    if part.resumable and part.length and weights.file_problem(file, part.path) is None:
        return  # an earlier run has fetched it, but not everything that belongs to it
    problem = None
    for _ in range(TRIES):
        if problem is not None:
            delivery.emit(Notice(f"`{file.name}` is fetched again from its start: {problem}"))
        try:
            Transfer(url, part).run()
        except BaseException:
            if not part.resumable:
                part.path.unlink(missing_ok=True)
            raise
        problem = weights.file_problem(file, part.path)
        if problem is None:
            return
        part.path.unlink()
    advice = "if it stays so, the file there has changed: check the address given with --from"
    raise _damaged(url, file, problem, f"try again later; {advice}, or report it")


def _download_from_archive(file: ModelFile, url: str, member: str, delivery: Delivery) -> None:
    archive = ModelFile(name=Path(urlsplit(url).path).name, sha256=file.archive_sha256)
    _download(archive, url, delivery)
    archive_path, part = delivery.folder / archive.name, Part(file, delivery)
    try:
        with zipfile.ZipFile(archive_path) as opened, opened.open(member) as content:
            part.write(iter(partial(content.read, BLOCK_BYTES), b""))
        problem = weights.file_problem(file, part.path)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        problem = str(error)
    archive_path.unlink()
    if problem is not None:
        part.path.unlink(missing_ok=True)
        advice = "if it stays so, the publisher's file has changed: please report it"
        raise _damaged(f"{member}` in `{url}", file, problem, f"try again later; {advice}")


def _copy(file: ModelFile, found: Path, delivery: Delivery) -> None:
    if not found.is_file():
        raise WeightsMissingError(f"there is no `{found}`", hint="check the folder")
    part = Part(file, delivery)
    problem = weights.size_problem(file, found)
    if problem is None:
        part.write(_blocks(found), total=found.stat().st_size)
        problem = weights.file_problem(file, part.path)
    if problem is not None:
        part.path.unlink(missing_ok=True)
        advice = "get another copy of it, or leave out --from to fetch it from its publisher"
        raise _damaged(str(found), file, problem, advice)


def _damaged(origin: str, file: ModelFile, problem: str | None, advice: str) -> WeightsDamagedError:
    return WeightsDamagedError(
        f"`{origin}` does not match the manifest's `{file.name}`: {problem}", hint=advice
    )


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            yield from iter(partial(file.read, BLOCK_BYTES), b"")
    except OSError as error:
        raise WeightsError(
            f"cannot read `{path}`: {error.strerror or error}",
            hint="check the folder given with --from, and the disk that it is on",
        ) from error
