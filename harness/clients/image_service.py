"""The part of the CRI's ImageService over gRPC that a pull needs.

The messages are declared here, field by field, as in the CRI's published interface
(https://github.com/kubernetes/cri-api, pkg/apis/runtime/v1/api.proto).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["ImageService", "Pulled"]

_MESSAGES: Mapping[str, tuple[tuple[str, int, str], ...]] = {
    "ImageSpec": (("image", 1, ""),),
    "AuthConfig": (
        ("username", 1, ""),
        ("password", 2, ""),
        ("auth", 3, ""),
        ("server_address", 4, ""),
        ("identity_token", 5, ""),
        ("registry_token", 6, ""),
    ),
    "Image": (("id", 1, ""),),
    "PullImageRequest": (("image", 1, "ImageSpec"), ("auth", 2, "AuthConfig")),
    "PullImageResponse": (("image_ref", 1, ""),),
    "ImageStatusRequest": (("image", 1, "ImageSpec"),),
    "ImageStatusResponse": (("image", 1, "Image"),),
    "RemoveImageRequest": (("image", 1, "ImageSpec"),),
    "RemoveImageResponse": (),
}
"""Name, number and message type (empty for a string) of every field."""
_PACKAGE = "runtime.v1"
_INITIALISING = {"UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED"}


def _declared() -> Mapping[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="pullproof_cri.proto", package=_PACKAGE)
    file.syntax = "proto3"
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            added = message.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
            added.type = kinds.TYPE_MESSAGE if kind else kinds.TYPE_STRING
            if kind:
                added.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_CLASSES = _declared()


@dataclass(frozen=True)
class Pulled:
    """How a PullImage ended."""

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
        """Return when the service answers: the CRI plugin initialises after containerd reports that
        it has booted. Raises ``TimeoutError`` after *timeout* seconds."""
        deadline = time.monotonic() + timeout
        while True:
            status = self.status("nothing.example/nothing", timeout)
            if status.code not in _INITIALISING:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the image service does not answer: {status.message}")
            time.sleep(0.02)

    def pull(self, image: str, auth: Mapping[str, str] | None, timeout: float) -> Pulled:
        """``PullImage``, with an AuthConfig unless *auth* is None; takes at most *timeout*
        seconds."""
        request = _CLASSES["PullImageRequest"](image=_spec(image))
        if auth is not None:
            request.auth.SetInParent()
            for name, value in auth.items():
                setattr(request.auth, name, value)
        return self._call("PullImage", request, timeout)

    def status(self, image: str, timeout: float) -> Pulled:
        """``ImageStatus``: whether the service answers."""
        return self._call(
            "ImageStatus", _CLASSES["ImageStatusRequest"](image=_spec(image)), timeout
        )

    def remove(self, image: str, timeout: float) -> Pulled:
        """``RemoveImage``; no error if there is no such image."""
        return self._call(
            "RemoveImage", _CLASSES["RemoveImageRequest"](image=_spec(image)), timeout
        )

    def _call(self, method: str, request: Any, timeout: float) -> Pulled:
        call = self._channel.unary_unary(
            f"/{_PACKAGE}.ImageService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=_CLASSES[f"{method}Response"].FromString,
        )
        try:
            call(request, timeout=timeout, wait_for_ready=True)
        except grpc.RpcError as error:
            return Pulled(error.code().name, error.details() or "")
        return Pulled()


def _spec(image: str) -> Any:
    return _CLASSES["ImageSpec"](image=image)
