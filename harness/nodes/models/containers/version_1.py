"""Version 1 of ``registries.conf``: lists of names to search, to speak HTTP with, and to block.

It is still read, as a file of its own but not as a drop-in, and never mixed with version 2. Format:
https://github.com/containers/image/blob/v5.22.0/docs/containers-registries.conf.5.md, "VERSION 1".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["NotVersion2", "as_version_2"]

_LISTS = ("search", "insecure", "block")
_VERSION_2 = (
    *("registry", "unqualified-search-registries", "credential-helpers"),
    *("short-name-mode", "aliases"),
)


class NotVersion2(ValueError):
    """The file cannot be read as either version; ``path`` is what stands in the way."""

    def __init__(self, reason: str, *path: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path


def as_version_2(document: Mapping[str, Any], *, is_drop_in: bool) -> Mapping[str, Any]:
    """*document* in the form of version 2; as it is, if nothing in it is of version 1.

    Raises :class:`NotVersion2`.
    """
    lists = {name: _names(document, name) for name in _LISTS}
    if not any(lists.values()):
        return document
    if is_drop_in:
        raise NotVersion2("registry must be in v2 format but is in v1", "registries")
    if any(document.get(key) for key in _VERSION_2):
        raise NotVersion2("mixing sysregistry v1/v2 is not supported", "registries")
    blocked, insecure = ({one.rstrip("/") for one in lists[n]} for n in ("block", "insecure"))
    locations = dict.fromkeys(one.rstrip("/") for one in (*lists["block"], *lists["insecure"]))
    return {
        "unqualified-search-registries": list(lists["search"]),
        "registry": [
            {"location": one, "blocked": one in blocked, "insecure": one in insecure}
            for one in locations
        ],
    }


def _names(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    table = document.get("registries", {})
    for part in (name, "registries"):
        if not isinstance(table, dict):
            raise NotVersion2(f"`registries.{name}` must be a table", "registries")
        table = table.get(part, {} if part == name else [])
    if not isinstance(table, list) or not all(isinstance(item, str) for item in table):
        reason = f"`registries.{name}.registries` must be a list of strings"
        raise NotVersion2(reason, "registries", name)
    return tuple(table)
