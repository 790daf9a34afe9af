"""Answers of registries, and the client of a registry that dockerd, skopeo and podman share.

Sources: OCI distribution-spec ("Error Codes"), RFC 7235, OCI image-spec (manifest.md), and
https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from harness.content import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Platform,
)
from harness.nodes.models.go_url import InvalidURL, join_path, parse_url
from harness.nodes.models.network import (
    Attempt,
    ClientRequest,
    ClientResponse,
    Failure,
    Login,
    Network,
    PullStep,
    Trust,
    basic_authorization,
)
from reference_registry.digest import digest_of


def status_line(status: int) -> str:
    """``404 Not Found``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def registry_errors(body: bytes) -> str | None:
    """The errors of an OCI error document, as containerd prints them; None if there are none."""
    try:
        errors = json.loads(body)["errors"]
        codes = [str(error["code"]) for error in errors]
        shown = [code.lower() if code in _KNOWN_CODES else "unknown" for code in codes]
        texts = [f"{code}: {error['message']}" for code, error in zip(shown, errors, strict=True)]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return texts[0] if len(texts) == 1 else "errors:\n" + "\n".join(texts) if texts else None


_KNOWN_CODES = frozenset(
    {"UNSUPPORTED", "UNAUTHORIZED", "DENIED", "UNAVAILABLE", "TOOMANYREQUESTS"}
)


_PRECEDENCE = ("bearer", "digest", "basic")
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SCHEME = re.compile(_TOKEN)
_PARAMETER = re.compile(rf'\s*({_TOKEN})=(?:"((?:\\.|[^"\\])*)"|({_TOKEN})?)\s*(,?)', re.DOTALL)


@dataclass(frozen=True)
class ParsedChallenge:
    """A scheme that the registry would accept, with its parameters (names in lower case)."""

    scheme: str
    """``bearer``, ``digest`` or ``basic``."""
    parameters: Mapping[str, str]


def parse_challenges(lines: Iterable[str]) -> list[ParsedChallenge]:
    """The challenges in *lines*, Bearer first.

    Only the first challenge of a line is found: containerd takes text after a comma for another
    parameter.
    """
    found = []
    for line in lines:
        scheme = _SCHEME.match(line)
        name = scheme[0].lower() if scheme else ""
        if scheme and name in _PRECEDENCE:
            found.append(ParsedChallenge(name, _parameters(line[scheme.end() :])))
    return sorted(found, key=lambda challenge: _PRECEDENCE.index(challenge.scheme))


def issued_token(body: bytes) -> str | None:
    """The token in a token server's answer, under either key; None without one
    (https://distribution.github.io/distribution/spec/auth/token/, "Token Response Fields")."""
    try:
        document = json.loads(body)
        token = document.get("token") or document.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        return None
    return token if isinstance(token, str) else None


def _parameters(text: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    position = 0
    while match := _PARAMETER.match(text, position):
        name, quoted, bare, comma = match.groups()
        value = re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if quoted is not None else bare
        parameters[name.lower()] = value or ""
        if not comma:
            break
        position = match.end()
    return parameters


_INDEXES = {OCI_INDEX, DOCKER_MANIFEST_LIST}
_MANIFESTS = {OCI_MANIFEST, DOCKER_MANIFEST}


@dataclass(frozen=True)
class ContentDescriptor:
    """The content to fetch, with its type."""

    media_type: str
    digest: str
    size: int
    kind: str
    """``index``, ``manifest``, ``config``, ``layer`` or ``unknown``."""

    @property
    def is_manifest(self) -> bool:
        """Whether it is fetched from ``/manifests/``."""
        return self.media_type in _INDEXES | _MANIFESTS


def is_content_of(digest: str, content: bytes) -> bool:
    """Whether *content* has this *digest*."""
    return digest_of(content, digest.partition(":")[0]) == digest


def kind_of(media_type: str) -> str:
    """``index``, ``manifest``, or ``unknown``."""
    if media_type in _INDEXES:
        return "index"
    return "manifest" if media_type in _MANIFESTS else "unknown"


def entry_for_platform(index: bytes, *, or_first: bool = False) -> ContentDescriptor | None:
    """The entry of *index* for linux/amd64; if there is none, None or the first entry."""
    entries = _objects(_document(index).get("manifests"))
    matching = [entry for entry in entries if entry.get("platform") == Platform().document()]
    for entry in (*matching, *(entries if or_first else ())):
        return _descriptor(entry, kind_of(str(entry.get("mediaType"))))
    return None


def manifest_parts(manifest: bytes) -> tuple[ContentDescriptor, list[ContentDescriptor]]:
    """The configuration and the layers that *manifest* names."""
    document = _document(manifest)
    config = document.get("config")
    layers = [_descriptor(layer, "layer") for layer in _objects(document.get("layers"))]
    return _descriptor(config if isinstance(config, dict) else {}, "config"), layers


def _document(content: bytes) -> Mapping[str, Any]:
    """The JSON object in *content*; empty for anything else."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _descriptor(document: Mapping[str, Any], kind: str) -> ContentDescriptor:
    size = document.get("size")
    return ContentDescriptor(
        str(document.get("mediaType", "")),
        str(document.get("digest", "")),
        size if isinstance(size, int) else 0,
        kind,
    )


# -- the client ---------------------------------------------------------------------------------
class PullFailed(Exception):
    """A registry, or the whole pull, failed; the message is the client's."""


@dataclass(kw_only=True)
class ModelClient:
    """Sends the requests of one pull to one host, and writes each into *record*."""

    network: Network
    record: list[Attempt]
    host: str
    repository: str
    login: Login
    trust: Trust
    because: str
    """Why the host is contacted."""
    scheme: str = "https"
    lane: str = ""
    """The ``lane`` of every recorded attempt."""
    _challenges: list[ParsedChallenge] = field(default_factory=list)
    _token: str | None = None

    BASIC_NEEDS_LOGIN: ClassVar[bool]
    """Whether a Basic challenge without a login fails; otherwise an empty login is sent."""

    # -- what the clients do differently --------------------------------------------------------
    def waited(self, failure: Failure, step: PullStep) -> float:
        """Seconds until the client gives up after *failure*; 0 where that is not modelled."""
        del failure, step
        return 0.0

    def refusal(self, response: ClientResponse) -> str | None:
        """The error for an answer that is a failure: one of 400 or more."""
        failed = response.status >= 400
        return f"{self.host}: {status_line(response.status)}" if failed else None

    # -- requests -------------------------------------------------------------------------------
    def send(
        self, step: PullStep, request: ClientRequest, because: str, paused: float = 0.0
    ) -> ClientResponse:
        """The answer; *paused* is the time before the request in seconds.

        Raises :class:`PullFailed` if there is none.
        """
        result = self.network.exchange(request, self.trust)
        if isinstance(result, Failure):
            paused += self.waited(result, step)
        self.record.append(Attempt.at(step, request, result, because, self.lane, paused))
        if isinstance(result, Failure):
            words = result.name.lower().replace("_", " ")
            url = f"{request.scheme}://{request.host}{request.path}"
            raise PullFailed(f'{request.method.title()} "{url}": {words}')
        return result

    def learn(self, ping: ClientResponse) -> None:
        """Keep the challenge in the answer to a ping."""
        self._challenges = parse_challenges(ping.header_lines("WWW-Authenticate"))

    def fetch(
        self, because: str, method: str, kind: str, reference: str, paused: float = 0.0
    ) -> ClientResponse:
        """The answer for a reference of *kind* ``manifests`` or ``blobs``, with any status.

        Raises :class:`PullFailed` if there is none, or no credentials are available.
        """
        path = join_path("/v2", self.repository, kind, reference)
        request = ClientRequest(method, self.scheme, self.host, path, (), self._authorization())
        return self.send("fetch", request, because, paused)

    # -- authorization --------------------------------------------------------------------------
    def _authorization(self) -> Mapping[str, tuple[str, ...]]:
        login = self.login
        for challenge in self._challenges:
            if challenge.scheme == "bearer":
                self._token = self._token or self._fetched_token(challenge)
                return {"Authorization": (f"Bearer {self._token}",)}
            if challenge.scheme == "basic":
                if self.BASIC_NEEDS_LOGIN and not (login.user and login.secret):
                    raise PullFailed("no basic auth credentials")
                return {"Authorization": (basic_authorization(f"{login.user}:{login.secret}"),)}
        return {}

    def _fetched_token(self, challenge: ParsedChallenge) -> str:
        realm = challenge.parameters.get("realm")
        if realm is None:
            raise PullFailed("no realm specified for token auth challenge")
        try:
            url = parse_url(realm)
        except InvalidURL as error:
            raise PullFailed(f"invalid token auth challenge realm: {error}") from None
        user, secret = self.login.user, self.login.secret
        query = parse_qsl(url.query, keep_blank_values=True)
        query.append(("scope", f"repository:{self.repository}:pull"))
        for name, value in (("service", challenge.parameters.get("service")), ("account", user)):
            query += [(name, value)] if value else []
        headers: dict[str, tuple[str, ...]] = {}
        whose = "an anonymous token"
        if user and secret:
            headers["Authorization"] = (basic_authorization(f"{user}:{secret}"),)
            whose = f"a token as {user}"
        path, because = (
            url.path or "/",
            f"{whose} for {self.host}, whose challenge names this realm",
        )
        query.sort()
        request = ClientRequest("GET", url.scheme, url.host, path, tuple(query), headers)
        response = self.send("token", request, because)
        problem = self.refusal(response)
        token = issued_token(response.body)
        if problem is not None or token is None:
            absent = "authorization server did not include a token in the response"
            raise PullFailed(problem or absent)
        return token
