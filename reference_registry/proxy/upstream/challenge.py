"""Authentication challenges, and the tokens that answer them.

``WWW-Authenticate`` is RFC 9110, 11.6.1; the Bearer exchange is the distribution project's "Token
Authentication Specification". Both come from upstream and are read as hostile input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"({_TOKEN})(?:[ \t]+|(?=,|\Z))")
_PARAMETER = re.compile(
    rf"""({_TOKEN}) [ \t]* = [ \t]* (?: ({_TOKEN}) | "((?:[^"\\]|\\.)*)" ) [ \t]* (?=,|\Z)""",
    re.VERBOSE,
)
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|\Z)")
_SEPARATOR = re.compile(r"[ \t]*(?:,[ \t]*)*")
_QUOTED_PAIR = re.compile(r"\\(.)")

_LONGEST_HEADER = 16 * 1024
_DEFAULT_LIFETIME = 60  # seconds; the token specification's default of expires_in
_LONGEST_LIFETIME = 30 * 86_400
_SENDABLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Challenge:
    """One challenge. ``scheme`` and the names of ``parameters`` are lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """The parameter *name*, or an empty text."""
        return self.parameters.get(name, "")


def parse_challenges(lines: Iterable[str]) -> tuple[Challenge, ...]:
    """The challenges of all ``WWW-Authenticate`` header *lines*, in order.

    A line is read up to the first thing that does not fit the grammar; what was complete before it
    counts. Where a parameter comes twice, the first one counts.
    """
    return tuple(challenge for line in lines for challenge in _parse_line(line))


def _parse_line(line: str) -> list[Challenge]:
    challenges: list[Challenge] = []
    if len(line) > _LONGEST_HEADER:
        return challenges
    parameters: dict[str, str] = {}
    position = _skip(line, 0)
    while position < len(line):
        # "Basic realm=x, Bearer realm=y": after a comma comes a parameter or the next scheme.
        if challenges and (match := _PARAMETER.match(line, position)):
            name, bare, quoted = match.groups()
            value = bare if bare is not None else _QUOTED_PAIR.sub(r"\1", quoted)
            parameters.setdefault(name.lower(), value)
        elif match := _SCHEME.match(line, position):
            parameters = {}
            challenges.append(Challenge(match[1].lower(), parameters))
            if not _PARAMETER.match(line, match.end()):
                match = _TOKEN68.match(line, match.end()) or match
        else:
            break
        position = _skip(line, match.end())
    return challenges


def _skip(line: str, position: int) -> int:
    match = _SEPARATOR.match(line, position)
    return match.end() if match else position


def token_query(realm_query: str, *, scope: str, service: str, account: str | None) -> str:
    """The query of a token request, parameters sorted by name as distribution sends them.

    *realm_query* is what the realm's own URL had; *account* is the user whose credentials go along.
    """
    parameters = [("scope", scope)]
    if service:
        parameters.append(("service", service))
    if account is not None:
        parameters.append(("account", account))
    query = urlencode(sorted(parameters))
    return f"{realm_query}&{query}" if realm_query else query


@dataclass(frozen=True)
class Token:
    """A Bearer token, and when it stops being sent."""

    value: str = field(repr=False)
    expires: datetime


class TokenUnusable(ValueError):
    """The token server's answer has no token that can be sent."""


def parse_token(body: bytes, now: datetime) -> Token:
    """The token in a token server's answer that came at *now*; raises :class:`TokenUnusable`.

    The lifetime counts from *now* and not from ``issued_at``, since clocks differ.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise TokenUnusable("the answer is not JSON") from None
    if not isinstance(document, dict):
        raise TokenUnusable("the answer is not a JSON object")
    value = document.get("token") or document.get("access_token")
    if not isinstance(value, str):
        raise TokenUnusable("the answer has no token")
    if not _SENDABLE.fullmatch(value):
        raise TokenUnusable("the token cannot be sent in a header")
    lifetime = document.get("expires_in", _DEFAULT_LIFETIME)
    if not isinstance(lifetime, int | float) or not lifetime > 0:
        lifetime = _DEFAULT_LIFETIME
    return Token(value, now + timedelta(seconds=min(lifetime, _LONGEST_LIFETIME)))
