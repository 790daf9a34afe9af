"""What a handler is given, and the shapes of answers that several handlers make."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reference_registry.api.upload_state import UploadStates
from reference_registry.api.urls import location
from reference_registry.clock import Clock
from reference_registry.config import Config
from reference_registry.digest import Digest, parse_digest
from reference_registry.http.errors import DIGEST_INVALID
from reference_registry.http.messages import BytesBody, Request, Response, json_bytes
from reference_registry.profiles import Profile
from reference_registry.repository import Registry, Repository, RepositoryAddress

__all__ = ["Context", "Handler", "Resource", "json_response", "parsed_digest"]


@dataclass(frozen=True)
class Context:
    """One request with all that is needed to answer it."""

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

    def digest(self) -> Digest:
        """The digest in the path. DIGEST_INVALID where it is none."""
        return parsed_digest(self.parameters["digest"], self.profile)

    def location(self, path: str, **query: str) -> tuple[str, str]:
        """A ``Location`` header to *path* below ``/v2/<name>/``."""
        full = f"/v2/{self.parameters['name']}/{path}"
        return ("Location", location(self.request, self.config.http, full, query))


Handler = Callable[[Context], Awaitable[Response]]


@dataclass(frozen=True)
class Resource:
    """What may be done with a resource, by method."""

    reads: Mapping[str, Handler]
    writes: Mapping[str, Handler]
    """Not there in read-only maintenance."""
    every_method: Handler | None = None
    """Answers all methods alike."""
    admit: Callable[[Context], Awaitable[object]] | None = None
    """Asked before a method is refused; may raise an error that goes first."""


def json_response(
    document: Any, profile: Profile, status: int = 200, *headers: tuple[str, str]
) -> Response:
    """*document* as JSON."""
    return Response(
        status,
        (("Content-Type", profile.json_content_type), *headers),
        BytesBody(json_bytes(document)),
    )


def parsed_digest(text: str, profile: Profile) -> Digest:
    """*text* as a digest; DIGEST_INVALID where it is none that can be verified."""
    digest = parse_digest(text)
    if digest is None:
        raise DIGEST_INVALID({} if profile.error_detail == "struct" else f"not a digest: {text}")
    return digest
