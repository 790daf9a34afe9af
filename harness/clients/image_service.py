"""The calls of the CRI's ImageService that a pull needs, over gRPC.

Messages: https://github.com/kubernetes/cri-api, pkg/apis/runtime/v1/api.proto. Requests have string
and message fields only, and of a response only the status is used, so this needs no protobuf.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

_AUTH_CONFIG = (
    *("username", "password", "auth", "server_address", "identity_token", "registry_token"),
)
"""The fields of ``AuthConfig`` in the order of their numbers."""
_INITIALISING = {"UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED"}


@dataclass(frozen=True)
class Pulled:
    """How a call ended."""

    code: str = "OK"
    """The name of the gRPC status."""
    message: str = ""


class ImageService:
    """The service behind the socket at *path*."""

    def __init__(self, path: Path) -> None:
        self._channel = grpc.insecure_channel(f"unix://{path}")

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def await_ready(self, timeout: float) -> None:
        """Return when the service answers ImageStatus: the CRI plugin initialises after containerd
        reports that it has booted. Raises ``TimeoutError`` after *timeout* seconds."""
        deadline = time.monotonic() + timeout
        while True:
            status = self._call("ImageStatus", timeout, _message("nothing.example/nothing"))
            if status.code not in _INITIALISING:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the image service does not answer: {status.message}")
            time.sleep(0.02)

    def pull(self, image: str, auth: Mapping[str, str] | None, timeout: float) -> Pulled:
        """``PullImage``, with an AuthConfig unless *auth* is None; takes at most *timeout*
        seconds."""
        login = None if auth is None else _message(*map(auth.get, _AUTH_CONFIG))
        return self._call("PullImage", timeout, _message(image), login)

    def remove(self, image: str, timeout: float) -> Pulled:
        """``RemoveImage``; no error if there is no such image."""
        return self._call("RemoveImage", timeout, _message(image))

    def _call(self, method: str, timeout: float, *fields: bytes | None) -> Pulled:
        path = f"/runtime.v1.ImageService/{method}"
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(path)
        try:
            call(_message(*fields), timeout=timeout, wait_for_ready=True)
        except grpc.RpcError as error:
            return Pulled(error.code().name, error.details() or "")
        return Pulled()


def _message(*fields: str | bytes | None) -> bytes:
    """A protobuf message with the strings and messages *fields*, numbered from 1; None leaves a
    field out (https://protobuf.dev/programming-guides/encoding/)."""
    encoded = bytearray()
    for number, value in enumerate(fields, 1):
        if value is not None:
            data = value.encode() if isinstance(value, str) else value
            encoded.append(number << 3 | 2)
            length = len(data)
            while length > 0x7F:
                encoded.append(length & 0x7F | 0x80)
                length >>= 7
            encoded += bytes([length]) + data
    return bytes(encoded)
