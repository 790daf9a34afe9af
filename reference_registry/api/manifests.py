"""``/v2/<name>/manifests/<reference>``."""

from __future__ import annotations

from reference_registry.api.context import Context, parsed_digest
from reference_registry.api.schema1 import image_as_schema1
from reference_registry.digest import Digest, algorithm_of, digest_of
from reference_registry.http.errors import (
    DIGEST_INVALID,
    MANIFEST_INVALID,
    MANIFEST_UNKNOWN,
    TAG_INVALID,
    UNAVAILABLE,
    UNKNOWN,
    RegistryError,
    detail,
)
from reference_registry.http.go_json import unreadable
from reference_registry.http.messages import BytesBody, Request, Response
from reference_registry.http.ranges import etag_matches
from reference_registry.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
    SCHEMA1_SIGNED,
    ManifestInvalid,
    ParsedManifest,
    parse_manifest,
)
from reference_registry.names import is_tag
from reference_registry.repository import FoundManifest
from reference_registry.storage import layout

MAX_MANIFEST_SIZE = 4 << 20
"""Bytes. OCI distribution-spec, "Pushing Manifests", asks registries to accept at least as much."""

_MAX_HELD = 64 << 20
"""Bytes of manifests that are being pushed and are held in memory, of all clients (CWE-770). Beyond
it, a push of more than _SMALL bytes gets 503."""
_SMALL = 64 << 10
"""Bytes of a manifest that is always taken, so that half-sent large ones stop no usual push."""
_MAX_TAGS = 100
"""Of one push by digest; the specification asks for at least 10."""


class _Held:
    """Counts the bytes of bodies in the memory of this process."""

    bytes = 0

    def count(self, size: int) -> None:
        self.bytes += size


_held = _Held()


async def serve(context: Context) -> Response:
    """OCI distribution-spec, "Pulling manifests"."""
    profile, repository = context.profile, context.repository
    tag, digest = _reference(context)
    if digest is None:
        digest = await repository.resolve(tag, revalidate=_insists(context.request))
    condition = context.request.header("if-none-match")
    # Releases compare before they check that the manifest exists, and support no lists and no `*`.
    if profile.not_modified_before_existence and condition in {digest, f'"{digest}"'}:
        return Response(304)
    stored = await repository.manifest(digest, tag=tag or None)
    manifest = await _negotiated(context, stored, tag)
    headers = (
        ("Docker-Content-Digest", manifest.digest),
        ("Etag", f'"{manifest.digest}"'),
        *manifest.headers,
    )
    if (
        not profile.not_modified_before_existence
        and condition is not None
        and (condition == manifest.digest or etag_matches(condition, f'"{manifest.digest}"'))
    ):
        return Response(304, headers)
    as_stored = manifest is stored and not (tag and _insists(context.request))
    return Response(
        200,
        (("Content-Type", manifest.media_type), *headers),
        BytesBody(manifest.content),
        repository.still_valid(manifest, tag or None) if as_stored else None,
    )


async def _negotiated(context: Context, manifest: FoundManifest, tag: str) -> FoundManifest:
    """*manifest*, or what the profile gives a client that does not accept its type.

    ``ideal`` serves what is stored: every client of today can read it, and the digest stays right.
    Releases of distribution hide or convert (``GetManifest`` in their ``handlers/manifests.go``).
    They ignore wildcards and ``q``, and never convert what is requested by digest.
    """
    profile, media_type = context.profile, manifest.media_type
    if media_type == OCI_MANIFEST:
        needs_accept = profile.oci_manifest_needs_accept
    elif media_type == OCI_INDEX:
        needs_accept = profile.oci_index_needs_accept
    elif media_type == DOCKER_MANIFEST:
        needs_accept = bool(tag) and profile.converts_to_schema1
    else:
        needs_accept = (
            media_type == DOCKER_LIST and bool(tag) and profile.picks_platform_for_old_clients
        )
    if not needs_accept or media_type in (accepted := _accepted_types(context.request)):
        return manifest
    if media_type == DOCKER_MANIFEST:
        return await image_as_schema1(context, manifest, tag)
    if media_type == DOCKER_LIST:
        return await _platform_child(context, manifest, accepted, tag)
    kind, kinds = ("index", "indexes") if media_type == OCI_INDEX else ("manifest", "manifests")
    message = f"OCI {kind} found, but accept header does not support OCI {kinds}"
    raise MANIFEST_UNKNOWN(message=message)


def _accepted_types(request: Request) -> set[str]:
    """The media types of the ``Accept`` header, in lower case and without parameters."""
    return {
        part.partition(";")[0].strip().lower()
        for line in request.headers.get("accept", ())
        for part in line.split(",")
    }


async def _platform_child(
    context: Context, manifest: FoundManifest, accepted: set[str], tag: str
) -> FoundManifest:
    """The first child of a list for linux/amd64."""
    for child in parse_manifest(manifest.content).children:
        platform = child.platform or {}
        if (platform.get("os"), platform.get("architecture")) == ("linux", "amd64"):
            break
    else:
        raise MANIFEST_UNKNOWN()
    found = await context.repository.manifest(child.digest)
    if found.media_type != DOCKER_MANIFEST or DOCKER_MANIFEST in accepted:
        return found
    if context.profile.converts_to_schema1:
        return await image_as_schema1(context, found, tag)
    raise MANIFEST_INVALID(message="Schema 2 manifest not supported by client")


async def put(context: Context) -> Response:
    """OCI distribution-spec, "Pushing Manifests"."""
    profile = context.profile
    content = await _body(context)
    parsed = _parsed(context, content)
    tag, digest = _reference(context)
    if digest is None:
        if not is_tag(tag):
            raise TAG_INVALID(detail(profile, f"not a tag: {tag}"))
        digest, tags = digest_of(content), [tag]
    else:
        algorithm = algorithm_of(digest) if profile.sha512 else "sha256"
        if digest_of(content, algorithm) != digest:
            raise DIGEST_INVALID()
        tags = _tags_in_query(context.request) if profile.tags_by_query else []
    subject = await context.repository.put_manifest(digest, parsed.media_type, content, tags)
    headers = [context.location(f"manifests/{digest}"), ("Docker-Content-Digest", digest)]
    if subject is not None and profile.referrers_api:
        headers.append(("OCI-Subject", subject))
    if tags and not tag:
        headers.append(("OCI-Tag", ", ".join(tags)))
    return Response(201, tuple(headers))


async def delete(context: Context) -> Response:
    """OCI distribution-spec, "Deleting tags" and "Deleting Manifests"."""
    tag, digest = _reference(context)
    if digest is None:
        await context.repository.delete_tag(tag)
    else:
        await context.repository.delete_manifest(digest)
    return Response(202)


def _insists(request: Request) -> bool:
    """Whether the client asks to revalidate with the origin (RFC 9111, 5.2.1.1 and 5.2.1.4)."""
    said = request.header("cache-control")
    if said is None:
        return False
    directives = {directive.strip().lower() for directive in said.split(",")}
    return not directives.isdisjoint({"no-cache", "max-age=0"})


def _reference(context: Context) -> tuple[str, Digest | None]:
    """The tag in the path, or the digest and an empty tag."""
    reference = context.parameters["reference"]
    if ":" not in reference:
        if is_tag(reference) or context.request.method == "PUT":
            return reference, None
        raise MANIFEST_UNKNOWN(f"not a tag: {reference}")
    try:
        return "", parsed_digest(reference, context.profile)
    except RegistryError:
        if context.profile.names_what_is_invalid:
            raise
        # Distribution reads it as a tag, and its storage driver refuses the path.
        path = layout.tag_current_link(context.parameters["name"], reference)
        struct = {"Path": path, "DriverName": context.config.storage.driver}
        text = f"{context.config.storage.driver}: invalid path: {path}"
        raise UNKNOWN(detail(context.profile, text, struct)) from None


async def _body(context: Context) -> bytes:
    chunks, size = [], 0
    try:
        async for chunk in context.request.body:
            chunks.append(chunk)
            size += len(chunk)
            _held.count(len(chunk))
            if size > MAX_MANIFEST_SIZE:
                error = MANIFEST_INVALID("http: request body too large")
                raise RegistryError(context.profile.oversized_manifest_status, error.entries)
            if size > _SMALL and _held.bytes > _MAX_HELD:
                busy = UNAVAILABLE("too many large manifests are being pushed")
                raise busy.with_headers(("Retry-After", "5"), ("Connection", "close"))
        return b"".join(chunks)
    finally:
        _held.count(-size)


def _parsed(context: Context, content: bytes) -> ParsedManifest:
    profile = context.profile
    stated = (context.request.header("content-type") or "").partition(";")[0].strip()
    try:
        if not stated and not profile.accepts_untyped_manifest:
            raise ManifestInvalid("no Content-Type")
        parsed = parse_manifest(content, stated or None)
        if parsed.media_type in {SCHEMA1, SCHEMA1_SIGNED} and not profile.accepts_schema1:
            raise ManifestInvalid("schema 1 is not accepted")
    except ManifestInvalid as invalid:
        # Go does not parse content of an unknown type.
        read = stated in MANIFEST_TYPES - {SCHEMA1, SCHEMA1_SIGNED}
        struct = unreadable(content) if read else None
        raise MANIFEST_INVALID(detail(profile, str(invalid), struct)) from None
    return parsed


def _tags_in_query(request: Request) -> list[str]:
    """The ``tag`` parameters of a push by digest; TAG_INVALID if one is not a tag."""
    tags = list(dict.fromkeys(request.queries("tag")))
    if len(tags) > _MAX_TAGS:
        raise RegistryError(414, TAG_INVALID(f"more than {_MAX_TAGS} tags").entries)
    for tag in tags:
        if not is_tag(tag):
            raise TAG_INVALID(f"not a tag: {tag}")
    return tags
