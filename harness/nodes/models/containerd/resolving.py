"""The first half of a pull: resolves the reference to a digest, type and size.

HEAD goes to the hosts that have the capability, in order. After a transport error or a status of
400 or more the next host is tried.
"""

from __future__ import annotations

from dataclasses import replace

from harness.content import DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST
from harness.nodes.models.containerd.failures import (
    Exchange,
    RequestFailed,
    unexpected_status,
)
from harness.nodes.models.containerd.session import Session, Target
from harness.nodes.models.reference import digest_problem
from harness.nodes.models.registry_api import ContentDescriptor, kind_of, status_line
from reference_registry.digest import digest_of

__all__ = ["Resolving"]

_ACCEPT = ", ".join([DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_MANIFEST, OCI_INDEX, "*/*"])
_HEADERS = {"Accept": (_ACCEPT,)}
_LARGEST_MANIFEST = 4 * 1024 * 1024

# Ranks of failures, for releases that report the highest.
_TRANSPORT, _NOT_FOUND, _STATUS, _TOO_LARGE = 1, 2, 3, 4


class Resolving:
    """Finds out which digest, type and size a reference has."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._release = session.release
        self._reference = session.plan.reference
        self._failures: list[tuple[int, RequestFailed]] = []
        self._digest = self._reference.digest

    def run(self) -> ContentDescriptor:
        """The descriptor behind the plan's reference. Raises :class:`RequestFailed`."""
        hosts = self._session.plan.resolve
        if not hosts:
            raise RequestFailed("no resolve hosts: not found", not_found=True)
        digest = self._reference.digest
        resources = [("manifests", digest or self._reference.tag or "")]
        if digest is not None:
            resources.append(("blobs", digest))
        for resource in resources:
            if self._release.blob_round == "after 404" and self._worst >= _STATUS:
                break
            because = f"first host for {'/'.join(resource)[:40]}"
            for number, host in enumerate(hosts, 1):
                found = self._ask(Target(host, resource, number == len(hosts)), because)
                if found is not None:
                    return found
                because = self._failures[-1][1].next_host(host.name)
        raise self._reported()

    @property
    def _worst(self) -> int:
        return max((rank for rank, _ in self._failures), default=0)

    def _reported(self) -> RequestFailed:
        """The failure that is reported."""
        if self._release.resolve_error == "ranked":
            return next(failed for rank, failed in self._failures if rank == self._worst)
        others = (failed for rank, failed in self._failures if rank != _NOT_FOUND)
        return next(others, None) or self._failures[0][1]

    def _ask(self, target: Target, because: str) -> ContentDescriptor | None:
        """The descriptor from *target*, or None if the next host must be tried."""
        name = target.host.name
        try:
            exchange = self._session.send(target, "HEAD", because, _HEADERS)
        except RequestFailed as failed:
            if failed.denied:
                failed = failed.within(
                    "pull access denied, repository does not exist or may require authorization: "
                )
            self._failures.append((_TRANSPORT, failed))
            return None
        response = exchange.response
        if response.status > 299:
            self._failures.append(self._refused(target, exchange))
            return None
        size, media_type = response.content_length, response.media_type
        if self._digest is None:
            named = response.header("Docker-Content-Digest")
            if named and size is not None:
                problem = digest_problem(named)
                if problem is not None:
                    text = f'"{named}" in header not a valid digest: {problem}'
                    raise RequestFailed(text, host=name)
                self._digest = named
        if self._digest is None or size is None:
            size, media_type = self._read(target)
        if size > _LARGEST_MANIFEST:
            text = f"rejecting {size} byte manifest for {self._reference}: not found"
            self._failures.append((_TOO_LARGE, RequestFailed(text, name, not_found=True)))
            return None
        assert self._digest is not None
        return ContentDescriptor(media_type, self._digest, size, kind_of(media_type))

    def _refused(self, target: Target, exchange: Exchange) -> tuple[int, RequestFailed]:
        """Rank and failure of a status; one that is neither success nor failure fails the pull."""
        name, status = target.host.name, exchange.response.status
        if status == 404:
            text = f"{self._reference}: not found"
            return _NOT_FOUND, RequestFailed(text, name, 404, not_found=True)
        text = self._status_text(target, exchange)
        if status < 400:
            raise RequestFailed(text, name, status)
        text = self._session.explained(target, exchange, _HEADERS) or text
        return _STATUS, RequestFailed(text, name, status)

    def _status_text(self, target: Target, exchange: Exchange) -> str:
        status = exchange.response.status
        if self._release.status_wording == "pulling from host":
            unexpected = "unexpected " if status < 400 else ""
            return (
                f"pulling from host {target.host.name} failed with {unexpected}status code "
                f"[{' '.join(target.resource)}]: {status_line(status)}"
            )
        # containerd closes the body before it reads it and loses the registry's message, even of an
        # answer to GET (after 405).
        without_body = replace(exchange.response, body=b"")
        return unexpected_status(exchange.request, without_body, self._release)

    def _read(self, target: Target) -> tuple[int, str]:
        """Size and type from the body of a GET, if HEAD lacks them.

        A failure here fails the pull. Before 2.3 the status is not checked, so that an error
        document becomes "the manifest".
        """
        name = target.host.name
        because = f"HEAD from {name} had no digest or no length"
        exchange = self._session.send(replace(target, last_host=True), "GET", because, _HEADERS)
        response = exchange.response
        if self._release.checks_tag_get and response.status >= 400:
            text = unexpected_status(exchange.request, response, self._release)
            raise RequestFailed(text, name, response.status)
        if response.cut:
            raise RequestFailed("unexpected EOF", name)
        if self._digest is None:
            self._digest = digest_of(response.body)
        return len(response.body), response.media_type
