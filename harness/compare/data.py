"""Dataclasses as JSON values and back, by their annotations. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

__all__ = ["from_data", "to_data"]

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
