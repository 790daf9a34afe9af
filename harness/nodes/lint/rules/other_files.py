"""Small files: htpasswd, scheduler-state.json, and files of any kind that cannot be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from harness.nodes.lint.documents import TextFile, Unread
from harness.nodes.lint.finding import Hit, Spot
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import RuleContext, Rules, rule_texts

__all__ = ["rules"]

rules = Rules(Kind.INPUT)

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
_OTHER_HASHES = {"$apr1$": "md5", "{SHA}": "sha1", "$5$": "sha256", "$6$": "sha512"}


@rules(*(rule_id for rule_id in rule_texts() if rule_id.startswith("PPX")))
def unread(file: Unread, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    yield file.cause, Hit(file.spot, file.what, edits=file.edits)


@rules("PPC202", "PPC203", kinds=(Kind.HTPASSWD,))
def htpasswd(file: TextFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    for number, line in enumerate(file.text.splitlines(), 1):
        user, colon, password = line.strip().partition(":")
        if not line.strip() or user.startswith("#"):
            continue
        if not colon:
            yield "PPC203", Hit(Spot(number), "no colon between user and password")
        elif not _BCRYPT.fullmatch(password):
            known = (name for mark, name in _OTHER_HASHES.items() if password.startswith(mark))
            what = f"the password of {user!r} is {next(known, 'not bcrypt')}"
            yield "PPC202", Hit(Spot(number, line.index(":") + 2), what)


@rules("PPC204", "PPC205", kinds=(Kind.SCHEDULE,))
def schedule(file: TextFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    try:
        found = json.loads(file.text)
    except (ValueError, RecursionError):
        yield "PPC204", Hit(Spot(), "empty" if not file.text.strip() else "not JSON")
        return
    if not isinstance(found, dict):
        yield "PPC204", Hit(Spot(), "not an object")
        return
    for name, entry in found.items():
        at = max(file.text.find(json.dumps(name)), 0)
        spot, said = Spot(file.text.count("\n", 0, at) + 1), repr(name[:80])
        key = _unreadable(entry)
        if key is not None:
            yield "PPC204", Hit(spot, f"{said}: {key or 'the entry'} is invalid")
        elif (
            entry.get("Key") != name
            or "ExpiryData" not in entry
            or entry.get("EntryType") not in {0, 1}
        ):
            what = f"{said} has another Key, no ExpiryData, or no known EntryType"
            yield "PPC205", Hit(spot, what)


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
