"""What a registry that wants a login is sent, and who gets to see the password.

The password goes to the registry itself, and to a token server on the registry's own host. A
challenge can name any host (``realm``): that the registry says so is no reason to trust it.

Tokens: https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Sequence
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from harness.http.client import origin
from harness.nodes.models.registry_api import ParsedChallenge, issued_token, parse_challenges
from harness.targets.access import basic_credentials
from harness.targets.errors import TargetError

__all__ = ["RemoteLogin"]

_REPOSITORY = re.compile(r"/v2/(.+?)/(?:manifests|blobs|tags|referrers)/")
_LASTS = 45.0
"""Seconds: a token lasts for 60 at least ("Token Response Fields")."""


class RemoteLogin:
    """The ``Authorization`` of each request to the registry at *url*."""

    def __init__(
        self, where: str, url: str, tls: ssl.SSLContext, login: tuple[str, str] | None
    ) -> None:
        """*where* begins an error; *tls* says which certificates are trusted."""
        self._where = where
        self._url = httpx.URL(url)
        self._tls = tls
        self._login = login
        self._challenge: ParsedChallenge | None = None
        self._tokens: dict[str, tuple[float, str]] = {}

    def learn(self, answer: httpx.Headers) -> bool:
        """Take up the challenges of a 401; False where there is none that could be met."""
        found = parse_challenges(answer.get_list("WWW-Authenticate"))
        for challenge in found:
            if challenge.scheme == "bearer" or (challenge.scheme == "basic" and self._login):
                self._challenge = challenge
                return True
        return False

    @property
    def scheme(self) -> str | None:
        """``basic``, ``bearer``, or None where nothing is asked for."""
        return self._challenge.scheme if self._challenge else None

    def authorization(self, method: str, path: str) -> str | None:
        """For a request of *path*, as it is on the wire. ``TargetError`` where no token is had."""
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
        return None if self._login is None else f"Basic {basic_credentials(self._login)}"

    def _fetch(self, challenge: ParsedChallenge, scopes: Sequence[str]) -> str:
        realm = challenge.parameters.get("realm", "")
        try:
            url = httpx.URL(realm)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in {"http", "https"} or url.userinfo:
            raise TargetError(f"{self._where}: its challenge names no token server")
        headers = {}
        if self._login is not None:
            if not self._is_trusted(url):
                raise TargetError(
                    f"{self._where}: wants tokens of {url.scheme}://{url.netloc.decode()}, another "
                    "host, which gets no password from here; get one there and give it with "
                    "--header 'Authorization: Bearer TOKEN'"
                )
            headers["Authorization"] = self._basic() or ""
        asked: dict[str, str | list[str]] = {"scope": list(scopes)}
        if service := challenge.parameters.get("service"):
            asked["service"] = service
        # Whoever follows no redirect sends no password after it.
        http = httpx.Client(verify=self._tls, trust_env=False, follow_redirects=False)
        try:
            with http:
                answer = http.get(url.copy_merge_params(asked), headers=headers)
        except httpx.TransportError as failure:
            raise TargetError(f"{self._where}: its token server does not answer") from failure
        token = issued_token(answer.content) if answer.status_code == 200 else None
        if token is None:
            raise TargetError(
                f"{self._where}: its token server gives no token ({answer.status_code}); "
                "--login USER:PASSWORD"
            )
        return token

    def _is_trusted(self, url: httpx.URL) -> bool:
        """The registry's own host, by a connection not worse than the registry's."""
        same_host = url.host == self._url.host
        return origin(url) == origin(self._url) or (same_host and url.scheme == "https")


def scopes_of(method: str, path: str) -> list[str]:
    """What a request needs to be allowed
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
