"""From presets, files and flags to a checked `Config`; the later source wins.

Settings have dotted names: `seed`, `optimize.passes`. Sources in rising precedence: defaults, the
record of a started folder, the preset, `--config FILE`, `--set key=value`, named flags.
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypedDict, TypeVar, Union, get_args, get_origin

from closefit.boundary.files import parse_toml, read_text, typed
from closefit.boundary.refusals import RefusedError, refusals_as, shown
from closefit.config import DEFAULT_FOV_DEG, PRESETS, Config, Preset
from closefit.errors import ConfigError, FileMissingError
from closefit.events import Emit, Notice, ignore

Settings = dict[str, Any]
"""Values by dotted name."""

RENAMED = {"optimize.weight_prior_pose": "optimize.weight_stay_near_init"}
"""Earlier names of settings, which files, flags and recorded runs may still use."""

MAX_SETTINGS_BYTES = 1 << 20

HELP_HINT = "docs/settings.md lists the settings and what they allow"


class GivenSettings(TypedDict, total=False):
    """Settings as a user gives them.

    Attributes:
        config_file: TOML file.
        assignments: `key=value` texts.
        values: Values by dotted name, as the texts of `assignments` give them.
        flags: Values by dotted name; None means "not given".
    """

    config_file: Path | None
    assignments: Iterable[str]
    values: Mapping[str, Any]
    flags: Mapping[str, Any]


def build_config(
    *,
    recorded: Mapping[str, Any] | None = None,
    recorded_in: Path | None = None,
    config_file: Path | None = None,
    assignments: Iterable[str] = (),
    values: Mapping[str, Any] | None = None,
    flags: Mapping[str, Any] | None = None,
    emit: Emit = ignore,
) -> Config:
    """Merge all sources and check every value.

    Args:
        recorded: Settings of a started folder (by dotted name); unknown ones are dropped, since
            another version of closefit may have written them.
        recorded_in: The file that they are from, for messages.
        config_file: As in `GivenSettings`.
        assignments: As in `GivenSettings`.
        values: As in `GivenSettings`.
        flags: As in `GivenSettings`.
        emit: Gets a notice for each setting that is given by an earlier name.

    Raises:
        ConfigError: A key is unknown, a value has the wrong type or lies out of range.
        FileMissingError: There is no such `config_file`.
    """
    known = _known_fields(Config)
    given = _given(config_file, assignments, values, flags)
    for old in RENAMED.keys() & given.keys():
        emit(Notice(f"the setting `{old}` is called `{RENAMED[old]}` now"))
    given = renamed(given)
    preset = given.get("preset")
    of_folder = of_a_folder(recorded or {})
    settings = {key: value for key, value in of_folder.items() if key in known}
    if recorded is None or preset is not None:
        chosen = preset if preset is not None else Config().preset
        settings.update(_from_preset(chosen, of_folder.get("preset")))
    settings.update(given)
    for key, value in of_folder.items():
        if recorded_in is not None and key in known and settings[key] is value:
            _check_recorded(known, key, value, recorded_in)
    config: Config = _construct(Config, settings)
    return config


def is_given(
    key: str,
    *,
    config_file: Path | None = None,
    assignments: Iterable[str] = (),
    values: Mapping[str, Any] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> bool:
    """Return whether a user gives this setting, of which the arguments are those of `build_config`.

    Raises:
        ConfigError: An assignment or the file cannot be read.
    """
    return key in renamed(_given(config_file, assignments, values, flags))


S = TypeVar("S")


def build_section(
    section: type[S],
    *,
    config_file: Path | None = None,
    assignments: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> S:
    """Merge settings of another dataclass (with sections of its own) and check every value.

    Raises:
        ConfigError: A key is unknown, or a value has the wrong type or lies out of range.
        FileMissingError: There is no such `config_file`.
    """
    built: S = _construct(section, _given(config_file, assignments, None, flags))
    return built


def renamed(settings: Mapping[str, Any]) -> Settings:
    """Return the settings under their present names; a value under a present name wins."""
    current = {RENAMED[key]: value for key, value in settings.items() if key in RENAMED}
    return current | {key: value for key, value in settings.items() if key not in RENAMED}


def of_a_folder(recorded: Mapping[str, Any]) -> Settings:
    """Return the settings that a results folder has recorded, as they are called and meant now.

    Versions without a search for the focal length recorded the field of view that they assumed as
    if it had been given.
    """
    found = renamed(recorded)
    if "init.focal_search" not in found and found.get("camera.fov_deg") == DEFAULT_FOV_DEG:
        del found["camera.fov_deg"]
    return found


def given_values(given: GivenSettings) -> Settings:
    """Return what a user gave by dotted name, from all sources; paths become absolute.

    Raises:
        ConfigError: A key is unknown, a value has the wrong type or lies out of range.
        FileMissingError: There is no such `config_file`.
    """
    sources = (given.get("assignments", ()), given.get("values"), given.get("flags"))
    values = renamed(_given(given.get("config_file"), *sources))
    known = _known_fields(Config)
    return {key: _checked(known, key, value) for key, value in values.items()}


def fingerprinted(config: Config) -> Settings:
    """All settings that can change a result, by dotted name."""
    return affecting(config, [f.name for f in fields(config)])


def _given(
    config_file: Path | None,
    assignments: Iterable[str],
    values: Mapping[str, Any] | None,
    flags: Mapping[str, Any] | None,
) -> Settings:
    """Merge what a user gave; the later source wins."""
    given: Settings = {}
    if config_file is not None:
        given.update(_from_toml(config_file))
    given.update(_from_assignment(text) for text in assignments)
    given.update(values or {})
    given.update({key: value for key, value in (flags or {}).items() if value is not None})
    return given


def flatten(config: Config) -> Settings:
    """All settings of `config` by dotted name."""
    flat: Settings = {}
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            flat.update({f"{f.name}.{sub.name}": getattr(value, sub.name) for sub in fields(value)})
        else:
            flat[f.name] = value
    return flat


def affecting(config: Config, names: Iterable[str]) -> Settings:
    """Settings that can change a result, of these sections or with these full names."""
    known, wanted = _known_fields(Config), set(names)
    return {
        key: value
        for key, value in flatten(config).items()
        if {key, key.split(".")[0]} & wanted and not known[key].metadata.get("neutral", False)
    }


def names() -> tuple[str, ...]:
    """Names of all settings."""
    return tuple(_known_fields(Config))


def file_settings() -> frozenset[str]:
    """Names of the settings that name an input file."""
    return frozenset(key for key, f in _known_fields(Config).items() if f.metadata.get("file"))


def _known_fields(root: Any) -> dict[str, Field[Any]]:
    """Every setting's field by dotted name."""
    known: dict[str, Field[Any]] = {}
    for f in fields(root):
        if isinstance(f.type, type) and is_dataclass(f.type):
            known.update({f"{f.name}.{sub.name}": sub for sub in fields(f.type)})
        else:
            known[f.name] = f
    return known


def _from_preset(name: Any, earlier: Any = None) -> Settings:
    """What a preset sets; what only the `earlier` one changed gets its default."""
    chosen = _flat(PRESETS[_checked(_known_fields(Config), "preset", name)])
    replaced = _flat(PRESETS[earlier]) if earlier in get_args(Preset) else {}
    default = flatten(Config())
    return {key: default[key] for key in replaced} | chosen


def _flat(preset: Mapping[str, Mapping[str, Any]]) -> Settings:
    return {f"{name}.{key}": v for name, section in preset.items() for key, v in section.items()}


def _from_toml(path: Path) -> Settings:
    if not os.path.lexists(path):
        raise FileMissingError(
            f"there is no settings file `{path}`", hint="check the path given with --config"
        )
    with refusals_as(ConfigError, path, HELP_HINT):
        content = parse_toml(read_text(path, MAX_SETTINGS_BYTES))
    flat: Settings = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{sub}": sub_value for sub, sub_value in value.items()})
        else:
            flat[key] = value
    return flat


def _from_assignment(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(
            f"`--set {shown(text)}` is not of the form key=value",
            hint="write for example --set optimize.passes=20",
        )
    return key.strip(), parse_value(value.strip())


def parse_value(text: str) -> Any:
    """Read a TOML value; `none` is no value, and any other word is itself."""
    if text.lower() == "none":
        return None
    try:
        return parse_toml(f"value = {text}")["value"]
    except RefusedError:
        return text


def _checked(known: Mapping[str, Field[Any]], key: str, value: Any) -> Any:
    """Return `value` in the type and range of setting `key`."""
    if key not in known:
        raise _unknown_key(known, key)
    annotation = known[key].type
    if known[key].metadata.get("file", False):
        value = _absolute(value, several=get_origin(annotation) is tuple)
    try:
        return typed(value, annotation)
    except RefusedError as refused:
        raise ConfigError(
            f"`{key}` is `{shown(value)}` ({_type_name(type(value))}), but must be "
            f"{allowed(annotation)}",
            hint=HELP_HINT,
        ) from refused


def _check_recorded(
    known: Mapping[str, Field[Any]], key: str, value: Any, recorded_in: Path
) -> None:
    """Refuse a setting of a started folder that cannot be used, naming the file that has it.

    Raises:
        ConfigError: It is of another type or out of range.
    """
    try:
        _checked(known, key, value)
    except ConfigError as error:
        raise ConfigError(
            f"`{recorded_in}` cannot be used: {error.message}",
            hint=f"give another value with --set {key}=VALUE; the default is "
            f"{_default(flatten(Config())[key])}",
        ) from error


def _absolute(value: Any, *, several: bool) -> Any:
    """Make paths absolute; one path, or none, may stand for several."""
    if several and (value is None or isinstance(value, str)):
        value = [] if value is None else [value]
    if isinstance(value, list | tuple):
        return tuple(_absolute(entry, several=False) for entry in value)
    if not isinstance(value, str):
        return value
    if "\0" in value:
        raise ConfigError(f"`{shown(value)}` is no name of a file", hint=HELP_HINT)
    return os.path.abspath(os.path.expanduser(value))


def _unknown_key(known: Iterable[str], key: str) -> ConfigError:
    names = list(known)
    near = difflib.get_close_matches(key[:100], names, n=1, cutoff=0.0)
    # A right name in the wrong section is nearer than what merely looks alike.
    same_leaf = [name for name in names if name.split(".")[-1] == key.split(".")[-1]]
    return ConfigError(
        f"there is no setting `{shown(key)}`",
        hint=f"the nearest setting is `{(same_leaf or near)[0]}`",
    )


def table() -> str:
    """Every setting, its default and the values that are allowed, as a table in Markdown."""
    defaults = flatten(Config())
    rows = [
        f"| `{key}` | {_default(defaults[key])} | {allowed(field.type).replace('`', '')} |"
        for key, field in _known_fields(Config).items()
    ]
    return "\n".join(["| Setting | Default | Allowed |", "| --- | --- | --- |", *rows, ""])


def _default(value: Any) -> str:
    return "none" if value in (None, ()) else f"`{str(value).lower()}`"


def allowed(annotation: Any) -> str:
    """Describe the values that an annotation allows."""
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(map(allowed, get_args(annotation)))
    if get_origin(annotation) is Literal:
        return f"one of {_options(get_args(annotation))}"
    if get_origin(annotation) is tuple:
        kinds = get_args(annotation)
        count = "" if kinds[-1] is Ellipsis else f"{len(kinds)} "
        if get_origin(kinds[0]) is Literal:
            return f"a list of {_options(get_args(kinds[0]))}"
        return f"a list of {count}{'texts' if kinds[0] is str else 'numbers'}"
    if get_origin(annotation) is Annotated:
        kind, meta = get_args(annotation)
        step = f" that {meta.multiple_of} divides" if meta.multiple_of else ""
        return f"{_type_name(kind)}{step} from {meta.ge:.10g} to {meta.le:.10g}"
    return _type_name(annotation)


def _type_name(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return "none" if kind is NoneType else names.get(kind, kind.__name__)


def _options(values: Iterable[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _construct(root: Any, settings: Mapping[str, Any]) -> Any:
    """Build a dataclass and its sections from values by dotted name, after checking each."""
    known = _known_fields(root)
    checked = {key: _checked(known, key, value) for key, value in settings.items()}
    values: Settings = {}
    for f in fields(root):
        if is_dataclass(f.type):
            of_section = {sub.name: f"{f.name}.{sub.name}" for sub in fields(f.type)}
            values[f.name] = replace(
                getattr(root, f.name),
                **{name: checked[key] for name, key in of_section.items() if key in checked},
            )
        elif f.name in checked:
            values[f.name] = checked[f.name]
    return root(**values)
