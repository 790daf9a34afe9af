"""Registries with behaviours as data: a mock without sockets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.content import Manifest
from harness.nodes.models.behaviours import HEALTHY, HostAction, HostBehaviour, HostTokenService
from harness.nodes.models.go_url import split_host_port
from harness.nodes.models.network import (
    ClientRequest,
    ClientResponse,
    ConnectionFailed,
    Failure,
    Trust,
    basic_authorization,
    with_port,
)
from reference_registry.digest import digest_of

__all__ = ["CAPTIVE_PORTAL", "RegistryContent", "SimulatedNetwork"]


# -- content ------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Object:
    kind: str
    media_type: str
    content: bytes


class RegistryContent:
    """The content of every host: one image or index, under any name and tag."""

    def __init__(self, image: Manifest) -> None:
        self.tagged = image.digest
        self._objects: dict[str, _Object] = dict(_objects(image))

    def find(self, reference: str) -> _Object | None:
        """The object behind a tag or digest."""
        digest = reference if ":" in reference else self.tagged
        return self._objects.get(digest)

    def kind(self, digest: str) -> str:
        """``index``, ``manifest``, ``config``, ``layer``, or ``other`` for unknown content."""
        found = self._objects.get(digest)
        return found.kind if found else "other"


def _objects(manifest: Manifest) -> Iterator[tuple[str, _Object]]:
    kind = "index" if manifest.children else "manifest"
    yield manifest.digest, _Object(kind, manifest.media_type, manifest.content)
    for number, blob in enumerate(manifest.blobs):
        kind = "layer" if number else "config"
        yield blob.digest, _Object(kind, blob.media_type, blob.content)
    for child in manifest.children:
        yield from _objects(child)


# -- network ------------------------------------------------------------------------------------
_RESOURCE = re.compile(r".*/(?P<type>manifests|blobs)/(?P<reference>[^/]+)")
_UPLOAD = re.compile(r".*/blobs/uploads/[^/]*")
CAPTIVE_PORTAL = b"<html><body>captive portal</body></html>"
_ZERO = "sha256:" + "0" * 64


@dataclass(frozen=True)
class _Target:
    """The object of a request."""

    kind: str
    obj: str
    reference: str = ""


class SimulatedNetwork:
    """Answers requests according to the hosts' behaviours, and counts how often each rule applied.

    Hosts are found by name and port, by name and the scheme's port, or by name alone; *elsewhere*
    is the behaviour of all others. Names with the same behaviour object are one host.
    *system_roots* are the system's authorities, *page* is the body of scripted web pages, *note*
    ends scripted messages.
    """

    def __init__(
        self,
        behaviours: Mapping[str, HostBehaviour],
        content: RegistryContent,
        *,
        elsewhere: HostBehaviour = HEALTHY,
        system_roots: frozenset[bytes] = frozenset(),
        page: bytes = CAPTIVE_PORTAL,
        note: str = "",
    ) -> None:
        self._behaviours = behaviours
        self._content = content
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

    def exchange(self, request: ClientRequest, trust: Trust) -> ClientResponse:
        """See :class:`harness.nodes.models.network.Network`."""
        host = self.behaviour(request.host, request.scheme)
        self._connect(host, request.scheme, trust)
        target = self._target(request)
        action = self._action(host, request, target)
        if action.reset:
            raise ConnectionFailed(Failure.RESET)
        if action.hang:
            raise ConnectionFailed(Failure.NO_ANSWER)
        answer = self._scripted(action, request) or self._serve(host, request, target)
        shown = trust.client_certificate if host.wants_client_certificate else None
        return _shaped(answer, request, action, shown if request.scheme == "https" else None)

    def _scripted(self, action: HostAction, request: ClientRequest) -> ClientResponse | None:
        """The answer of a rule that replaces the registry's answer."""
        if action.html:
            return ClientResponse(200, {"Content-Type": ("text/html",)}, self._page)
        if action.redirect is not None:
            return ClientResponse(
                307, {"Location": (action.redirect.replace("{path}", request.path),)}
            )
        if action.status is None:
            return None
        if action.body is None:
            return _error(action.status, f"scripted {action.status}{self._note}")
        return ClientResponse(action.status, {}, action.body.encode())

    def _connect(self, host: HostBehaviour, scheme: str, trust: Trust) -> None:
        """Raises :class:`ConnectionFailed` if the server does not get to read the request."""
        secured = scheme == "https"
        failures = (
            (Failure.UNRESOLVED, not host.resolvable),
            (Failure.UNREACHABLE, host.unreachable),
            (Failure.REFUSED, host.down),
            (Failure.UNSUPPORTED_SCHEME, scheme not in {"http", "https"}),
            (Failure.HANDSHAKE_TIMEOUT, secured and host.silent),
            (Failure.SILENT, host.silent),
            (Failure.NOT_HTTP, not secured and host.speaks == "tls"),
            (Failure.NOT_TLS, secured and host.speaks == "plain"),
            (Failure.UNTRUSTED, secured and trust.verify and not self._is_known(host, trust)),
            (
                Failure.CLIENT_CERTIFICATE_REQUIRED,
                secured and host.wants_client_certificate and trust.client_certificate is None,
            ),
        )
        for failure, happens in failures:
            if happens:
                raise ConnectionFailed(failure)

    def _is_known(self, host: HostBehaviour, trust: Trust) -> bool:
        """Whether the client trusts the authority of the host's certificate."""
        if host.authority is None:
            return trust.system_roots
        roots = self._system_roots if trust.system_roots else frozenset()
        return host.authority in roots | trust.authorities

    def _target(self, request: ClientRequest) -> _Target:
        if _UPLOAD.fullmatch(request.path):
            return _Target("other", "other")
        if request.path.endswith("/v2/"):
            return _Target("base", "base")
        match = _RESOURCE.fullmatch(request.path)
        if match is None:
            is_token = request.path.endswith("/token")
            return _Target("token", "token") if is_token else _Target("other", "other")
        reference = match["reference"]
        if match["type"] == "blobs":
            return _Target("blob", self._content.kind(reference), reference)
        if ":" in reference:
            return _Target("manifest-digest", self._content.kind(reference), reference)
        return _Target("manifest-tag", "tag", reference)

    def _action(self, host: HostBehaviour, request: ClientRequest, target: _Target) -> HostAction:
        auth = "none" if request.header("Authorization") is None else "some"
        for number, rule in enumerate(host.rules):
            wanted = (rule.method, rule.kind, rule.obj, rule.auth)
            found = (request.method, target.kind, target.obj, auth)
            if any(w is not None and w != f for w, f in zip(wanted, found, strict=True)):
                continue
            if rule.times is not None and self._applied[id(host), number] >= rule.times:
                continue
            self._applied[id(host), number] += 1
            return rule.action
        return HostAction()

    def _serve(
        self, host: HostBehaviour, request: ClientRequest, target: _Target
    ) -> ClientResponse:
        if target.kind == "token":
            return _issue(host.tokens, request)
        authorization = request.header("Authorization")
        if host.challenge is not None and not host.challenge.accepts(authorization):
            refusal = _error(401)
            challenge = {"WWW-Authenticate": host.challenge.header()}
            return ClientResponse(401, {**refusal.headers, **challenge}, refusal.body)
        if target.kind == "base":
            return ClientResponse(200, {"Content-Type": ("application/json",)}, b"{}")
        if request.method == "POST":
            return ClientResponse(202, {"Location": (f"{request.path.rstrip('/')}/u1",)})
        if request.method == "PUT":
            digest = dict(request.query).get("digest") or self._content.tagged
            return ClientResponse(201, {"Docker-Content-Digest": (digest,)})
        found = self._content.find(target.reference) if host.store and target.reference else None
        if found is None:
            return _error(404, f"status 404{self._note}")
        return ClientResponse(
            200,
            {
                "Content-Type": (found.media_type,),
                "Docker-Content-Digest": (digest_of(found.content),),
            },
            found.content,
        )


def _shaped(
    answer: ClientResponse, request: ClientRequest, action: HostAction, shown: str | None
) -> ClientResponse:
    """*answer* with range, method and the faults of the rule applied."""
    headers = dict(answer.headers) | {name: (value,) for name, value in action.headers.items()}
    body, status = answer.body, answer.status
    if action.wrong_body:
        body = bytes(byte ^ 1 for byte in body)
    if action.no_digest_header:
        headers.pop("Docker-Content-Digest", None)
    if action.wrong_digest_header:
        headers["Docker-Content-Digest"] = (_ZERO,)
    if action.bad_digest_header:
        headers["Docker-Content-Digest"] = ("sha256:not-a-digest",)
    # Registries serve ranges of blobs only.
    ranged = "/blobs/" in request.path and not action.ignore_range
    if status == 200 and request.offset and ranged:
        status = 206
        headers["Content-Range"] = (f"bytes {request.offset}-{len(body) - 1}/{len(body)}",)
        body = body[request.offset :]
    length: int | None = None if action.drop_size else len(body)
    cut = False
    if status in {204, 304}:
        body, length = b"", None
    elif request.method == "HEAD":
        body = b""
    elif action.truncate is not None and action.truncate < len(body):
        body, cut = body[: action.truncate], True
    return ClientResponse(status, headers, body, length, cut, shown)


def _error(status: int, message: str | None = None) -> ClientResponse:
    message = message or f"status {status}"
    body = f'{{"errors":[{{"code":"X","message":"{message}"}}]}}'
    return ClientResponse(status, {"Content-Type": ("application/json",)}, body.encode())


def _issue(service: HostTokenService, request: ClientRequest) -> ClientResponse:
    parameters = dict(request.form if request.method == "POST" else request.query)
    of_method = service.post_status if request.method == "POST" else service.get_status
    scripted = of_method if service.status is None else service.status
    if scripted is not None:
        return _error(scripted)
    if service.credential is not None and not _is_known(service.credential, request, parameters):
        return _error(401)
    token = service.token or f"T-{parameters.get('service', '')}"
    return ClientResponse(
        200,
        {"Content-Type": ("application/json",)},
        f'{{"token":"{token}","access_token":"{token}"}}'.encode(),
    )


def _is_known(credential: str, request: ClientRequest, parameters: Mapping[str, str]) -> bool:
    if request.method == "POST":
        if parameters.get("grant_type") == "refresh_token":
            return True
        return credential == f"{parameters.get('username')}:{parameters.get('password')}"
    return request.header("Authorization") in {None, basic_authorization(credential)}
