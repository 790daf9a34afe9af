"""``REGISTRY_*`` variables laid over the tree of the configuration file.

``REGISTRY_HTTP_DEBUG_ADDR=:5001`` sets ``http.debug.addr``: each underscore goes one level down,
names are upper case, values are YAML. Variables are applied in the order of their names, so that
``REGISTRY_STORAGE`` comes before ``REGISTRY_STORAGE_DELETE_ENABLED``. A level that is missing is
created; one that is not a mapping is replaced. ``REGISTRY_VERSION`` has no effect, as in
distribution.
"""

from __future__ import annotations

from collections.abc import Mapping as Environ

from reference_registry.config.problem import Place
from reference_registry.config.tree import (
    Entry,
    Mapping,
    Scalar,
    Sequence,
    SyntaxMistake,
    Tree,
    parse_tree,
)

__all__ = ["ENVIRONMENT_PREFIX", "overrides_in", "with_override"]

ENVIRONMENT_PREFIX = "REGISTRY_"
_NOT_KEYS = frozenset({"REGISTRY_CONFIGURATION_PATH", "REGISTRY_VERSION"})


def overrides_in(environ: Environ[str, str]) -> list[tuple[str, str]]:
    """The variables of *environ* that override a key, in the order of application."""
    return sorted(
        (name, value)
        for name, value in environ.items()
        if name.startswith(ENVIRONMENT_PREFIX)
        and len(name) > len(ENVIRONMENT_PREFIX)
        and name not in _NOT_KEYS
    )


def with_override(tree: Tree, name: str, value: str) -> Tree:
    """*tree* with the variable *name* applied. :class:`SyntaxMistake` where *value* is not YAML."""
    path = name.removeprefix(ENVIRONMENT_PREFIX).split("_")
    replacement, _ = parse_tree(value, name)
    return _laid_over(tree, path, Entry(Place(name), replacement), name)


def _laid_over(tree: Tree, path: list[str], new: Entry, name: str) -> Tree:
    if not path:
        return new.value
    if isinstance(tree, Sequence):
        return _in_sequence(tree, path, new, name)
    if isinstance(tree, Scalar) and tree.kind != "null":
        # ``storage: filesystem`` is short for ``storage: {filesystem: {}}``.
        tree = Mapping({tree.text: Entry(new.place, Mapping())})
    entries = tree.entries if isinstance(tree, Mapping) else {}
    key = next((known for known in entries if known.upper() == path[0]), path[0].lower())
    entry = _replaced(entries.get(key), path[1:], new, name)
    return Mapping({**entries, key: entry}, tree.repeats if isinstance(tree, Mapping) else ())


def _replaced(old: Entry | None, path: list[str], new: Entry, name: str) -> Entry:
    below = Scalar("", "null") if old is None else old.value
    place = new.place if old is None or not path else old.place
    return Entry(place, _laid_over(below, path, new, name))


def _in_sequence(tree: Sequence, path: list[str], new: Entry, name: str) -> Tree:
    if not path[0].isdecimal() or len(path[0]) > 4 or int(path[0]) > len(tree.items):
        raise SyntaxMistake(
            1, name, f"{path[0]} is not a position in a list of {len(tree.items)}", "count from 0"
        )
    index = int(path[0])
    old = tree.items[index] if index < len(tree.items) else None
    entry = _replaced(old, path[1:], new, name)
    return Sequence((*tree.items[:index], entry, *tree.items[index + 1 :]))
