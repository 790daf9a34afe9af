"""Serving an image to a client that knows schema 1 only, as 2.8 does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache

from reference_registry.api.context import Context
from reference_registry.api.schema1 import (
    EMPTY_LAYER,
    EMPTY_LAYER_DIGEST,
    ConversionError,
    to_schema1,
)
from reference_registry.api.schema1_signature import SigningKey
from reference_registry.digest import Digest
from reference_registry.http.details import detail
from reference_registry.http.errors import MANIFEST_INVALID, UNKNOWN, RegistryError
from reference_registry.manifest import parse_manifest
from reference_registry.repository import Manifest

__all__ = ["image_as_schema1"]

_MAX_CONFIG_SIZE = 8 << 20


async def image_as_schema1(context: Context, manifest: Manifest, tag: str) -> Manifest:
    """The schema 2 *manifest* in the form of schema 1. MANIFEST_INVALID where its configuration is
    missing or does not fit."""
    parsed = parse_manifest(manifest.content)
    if parsed.config is None:
        raise UNKNOWN()
    try:
        config = await _read_blob(context, parsed.config.digest)
        converted, needs_empty_layer = to_schema1(
            context.parameters["name"],
            tag,
            config,
            [layer.digest for layer in parsed.layers],
            _signing_key(),
            context.clock.now(),
        )
    except ConversionError as error:
        raise MANIFEST_INVALID(detail(context.profile, str(error))) from None
    if needs_empty_layer:
        await _ensure_empty_layer(context)
    return converted


async def _read_blob(context: Context, digest: Digest) -> bytes:
    try:
        return await context.repository.read_blob(digest, _MAX_CONFIG_SIZE)
    except (RegistryError, ValueError) as error:
        raise MANIFEST_INVALID(detail(context.profile, str(error))) from None


async def _ensure_empty_layer(context: Context) -> None:
    """The converted manifest names a blob that the image does not have; make it pullable."""
    repository = context.repository
    request = replace(context.request, method="HEAD", headers={}, query_string="")
    try:
        await repository.serve_blob(EMPTY_LAYER_DIGEST, request)
    except RegistryError:
        session = await repository.start_upload()
        session = await repository.append_upload(session, _once(EMPTY_LAYER))
        await repository.commit_upload(session, EMPTY_LAYER_DIGEST)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


@cache
def _signing_key() -> SigningKey:
    return SigningKey()
