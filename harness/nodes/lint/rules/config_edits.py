"""config.yml: the edits that put mistakes of spelling right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.nodes.lint.documents import TextFile
from harness.nodes.lint.finding import AddKey, Edit, RemoveKey, RenameKey, ReplaceText, SetValue

if TYPE_CHECKING:
    from reference_registry.config.problem import Problem

__all__ = [
    "as_duration",
    "below_log",
    "redis_address",
    "renamed",
    "unquoted",
    "with_colon",
    "with_slash",
    "with_space",
    "with_unit",
]


def _line(file: TextFile, problem: Problem) -> str:
    return file.text.splitlines()[(problem.place.line or 1) - 1]


def with_space(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """The line with the space behind its first colon."""
    from reference_registry.config.tree import unspaced_key

    old = _line(file, problem)
    code, mark, comment = old.partition(" #")
    found = unspaced_key(code)
    if found is None:
        return ()
    gap = " " * (len(code) - len(code.rstrip()))
    return (ReplaceText(problem.place.line or 1, old, f"{found[1]}{gap}{mark}{comment}"),)


def with_colon(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """``80`` becomes ``:80``."""
    match = re.search(r"'(\d+)' is no address", problem.what)
    return (SetValue(tuple(problem.key.split(".")), f":{match[1]}"),) if match else ()


def unquoted(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """``'true'`` becomes ``true``."""
    match = re.match(r"write (true|yes|on|false|no|off) ", problem.fix)
    if match is None:
        return ()
    return (SetValue(tuple(problem.key.split(".")), match[1] in {"true", "yes", "on"}),)


def as_duration(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """``1d`` becomes ``24h``."""
    match = re.fullmatch(r"write (\d+[a-z]+)", problem.fix)
    return (SetValue(tuple(problem.key.split(".")), match[1]),) if match else ()


def with_unit(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """Less than a second of nanoseconds were meant as seconds, which is what the reader says; from
    there on a number may well be meant as it is, so that only its writing changes."""
    from reference_registry.config.units import from_nanoseconds, short_duration

    match = re.fullmatch(r"write (\d+)s", problem.fix)
    if match is None:
        return ()
    number = int(match[1])
    meant = f"{number}s" if number < 10**9 else short_duration(from_nanoseconds(number))
    return (SetValue(tuple(problem.key.split(".")), meant),)


def with_slash(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """``registry/`` becomes ``/registry/``."""
    path = tuple(problem.key.split("."))
    value = file.root.string(*path) if file.root else ""
    return (SetValue(path, f"/{value}"),) if value else ()


def redis_address(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """``addr`` and ``addrs`` into each other; a list of several stays as it is."""
    redis = file.root.get("redis") if file.root else None
    single, several = (redis.get("addr"), redis.get("addrs")) if redis else (None, None)
    if single is not None and several is None and single.text:
        path = ("redis", "addr")
        return (SetValue(path, (single.text,)), RenameKey(path, "addrs"))
    items = [item.text for item in several.list()] if several is not None else []
    if single is None and len(items) == 1:
        path = ("redis", "addrs")
        return (SetValue(path, items[0]), RenameKey(path, "addr"))
    return ()


def below_log(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """``loglevel`` becomes ``log.level``."""
    level = file.root.string("loglevel") if file.root else ""
    if not level or (file.root and file.root.get("log", "level")):
        return ()
    return (RemoveKey(("loglevel",)), AddKey(("log", "level"), level))


def renamed(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """The key that the reader thinks was meant."""
    match = re.fullmatch(r"did you mean ([\w-]+)\?", problem.fix)
    return (RenameKey(tuple(problem.key.split(".")), match[1]),) if match else ()
