"""Files next to config.yml: htpasswd and scheduler-state.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from harness.nodes.lint.documents import TextFile, spot_of
from harness.nodes.lint.finding import Spot
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.REGISTRY)

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")


@rules("PPC201", by="registry")
def htpasswd_is_a_directory(file: TextFile, context: RuleContext) -> Iterator[Hit]:
    found = file.reading(context.profile)
    auth = found.attempted.auth.htpasswd if found.attempted else None
    if auth is not None and context.project.kind_at(str(auth.path)) == "directory":
        place = found.places.get("auth.htpasswd.path")
        spot = spot_of(place) if place else Spot()
        yield Hit(spot, f"{str(auth.path)!r} is a directory")


@rules("PPC202", kinds=(Kind.HTPASSWD,))
def not_bcrypt(file: TextFile, context: RuleContext) -> Iterator[Hit]:
    for number, line in _entries(file):
        user, colon, password = line.strip().partition(":")
        if colon and not _BCRYPT.fullmatch(password):
            known = {"$apr1$": "md5", "{SHA}": "sha1", "$5$": "sha256", "$6$": "sha512"}
            kind = next(
                (name for mark, name in known.items() if password.startswith(mark)), "not bcrypt"
            )
            yield Hit(Spot(number, line.index(":") + 2), f"the password of {user!r} is {kind}")


@rules("PPC203", kinds=(Kind.HTPASSWD,))
def no_colon(file: TextFile, context: RuleContext) -> Iterator[Hit]:
    for number, line in _entries(file):
        if ":" not in line:
            yield Hit(Spot(number), "no colon between user and password")


def _entries(file: TextFile) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(file.text.splitlines(), 1):
        if line.strip() and not line.strip().startswith("#"):
            yield number, line


@rules("PPC204", kinds=(Kind.SCHEDULE,))
def damaged_schedule(file: TextFile, context: RuleContext) -> Iterator[Hit]:
    try:
        found = json.loads(file.text)
    except (ValueError, RecursionError):
        yield Hit(Spot(), "empty" if not file.text.strip() else "not JSON")
        return
    if not isinstance(found, dict):
        yield Hit(Spot(), "not an object")
        return
    for name, entry in found.items():
        key = _unreadable(entry)
        if key is not None:
            yield Hit(_spot(name, file), f"{name[:80]!r}: {key or 'the entry'} is invalid")


def _unreadable(entry: object) -> str | None:
    """The key of an entry that prevents startup; empty for the entry itself."""
    if not isinstance(entry, dict):
        return ""
    if not isinstance(entry.get("Key") or "", str):
        return "Key"
    date = entry.get("ExpiryData")
    if date is not None and not (isinstance(date, str) and _RFC_3339.fullmatch(date)):
        return "ExpiryData"
    kind = entry.get("EntryType")
    return None if kind is None or type(kind) is int else "EntryType"


def _spot(name: str, file: TextFile) -> Spot:
    """The line of an entry."""
    return Spot(file.text.count("\n", 0, max(file.text.find(json.dumps(name)), 0)) + 1)


@rules("PPC205", kinds=(Kind.SCHEDULE,))
def odd_entry(file: TextFile, context: RuleContext) -> Iterator[Hit]:
    try:
        found = json.loads(file.text)
    except (ValueError, RecursionError):
        return
    for key, entry in found.items() if isinstance(found, dict) else ():
        if _unreadable(entry) is not None:
            continue
        good = entry.get("Key") == key and "ExpiryData" in entry
        if not good or entry.get("EntryType") not in {0, 1}:
            what = f"{key[:80]!r} has another Key, no ExpiryData, or no known EntryType"
            yield Hit(_spot(key, file), what)
