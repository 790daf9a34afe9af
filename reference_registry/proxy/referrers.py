"""Referrers of a manifest, from upstream: OCI distribution-spec, "Listing Referrers".

The list is never cached, since a signature that is added an hour after the image has to be seen. A
registry from before OCI 1.1 lists referrers in an index under a tag, which clients maintain
("Referrers Tag Schema"); the cache reads that too, so that its clients need not.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable

from reference_registry.digest import Digest, algorithm_of, encoded_of
from reference_registry.http.errors import MANIFEST_UNKNOWN, RegistryError
from reference_registry.manifest import descriptors_of
from reference_registry.proxy.errors import honest_error, stale_mark
from reference_registry.proxy.upstream.client import UpstreamRepository
from reference_registry.proxy.upstream.errors import UpstreamFailure, UpstreamRefused
from reference_registry.repository import Referrers, Repository
from reference_registry.storage.repository import LocalRepository

_log = logging.getLogger(__name__)

_WITHOUT_API = frozenset({404, 405, 410, 501})
_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9._-]")


async def list_referrers(
    digest: Digest,
    repository: Repository,
    local: LocalRepository,
    upstream: UpstreamRepository,
) -> Referrers:
    """Referrers by the API of *upstream*, or by the referrers tag, which *repository* pulls. If
    upstream fails, the cached ones of *local*.

    An empty list means that upstream has none. If upstream fails and nothing is cached this raises
    the error, since clients act upon "no signature".
    """
    try:
        return Referrers(await upstream.referrers(digest))
    except UpstreamFailure as failure:
        # With the API, upstream sends 200 and an empty list if nothing refers.
        if isinstance(failure, UpstreamRefused) and failure.status in _WITHOUT_API:
            return await _tagged(digest, repository)
        linked = (await local.referrers(digest)).descriptors
        found = _merged(linked, await _cached_under_tag(digest, repository, local))
        if not found:
            raise honest_error(failure, MANIFEST_UNKNOWN()) from failure
        _log.warning("%s: serving cached referrers: %s", repository.name, failure)
        return Referrers(found, stale_mark(failure))


async def _tagged(digest: Digest, repository: Repository) -> Referrers:
    tag = referrers_tag(digest)
    try:
        index = await repository.manifest(await repository.resolve(tag), tag=tag)
        return Referrers(_merged(_descriptors_in(index.content)), index.headers)
    except RegistryError as error:
        if error.status != 404:
            raise
    except ValueError:
        _log.warning("%s:%s is not an index of referrers", repository.name, tag)
    return Referrers(())


async def _cached_under_tag(
    digest: Digest, repository: Repository, local: LocalRepository
) -> list[dict[str, object]]:
    tagged = local.links.tag(referrers_tag(digest))
    if tagged is None or not local.has_manifest(tagged):
        return []
    try:
        return _descriptors_in((await repository.manifest(tagged)).content)
    except (RegistryError, ValueError):
        return []


def referrers_tag(digest: Digest) -> str:
    """The tag of the index that lists what refers to *digest* ("Referrers Tag Schema")."""
    algorithm, encoded = algorithm_of(digest)[:32], encoded_of(digest)[:64]
    return _NOT_IN_TAGS.sub("-", f"{algorithm}-{encoded}")


def _descriptors_in(content: bytes) -> list[dict[str, object]]:
    """The descriptors of the index *content*; ``ValueError`` if it is not an index."""
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return descriptors_of(found)


def _merged(*lists: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """All descriptors of *lists*, each digest once."""
    found: dict[object, dict[str, object]] = {}
    for descriptors in lists:
        for descriptor in descriptors:
            found.setdefault(descriptor["digest"], descriptor)
    return list(found.values())
