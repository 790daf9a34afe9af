"""The client of a registry that runs already: which names it uses there, what it sends to log in,
and who gets to see the password.

The password goes to the registry, and to a token server on the registry's own host. A challenge can
name any host as its ``realm``; that the registry says so is not a reason to trust it. Tokens:
https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from harness.http.client import Call, OpenAnswer, RegistryClient, origin
from harness.http.namespace import Namespace
from harness.targets.access import TargetAccess, basic_credentials
from harness.targets.errors import NotOffered, TargetError
from reference_registry.proxy.upstream.challenge import (
    Challenge,
    TokenUnusable,
    parse_challenges,
    parse_token,
)

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_REPOSITORY = re.compile(r"/v2/(.+?)/(?:manifests|blobs|tags|referrers)/")
_LASTS = 45.0
"""Seconds. A token is valid for at least 60 ("Token Response Fields")."""


class RemoteLogin:
    """The access to the registry at *url*, and the ``Authorization`` of each request; *where* is
    its name in errors. ``TargetError`` for certificates that cannot be read."""

    def __init__(self, where: str, url: str, access: TargetAccess) -> None:
        self.where = where
        self.url = url
        self.access = access
        self.tls = access.tls()
        self._challenge: Challenge | None = None
        self._tokens: dict[str, tuple[float, str]] = {}

    def learn(self, answer: httpx.Headers) -> bool:
        """Use the challenges of a 401. False if none of them can be answered."""
        found = parse_challenges(answer.get_list("WWW-Authenticate"))
        for challenge in sorted(found, key=lambda one: one.scheme != "bearer"):
            if challenge.scheme == "bearer" or (challenge.scheme == "basic" and self.access.login):
                self._challenge = challenge
                return True
        return False

    @property
    def scheme(self) -> str | None:
        """``basic``, ``bearer``, or None if no login is required."""
        return self._challenge.scheme if self._challenge else None

    def authorization(self, method: str, path: str) -> str | None:
        """The header for a request of *path* (as on the wire), or None. ``TargetError`` if the
        token server gives no token."""
        if self._challenge is None:
            return None
        if self._challenge.scheme == "basic":
            return self._basic()
        scopes = scopes_of(method, path)
        key = " ".join(scopes)
        got, token = self._tokens.get(key, (0.0, ""))
        if not token or time.monotonic() - got > _LASTS:
            token = self._fetch(self._challenge, scopes)
            self._tokens[key] = time.monotonic(), token
        return f"Bearer {token}"

    def _basic(self) -> str | None:
        login = self.access.login
        return None if login is None else f"Basic {basic_credentials(login)}"

    def _fetch(self, challenge: Challenge, scopes: Sequence[str]) -> str:
        try:
            url = httpx.URL(challenge.get("realm"))
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in {"http", "https"} or url.userinfo:
            raise TargetError(f"{self.where}: its challenge has no usable realm")
        basic = self._basic()
        if basic is not None and not self._is_trusted(url):
            raise TargetError(
                f"{self.where}: its token server {url.scheme}://{url.netloc.decode()} is "
                "another host, so the password is not sent there; get a token and give it with "
                "--header 'Authorization: Bearer TOKEN'"
            )
        asked: dict[str, str | list[str]] = {"scope": list(scopes)}
        if service := challenge.get("service"):
            asked["service"] = service
        headers = {} if basic is None else {"Authorization": basic}
        # A redirect is not followed: it would send the password to another host.
        try:
            with httpx.Client(verify=self.tls, trust_env=False, follow_redirects=False) as http:
                answer = http.get(url.copy_merge_params(asked), headers=headers)
        except httpx.TransportError as failure:
            raise TargetError(f"{self.where}: its token server does not answer") from failure
        try:
            if answer.status_code != 200:
                raise TokenUnusable
            return parse_token(answer.content, datetime.now(UTC)).value
        except TokenUnusable as problem:
            raise TargetError(
                f"{self.where}: its token server gives no token ({answer.status_code}); "
                "--login USER:PASSWORD"
            ) from problem

    def _is_trusted(self, url: httpx.URL) -> bool:
        """Whether *url* is on the registry's own host, with at least the registry's security."""
        own = httpx.URL(self.url)
        return origin(url) == origin(own) or (url.host == own.host and url.scheme == "https")


def scopes_of(method: str, path: str) -> list[str]:
    """The token scopes that a request needs
    (https://distribution.github.io/distribution/spec/auth/scope/)."""
    parts = urlsplit(path)
    if parts.path.rstrip("/") == "/v2/_catalog":
        return ["registry:catalog:*"]
    named = _REPOSITORY.match(unquote(parts.path) + "/")
    if named is None:
        return []
    actions = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}.get(method, "pull,push")
    mounted = [f"repository:{name}:pull" for name in parse_qs(parts.query).get("from", [])]
    return [f"repository:{named[1]}:{actions}", *mounted]


class RemoteClient(RegistryClient):
    """Translates between the test's name ``team/app`` and the same name below *names* in the
    registry of *login*. Its headers and logins go to the registry only, and are not recorded."""

    def __init__(self, login: RemoteLogin, names: Namespace) -> None:
        super().__init__(login.url, secrets=login.access.secrets(), tls=login.tls)
        self.login = login
        self.names = names
        self.refuse: Callable[[str, str], str | None] = lambda method, path: None
        """Given a method and a path: why the test cannot send that request, or None."""

    @contextmanager
    def asking_as(self, names: Namespace) -> Iterator[None]:
        """Within the block, repositories are those of *names*."""
        before, self.names = self.names, names
        try:
            yield
        finally:
            self.names = before

    def _build(self, call: Call, timeout: float) -> httpx.Request:
        method, path = call.method, call.path
        if method not in _READING and not self.login.access.allow_writes:
            raise NotOffered(f"{self.login.where} is read-only: {method} needs --allow-writes")
        if reason := self.refuse(method, path):
            raise NotOffered(f"{self.login.where} {reason}")
        wire = path
        if path.startswith("/"):
            wire = self.names.outward(path)
        elif self._owns(url := httpx.URL(path)):
            wire = self.names.outward(url.raw_path.decode())
        request = super()._build(replace(call, path=wire), timeout)
        request.extensions["test"] = httpx.Headers(request.headers)
        if self._owns(request.url):
            asked = {name.lower() for name in call.headers or ()}
            for name, value in self.login.access.headers:
                if name.lower() not in asked:
                    request.headers[name] = value
            if "Authorization" not in request.headers and (
                credential := self.login.authorization(method, wire)
            ):
                request.headers["Authorization"] = credential
        return request

    def _sent(self, request: httpx.Request) -> tuple[str, httpx.Headers]:
        target, _ = super()._sent(request)
        return self.names.inward(target), request.extensions["test"]

    def _seen(self, answer: OpenAnswer) -> tuple[httpx.Headers, bytes]:
        headers, body = super()._seen(answer)
        headers = httpx.Headers([(n, self.names.inward(v)) for n, v in headers.multi_items()])
        if not self.names.own or self.names.own.encode() not in body:
            return headers, body
        # Latin-1 keeps every byte; blobs contain no repository names.
        inward = self.names.inward(body.decode("latin-1")).encode("latin-1")
        if headers.get("Content-Length") == str(len(body)):
            headers["Content-Length"] = str(len(inward))
        return headers, inward
