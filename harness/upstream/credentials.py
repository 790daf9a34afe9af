"""What a request's ``Authorization`` header carries, and how to speak of it without its secret."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from harness.upstream.calls import Call

__all__ = ["NO_CREDENTIAL", "Credential", "credential_of", "parse_credential"]


@dataclass(frozen=True)
class Credential:
    """Who a request says it comes from (RFC 7617 Basic, RFC 6750 Bearer)."""

    scheme: str
    """``none``, ``basic``, ``bearer``, or whatever else was sent, in lower case; ``form`` for a
    user name in the body of a request for a token."""
    username: str | None = None
    secret: str = field(default="", repr=False)
    """The password or the token."""

    @property
    def label(self) -> str:
        """``none``, ``basic:<user>``, ``bearer``, ``form:<user>``: what the ledger keeps."""
        return self.scheme if self.username is None else f"{self.scheme}:{self.username}"

    def proves(self, username: str, password: str) -> bool:
        """Whether this is the password of that user."""
        return self.username == username and hmac.compare_digest(
            self.secret.encode(), password.encode()
        )


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


def credential_of(call: Call) -> Credential:
    """The credential that *call* carries, in its header or, asking for a token, in its body."""
    if call.kind == "token" and call.method == "POST":
        form = parse_qs(call.body.decode("utf-8", "replace"))
        if username := form.get("username"):
            return Credential("form", username[0], form.get("password", [""])[0])
    return parse_credential(call.header("authorization"))
