"""Removes what differs between two runs of the same registry, so that runs can be compared.

Rules are data, each with a reason. Each rule is as narrow as possible, since it could hide a
difference between registries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

__all__ = [
    "FILES",
    "HEADERS",
    "TEXTS",
    "Names",
    "Rule",
    "file_content",
    "file_is_compared",
    "header_is_compared",
]


@dataclass(frozen=True)
class Rule:
    """*pattern* becomes *replacement*, for *reason*."""

    pattern: str
    replacement: str
    reason: str
    compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "compiled", re.compile(self.pattern))


_UUID = r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"

TEXTS = (
    Rule(_UUID, "<uuid>", "upload sessions have random names"),
    Rule(r"(_state=)[^&\s\"]+", r"\1<state>", "signs the time at which the upload began"),
    Rule(
        r"(?:127\.0\.0\.1|localhost|\[::1\]):\d+",
        "<loopback>",
        "every server of a test has a port of its own",
    ),
    Rule(r'("Port": ?)[1-9]\d*', r"\1<port>", "a port, as Go marshals an address"),
    Rule(
        r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
        "<date>",
        "the time of the run",
    ),
    Rule(
        r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)",
        "<time>",
        "the time of the run",
    ),
    Rule(r"(boundary=|^--|\n--)[0-9a-f]{32,70}", r"\1<boundary>", "parts have a random boundary"),
    Rule(
        r"\(received \d+ bytes, expected \d+\)",
        "(received less than expected)",
        "body and Content-Length are compared on their own",
    ),
    Rule(
        r'"signatures": ?\[\s*\{.*?\}\s*\]',
        '"signatures": <signatures>',
        "2.8 signs schema 1 with a key that it generates at startup",
    ),
    Rule(r"/proc/\d+/root", "", "the path into the mount namespace of a small disk"),
    Rule(r"\bsince \d+s|\bafter \d+\.\d+s", "<duration>", "how long something took"),
)
"""Applied in this order to header values, paths, bodies and errors."""

HEADERS: Mapping[str, str] = {
    "date": "the time of the run",
    "connection": "belongs to one connection (RFC 9110, 7.6.1)",
    "keep-alive": "belongs to one connection",
    "transfer-encoding": "belongs to one connection; Content-Length is compared",
    "host": "every server of a test has a port of its own",
    "server": "names the program, not its behaviour",
}
"""Header lines that are not compared, with the reason."""

FILES: Mapping[str, str] = {
    "*/_uploads/*/startedat": "the time at which the upload began",
    "*/_uploads/*/data": "how much of an interrupted upload reached the disk is random",
    "*/_uploads/*/hashstates/*": "the internal state of a hash, in a format of each implementation",
}
"""Files whose existence is compared, but not their content, with the reason."""

_OWN = ".pullproof/"
"""The reference registry's own files, which other registries do not have."""


def header_is_compared(name: str) -> bool:
    """Whether the header line *name* is compared at all."""
    return name.lower() not in HEADERS


def file_is_compared(path: str) -> bool:
    """Whether the file at *path*, relative to the storage root, is compared at all."""
    return not path.startswith(_OWN)


def file_content(path: str, sha256: str) -> str:
    """How the content of the file at *path* is compared: by the first digits of its hash, as
    ``as named`` where that is what a content-addressed path says, or not at all."""
    if any(fnmatchcase(path, pattern) for pattern in FILES):
        return "present"
    return "as named" if path.endswith(f"/{sha256}/data") else f"sha256 {sha256[:12]}"


@dataclass(frozen=True)
class Names:
    """Normalises texts. *known* maps exact texts of one run, such as an upstream's URL or a
    directory, to names for them; it applies before the rules."""

    known: Mapping[str, str] = field(default_factory=dict)

    def text(self, text: str) -> str:
        """*text* after all rules."""
        for exact in sorted(self.known, key=len, reverse=True):
            text = text.replace(exact, self.known[exact])
        for rule in TEXTS:
            text = rule.compiled.sub(rule.replacement, text)
        return text

    def header(self, name: str, value: str) -> str:
        """The value of a header line *name*."""
        return self.text(value)

    def body(self, body: str) -> str:
        """A body; keys of JSON objects in alphabetical order, since Go's maps have no order."""
        try:
            document = json.loads(body)
        except ValueError:
            return self.text(body)
        if not isinstance(document, dict | list):
            return self.text(body)
        ordered = json.dumps(document, sort_keys=True, ensure_ascii=False)
        return self.text(ordered + ("\n" if body.endswith("\n") else ""))
