"""Dataclasses as JSON values and back, by their annotations; entries of a list in TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path, PurePath
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_data(value: Any) -> Any:
    """*value* as JSON values: tuples as lists, enums by value, paths as text, dataclasses as
    objects. A dataclass with ``SPARSE = True`` leaves out the fields that have their default."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: to_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_data(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    sparse = getattr(value, "SPARSE", False)
    found = [(field, getattr(value, field.name)) for field in fields(value)]
    return {
        field.name: to_data(item) for field, item in found if not sparse or item != field.default
    }


def from_data(kind: type[T], data: Any) -> T:
    """A *kind* with the values of *data*, which :func:`to_data` has made; fields with a default may
    be missing. ``TypeError``, ``ValueError`` or ``KeyError`` where *data* does not fit."""
    read: Callable[[Any], T] = _reader(cast("Any", kind))
    return read(data)


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """The function that converts data to a *kind*: a class or an annotation."""
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}
        make = cast("Callable[..., Any]", kind)
        return lambda data: make(
            **{name: readers[name](value) for name, value in _checked(data, dict).items()}
        )
    if origin is tuple and arguments[-1] is Ellipsis:
        item = _reader(arguments[0])
        return lambda data: tuple(map(item, _checked(data, list | tuple)))
    if origin is tuple:
        items = [_reader(one) for one in arguments]
        return lambda data: tuple(
            read(one) for read, one in zip(items, _checked(data, list | tuple), strict=True)
        )
    if origin is Mapping:
        item = _reader(arguments[1])
        return lambda data: {key: item(one) for key, one in _checked(data, dict).items()}
    if type(None) in arguments:
        item = _reader(Union[tuple(one for one in arguments if one is not type(None))])  # noqa: UP007
        return lambda data: None if data is None else item(data)
    if isinstance(kind, type) and issubclass(kind, Enum | PurePath):
        return kind
    if kind in {str, int, bool}:
        return lambda data: _checked(data, kind)
    if kind is float:
        return lambda data: _checked(data, int | float)
    return lambda data: data


def _checked(data: Any, kind: Any) -> Any:
    if not isinstance(data, kind):
        raise TypeError(f"not a {kind}: {data!r:.60}")
    return data


def read_json(path: Path, schema: int, fix: str) -> dict[str, Any]:
    """The JSON object in the file at *path*, whose ``schema`` is *schema*. ``ValueError`` with the
    problem and how to *fix* it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON; {fix}") from error
    found = document.get("schema") if isinstance(document, dict) else None
    if found != schema:
        raise ValueError(f"schema is {found!r}, not {schema}; {fix}")
    return dict(document)


class EntryFileError(Exception):
    """A file with a list of entries cannot be used; the text names the file, the entry and the
    fix."""


def tables_in(path: Path, name: str) -> list[Mapping[str, Any]]:
    """The ``[[name]]`` tables of the file at *path*, which may have no others; none if there is no
    file."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EntryFileError(f"{path}: {error}; fix the TOML") from error
    tables = document.pop(name, [])
    if document:
        raise EntryFileError(
            f"{path}: unknown key {next(iter(document))!r}; only [[{name}]] is allowed here"
        )
    return list(tables)


_TYPES = {
    "str": "a string",
    "bool": "true or false",
    "tuple[str, ...]": "a list of strings",
    "Mapping[str, Any]": "a table",
}


def entry_from(path: Path, table: Mapping[str, Any], kind: type[T]) -> T:
    """The *kind* that *table* of the file at *path* says; fields with a default may be missing."""
    given = {field.name: field for field in fields(cast("Any", kind))}
    optional = {name for name, field in given.items() if field.default is not MISSING}
    wanted = given.keys() - optional
    place = f"{path}: entry for {table.get('scenario', table.get('scenarios', '?'))!r}"
    if wrong := wanted.symmetric_difference(table.keys() - optional):
        may = f" and may have {', '.join(sorted(optional))}" if optional else ""
        raise EntryFileError(
            f"{place} has missing or unknown keys: {', '.join(sorted(wrong))}; "
            f"it takes {', '.join(sorted(wanted))}{may}"
        )
    values = {}
    for name, hint in get_type_hints(kind).items():
        if name in table:
            try:
                values[name] = _reader(hint)(table[name])
            except TypeError as error:
                fix = _TYPES[str(given[name].type)]
                raise EntryFileError(f"{place}: {name} must be {fix}") from error
    return kind(**values)
