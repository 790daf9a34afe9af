"""What a handler gets: the request with everything that is needed to answer it, its URLs, and the
tokens in the URLs of uploads.

``Location`` is absolute, as in distribution: ``http.host`` wins, then ``Forwarded`` (RFC 7239) or
``X-Forwarded-Proto`` and ``X-Forwarded-Host``, then the request's own host. ``X-Forwarded-Port`` is
ignored. ``ideal`` believes these headers only from ``http.x-trusted-proxies``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from reference_registry.clock import Clock
from reference_registry.config import Config, HttpConfig
from reference_registry.digest import Digest, parse_digest
from reference_registry.http.errors import DIGEST_INVALID
from reference_registry.http.messages import (
    BytesBody,
    Request,
    Response,
    is_valid_host,
    json_bytes,
)
from reference_registry.profiles import Profile
from reference_registry.repository import Registry, Repository, RepositoryAddress

_MAC_SIZE = hashlib.sha256().digest_size
_TOKEN = r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)"
_FORWARDED_PAIR = re.compile(rf'\s*{_TOKEN}\s*=\s*(?:"((?:[^"\\]|\\.)*)"|{_TOKEN})\s*')


@dataclass(frozen=True)
class Context:
    """One request with everything that is needed to answer it."""

    request: Request
    parameters: Mapping[str, str]
    """The parts of the path, named in ``routing``; the repository's name is valid."""
    registry: Registry
    config: Config
    profile: Profile
    clock: Clock
    states: UploadStates
    place: RepositoryAddress
    """Of the repository that the path and ``ns`` name."""

    @property
    def repository(self) -> Repository:
        return self.registry.repository(self.place.name)

    @property
    def prefixed_path(self) -> str:
        """The path of the request as the client sent it, with ``http.prefix``."""
        return prefixed(self.request.path, self.config.http)

    def digest(self) -> Digest:
        """The digest in the path. DIGEST_INVALID if it is not one."""
        return parsed_digest(self.parameters["digest"], self.profile)

    def location(self, path: str, **query: str) -> tuple[str, str]:
        """A ``Location`` header to *path* below ``/v2/<name>/``."""
        full = f"/v2/{self.parameters['name']}/{path}"
        return ("Location", location(self.request, self.config.http, full, query))


Handler = Callable[[Context], Awaitable[Response]]


def json_response(
    document: Any, profile: Profile, status: int = 200, *headers: tuple[str, str]
) -> Response:
    """*document* as JSON."""
    headers = (("Content-Type", profile.json_content_type), *headers)
    return Response(status, headers, BytesBody(json_bytes(document)))


def parsed_digest(text: str, profile: Profile) -> Digest:
    """*text* as a digest; DIGEST_INVALID if it is not one that can be verified."""
    digest = parse_digest(text)
    if digest is None:
        raise DIGEST_INVALID({} if profile.error_detail == "struct" else f"not a digest: {text}")
    return digest


# -- URLs -----------------------------------------------------------------------------------------
def prefixed(path: str, http: HttpConfig) -> str:
    """*path* as clients see it, with ``http.prefix`` before it."""
    return f"{http.prefix.rstrip('/')}{path}"


def base_url(request: Request, http: HttpConfig) -> str:
    """Scheme and host, such as ``https://registry.example:5000``; empty for relative URLs."""
    configured = urlsplit(http.host or "")
    # A host without a scheme is ignored, as in distribution.
    if configured.scheme and configured.netloc:
        return f"{configured.scheme}://{configured.netloc}"
    if http.relativeurls:
        return ""
    scheme, host = request.scheme, request.header("host") or ""
    forwarded = request.header("forwarded")
    if forwarded:
        pairs = _first_forwarded(forwarded)
        scheme, host = pairs.get("proto") or scheme, pairs.get("host") or host
    else:
        scheme = request.header("x-forwarded-proto") or scheme
        # Each proxy on the way appends the host that it was asked for.
        host = (request.header("x-forwarded-host") or host).partition(",")[0].strip()
    return f"{scheme}://{host}"


def location(request: Request, http: HttpConfig, path: str, query: dict[str, str]) -> str:
    """The value of ``Location`` for *path* (without the prefix) and *query*."""
    url = base_url(request, http) + prefixed(quote(path, safe="/:@+,=-._~"), http)
    return f"{url}?{urlencode(query)}" if query else url


def is_sound_forwarding(name: str, value: str) -> bool:
    """Whether a header of a proxy, called *name*, can be part of a URL."""
    if name == "forwarded":
        pairs = _first_forwarded(value)
        scheme, host = pairs.get("proto", "http"), pairs.get("host", "")
    elif name == "x-forwarded-proto":
        scheme, host = value, ""
    else:
        scheme, host = "http", value.partition(",")[0].strip()
    return scheme in {"http", "https"} and is_valid_host(host)


def _first_forwarded(header: str) -> dict[str, str]:
    """The parameters of the first hop; empty if the header does not follow RFC 7239, section 4,
    which requires quotes around a host with a port."""
    pairs: dict[str, str] = {}
    rest = header
    while rest.strip():
        match = _FORWARDED_PAIR.match(rest)
        if match is None or match[1].lower() in pairs:
            return {}
        name, quoted, plain = match.groups()
        pairs[name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        rest = rest[match.end() :]
        if rest.startswith(","):
            break
        if rest and not rest.startswith(";"):
            return {}
        rest = rest[1:]
    return pairs


# -- tokens of uploads ----------------------------------------------------------------------------
class UploadState(NamedTuple):
    """The content of a token. ``name`` is the repository; ``offset`` is in bytes."""

    name: str
    uuid: str
    offset: int


class UploadStates:
    """Signs and reads the ``_state`` token in the URL of an upload, as distribution makes it:
    URL-safe base64 of an HMAC-SHA256 (32 bytes, keyed with ``http.secret``) and the JSON document
    that it covers. It says how far the upload was when the registry gave out the URL, so that
    registries without shared memory can check that."""

    def __init__(self, secret: str) -> None:
        self._key = secret.encode()

    def pack(self, state: UploadState, now: datetime) -> str:
        """The token. Nothing reads ``StartedAt``, so *now* will do."""
        started = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        name, uuid, offset = state
        fields = {"Name": name, "UUID": uuid, "Offset": offset, "StartedAt": started}
        document = json.dumps(fields, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._mac(document) + document).decode("ascii")

    def unpack(self, token: str) -> UploadState | None:
        """The content of *token*; None unless it is signed with this secret."""
        try:
            signed = base64.urlsafe_b64decode(token.encode("ascii"))
            document = signed[_MAC_SIZE:]
            if not hmac.compare_digest(signed[:_MAC_SIZE], self._mac(document)):
                return None
            fields = json.loads(document)
            return UploadState(str(fields["Name"]), str(fields["UUID"]), int(fields["Offset"]))
        # A known secret, such as the empty one of some proxies, lets anyone sign anything.
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None

    def _mac(self, document: bytes) -> bytes:
        return hmac.digest(self._key, document, "sha256")
