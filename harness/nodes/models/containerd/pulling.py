"""A pull in two halves: the reference is resolved, then its content is fetched.

Resolving: HEAD goes to the hosts that have the capability, in order. After a transport error or a
status of 400 or more the next host is tried.

Fetching: for each object (index, manifest, configuration, layers) all hosts are tried in order,
regardless of capabilities. A 2xx answer is final: wrong content fails the pull, and other hosts are
not tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from harness.content import DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST
from harness.nodes.models.containerd.plan import (
    ModelExchange,
    RequestFailed,
    request_url,
    unexpected_status,
)
from harness.nodes.models.containerd.pullers import Ctr
from harness.nodes.models.containerd.session import RequestTarget, Session
from harness.nodes.models.network import ClientResponse
from harness.nodes.models.reference import digest_problem
from harness.nodes.models.registry_api import (
    ContentDescriptor,
    entry_for_platform,
    is_content_of,
    kind_of,
    manifest_parts,
    registry_errors,
    status_line,
)
from reference_registry.digest import digest_of

_ACCEPT = ", ".join([DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_MANIFEST, OCI_INDEX, "*/*"])
_MOST_STALLS = 3
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
            has_status = any(rank >= _STATUS for rank, _ in self._failures)
            if has_status and self._release.blob_round == "after 404":
                break
            because = f"first host for {'/'.join(resource)[:40]}"
            for number, host in enumerate(hosts, 1):
                found = self._ask(RequestTarget(host, resource, number == len(hosts)), because)
                if found is not None:
                    return found
                because = self._failures[-1][1].next_host(host.name)
        raise self._reported()

    def _reported(self) -> RequestFailed:
        """The failure that is reported."""
        ranks = [rank for rank, _ in self._failures]
        if self._release.resolve_error == "ranked":
            return self._failures[ranks.index(max(ranks))][1]
        others = (failed for rank, failed in self._failures if rank != _NOT_FOUND)
        return next(others, self._failures[0][1])

    def _ask(self, target: RequestTarget, because: str) -> ContentDescriptor | None:
        """The descriptor from *target*, or None if the next host must be tried."""
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
                    raise RequestFailed(text)
                self._digest = named
        if self._digest is None or size is None:
            size, media_type = self._read(target)
        if size > _LARGEST_MANIFEST:
            text = f"rejecting {size} byte manifest for {self._reference}: not found"
            self._failures.append((_TOO_LARGE, RequestFailed(text, not_found=True)))
            return None
        assert self._digest is not None
        return ContentDescriptor(media_type, self._digest, size, kind_of(media_type))

    def _refused(self, target: RequestTarget, exchange: ModelExchange) -> tuple[int, RequestFailed]:
        """Rank and failure of a status; one that is neither success nor failure fails the pull."""
        status = exchange.response.status
        if status == 404:
            text = f"{self._reference}: not found"
            return _NOT_FOUND, RequestFailed(text, 404, not_found=True)
        text = self._status_text(target, exchange)
        if status < 400:
            raise RequestFailed(text, status)
        text = self._session.explained(target, exchange, _HEADERS) or text
        return _STATUS, RequestFailed(text, status)

    def _status_text(self, target: RequestTarget, exchange: ModelExchange) -> str:
        status = exchange.response.status
        if self._release.wording == "pulling from host":
            unexpected = "unexpected " if status < 400 else ""
            return (
                f"pulling from host {target.host.name} failed with {unexpected}status code "
                f"[{' '.join(target.resource)}]: {status_line(status)}"
            )
        # containerd closes the body before it reads it and loses the registry's message, even of an
        # answer to GET (after 405).
        without_body = replace(exchange.response, body=b"")
        return unexpected_status(exchange.request, without_body, self._release)

    def _read(self, target: RequestTarget) -> tuple[int, str]:
        """Size and type from the body of a GET, if HEAD lacks them.

        A failure here fails the pull. Before 2.3 the status is not checked, so that an error
        document becomes "the manifest".
        """
        because = f"HEAD from {target.host.name} had no digest or no length"
        exchange = self._session.send(replace(target, last_host=True), "GET", because, _HEADERS)
        response = exchange.response
        if self._release.checks_tag_get and response.status >= 400:
            text = unexpected_status(exchange.request, response, self._release)
            raise RequestFailed(text, response.status)
        if response.cut:
            raise RequestFailed("unexpected EOF")
        if self._digest is None:
            self._digest = digest_of(response.body)
        return len(response.body), response.media_type


class Fetching:
    """Downloads a descriptor's content and everything below it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._plan = session.plan
        self._release = session.release

    def run(self, root: ContentDescriptor) -> None:
        """Fetch *root* and everything below it. Raises :class:`RequestFailed`."""
        content = self._download(root)
        if root.kind == "index":
            child = entry_for_platform(content, or_first=True)
            if child is not None:
                self.run(child)
        elif root.kind == "manifest":
            config, layers = manifest_parts(content)
            if isinstance(self._plan.puller, Ctr):
                self._download_all([config, *layers])
            else:
                # Layers wait for the configuration, which says how to unpack them.
                self._download(config)
                self._download_all(layers)
        else:
            self._reject_unpacking(root)

    def _reject_unpacking(self, root: ContentDescriptor) -> None:
        """Content that is neither image nor index, such as a web page, is stored but not
        unpacked."""
        puller = self._plan.puller
        if isinstance(puller, Ctr) and (puller.command != "pull" or self._plan.transfer):
            return
        text = f"unexpected media type {root.media_type} for {root.digest}: not found"
        failed = RequestFailed(text, not_found=True)
        if isinstance(puller, Ctr):
            raise failed
        if self._plan.transfer:
            # The transfer service succeeds without unpacking; the CRI plugin then lacks the config.
            failed = failed.within("get image config descriptor: ")
            raise replace(failed, stands_alone=True)
        raise failed.within("failed to unpack image on snapshotter native: ")

    def fetch_only(self, descriptor: ContentDescriptor) -> None:
        """Fetch one object and stop (``ctr content fetch-object``)."""
        self._body(descriptor, "")

    def _download_all(self, descriptors: Sequence[ContentDescriptor]) -> None:
        self._session.concurrently([(d.digest, partial(self._download, d)) for d in descriptors])

    # -- one object -----------------------------------------------------------------------------
    def _download(self, descriptor: ContentDescriptor) -> bytes:
        """The verified content of *descriptor*."""
        if descriptor.size == 0:
            what = f"descriptor ({descriptor.digest}) which reports content size of zero"
            raise RequestFailed(
                f"unable to fetch {what}: invalid argument", code="INVALID_ARGUMENT"
            )
        body = self._body(descriptor, "failed to copy: httpReadSeeker: failed open: ")
        ref = f"{descriptor.kind}-{descriptor.digest}"
        problem = None
        if len(body) < descriptor.size:
            text = f"short read: expected {descriptor.size} bytes but got {len(body)}"
            if self._release.manifest_too_short == "expected number":
                text = "failed to read expected number of bytes"
            raise RequestFailed(f"{text}: unexpected EOF")
        if len(body) > descriptor.size:
            problem = f'"{ref}" failed size validation: {len(body)} != {descriptor.size}'
        elif not is_content_of(descriptor.digest, body):
            problem = f"unexpected commit digest {digest_of(body)}, expected {descriptor.digest}"
        if problem is not None:
            # ctr writes to the daemon's store through an API, which adds a prefix.
            is_remote = isinstance(self._plan.puller, Ctr) and not self._plan.transfer
            where = f'failed commit on ref "{ref}": {"commit failed: " if is_remote else ""}'
            text = f"{where}{problem}: failed precondition"
            raise RequestFailed(text, code="FAILED_PRECONDITION")
        return body

    def _body(self, descriptor: ContentDescriptor, prefix: str) -> bytes:
        """The bytes received. A truncated body is continued at its end, starting with the first
        host again, until four answers in a row are empty."""
        try:
            response = self._open(descriptor, 0)
        except RequestFailed as failed:
            raise failed.within(prefix) from None
        received = bytearray(response.body)
        stalls = 0
        while response.cut:
            stalls = 1 if response.body else stalls + 1
            if stalls > _MOST_STALLS or len(received) >= descriptor.size:
                break
            try:
                response = self._open(descriptor, len(received))
            except RequestFailed:
                break
            received += response.body
        return bytes(received)

    def _open(self, descriptor: ContentDescriptor, offset: int) -> ClientResponse:
        """The first good answer, from byte *offset* on."""
        hosts = self._plan.fetch
        resource = ("manifests" if descriptor.is_manifest else "blobs", descriptor.digest)
        headers = {"Accept": (f"{descriptor.media_type}, */*",)}
        because = f"first host for the {descriptor.kind}"
        if offset:
            because += f", continued at byte {offset}"
            headers["Range"] = (f"bytes={offset}-",)
        failures: list[RequestFailed] = []
        for number, host in enumerate(hosts, 1):
            target = RequestTarget(host, resource, number == len(hosts))
            try:
                exchange = self._session.send(target, "GET", because, headers)
                if exchange.response.status > 299:
                    raise self._unusable(target, exchange)
                return _rest(exchange.response, offset)
            except RequestFailed as failed:
                because = failed.next_host(host.name)
                failures.append(failed)
        if failures[0].not_found and not descriptor.is_manifest:
            what = f"content descriptor {descriptor.digest} ({descriptor.media_type})"
            text = f"could not fetch {what} from remote: not found"
            raise RequestFailed(text, 404, not_found=True)
        raise failures[0]

    def _unusable(self, target: RequestTarget, exchange: ModelExchange) -> RequestFailed:
        response = exchange.response
        # The original host is shown, even after a redirect.
        asked = request_url(self._session.request(target, "GET"))
        if response.status == 404:
            text = f"content at {asked} not found: not found"
            return RequestFailed(text, 404, not_found=True)
        if self._release.joins_registry_errors:
            text = unexpected_status(exchange.request, response, self._release)
        else:
            text = f"unexpected status code {asked}: {status_line(response.status)}"
            errors = registry_errors(response.body)
            if errors is not None:
                text += f" - Server message: {errors}"
        return RequestFailed(text, response.status)


def _rest(response: ClientResponse, offset: int) -> ClientResponse:
    """*response* without the bytes received before, if the server ignored the Range."""
    stated = response.header("Content-Range")
    if not offset:
        return response
    if stated is not None:
        if not stated.startswith(f"bytes {offset}-"):
            raise RequestFailed(f"unhandled content range in response: {stated}")
        return response
    if len(response.body) < offset:
        what = "failed to discard to offset: unexpected EOF"
        raise RequestFailed(what if response.cut else "unable to discard to offset")
    return replace(response, body=response.body[offset:])
