"""A repository of upstream, in the terms of the OCI distribution-spec.

Every method raises :class:`UpstreamFailure` if upstream does not deliver.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from reference_registry.digest import Digest, algorithm_of, digest_of, parse_digest
from reference_registry.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_ARTIFACT,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
    SCHEMA1_SIGNED,
    descriptors_of,
)
from reference_registry.profiles import Profile
from reference_registry.proxy.upstream.errors import (
    UpstreamBroken,
    UpstreamRefused,
    UpstreamTimedOut,
)
from reference_registry.proxy.upstream.responses import body_chunks, read_body
from reference_registry.proxy.upstream.ssrf import parse_target, same_origin
from reference_registry.proxy.upstream.upstream import Upstream

_MAX_MANIFEST = 4 * 1024 * 1024
"""Bytes; the minimum that the OCI distribution-spec asks registries to accept."""
_MAX_TAGS_PAGE = 32 * 1024 * 1024
_MAX_PAGES = 1000
_MAX_REFERRERS = 100_000
_WITHOUT_HEAD = frozenset({405, 501})
_ALWAYS = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
_LINK = re.compile(r"[ \t,]*<([^<>]*)>((?:[ \t]*;[^,<]*)*)")
_REL_NEXT = re.compile(r""";[ \t]*rel[ \t]*=[ \t]*(?:"(?:[^"]*[ \t])?next(?:[ \t][^"]*)?"|next)""")
_LONGEST_HEADER = 16 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")


@dataclass(frozen=True)
class UpstreamManifest:
    """A manifest as upstream sent it; its digest has not been verified."""

    media_type: str
    content: bytes


@dataclass(frozen=True)
class BlobInfo:
    """``size`` is in bytes; None if upstream does not send it."""

    size: int | None
    media_type: str


@dataclass(frozen=True)
class BlobBody:
    """The body of a blob response, from byte ``start`` on. Close it, or read it all."""

    response: httpx.Response
    info: BlobInfo
    start: int
    """The offset of the first byte of :meth:`chunks`; 0 if upstream ignored the range."""
    decoded: bool

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The bytes as they arrive; raises :class:`UpstreamFailure` if they end early."""
        return body_chunks(self.response, decoded=self.decoded)

    async def aclose(self) -> None:
        """Drop what has not been read."""
        await self.response.aclose()


class UpstreamRepository:
    """One repository of upstream, for the requests of one client request."""

    def __init__(self, upstream: Upstream, name: str) -> None:
        self.upstream_key = upstream.key
        """Distinguishes the upstreams of one cache."""
        self.establish_challenge = upstream.establish_challenge
        self._upstream = upstream
        self._profile = upstream.profile
        self._session = upstream.session(name)
        self._path = f"/v2/{name}"

    async def resolve(
        self, tag: str, *, is_cached: bool = False
    ) -> tuple[Digest, UpstreamManifest | None]:
        """The digest of *tag*, by HEAD; and the manifest itself where GET was needed, because
        upstream refused HEAD or did not name a digest. Where the tag *is_cached*, this is waited
        for no longer than upstream's ``resolve_timeout``."""
        try:
            async with asyncio.timeout(self._upstream.resolve_timeout if is_cached else None):
                return await self._resolve(tag)
        except TimeoutError:
            url = str(self._upstream.url(f"{self._path}/manifests/{tag}"))
            raise UpstreamTimedOut("HEAD", url, "timeout awaiting response") from None

    async def _resolve(self, tag: str) -> tuple[Digest, UpstreamManifest | None]:
        await self.establish_challenge()
        try:
            response = await self._send("HEAD", f"/manifests/{tag}", _accept(self._profile))
            await response.aclose()
        except UpstreamRefused as refused:
            if self._profile.honest_upstream_errors and refused.status not in _WITHOUT_HEAD:
                raise
        else:
            digest = parse_digest(response.headers.get("docker-content-digest", ""))
            if digest is not None:
                return digest, None
        manifest = await self._get_manifest(tag)
        return digest_of(manifest.content), manifest

    async def manifest(self, reference: str) -> UpstreamManifest:
        """The manifest of a tag or digest."""
        await self.establish_challenge()
        return await self._get_manifest(reference)

    async def _get_manifest(self, reference: str) -> UpstreamManifest:
        response = await self._send("GET", f"/manifests/{reference}", _accept(self._profile))
        media_type = response.headers.get("content-type", "")
        content = await read_body(response, _MAX_MANIFEST)
        if not _is_known_manifest_type(media_type, self._profile):
            raise UpstreamBroken(
                f"unsupported manifest media type and no default available: {media_type}"
            )
        if self._profile.keeps_unknown_manifests and not _is_json_object(content):
            raise UpstreamBroken(f"{response.request.url}: not a manifest, but {media_type}")
        return UpstreamManifest(media_type, content)

    async def stat_blob(self, digest: Digest) -> BlobInfo:
        """Size and type by HEAD; by a GET of one byte if upstream refuses HEAD or sends no size.
        Releases raise :class:`UpstreamBroken` without a size."""
        await self.establish_challenge()
        by_get = self._profile.honest_upstream_errors
        try:
            response = await self._send("HEAD", f"/blobs/{digest}")
        except UpstreamRefused as refused:
            if not by_get or refused.status not in _WITHOUT_HEAD:
                raise
        else:
            await response.aclose()
            info = _blob_info(response)
            if info.size is not None:
                return info
            if not by_get:
                raise UpstreamBroken(
                    f"missing content-length header for request: {response.request.url}"
                )
        try:
            body = await self.open_blob(digest, 0, 0)
        except UpstreamRefused as refused:
            if refused.status == 416:  # The empty blob has no first byte.
                return BlobInfo(0, "application/octet-stream")
            raise
        await body.aclose()
        return body.info

    async def open_blob(self, digest: Digest, start: int = 0, last: int | None = None) -> BlobBody:
        """The blob from byte *start* to *last* (inclusive; None: the end). If upstream ignores the
        range, the whole blob comes: check :attr:`BlobBody.start`."""
        headers = {"Accept-Encoding": self._profile.blob_accept_encoding}
        in_part = start > 0 or last is not None
        if in_part:
            headers["Range"] = f"bytes={start}-{'' if last is None else last}"
        response = await self._send("GET", f"/blobs/{digest}", headers)
        decoded = self._profile.blob_accept_encoding != "identity"
        # Releases never ask for a part, and take any answer for the whole.
        as_whole = not in_part and self._profile.blob_miss != "shared"
        if response.status_code != 206 or as_whole:
            return BlobBody(response, _blob_info(response), 0, decoded)
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if match is None or int(match[1]) != start:
            await response.aclose()
            raise UpstreamBroken(f"GET {response.request.url}: not the range that was asked for")
        media_type = _blob_info(response).media_type
        return BlobBody(response, BlobInfo(int(match[3]), media_type), start, decoded)

    async def read_blob(self, digest: Digest, limit: int) -> bytes:
        """The whole blob; :class:`UpstreamBroken` if it is larger than *limit* bytes or has another
        digest."""
        await self.establish_challenge()
        response = await self._send("GET", f"/blobs/{digest}")
        content = await read_body(response, limit)
        if digest_of(content, algorithm_of(digest)) != digest:
            raise UpstreamBroken(f"GET {response.request.url}: not the bytes of {digest}")
        return content

    async def tags(self) -> list[str]:
        """All tags in upstream's order."""
        await self.establish_challenge()
        tags: list[str] = []
        async for url, page in self._pages("/tags/list", {}, _MAX_TAGS_PAGE):
            tags += _tags_of(page, url)
        return tags

    async def page_of_tags(self, n: int, last: str | None) -> tuple[list[str], bool]:
        """At most *n* tags after *last*, and whether upstream links to more."""
        await self.establish_challenge()
        query = urlencode(({"last": last} if last else {}) | {"n": n})
        url = self._upstream.url(f"{self._path}/tags/list?{query}")
        page, links = await self._page(url, {}, _MAX_TAGS_PAGE)
        return _tags_of(page, str(url)), bool(links)

    async def referrers(self, digest: Digest) -> list[dict[str, object]]:
        """The descriptors of the manifests that refer to *digest* (OCI distribution-spec, "Listing
        Referrers")."""
        await self.establish_challenge()
        found: list[dict[str, object]] = []
        path, accept = f"/referrers/{digest}", {"Accept": OCI_INDEX}
        async for url, page in self._pages(path, accept, _MAX_MANIFEST):
            try:
                found += descriptors_of(page)
            except ValueError as error:
                raise UpstreamBroken(f"GET {url}: {error}") from None
            if len(found) > _MAX_REFERRERS:
                raise UpstreamBroken(f"GET {url}: more than {_MAX_REFERRERS} referrers")
        return found

    async def _pages(
        self, path: str, headers: dict[str, str], limit: int
    ) -> AsyncGenerator[tuple[str, Any], None]:
        """The JSON documents of *path* and of the pages that follow it, with their URLs, each of at
        most *limit* bytes. A page on another origin is an error."""
        url = self._upstream.url(f"{self._path}{path}")
        for _ in range(_MAX_PAGES):
            document, links = await self._page(url, headers, limit)
            yield str(url), document
            link = next_link(links)
            if link is None:
                return
            target = parse_target(link, url)
            if target is None or not same_origin(target, url) or target == url:
                raise UpstreamBroken(f"GET {url}: the next page is {link[:200]!r}")
            url = target
        raise UpstreamBroken(f"GET {url}: more than {_MAX_PAGES} pages")

    async def _page(
        self, url: httpx.URL, headers: dict[str, str], limit: int
    ) -> tuple[Any, list[str]]:
        """The JSON document at *url*, of at most *limit* bytes, and its ``Link`` headers."""
        response = await self._upstream.send("GET", url, headers=headers, session=self._session)
        body = await read_body(response, limit)
        try:
            return json.loads(body), response.headers.get_list("link")
        except (ValueError, RecursionError):
            raise UpstreamBroken(f"GET {url}: not JSON") from None

    async def _send(
        self, method: str, path: str, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        url = self._upstream.url(f"{self._path}{path}")
        return await self._upstream.send(method, url, headers=headers, session=self._session)


def _blob_info(response: httpx.Response) -> BlobInfo:
    length = response.headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
    return BlobInfo(size, response.headers.get("content-type", "application/octet-stream"))


def _tags_of(page: Any, url: str) -> list[str]:
    tags = page.get("tags", ()) if isinstance(page, dict) else ()
    if tags is None:
        return []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise UpstreamBroken(f"GET {url}: not a list of tags")
    return tags


def _accept(profile: Profile) -> dict[str, str]:
    """The ``Accept`` header of manifest requests. It never depends on the client's, so that cached
    content does not depend on who asked first."""
    types = list(_ALWAYS)
    if profile.keeps_unknown_manifests:
        types += [SCHEMA1_SIGNED, SCHEMA1, OCI_ARTIFACT, "application/json", "*/*"]
    elif profile.asks_for_schema1:
        types += [SCHEMA1_SIGNED, "application/json"]
    return {"Accept": ", ".join(types)}


def _is_json_object(content: bytes) -> bool:
    """Whether *content* can be a manifest of any kind, and not a captive portal's page."""
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False


def _is_known_manifest_type(content_type: str, profile: Profile) -> bool:
    """Whether a response of *content_type*, without its parameters, counts as a manifest."""
    if profile.keeps_unknown_manifests:
        return True
    media_type = content_type.partition(";")[0].strip()
    return media_type in _ALWAYS or (
        profile.accepts_schema1 and media_type in {SCHEMA1_SIGNED, SCHEMA1}
    )


def next_link(lines: Iterable[str]) -> str | None:
    """Target of the first link with the relation ``next`` (RFC 8288), or None. The header *lines*
    come from upstream and may be hostile."""
    for line in lines:
        if len(line) > _LONGEST_HEADER:
            continue
        position = 0
        while match := _LINK.match(line, position):
            if _REL_NEXT.search(match[2]):
                return match[1]
            position = match.end()
    return None
