"""The first half of a pull: resolves the reference to a digest, type and size.

HEAD goes to the hosts that have the capability, in order. After a transport error or a status of
400 or more the next host is tried.
"""

from __future__ import annotations

from dataclasses import replace

from harness.content import DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST
from harness.nodes.models.containerd.conversation import (
    Conversation,
    Exchange,
    RequestFailed,
    next_host,
    unexpected_status,
)
from harness.nodes.models.containerd.plan import Plan, PlannedHost
from harness.nodes.models.containerd.requester import Requester
from harness.nodes.models.reference import digest_problem
from harness.nodes.models.registry_api import ContentDescriptor, kind_of, status_line
from reference_registry.digest import digest_of

__all__ = ["Resolving"]

_ACCEPT = ", ".join([DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_MANIFEST, OCI_INDEX, "*/*"])
_LARGEST_MANIFEST = 4 * 1024 * 1024

# Ranks of failures, for releases that report the highest.
_TRANSPORT, _NOT_FOUND, _STATUS, _TOO_LARGE = 1, 2, 3, 4


class Resolving:
    """Finds out which digest, type and size a reference has."""

    def __init__(self, plan: Plan, conversation: Conversation) -> None:
        self._plan = plan
        self._release = plan.release
        self._requester = Requester(plan, conversation, "resolve")
        self._failures: list[tuple[int, RequestFailed]] = []
        self._digest = plan.reference.digest

    def run(self) -> ContentDescriptor:
        """The descriptor behind the plan's reference. Raises :class:`RequestFailed`."""
        hosts = self._plan.resolve
        if not hosts:
            raise RequestFailed("no resolve hosts: not found", not_found=True)
        for resource in self._resources():
            if self._release.blob_round == "after 404" and self._worst >= _STATUS:
                break
            because = f"first host for {'/'.join(resource)[:40]}"
            for number, host in enumerate(hosts, 1):
                found = self._ask(host, resource, because, number == len(hosts))
                if found is not None:
                    return found
                because = next_host(host, self._failures[-1][1])
        raise self._reported()

    def _resources(self) -> list[tuple[str, str]]:
        reference = self._plan.reference
        if reference.digest is not None:
            return [("manifests", reference.digest), ("blobs", reference.digest)]
        return [("manifests", reference.tag or "")]

    @property
    def _worst(self) -> int:
        return max((rank for rank, _ in self._failures), default=0)

    def _reported(self) -> RequestFailed:
        """The failure that is reported."""
        if self._release.resolve_error == "ranked":
            return next(failed for rank, failed in self._failures if rank == self._worst)
        others = (failed for rank, failed in self._failures if rank != _NOT_FOUND)
        return next(others, None) or self._failures[0][1]

    def _ask(
        self, host: PlannedHost, resource: tuple[str, str], because: str, last_host: bool
    ) -> ContentDescriptor | None:
        """The descriptor from *host*, or None if the next host must be tried."""
        try:
            exchange = self._send(host, "HEAD", resource, because, last_host)
        except RequestFailed as failed:
            if failed.denied:
                failed = failed.within(
                    "pull access denied, repository does not exist or may require authorization: "
                )
            self._failures.append((_TRANSPORT, failed))
            return None
        response = exchange.response
        if response.status > 299:
            self._refused(host, resource, exchange)
            return None
        size, media_type = response.content_length, response.media_type
        if self._digest is None:
            named = response.header("Docker-Content-Digest")
            if named and size is not None:
                problem = digest_problem(named)
                if problem is not None:
                    text = f'"{named}" in header not a valid digest: {problem}'
                    raise RequestFailed(text, host=host.name)
                self._digest = named
        if self._digest is None or size is None:
            size, media_type = self._read(host, resource)
        if size > _LARGEST_MANIFEST:
            text = f"rejecting {size} byte manifest for {self._plan.reference}: not found"
            self._failures.append((_TOO_LARGE, RequestFailed(text, host.name, not_found=True)))
            return None
        assert self._digest is not None
        return ContentDescriptor(media_type, self._digest, size, kind_of(media_type))

    def _refused(self, host: PlannedHost, resource: tuple[str, str], exchange: Exchange) -> None:
        """Record the status; one that is neither success nor failure fails the pull."""
        status = exchange.response.status
        if status == 404:
            text = f"{self._plan.reference}: not found"
            failed = RequestFailed(text, host.name, 404, not_found=True)
            self._failures.append((_NOT_FOUND, failed))
            return
        failed = RequestFailed(self._status_text(host, resource, exchange), host.name, status)
        if status < 400:
            raise failed
        if status == 403 and exchange.request.method == "HEAD" and self._release.explains_forbidden:
            failed = self._explained(host, resource, exchange, failed)
        self._failures.append((_STATUS, failed))

    def _explained(
        self,
        host: PlannedHost,
        resource: tuple[str, str],
        exchange: Exchange,
        failed: RequestFailed,
    ) -> RequestFailed:
        """The failure with the message from a GET, since HEAD has no body."""
        try:
            reply = self._send(host, "GET", resource, "to get the reason of the 403", False)
        except RequestFailed:
            return failed
        if reply.response.status != 403:
            return failed
        text = unexpected_status(exchange.request, reply.response, self._release)
        return RequestFailed(text, host.name, 403)

    def _status_text(self, host: PlannedHost, resource: tuple[str, str], exchange: Exchange) -> str:
        status = exchange.response.status
        if self._release.status_wording == "pulling from host":
            unexpected = "unexpected " if status < 400 else ""
            return (
                f"pulling from host {host.name} failed with {unexpected}status code "
                f"[{' '.join(resource)}]: {status_line(status)}"
            )
        # containerd closes the body before it reads it and loses the registry's message, even of an
        # answer to GET (after 405).
        return unexpected_status(
            exchange.request, replace(exchange.response, body=b""), self._release
        )

    def _read(self, host: PlannedHost, resource: tuple[str, str]) -> tuple[int, str]:
        """Size and type from the body of a GET, if HEAD lacks them.

        A failure here fails the pull. Before 2.3 the status is not checked, so that an error
        document becomes "the manifest".
        """
        because = f"HEAD from {host.name} had no digest or no length"
        exchange = self._send(host, "GET", resource, because, True)
        response = exchange.response
        if self._release.checks_tag_get and response.status >= 400:
            text = unexpected_status(exchange.request, response, self._release)
            raise RequestFailed(text, host.name, response.status)
        if response.cut:
            raise RequestFailed("unexpected EOF", host.name)
        if self._digest is None:
            self._digest = digest_of(response.body)
        return len(response.body), response.media_type

    def _send(
        self,
        host: PlannedHost,
        method: str,
        resource: tuple[str, str],
        because: str,
        last_host: bool,
    ) -> Exchange:
        accept = {"Accept": (_ACCEPT,)}
        return self._requester.send(
            host, method, resource, because, last_host=last_host, headers=accept
        )
