"""Turning a schema 2 manifest into the schema 1 manifest that Docker 1.9 and older can read.

2.8 does so for a client that asks by tag and does not accept schema 2 (its
``manifest/schema1/config_builder.go``). The digest of a schema 1 manifest is that of its payload,
without the signatures, and so is the same whichever key signs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reference_registry.api.schema1_signature import SigningKey, signed
from reference_registry.digest import Digest, digest_of, encoded_of
from reference_registry.manifest import SCHEMA1_SIGNED
from reference_registry.repository import Manifest

__all__ = ["EMPTY_LAYER", "EMPTY_LAYER_DIGEST", "ConversionError", "to_schema1"]

EMPTY_LAYER = bytes.fromhex("1f8b080000096e8800ff621805a360148c5800080000ffff2eafb5ef00040000")
"""A gzipped tar of nothing, which stands for history entries that have no layer."""
EMPTY_LAYER_DIGEST = digest_of(EMPTY_LAYER)

_GO_ZERO_TIME = "0001-01-01T00:00:00Z"


class ConversionError(Exception):
    """The image's configuration does not fit its manifest."""


@dataclass(frozen=True)
class _Step:
    """One entry of the image's history with the blob it made."""

    history: Mapping[str, Any]
    blob: Digest

    @property
    def empty(self) -> bool:
        return bool(self.history.get("empty_layer"))


def to_schema1(
    name: str,
    tag: str,
    config: bytes,
    layers: Sequence[Digest],
    key: SigningKey,
    now: datetime,
) -> tuple[Manifest, bool]:
    """The signed schema 1 manifest of the image with *config* and *layers* (bottom first), and
    whether it refers to :data:`EMPTY_LAYER`. Raises :class:`ConversionError`."""
    try:
        image = json.loads(config)
        steps = _steps(image, layers)
    except (ValueError, AttributeError, TypeError) as error:
        raise ConversionError(f"image configuration: {error}") from None
    compatibilities: list[str] = []
    parent = ""
    for step in steps[:-1]:
        identity = hashlib.sha256(f"{encoded_of(step.blob)} {parent}".encode()).hexdigest()
        compatibilities.append(_go_json(_compatibility(step, identity, parent)))
        parent = identity
    top = steps[-1]
    identity = hashlib.sha256(f"{encoded_of(top.blob)} {parent} ".encode() + config).hexdigest()
    compatibilities.append(_go_json(_top_compatibility(image, top, identity, parent)))
    payload = _go_json(
        {
            "schemaVersion": 1,
            "name": name,
            "tag": tag,
            "architecture": image.get("architecture", ""),
            "fsLayers": [{"blobSum": step.blob} for step in reversed(steps)],
            "history": [{"v1Compatibility": text} for text in reversed(compatibilities)],
        },
        indent=3,
    ).encode()
    content = signed(payload, key, now)
    manifest = Manifest(digest_of(payload), SCHEMA1_SIGNED, content)
    return manifest, any(step.empty for step in steps)


def _steps(image: Mapping[str, Any], layers: Sequence[Digest]) -> list[_Step]:
    history = image.get("history") or []
    if not history:
        raise ConversionError("empty history when trying to create schema1 manifest")
    diff_ids = (image.get("rootfs") or {}).get("diff_ids") or []
    if len(diff_ids) != len(layers):
        raise ConversionError(
            "number of descriptors and number of layers in rootfs must match: "
            f"len({len(layers)}) != len({len(diff_ids)})"
        )
    rest = iter(layers)
    steps = []
    for entry in history:
        blob = EMPTY_LAYER_DIGEST if entry.get("empty_layer") else next(rest, None)
        if blob is None:
            raise ConversionError("too many non-empty layers in History section")
        steps.append(_Step(entry, blob))
    return steps


def _compatibility(step: _Step, identity: str, parent: str) -> dict[str, Any]:
    """A made-up image of Docker 1.9 for a layer below the top; it cannot be run by itself."""
    entry: dict[str, Any] = {"id": identity}
    if parent:
        entry["parent"] = parent
    if step.history.get("comment"):
        entry["comment"] = step.history["comment"]
    entry["created"] = step.history.get("created") or _GO_ZERO_TIME
    entry["container_config"] = {"Cmd": [step.history.get("created_by", "")]}
    if step.history.get("author"):
        entry["author"] = step.history["author"]
    if step.empty:
        entry["throwaway"] = True
    return entry


def _top_compatibility(
    image: Mapping[str, Any], step: _Step, identity: str, parent: str
) -> dict[str, Any]:
    """The image's own configuration, in the order in which Go marshals a map."""
    entry = {key: value for key, value in image.items() if key not in {"rootfs", "history"}}
    entry["id"] = identity
    if parent:
        entry["parent"] = parent
    if step.empty:
        entry["throwaway"] = True
    return dict(sorted(entry.items()))


def _go_json(document: Any, indent: int | None = None) -> str:
    """As Go's ``json.Marshal`` writes it, which escapes what HTML would read as markup."""
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(document, indent=indent, separators=separators, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
