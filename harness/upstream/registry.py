"""How a mock upstream answers from its content, before faults and authentication.

OCI distribution-spec 1.1; where it leaves a choice, as CNCF distribution does it.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from harness.content import OCI_INDEX, Blob, Manifest, check_tags, descriptor
from harness.upstream.calls import Headers, RegistryCall
from harness.upstream.replies import Body, Reply, error_reply, json_reply
from reference_registry.digest import Digest, parse_digest


@dataclass
class _Repository:
    blobs: dict[Digest, Blob] = field(default_factory=dict)
    manifests: dict[Digest, Blob] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)


class Store:
    """Content by repository name, and what registries differ in: *page_size* limits the entries in
    one page of tags, catalog or referrers, as Quay and ECR do; *has_referrers* says whether the
    referrers API of OCI 1.1 exists, without which it returns 404 as distribution does."""

    def __init__(self, page_size: int | None = None, *, has_referrers: bool = True) -> None:
        self.page_size = page_size
        self.has_referrers = has_referrers
        self._lock = threading.Lock()
        self._repositories: dict[str, _Repository] = {}

    # -- changing -------------------------------------------------------------------------------
    def add(self, repository: str, content: Blob | Manifest, tags: Collection[str] = ()) -> None:
        """Put *content*, with everything it names, into *repository* and point *tags* at it.

        ``ValueError`` where a tag would point at a blob, ``TypeError`` where *tags* is one string.
        """
        check_tags(content, tags)
        with self._lock:
            target = self._repositories.setdefault(repository, _Repository())
            if isinstance(content, Blob):
                target.blobs[content.digest] = content
                return
            pending = [content]
            while pending:
                manifest = pending.pop()
                target.manifests[manifest.digest] = manifest.manifest
                target.blobs.update({blob.digest: blob for blob in manifest.blobs})
                pending.extend(manifest.children)
            target.tags.update(dict.fromkeys(tags, content.digest))

    def untag(self, repository: str, tag: str) -> None:
        """Remove *tag* but not its manifest. ``KeyError`` if there is no such tag."""
        with self._lock:
            del self._repositories[repository].tags[tag]

    def remove(self, repository: str, digest: str) -> None:
        """Remove a manifest with its tags, or a blob. ``KeyError`` if there is neither."""
        with self._lock:
            target = self._repositories[repository]
            key = Digest(digest)
            if key not in target.manifests and key not in target.blobs:
                raise KeyError(f"{repository} has neither a manifest nor a blob {digest}")
            target.manifests.pop(key, None)
            target.blobs.pop(key, None)
            target.tags = {tag: to for tag, to in target.tags.items() if to != key}

    # -- reading --------------------------------------------------------------------------------
    def _held(self, repository: str) -> _Repository:
        """The content of *repository*; empty if there is none. Copy before you iterate: another
        thread may change it."""
        return self._repositories.get(repository, _Repository())

    def manifest(self, repository: str, reference: str) -> Blob | None:
        """The manifest that *reference*, a tag or a digest, names."""
        found = self._held(repository)
        digest = parse_digest(reference) or found.tags.get(reference)
        return None if digest is None else found.manifests.get(digest)

    def blob(self, repository: str, digest: Digest) -> Blob | None:
        """The blob *digest*. Manifests are blobs too, as in distribution's storage."""
        found = self._held(repository)
        return found.blobs.get(digest) or found.manifests.get(digest)

    def tags(self, repository: str) -> list[str]:
        """All tags in lexical order."""
        return sorted(self._held(repository).tags)

    def repositories(self) -> list[str]:
        """All names in lexical order."""
        with self._lock:
            return sorted(self._repositories)

    def paths(self) -> list[str]:
        """Every path that names something held here."""
        found = ["/v2/", "/v2/_catalog"]
        with self._lock:
            for name, held in self._repositories.items():
                found.append(f"/v2/{name}/tags/list")
                found += [f"/v2/{name}/manifests/{ref}" for ref in (*held.tags, *held.manifests)]
                found += [f"/v2/{name}/blobs/{digest}" for digest in held.blobs]
        return found

    def referrers(self, repository: str, subject: Digest) -> list[dict[str, Any]]:
        """Descriptors of the manifests whose subject is *subject*, as OCI distribution-spec,
        section "Listing Referrers", wants them."""
        listed = []
        for manifest in list(self._held(repository).manifests.values()):
            document = _document(manifest)
            if (document.get("subject") or {}).get("digest") == subject:
                entry = descriptor(manifest)
                kind = document.get("artifactType") or document.get("config", {}).get("mediaType")
                entry |= {"artifactType": kind} if kind else {}
                entry |= {k: document[k] for k in ("annotations",) if k in document}
                listed.append(entry)
        return listed


def _document(manifest: Blob) -> dict[str, Any]:
    """A manifest made by hand need not be JSON; then it refers to nothing."""
    try:
        document = json.loads(manifest.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


_ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


class Unsatisfiable(ValueError):
    """The range is outside the content: 416."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The ``[start, stop)`` that *header* asks of *size* bytes.

    None means the whole: no header, one that is not understood, or several ranges, which a server
    may ignore (14.2). Raises :class:`Unsatisfiable`.
    """
    match = _ONE_RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, stop = max(0, size - int(match[2])), size
    else:
        start = int(match[1])
        if match[2] and int(match[2]) < start:
            return None  # "invalid", not "unsatisfiable" (14.1.1)
        stop = min(size, int(match[2]) + 1) if match[2] else size
    if start >= stop:
        raise Unsatisfiable(header)
    return start, stop


_OCTET_STREAM = "application/octet-stream"


NOT_FOUND = Reply(404, (("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "0")))
"""A path that names nothing of a registry."""


def answer(call: RegistryCall, store: Store) -> Reply:
    """The answer to *call* from what *store* holds."""
    handler = _HANDLERS.get(call.kind)
    if handler is None or (call.kind == "referrers" and not store.has_referrers):
        return NOT_FOUND
    if call.method not in {"GET", "HEAD"}:
        return error_reply(405, "UNSUPPORTED", "The operation is unsupported.")
    return handler(call, store)


def _base(call: RegistryCall, store: Store) -> Reply:
    return json_reply(200, {})


def _manifest(call: RegistryCall, store: Store) -> Reply:
    manifest = store.manifest(call.repository or "", call.reference or "")
    if manifest is None:
        detail = {"name": call.repository, "reference": call.reference}
        return error_reply(404, "MANIFEST_UNKNOWN", "manifest unknown", detail)
    return _content(call, manifest, manifest.media_type)


def _blob(call: RegistryCall, store: Store) -> Reply:
    blob = None if call.digest is None else store.blob(call.repository or "", call.digest)
    if blob is None:
        detail = {"digest": call.reference}
        return error_reply(404, "BLOB_UNKNOWN", "blob unknown to registry", detail)
    whole = _content(call, blob, _OCTET_STREAM, ("Accept-Ranges", "bytes"))
    # RFC 9110, 13.1.5: with If-Range of another version, Range is ignored.
    applies = call.header("if-range") in {None, f'"{blob.digest}"'}
    if whole.status == 304 or call.method == "HEAD" or not applies:
        return whole
    try:
        part = parse_range(call.header("range"), blob.size)
    except Unsatisfiable:
        total = (("Content-Range", f"bytes */{blob.size}"),)
        return error_reply(416, "RANGE_INVALID", "invalid content range", headers=total)
    if part is None:
        return whole
    start, stop = part
    span = f"bytes {start}-{stop - 1}/{blob.size}"
    part_of = {"Content-Length": str(stop - start), "Content-Range": span}
    return Reply(206, whole.with_headers(part_of).headers, Body(blob, start, stop))


def _content(call: RegistryCall, blob: Blob, media_type: str, *more: tuple[str, str]) -> Reply:
    etag = f'"{blob.digest}"'
    names: Headers = (("Docker-Content-Digest", blob.digest), ("Etag", etag))
    # distribution's clients send the digest with and without the quotes of an entity tag.
    conditions = [part.strip() for part in (call.header("if-none-match") or "").split(",")]
    if etag in conditions or blob.digest in conditions:
        return Reply(304, names)
    head = (("Content-Type", media_type), ("Content-Length", str(blob.size)), *names, *more)
    return Reply(200, head, Body(blob))


def _tags(call: RegistryCall, store: Store) -> Reply:
    name = call.repository or ""
    if name not in store.repositories():
        detail = {"name": name}
        return error_reply(404, "NAME_UNKNOWN", "repository name not known to registry", detail)
    return _names(call, store, store.tags(name), lambda page: {"name": name, "tags": page})


def _catalog(call: RegistryCall, store: Store) -> Reply:
    return _names(call, store, store.repositories(), lambda page: {"repositories": page})


def _names(
    call: RegistryCall,
    store: Store,
    names: list[str],
    document: Callable[[list[str]], dict[str, Any]],
) -> Reply:
    """OCI distribution-spec, section "Listing Tags": ``n``, ``last``, and the Link header."""
    asked, last = call.parameter("n"), call.parameter("last")
    if asked is not None and not (asked.isascii() and asked.isdigit()):
        detail = {"n": asked}
        message = "invalid number of results requested"
        return error_reply(400, "PAGINATION_NUMBER_INVALID", message, detail)
    limits = [limit for limit in (asked and int(asked), store.page_size) if isinstance(limit, int)]
    rest = names if last is None else [name for name in names if name > last]
    page = rest[: min(limits, default=None)]
    more = {"last": page[-1], "n": len(page)} if 0 < len(page) < len(rest) else None
    return json_reply(200, document(page), _next_page(call, more))


def _next_page(call: RegistryCall, query: dict[str, Any] | None) -> Headers:
    return (("Link", f'<{call.path}?{urlencode(query)}>; rel="next"'),) if query else ()


def _referrers(call: RegistryCall, store: Store) -> Reply:
    if call.digest is None:
        return error_reply(400, "DIGEST_INVALID", "provided digest is not one")
    listed = store.referrers(call.repository or "", call.digest)
    headers: Headers = ()
    if wanted := call.parameter("artifactType"):
        listed = [entry for entry in listed if entry.get("artifactType") == wanted]
        headers = (("OCI-Filters-Applied", "artifactType"),)
    digests = [entry["digest"] for entry in listed]
    last = call.parameter("last")
    rest = listed[digests.index(last) + 1 :] if last in digests else listed
    page = rest[: store.page_size]
    if 0 < len(page) < len(rest):
        kept = {"artifactType": wanted} if wanted else {}
        headers += _next_page(call, {"last": page[-1]["digest"]} | kept)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page}
    return json_reply(200, index, headers, media_type=OCI_INDEX)


_HANDLERS: dict[str, Callable[[RegistryCall, Store], Reply]] = {
    "base": _base,
    "manifest": _manifest,
    "blob": _blob,
    "tags": _tags,
    "catalog": _catalog,
    "referrers": _referrers,
    "upload": lambda call, store: error_reply(404, "NAME_UNKNOWN", "no uploads here"),
}
