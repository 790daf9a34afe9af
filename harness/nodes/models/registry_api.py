"""Reads answers of registries: error documents, challenges, tokens, manifests and indexes.

Sources: OCI distribution-spec ("Error Codes"), RFC 7235, OCI image-spec (manifest.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from harness.content import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Platform,
)
from reference_registry.digest import digest_of

__all__ = [
    "ContentDescriptor",
    "ParsedChallenge",
    "entry_for_platform",
    "is_content_of",
    "issued_token",
    "kind_of",
    "manifest_parts",
    "parse_challenges",
    "registry_errors",
    "status_line",
]


def status_line(status: int) -> str:
    """``404 Not Found``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def registry_errors(body: bytes) -> str | None:
    """The errors of an OCI error document, as containerd prints them; None if there are none."""
    try:
        errors = json.loads(body)["errors"]
        texts = [f"{_code(str(error['code']))}: {error['message']}" for error in errors]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return texts[0] if len(texts) == 1 else "errors:\n" + "\n".join(texts) if texts else None


_KNOWN_CODES = frozenset(
    {"UNSUPPORTED", "UNAUTHORIZED", "DENIED", "UNAVAILABLE", "TOOMANYREQUESTS"}
)


def _code(code: str) -> str:
    return code.lower() if code in _KNOWN_CODES else "unknown"


_PRECEDENCE = ("bearer", "digest", "basic")
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SCHEME = re.compile(_TOKEN)
_PARAMETER = re.compile(rf'\s*({_TOKEN})=(?:"((?:\\.|[^"\\])*)"|({_TOKEN})?)\s*(,?)', re.DOTALL)


@dataclass(frozen=True)
class ParsedChallenge:
    """A scheme that the registry would accept, with its parameters (names in lower case)."""

    scheme: str
    """``bearer``, ``digest`` or ``basic``."""
    parameters: Mapping[str, str]


def parse_challenges(lines: Iterable[str]) -> list[ParsedChallenge]:
    """The challenges in *lines*, Bearer first.

    Only the first challenge of a line is found: containerd takes text after a comma for another
    parameter.
    """
    found = []
    for line in lines:
        scheme = _SCHEME.match(line)
        name = scheme[0].lower() if scheme else ""
        if scheme and name in _PRECEDENCE:
            found.append(ParsedChallenge(name, _parameters(line[scheme.end() :])))
    return sorted(found, key=lambda challenge: _PRECEDENCE.index(challenge.scheme))


def issued_token(body: bytes) -> str | None:
    """The token in a token server's answer, under either key; None without one
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


_INDEXES = {OCI_INDEX, DOCKER_MANIFEST_LIST}
_MANIFESTS = {OCI_MANIFEST, DOCKER_MANIFEST}


@dataclass(frozen=True)
class ContentDescriptor:
    """The content to fetch, with its type."""

    media_type: str
    digest: str
    size: int
    kind: str
    """``index``, ``manifest``, ``config``, ``layer`` or ``unknown``."""

    @property
    def is_manifest(self) -> bool:
        """Whether it is fetched from ``/manifests/``."""
        return self.media_type in _INDEXES | _MANIFESTS


def is_content_of(digest: str, content: bytes) -> bool:
    """Whether *content* has this *digest*."""
    return digest_of(content, digest.partition(":")[0]) == digest


def kind_of(media_type: str) -> str:
    """``index``, ``manifest``, or ``unknown``."""
    if media_type in _INDEXES:
        return "index"
    return "manifest" if media_type in _MANIFESTS else "unknown"


def entry_for_platform(index: bytes, *, or_first: bool = False) -> ContentDescriptor | None:
    """The entry of *index* for linux/amd64; if there is none, None or the first entry."""
    entries = _objects(_document(index).get("manifests"))
    matching = [entry for entry in entries if entry.get("platform") == Platform().document()]
    for entry in (*matching, *(entries if or_first else ())):
        return _descriptor(entry, kind_of(str(entry.get("mediaType"))))
    return None


def manifest_parts(manifest: bytes) -> tuple[ContentDescriptor, list[ContentDescriptor]]:
    """The configuration and the layers that *manifest* names."""
    document = _document(manifest)
    config = document.get("config")
    layers = [_descriptor(layer, "layer") for layer in _objects(document.get("layers"))]
    return _descriptor(config if isinstance(config, dict) else {}, "config"), layers


def _document(content: bytes) -> Mapping[str, Any]:
    """The JSON object in *content*; empty for anything else."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _descriptor(document: Mapping[str, Any], kind: str) -> ContentDescriptor:
    size = document.get("size")
    return ContentDescriptor(
        str(document.get("mediaType", "")),
        str(document.get("digest", "")),
        size if isinstance(size, int) else 0,
        kind,
    )
