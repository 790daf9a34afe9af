"""WWW-Authenticate as containerd reads it (a subset of RFC 7235): one challenge a header line; and
the token that is issued in the end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Challenge", "issued_token", "parse_challenges"]

_PRECEDENCE = ("bearer", "digest", "basic")
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SCHEME = re.compile(_TOKEN)
_PARAMETER = re.compile(rf'\s*({_TOKEN})=(?:"((?:\\.|[^"\\])*)"|({_TOKEN})?)\s*(,?)', re.DOTALL)


@dataclass(frozen=True)
class Challenge:
    """A scheme that the registry would accept, with its parameters (names in lower case)."""

    scheme: str
    """``bearer``, ``digest`` or ``basic``."""
    parameters: Mapping[str, str]


def parse_challenges(lines: Iterable[str]) -> list[Challenge]:
    """The challenges in *lines*, Bearer first.

    Only the first challenge of a line is seen: what follows its parameters after a comma is taken
    for another parameter.
    """
    found = []
    for line in lines:
        scheme = _SCHEME.match(line)
        name = scheme[0].lower() if scheme else ""
        if scheme and name in _PRECEDENCE:
            found.append(Challenge(name, _parameters(line[scheme.end() :])))
    return sorted(found, key=lambda challenge: _PRECEDENCE.index(challenge.scheme))


def issued_token(body: bytes) -> str | None:
    """The token in a token server's answer, by either name; None where it has none
    (https://distribution.github.io/distribution/spec/auth/token/, "Token Response Fields")."""
    try:
        document = json.loads(body)
        token = document.get("token") or document.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        return None
    return token if isinstance(token, str) else None


def _parameters(text: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    position = 0
    while match := _PARAMETER.match(text, position):
        name, quoted, bare, comma = match.groups()
        value = re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if quoted is not None else bare
        parameters[name.lower()] = value or ""
        if not comma:
            break
        position = match.end()
    return parameters
