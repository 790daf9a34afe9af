"""What a request's ``Authorization`` header carries, and how to speak of it without its secret."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from harness.upstream.calls import Headers

__all__ = ["NO_CREDENTIAL", "Credential", "parse_credential", "redacted"]

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})


@dataclass(frozen=True)
class Credential:
    """A parsed ``Authorization`` header (RFC 7617 Basic, RFC 6750 Bearer)."""

    scheme: str
    """``none``, ``basic``, ``bearer``, or whatever else was sent, in lower case."""
    username: str | None = None
    secret: str = field(default="", repr=False)
    """The password or the token."""

    @property
    def label(self) -> str:
        """``none``, ``basic:<user>``, ``bearer``: what the ledger keeps."""
        return self.scheme if self.username is None else f"{self.scheme}:{self.username}"


NO_CREDENTIAL = Credential("none")


def parse_credential(header: str | None) -> Credential:
    """The credential in an ``Authorization`` header; a malformed Basic one has no user name."""
    if header is None:
        return NO_CREDENTIAL
    scheme, _, value = header.partition(" ")
    scheme = scheme.lower()
    if scheme != "basic":
        return Credential(scheme, None, value.strip())
    try:
        username, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return Credential(scheme)
    return Credential(scheme, username, password) if colon else Credential(scheme)


def redacted(headers: Headers) -> Headers:
    """*headers* with the secrets replaced by three asterisks."""
    return tuple(
        (name, f"{value.partition(' ')[0]} ***" if name in _SECRET_HEADERS else value)
        for name, value in headers
    )
