"""``/v2/<name>/blobs/uploads/`` and the sessions below it.

OCI distribution-spec, "Pushing blobs"; the ``_state`` token in the URLs is distribution's.
"""

from __future__ import annotations

import contextlib
import re

from reference_registry.api.context import Context, UploadState, parsed_digest
from reference_registry.digest import Digest, parse_digest
from reference_registry.http.errors import (
    BLOB_UPLOAD_INVALID,
    BLOB_UPLOAD_UNKNOWN,
    DIGEST_INVALID,
    RANGE_INVALID,
    SIZE_INVALID,
    UNKNOWN,
    RegistryError,
    detail,
)
from reference_registry.http.messages import Response
from reference_registry.names import is_repository_name
from reference_registry.repository import UploadSession
from reference_registry.storage.uploads import is_upload_id

_OCTETS = "application/octet-stream"
_CONTENT_RANGE = re.compile(r"(?:bytes )?([0-9]{1,18})-([0-9]{1,18})(?:/[0-9*]+)?")
_CONTENT_RANGE_OF_GO = re.compile(r"([+-]?[0-9]{1,18})-([+-]?[0-9]{1,18})")


async def start(context: Context) -> Response:
    """A mount, a push in one request, or a new session."""
    request, profile, repository = context.request, context.profile, context.repository
    mounted = parse_digest(request.query("mount") or "")
    if mounted is not None and await _mount(context, mounted):
        return _created(context, mounted)
    digest = request.query("digest")
    if digest is not None and profile.monolithic_post:
        expected = parsed_digest(digest, profile)
        session = await repository.start_upload()
        try:
            session = await repository.append_upload(session, request.body)
            descriptor = await repository.commit_upload(session, expected)
        except BaseException:
            # A refused commit has already removed the session.
            with contextlib.suppress(RegistryError):
                await repository.cancel_upload(session)
            raise
        return _created(context, descriptor.digest)
    session = await repository.start_upload()
    return Response(202, _session_headers(context, session))


async def _mount(context: Context, digest: Digest) -> bool:
    source = context.request.query("from") or None
    if source is not None and not is_repository_name(source):
        return False
    return await context.repository.mount_blob(digest, source)


async def status(context: Context) -> Response:
    """How many bytes of the session are stored."""
    session = await session_of(context)
    return Response(204, _session_headers(context, session))


async def append(context: Context) -> Response:
    """A chunk, or a stream without a length."""
    session = await session_of(context)
    kind = context.request.header("content-type") or _OCTETS
    if context.profile.checks_chunk_type and kind != _OCTETS:
        raise UNKNOWN(detail(context.profile, "bad Content-Type"))
    _check_content_range(context, session)
    session = await context.repository.append_upload(session, context.request.body)
    return Response(202, _session_headers(context, session))


async def finish(context: Context) -> Response:
    """The end of the session, with or without its last bytes."""
    session = await session_of(context)
    text = context.request.query("digest")
    if not text:
        raise DIGEST_INVALID("digest missing")
    digest = parse_digest(text)
    if digest is None:
        raise DIGEST_INVALID("digest parsing failed")
    _check_content_range(context, session)
    session = await context.repository.append_upload(session, context.request.body)
    descriptor = await context.repository.commit_upload(session, digest)
    return _created(context, descriptor.digest)


async def cancel(context: Context) -> Response:
    """The end of the session, with everything that it stored."""
    session = await session_of(context)
    await context.repository.cancel_upload(session)
    return Response(204, (("Docker-Upload-Uuid", session.uuid),))


async def session_of(context: Context) -> UploadSession:
    """The session that the URL names, at the offset where the client believes it to be."""
    uuid = context.parameters.get("uuid")
    if uuid is None:  # on .../uploads/ itself
        raise BLOB_UPLOAD_UNKNOWN()
    if not is_upload_id(uuid):
        raise BLOB_UPLOAD_UNKNOWN(f"not an upload: {uuid}")
    profile, reading = context.profile, context.request.method in {"GET", "HEAD"}
    needs_state = profile.upload_status_needs_state if reading else profile.upload_needs_state
    given = context.request.query("_state")
    state = context.states.unpack(given or "")
    if state is not None and (state.name, state.uuid) != (context.parameters["name"], uuid):
        state = None  # of another upload
    if state is None and (needs_state or (given is not None and not reading)):
        raise BLOB_UPLOAD_INVALID(detail(profile, "invalid secret"))
    session = await context.repository.upload(uuid)
    # A client that has lost its offset uses an old URL to ask for it (OCI: "A GET request may be
    # used to retrieve the current valid offset") or to give up.
    lenient = not needs_state and (reading or context.request.method == "DELETE")
    if state is not None and state.offset != session.offset and not lenient:
        if profile.wrong_upload_offset == "upload-invalid":
            raise BLOB_UPLOAD_INVALID()
        raise _out_of_order(context, session)
    return session


def _check_content_range(context: Context, session: UploadSession) -> None:
    """Raise 416 for a chunk that does not begin where the session ends, 400 where ``Content-Range``
    and ``Content-Length`` disagree."""
    header = context.request.header("content-range")
    length = context.request.header("content-length")
    profile = context.profile
    as_go = profile.content_range_rules == "go"
    if header is None or not profile.checks_content_range:
        return
    if as_go and (not header or length is None or context.request.method != "PATCH"):
        return
    match = (_CONTENT_RANGE_OF_GO if as_go else _CONTENT_RANGE).fullmatch(header)
    if match is None:
        if as_go:
            raise UNKNOWN(f"invalid content range format, {header}")
        raise _out_of_order(context, session)
    first, last = int(match[1]), int(match[2])
    if first > last or first != session.offset:
        raise _out_of_order(context, session)
    if length is not None and length != str(last - first + 1):
        if as_go:
            raise SIZE_INVALID()
        raise SIZE_INVALID(f"Content-Range {header} with Content-Length {length}")


def _out_of_order(context: Context, session: UploadSession) -> RegistryError:
    """416, with the offset to continue from."""
    reports = context.profile.reports_upload_offset
    return RANGE_INVALID().with_headers(*(_session_headers(context, session) if reports else ()))


def _session_headers(context: Context, session: UploadSession) -> tuple[tuple[str, str], ...]:
    state = UploadState(context.parameters["name"], session.uuid, session.offset)
    token = context.states.pack(state, context.clock.now())
    return (
        context.location(f"blobs/uploads/{session.uuid}", _state=token),
        ("Docker-Upload-Uuid", session.uuid),
        # There is no way to write an empty range.
        ("Range", f"0-{max(session.offset - 1, 0)}"),
    )


def _created(context: Context, digest: Digest) -> Response:
    return Response(201, (context.location(f"blobs/{digest}"), ("Docker-Content-Digest", digest)))
