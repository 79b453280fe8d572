"""Reading of the TOML tables of authored data, with errors that name the entry."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Range = tuple[float, float]
"""Lower and upper bound."""

T = TypeVar("T")


def read_table(name: str) -> dict[str, Any]:
    """Return the content of a TOML file beside this module, with tuples for arrays."""
    content = tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return {key: _with_tuples(value) for key, value in content.items()}


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(inner) for key, inner in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


@contextmanager
def located(entry: str) -> Iterator[None]:
    """Name the entry of a table in errors about its content.

    Raises:
        ValueError: A name that does not exist, or a value of the wrong kind.
    """
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{entry}: there is no {error}") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{entry}: {error}") from error


def built(record: type[T], **given: Any) -> T:
    """Return a dataclass with these values.

    Raises:
        TypeError: A field is missing or unknown.
        ValueError: A value is not a number, a flag, a range or names, as its field requires.
    """
    for name, hint in get_type_hints(record).items():
        if name in given and not _fits(given[name], hint):
            raise ValueError(f"`{name}` cannot be `{given[name]}`")
    return record(**given)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value has the type of its field, and bounds are in order."""
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = get_args(hint)
        kinds = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        fits = len(value) == len(kinds) and all(map(_fits, value, kinds))
        return fits and (hint != Range or value[0] <= value[1])
    if hint is float:
        return type(value) in (int, float)
    return isinstance(value, get_origin(hint) or hint)
