"""The ``_state`` token in the URL of an upload, as distribution makes it.

URL-safe base64 of an HMAC-SHA256 (32 bytes, keyed with ``http.secret``) followed by the JSON
document that it covers. It tells a registry without shared memory how far the upload had come when
the URL was handed out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime

__all__ = ["UploadState", "UploadStates"]

_MAC_SIZE = hashlib.sha256().digest_size


@dataclass(frozen=True)
class UploadState:
    """What a token says. ``offset`` is in bytes."""

    name: str
    """The repository."""
    uuid: str
    offset: int


class UploadStates:
    """Signs and reads tokens with one *secret*."""

    def __init__(self, secret: str) -> None:
        self._key = secret.encode()

    def pack(self, state: UploadState, now: datetime) -> str:
        """The token. ``StartedAt`` is of no use to any reader, so *now* does."""
        document = json.dumps(
            {
                "Name": state.name,
                "UUID": state.uuid,
                "Offset": state.offset,
                "StartedAt": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            separators=(",", ":"),
        ).encode()
        return base64.urlsafe_b64encode(self._mac(document) + document).decode("ascii")

    def unpack(self, token: str) -> UploadState | None:
        """What *token* says, or None where it is not one that was signed with our secret."""
        try:
            signed = base64.urlsafe_b64decode(token.encode("ascii"))
            mac, document = signed[:_MAC_SIZE], signed[_MAC_SIZE:]
            if not hmac.compare_digest(mac, self._mac(document)):
                return None
            fields = json.loads(document)
            return UploadState(str(fields["Name"]), str(fields["UUID"]), int(fields["Offset"]))
        # A known secret, such as the empty one of some proxies, lets anyone sign anything.
        except (ValueError, KeyError, TypeError):
            return None

    def _mac(self, document: bytes) -> bytes:
        return hmac.digest(self._key, document, "sha256")
