"""Registries with behaviours as data: a mock without sockets.

By default a host is healthy: it speaks plain HTTP and trusted TLS on every port, has every image
and requires no credentials. :class:`HostBehaviour` describes differences; its rules answer single
requests.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from harness.content import Content, Manifest
from harness.nodes.models.go_url import split_host_port
from harness.nodes.models.network import (
    ClientRequest,
    ClientResponse,
    Failure,
    Trust,
    basic_authorization,
    with_port,
)


@dataclass(frozen=True)
class HostChallenge:
    """Authentication for everything that a host serves."""

    type: Literal["basic", "bearer"]
    credential: str = ""
    """``user:password`` that a Basic challenge accepts."""
    realm: str = ""
    service: str = ""
    scope: str = "repository:any:pull"
    token: str = ""
    """The token that a Bearer challenge accepts."""
    error: str | None = None
    lines: tuple[str, ...] | None = None
    """WWW-Authenticate as sent; None makes it from the rest."""

    def header(self) -> tuple[str, ...]:
        """The header lines of a 401."""
        if self.lines is not None:
            return self.lines
        if self.type == "basic":
            return ('Basic realm="mock"',)
        error = f',error="{self.error}"' if self.error else ""
        return (
            f'Bearer realm="{self.realm}",service="{self.service}",scope="{self.scope}"{error}',
        )

    def accepts(self, authorization: str | None) -> bool:
        """Whether the Authorization header grants access."""
        if self.type == "bearer":
            return authorization == f"Bearer {self.token}"
        return authorization == basic_authorization(self.credential)


@dataclass(frozen=True)
class HostTokenService:
    """A token server: for service ``x`` it issues the token ``T-x``."""

    credential: str | None = None
    """``user:password`` that it requires if any are sent; None accepts everyone."""
    status: int | None = None
    """The status of every answer."""
    post_status: int | None = None
    """The status of every answer to POST."""
    token: str | None = None
    """Issued instead of the valid one."""


@dataclass(frozen=True)
class HostAction:
    """How a rule changes the answer; without any field set it changes nothing."""

    status: int | None = None
    body: str | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    """Set, or removed if None."""
    html: bool = False
    """200 with a web page, like a captive portal."""
    redirect: str | None = None
    """307 to this URL; ``{path}`` stands for the request's path."""
    reset: bool = False
    wrong_body: bool = False
    """Wrong bytes of the right length."""
    truncate: int | None = None
    """The connection ends after this many bytes of the body."""
    ignore_range: bool = False
    drop_size: bool = False
    hang: bool = False


@dataclass(frozen=True)
class HostRule:
    """The first matching rule applies; a filter that is None matches all requests."""

    action: HostAction
    method: str | None = None
    kind: str | None = None
    """``base`` (/v2/), ``manifest-tag``, ``manifest-digest``, ``blob``, ``token``, ``other``."""
    obj: str | None = None
    """``base``, ``tag``, ``index``, ``manifest``, ``config``, ``layer``, ``token``, ``other``."""
    auth: Literal["none", "some"] | None = None
    times: int | None = None
    """How many times the rule applies; None for always."""


@dataclass(frozen=True)
class HostBehaviour:
    """One host. The default is a healthy registry that has every image."""

    resolvable: bool = True
    down: bool = False
    unreachable: bool = False
    """Connection attempts are never answered."""
    silent: bool = False
    """Connections are accepted, and nothing is sent."""
    speaks: Literal["both", "plain", "tls"] = "both"
    authority: bytes | None = None
    """The authority (DER) that signed its certificate; None for one in the system's roots."""
    wants_client_certificate: bool = False
    store: bool = True
    challenge: HostChallenge | None = None
    tokens: HostTokenService = HostTokenService()
    rules: tuple[HostRule, ...] = ()


HEALTHY = HostBehaviour()
UNRESOLVABLE = HostBehaviour(resolvable=False)
"""A name that does not resolve."""


# -- content ------------------------------------------------------------------------------------
class RegistryContent:
    """The content of every host: one image or index, under any name and tag."""

    def __init__(self, image: Manifest) -> None:
        self.tagged = image.digest
        self._objects: dict[str, tuple[str, Content]] = dict(_objects(image))

    def find(self, reference: str) -> Content | None:
        """The object behind a tag or digest."""
        _, found = self._objects.get(reference if ":" in reference else self.tagged, ("", None))
        return found

    def kind(self, digest: str) -> str:
        """``index``, ``manifest``, ``config``, ``layer``, or ``other`` for unknown content."""
        return self._objects[digest][0] if digest in self._objects else "other"


def _objects(manifest: Manifest) -> Iterator[tuple[str, tuple[str, Content]]]:
    yield manifest.digest, ("index" if manifest.children else "manifest", manifest)
    for number, blob in enumerate(manifest.blobs):
        yield blob.digest, ("layer" if number else "config", blob)
    for child in manifest.children:
        yield from _objects(child)


# -- network ------------------------------------------------------------------------------------
_RESOURCE = re.compile(r".*/(?P<type>manifests|blobs)/(?P<reference>[^/]+)")
_UPLOAD = re.compile(r".*/blobs/uploads/[^/]*")
CAPTIVE_PORTAL = b"<html><body>captive portal</body></html>"
_JSON = {"Content-Type": ("application/json",)}


class SimulatedNetwork:
    """Answers requests according to the hosts' behaviours, and counts how often each rule applied.

    Every host has *image*. Hosts are found by name and port, by name and the scheme's port, or by
    name alone; *elsewhere* is the behaviour of all others. Names with the same behaviour object are
    one host.
    *system_roots* are the system's authorities, *page* is the body of scripted web pages, *note*
    ends scripted messages.
    """

    def __init__(
        self,
        behaviours: Mapping[str, HostBehaviour],
        image: Manifest,
        *,
        elsewhere: HostBehaviour = HEALTHY,
        system_roots: frozenset[bytes] = frozenset(),
        page: bytes = CAPTIVE_PORTAL,
        note: str = "",
    ) -> None:
        self._behaviours = behaviours
        self._content = RegistryContent(image)
        self._elsewhere = elsewhere
        self._system_roots = system_roots
        self._page = page
        self._note = note
        self._applied: Counter[tuple[int, int]] = Counter()

    def behaviour(self, host: str, scheme: str) -> HostBehaviour:
        """The behaviour of *host*, as a URL names it."""
        split = split_host_port(host)
        for name in (host, with_port(host, scheme), split[0] if split else host):
            if name in self._behaviours:
                return self._behaviours[name]
        return self._elsewhere

    def exchange(self, request: ClientRequest, trust: Trust) -> ClientResponse | Failure:
        """See :class:`harness.nodes.models.network.Network`."""
        host = self.behaviour(request.host, request.scheme)
        failure = self._failure(host, request.scheme, trust)
        if failure is not None:
            return failure
        kind, obj, reference = self._target(request)
        action = self._action(host, request, kind, obj)
        if action.reset or action.hang:
            return Failure.RESET if action.reset else Failure.NO_ANSWER
        if action.html:
            answer = ClientResponse(200, {"Content-Type": ("text/html",)}, self._page)
        elif action.redirect is not None:
            location = action.redirect.replace("{path}", request.path)
            answer = ClientResponse(307, {"Location": (location,)})
        elif action.status is not None:
            answer = _error(action.status, f"scripted {action.status}{self._note}")
            if action.body is not None:
                answer = ClientResponse(action.status, {}, action.body.encode())
        else:
            answer = self._serve(host, request, kind, reference)
        asks = host.wants_client_certificate and request.scheme == "https"
        return _shaped(answer, request, action, trust.client_certificate if asks else None)

    def _failure(self, host: HostBehaviour, scheme: str, trust: Trust) -> Failure | None:
        """Why the server does not get to read the request."""
        secured = scheme == "https"
        roots = self._system_roots if trust.system_roots else frozenset()
        is_known = host.authority in roots | trust.authorities
        if host.authority is None:
            is_known = trust.system_roots
        failures = (
            (Failure.UNRESOLVED, not host.resolvable),
            (Failure.UNREACHABLE, host.unreachable),
            (Failure.REFUSED, host.down),
            (Failure.UNSUPPORTED_SCHEME, scheme not in {"http", "https"}),
            (Failure.HANDSHAKE_TIMEOUT, secured and host.silent),
            (Failure.SILENT, host.silent),
            (Failure.NOT_HTTP, not secured and host.speaks == "tls"),
            (Failure.NOT_TLS, secured and host.speaks == "plain"),
            (Failure.UNTRUSTED, secured and trust.verify and not is_known),
            (
                Failure.CLIENT_CERTIFICATE_REQUIRED,
                secured and host.wants_client_certificate and trust.client_certificate is None,
            ),
        )
        return next((failure for failure, happens in failures if happens), None)

    def _target(self, request: ClientRequest) -> tuple[str, str, str]:
        """A rule's ``kind`` and ``obj`` for *request*, and the tag or digest in its path."""
        match = _RESOURCE.fullmatch(request.path)
        if _UPLOAD.fullmatch(request.path):
            return "other", "other", ""
        if match is None:
            base = request.path.endswith("/v2/")
            kind = "base" if base else "token" if request.path.endswith("/token") else "other"
            return kind, kind, ""
        reference = match["reference"]
        if match["type"] == "manifests" and ":" not in reference:
            return "manifest-tag", "tag", reference
        kind = "blob" if match["type"] == "blobs" else "manifest-digest"
        return kind, self._content.kind(reference), reference

    def _action(
        self, host: HostBehaviour, request: ClientRequest, kind: str, obj: str
    ) -> HostAction:
        auth = "none" if request.header("Authorization") is None else "some"
        for number, rule in enumerate(host.rules):
            wanted = (rule.method, rule.kind, rule.obj, rule.auth)
            found = (request.method, kind, obj, auth)
            if any(w is not None and w != f for w, f in zip(wanted, found, strict=True)):
                continue
            if rule.times is not None and self._applied[id(host), number] >= rule.times:
                continue
            self._applied[id(host), number] += 1
            return rule.action
        return HostAction()

    def _serve(
        self, host: HostBehaviour, request: ClientRequest, kind: str, reference: str
    ) -> ClientResponse:
        """The answer of a healthy registry or token server."""
        if kind == "token":
            return _issue(host.tokens, request)
        if host.challenge and not host.challenge.accepts(request.header("Authorization")):
            headers = {**_JSON, "WWW-Authenticate": host.challenge.header()}
            return replace(_error(401, "status 401"), headers=headers)
        if kind == "base":
            return ClientResponse(200, _JSON, b"{}")
        if request.method == "POST":
            return ClientResponse(202, {"Location": (f"{request.path.rstrip('/')}/u1",)})
        if request.method == "PUT":
            digest = dict(request.query).get("digest") or self._content.tagged
            return ClientResponse(201, {"Docker-Content-Digest": (digest,)})
        found = self._content.find(reference) if host.store and reference else None
        if found is None:
            return _error(404, f"status 404{self._note}")
        headers = {"Content-Type": (found.media_type,), "Docker-Content-Digest": (found.digest,)}
        return ClientResponse(200, headers, found.content)


def _shaped(
    answer: ClientResponse, request: ClientRequest, action: HostAction, shown: str | None
) -> ClientResponse:
    """*answer* with range, method and the faults of the rule applied."""
    changed = {name: None if value is None else (value,) for name, value in action.headers.items()}
    headers = {n: v for n, v in {**answer.headers, **changed}.items() if v is not None}
    body, status, cut = answer.body, answer.status, False
    if action.wrong_body:
        body = bytes(byte ^ 1 for byte in body)
    # Registries serve ranges of blobs only.
    if request.offset and status == 200 and "/blobs/" in request.path and not action.ignore_range:
        status = 206
        headers["Content-Range"] = (f"bytes {request.offset}-{len(body) - 1}/{len(body)}",)
        body = body[request.offset :]
    length: int | None = None if action.drop_size else len(body)
    if status in {204, 304}:
        body, length = b"", None
    elif request.method == "HEAD":
        body = b""
    elif action.truncate is not None and action.truncate < len(body):
        body, cut = body[: action.truncate], True
    return ClientResponse(status, headers, body, length, cut, shown)


def _error(status: int, message: str) -> ClientResponse:
    body = f'{{"errors":[{{"code":"X","message":"{message}"}}]}}'
    return ClientResponse(status, _JSON, body.encode())


def _issue(service: HostTokenService, request: ClientRequest) -> ClientResponse:
    is_post = request.method == "POST"
    parameters = dict(request.form if is_post else request.query)
    status = service.status or (service.post_status if is_post else None)
    if status is None and not _is_accepted(service.credential, request, parameters):
        status = 401
    if status is not None:
        return _error(status, f"status {status}")
    token = service.token or f"T-{parameters.get('service', '')}"
    return ClientResponse(200, _JSON, f'{{"token":"{token}","access_token":"{token}"}}'.encode())


def _is_accepted(
    credential: str | None, request: ClientRequest, parameters: Mapping[str, str]
) -> bool:
    if credential is None or parameters.get("grant_type") == "refresh_token":
        return True
    if request.method == "POST":
        return credential == f"{parameters.get('username')}:{parameters.get('password')}"
    return request.header("Authorization") in {None, basic_authorization(credential)}
