"""Converts a Docker schema 2 image to a schema 1 manifest, as distribution 2.8 does.

2.8 converts an image that a client asks for by tag without accepting schema 2 (its
``manifest/schema1/config_builder.go``). Only clients older than Docker 1.10 need that, so this
reproduces what 2.8 sends byte for byte, except for the signature, which has the right form and
length and is not valid. The digest of a schema 1 manifest covers its payload without signatures.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from reference_registry.api.context import Context
from reference_registry.digest import Digest, digest_of, encoded_of
from reference_registry.http.errors import MANIFEST_INVALID, UNKNOWN, RegistryError, detail
from reference_registry.http.messages import json_bytes
from reference_registry.manifest import SCHEMA1_SIGNED, parse_manifest
from reference_registry.repository import FoundManifest

_MAX_CONFIG_SIZE = 8 << 20
_EMPTY_LAYER = Digest("sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4")
"""The gzipped empty tar that stands for history entries without a layer."""


async def image_as_schema1(context: Context, manifest: FoundManifest, tag: str) -> FoundManifest:
    """*manifest*, a schema 2 image, as schema 1.

    Raises MANIFEST_INVALID if its configuration is missing or does not match its layers.
    """
    parsed = parse_manifest(manifest.content)
    if parsed.config is None:
        raise UNKNOWN()
    name = context.parameters["name"]
    layers = [layer.digest for layer in parsed.layers]
    try:
        config = await context.repository.read_blob(parsed.config.digest, _MAX_CONFIG_SIZE)
        return to_schema1(name, tag, config, layers, context.clock.now())
    except (RegistryError, ValueError, AttributeError, TypeError) as error:
        raise MANIFEST_INVALID(detail(context.profile, str(error))) from None


def to_schema1(
    name: str, tag: str, config: bytes, layers: Sequence[Digest], now: datetime
) -> FoundManifest:
    """The schema 1 manifest of the image with *config* and *layers*, bottom layer first.

    Raises ``ValueError``, ``AttributeError`` or ``TypeError`` if *config* is not an image
    configuration for these layers.
    """
    image = json.loads(config)
    history, rest = image.get("history") or [], iter(layers)
    empty = [bool(entry.get("empty_layer")) for entry in history]
    diff_ids = (image.get("rootfs") or {}).get("diff_ids") or []
    if not history or len(diff_ids) != len(layers) or empty.count(False) > len(layers):
        raise ValueError("history, rootfs and layers do not match")
    blobs = [_EMPTY_LAYER if is_empty else next(rest) for is_empty in empty]
    entries: list[str] = []
    parent = ""
    for entry, blob in zip(history[:-1], blobs, strict=False):
        identity = hashlib.sha256(f"{encoded_of(blob)} {parent}".encode()).hexdigest()
        entries.append(_go_json(_placeholder(entry, identity, parent)))
        parent = identity
    identity = hashlib.sha256(f"{encoded_of(blobs[-1])} {parent} ".encode() + config).hexdigest()
    top = {key: value for key, value in image.items() if key not in {"rootfs", "history"}}
    top |= {"id": identity} | ({"parent": parent} if parent else {})
    top |= {"throwaway": True} if empty[-1] else {}
    entries.append(_go_json(dict(sorted(top.items()))))  # Go sorts the keys of a map
    payload = _go_json(
        {
            "schemaVersion": 1,
            "name": name,
            "tag": tag,
            "architecture": image.get("architecture", ""),
            "fsLayers": [{"blobSum": blob} for blob in reversed(blobs)],
            "history": [{"v1Compatibility": text} for text in reversed(entries)],
        },
        indent=3,
    ).encode()
    return FoundManifest(digest_of(payload), SCHEMA1_SIGNED, _signed(payload, now))


def _placeholder(history: Mapping[str, Any], identity: str, parent: str) -> dict[str, Any]:
    """The image of a layer below the top."""
    entry = {
        "id": identity,
        "parent": parent,
        "comment": history.get("comment"),
        "created": history.get("created") or "0001-01-01T00:00:00Z",
        "container_config": {"Cmd": [history.get("created_by", "")]},
        "author": history.get("author"),
        "throwaway": history.get("empty_layer"),
    }
    return {key: value for key, value in entry.items() if value}


def _signed(payload: bytes, now: datetime) -> bytes:
    """*payload* with a ``signatures`` member in the form of Docker's libtrust."""
    head = payload.rstrip().removesuffix(b"}").rstrip()
    protected = {
        "formatLength": len(head),
        "formatTail": _base64url(payload[len(head) :]),
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    coordinate = _base64url(bytes(32))
    key = {"crv": "P-256", "kid": ":".join(["AAAA"] * 12), "kty": "EC"}
    signature = {
        "header": {"jwk": {**key, "x": coordinate, "y": coordinate}, "alg": "ES256"},
        "signature": _base64url(bytes(64)),
        "protected": _base64url(_go_json(protected).encode()),
    }
    signatures = json.dumps([signature], indent=3).replace("\n", "\n   ")
    return head + f',\n   "signatures": {signatures}\n}}'.encode("ascii")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _go_json(document: Any, indent: int | None = None) -> str:
    return json_bytes(document, indent).decode().removesuffix("\n")
