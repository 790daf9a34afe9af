"""What refers to a manifest, as upstream says: OCI distribution-spec, "Listing Referrers".

The answer is never kept, since a signature that comes an hour after the image has to be seen. A
registry from before OCI 1.1 lists referrers in an index under a tag, which its clients maintain
("Referrers Tag Schema"); the cache follows it there, so that its own clients need not.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reference_registry.digest import Digest, algorithm_of, encoded_of, parse_digest
from reference_registry.http.errors import RegistryError
from reference_registry.proxy.errors import referrers_error, stale_mark
from reference_registry.proxy.upstream.errors import UpstreamFailure, UpstreamRefused
from reference_registry.repository import Referrers

if TYPE_CHECKING:
    from reference_registry.proxy.repository import ProxyRepository
    from reference_registry.proxy.upstream.client import UpstreamRepository
    from reference_registry.storage.repository import LocalRepository

__all__ = ["descriptors_of", "list_referrers", "referrers_tag"]

_log = logging.getLogger(__name__)

_WITHOUT_API = frozenset({404, 405, 410, 501})
_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9._-]")


async def list_referrers(
    digest: Digest,
    repository: ProxyRepository,
    local: LocalRepository,
    upstream: UpstreamRepository,
) -> Referrers:
    """As *upstream* lists them, by the API or under the tag that stands in for it, which
    *repository* pulls; the cached ones of *local*, if any, where it cannot be asked.

    An empty list means that upstream knows of none: where it cannot say, and nothing is cached,
    that is the error, since "no signature" is an answer that somebody will act upon.
    """
    try:
        return Referrers(await upstream.referrers(digest))
    except UpstreamFailure as failure:
        if _has_no_api(failure):
            return await _tagged(digest, repository)
        linked = (await local.referrers(digest)).descriptors
        found = _merged(linked, await _cached_under_tag(digest, repository, local))
        if not found:
            raise referrers_error(failure) from failure
        _log.warning("%s: the cached referrers are listed: %s", repository.name, failure)
        return Referrers(found, stale_mark(failure))


async def _tagged(digest: Digest, repository: ProxyRepository) -> Referrers:
    tag = referrers_tag(digest)
    try:
        index = await repository.manifest(await repository.resolve(tag), tag=tag)
        return Referrers(_merged(_descriptors_in(index.content)), index.headers)
    except RegistryError as error:
        if error.status != 404:
            raise
    except ValueError:
        _log.warning("%s:%s is no index of referrers", repository.name, tag)
    return Referrers(())


async def _cached_under_tag(
    digest: Digest, repository: ProxyRepository, local: LocalRepository
) -> list[dict[str, object]]:
    tagged = local.tag_digest(referrers_tag(digest))
    if tagged is None or not local.has_manifest(tagged):
        return []
    try:
        return _descriptors_in((await repository.manifest(tagged)).content)
    except (RegistryError, ValueError):
        return []


def _has_no_api(failure: UpstreamFailure) -> bool:
    """Whether upstream, by its refusal, knows no referrers API. One that has it answers 200 with an
    empty list where nothing refers."""
    return isinstance(failure, UpstreamRefused) and failure.status in _WITHOUT_API


def referrers_tag(digest: Digest) -> str:
    """The tag of the index that lists what refers to *digest* ("Referrers Tag Schema")."""
    algorithm, encoded = algorithm_of(digest)[:32], encoded_of(digest)[:64]
    return _NOT_IN_TAGS.sub("-", f"{algorithm}-{encoded}")


def _descriptors_in(content: bytes) -> list[dict[str, object]]:
    """The descriptors of the index *content*; ``ValueError`` where it is none."""
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return descriptors_of(found)


def descriptors_of(index: Any) -> list[dict[str, object]]:
    """The descriptors of a parsed index; ``ValueError`` where it is none."""
    listed = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(listed, list) or not all(map(_is_descriptor, listed)):
        raise ValueError("not a list of referrers")
    return listed


def _merged(*lists: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """All descriptors of *lists*, each digest once."""
    found: dict[object, dict[str, object]] = {}
    for descriptors in lists:
        for descriptor in descriptors:
            found.setdefault(descriptor["digest"], descriptor)
    return list(found.values())


def _is_descriptor(entry: Any) -> bool:
    """OCI image-spec, descriptor.md: the three required properties."""
    if not isinstance(entry, dict) or not isinstance(entry.get("mediaType"), str):
        return False
    digest, size = entry.get("digest"), entry.get("size")
    return (
        isinstance(digest, str)
        and parse_digest(digest) is not None
        and isinstance(size, int)
        and size >= 0
    )
