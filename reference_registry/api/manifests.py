"""``/v2/<name>/manifests/<reference>``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum, auto

from reference_registry.api.context import Context, Resource, parsed_digest
from reference_registry.api.schema1 import image_as_schema1
from reference_registry.digest import Digest, algorithm_of, digest_of
from reference_registry.http.details import detail
from reference_registry.http.errors import (
    DIGEST_INVALID,
    MANIFEST_INVALID,
    MANIFEST_UNKNOWN,
    TAG_INVALID,
    UNKNOWN,
    RegistryError,
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
    ContentReference,
    ManifestInvalid,
    ParsedManifest,
    parse_manifest,
)
from reference_registry.names import is_tag
from reference_registry.profiles import Profile
from reference_registry.repository import Manifest
from reference_registry.storage import layout

__all__ = [
    "MANIFEST",
    "MAX_MANIFEST_SIZE",
    "Treatment",
    "accepted_types",
    "default_platform",
    "treatment",
]

MAX_MANIFEST_SIZE = 4 << 20
"""Bytes. OCI distribution-spec, "Pushing Manifests", has registries take at least as much."""

_MAX_TAGS = 100
"""Of one push by digest; the specification asks for at least 10."""


async def _serve(context: Context) -> Response:
    """OCI distribution-spec, "Pulling manifests"."""
    profile, repository = context.profile, context.repository
    tag, digest = _reference(context)
    if digest is None:
        digest = await repository.resolve(tag, revalidate=_insists(context.request))
    condition = context.request.header("if-none-match")
    # Releases compare before they look whether the manifest exists, and know no lists and no `*`.
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


async def _negotiated(context: Context, manifest: Manifest, tag: str) -> Manifest:
    """*manifest*, or what the profile gives a client that does not accept its type."""
    accept = context.request.headers.get("accept", ())
    match treatment(manifest.media_type, accept, by_tag=bool(tag), profile=context.profile):
        case Treatment.SERVE:
            return manifest
        case Treatment.HIDE_OCI_MANIFEST:
            raise MANIFEST_UNKNOWN(
                message="OCI manifest found, but accept header does not support OCI manifests"
            )
        case Treatment.HIDE_OCI_INDEX:
            raise MANIFEST_UNKNOWN(
                message="OCI index found, but accept header does not support OCI indexes"
            )
        case Treatment.CONVERT_TO_SCHEMA1:
            return await image_as_schema1(context, manifest, tag)
        case Treatment.PICK_PLATFORM:
            return await _platform_child(context, manifest, accepted_types(accept), tag)


async def _platform_child(
    context: Context, manifest: Manifest, accepted: frozenset[str], tag: str
) -> Manifest:
    child = default_platform(parse_manifest(manifest.content).children)
    if child is None:
        raise MANIFEST_UNKNOWN()
    found = await context.repository.manifest(child.digest)
    if found.media_type != DOCKER_MANIFEST or DOCKER_MANIFEST in accepted:
        return found
    if context.profile.converts_to_schema1:
        return await image_as_schema1(context, found, tag)
    raise MANIFEST_INVALID(message="Schema 2 manifest not supported by client")


async def _put(context: Context) -> Response:
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


async def _delete(context: Context) -> Response:
    """OCI distribution-spec, "Deleting tags" and "Deleting Manifests"."""
    tag, digest = _reference(context)
    if digest is None:
        await context.repository.delete_tag(tag)
    else:
        await context.repository.delete_manifest(digest)
    return Response(202)


def _insists(request: Request) -> bool:
    """Whether the client wants to know of the origin (RFC 9111, 5.2.1.1 and 5.2.1.4)."""
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
        # Distribution takes it for a tag, and its storage driver refuses the path.
        path = layout.tag_current_link(context.parameters["name"], reference)
        struct = {"Path": path, "DriverName": context.config.storage.driver}
        text = f"{context.config.storage.driver}: invalid path: {path}"
        raise UNKNOWN(detail(context.profile, text, struct)) from None


async def _body(context: Context) -> bytes:
    content = bytearray()
    async for chunk in context.request.body:
        content += chunk
        if len(content) > MAX_MANIFEST_SIZE:
            error = MANIFEST_INVALID("http: request body too large")
            raise RegistryError(context.profile.oversized_manifest_status, error.entries)
    return bytes(content)


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
        # What is of no known type Go does not even begin to read.
        read = stated in MANIFEST_TYPES - {SCHEMA1, SCHEMA1_SIGNED}
        struct = unreadable(content) if read else None
        raise MANIFEST_INVALID(detail(profile, str(invalid), struct)) from None
    return parsed


def _tags_in_query(request: Request) -> list[str]:
    """The ``tag`` parameters of a push by digest; TAG_INVALID where one is no tag."""
    tags = list(dict.fromkeys(request.queries("tag")))
    if len(tags) > _MAX_TAGS:
        raise RegistryError(414, TAG_INVALID(f"more than {_MAX_TAGS} tags").entries)
    for tag in tags:
        if not is_tag(tag):
            raise TAG_INVALID(f"not a tag: {tag}")
    return tags


MANIFEST = Resource(reads={"GET": _serve, "HEAD": _serve}, writes={"PUT": _put, "DELETE": _delete})


# -- what a client that accepts certain types gets ------------------------------------------------
# ``ideal`` serves what is stored: every client of today can read it, and the digest stays right.
# Releases of distribution hide or convert (their ``handlers/manifests.go``, ``GetManifest``).
class Treatment(Enum):
    """What to do with the manifest that was found."""

    SERVE = auto()
    HIDE_OCI_MANIFEST = auto()
    HIDE_OCI_INDEX = auto()
    CONVERT_TO_SCHEMA1 = auto()
    PICK_PLATFORM = auto()
    """Serve the linux/amd64 child of a list in its place."""


def accepted_types(lines: Iterable[str]) -> frozenset[str]:
    """The media types of ``Accept`` header lines, without parameters; ``q`` is not looked at."""
    return frozenset(
        part.partition(";")[0].strip().lower() for line in lines for part in line.split(",")
    )


def treatment(
    media_type: str, accept: Collection[str], *, by_tag: bool, profile: Profile
) -> Treatment:
    """How a manifest of *media_type* reaches a client that sent these *accept* lines. Wildcards are
    not understood by releases. What was asked for by digest is never converted."""
    unaccepted = _unaccepted(media_type, by_tag, profile)
    # Nearly every manifest is served to everybody: the header is read for the others only.
    if unaccepted is Treatment.SERVE or media_type in accepted_types(accept):
        return Treatment.SERVE
    return unaccepted


def _unaccepted(media_type: str, by_tag: bool, profile: Profile) -> Treatment:
    if media_type == OCI_MANIFEST and profile.oci_manifest_needs_accept:
        return Treatment.HIDE_OCI_MANIFEST
    if media_type == OCI_INDEX and profile.oci_index_needs_accept:
        return Treatment.HIDE_OCI_INDEX
    if media_type == DOCKER_MANIFEST and by_tag and profile.converts_to_schema1:
        return Treatment.CONVERT_TO_SCHEMA1
    if media_type == DOCKER_LIST and by_tag and profile.picks_platform_for_old_clients:
        return Treatment.PICK_PLATFORM
    return Treatment.SERVE


def default_platform(children: Iterable[ContentReference]) -> ContentReference | None:
    """The first child for linux/amd64."""
    for child in children:
        platform = child.platform or {}
        if platform.get("os") == "linux" and platform.get("architecture") == "amd64":
            return child
    return None
