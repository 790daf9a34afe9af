"""The second half of a pull: index, manifest, configuration and layers.

For each object all hosts are tried in order, regardless of capabilities. A 2xx answer is final:
wrong content fails the pull, and other hosts are not tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from harness.nodes.models.containerd.failures import (
    Exchange,
    RequestFailed,
    request_url,
    unexpected_status,
)
from harness.nodes.models.containerd.pullers import Ctr
from harness.nodes.models.containerd.session import Session, Target
from harness.nodes.models.network import ClientResponse
from harness.nodes.models.registry_api import (
    ContentDescriptor,
    entry_for_platform,
    is_content_of,
    manifest_parts,
    registry_errors,
    status_line,
)
from reference_registry.digest import digest_of

__all__ = ["Fetching"]

_MOST_STALLS = 3


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
            raise RequestFailed(
                f"unable to fetch descriptor ({descriptor.digest}) which reports content size of "
                "zero: invalid argument",
                code="INVALID_ARGUMENT",
            )
        body = self._body(descriptor, "failed to copy: httpReadSeeker: failed open: ")
        if len(body) < descriptor.size:
            raise RequestFailed(self._too_short(descriptor.size, len(body)))
        problem = None
        if len(body) != descriptor.size:
            ref = f"{descriptor.kind}-{descriptor.digest}"
            problem = f'"{ref}" failed size validation: {len(body)} != {descriptor.size}'
        elif not is_content_of(descriptor.digest, body):
            problem = f"unexpected commit digest {digest_of(body)}, expected {descriptor.digest}"
        if problem is not None:
            # ctr writes to the daemon's store through an API, which adds a prefix.
            is_remote = isinstance(self._plan.puller, Ctr) and not self._plan.transfer
            raise RequestFailed(
                f'failed commit on ref "{descriptor.kind}-{descriptor.digest}": '
                f"{'commit failed: ' if is_remote else ''}{problem}: failed precondition",
                code="FAILED_PRECONDITION",
            )
        return body

    def _too_short(self, expected: int, got: int) -> str:
        if self._release.manifest_too_short == "expected number":
            return "failed to read expected number of bytes: unexpected EOF"
        return f"short read: expected {expected} bytes but got {got}: unexpected EOF"

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
            target = Target(host, resource, number == len(hosts))
            try:
                exchange = self._session.send(target, "GET", because, headers)
                if exchange.response.status > 299:
                    raise self._unusable(target, exchange)
                return _rest(exchange.response, offset, host.name)
            except RequestFailed as failed:
                because = failed.next_host(host.name)
                failures.append(failed)
        if failures[0].not_found and not descriptor.is_manifest:
            raise RequestFailed(
                f"could not fetch content descriptor {descriptor.digest} "
                f"({descriptor.media_type}) from remote: not found",
                failures[0].host,
                404,
                not_found=True,
            )
        raise failures[0]

    def _unusable(self, target: Target, exchange: Exchange) -> RequestFailed:
        response, name = exchange.response, target.host.name
        # The original host is shown, even after a redirect.
        asked = request_url(self._session.request(target, "GET"))
        if response.status == 404:
            text = f"content at {asked} not found: not found"
            return RequestFailed(text, name, 404, not_found=True)
        if self._release.joins_registry_errors:
            text = unexpected_status(exchange.request, response, self._release)
        else:
            text = f"unexpected status code {asked}: {status_line(response.status)}"
            errors = registry_errors(response.body)
            if errors is not None:
                text += f" - Server message: {errors}"
        return RequestFailed(text, name, response.status)


def _rest(response: ClientResponse, offset: int, host: str) -> ClientResponse:
    """*response* without the bytes received before, if the server ignored the Range."""
    stated = response.header("Content-Range")
    if not offset:
        return response
    if stated is not None:
        if not stated.startswith(f"bytes {offset}-"):
            raise RequestFailed(f"unhandled content range in response: {stated}", host)
        return response
    if len(response.body) < offset:
        what = "failed to discard to offset: unexpected EOF"
        raise RequestFailed(what if response.cut else "unable to discard to offset", host)
    return replace(response, body=response.body[offset:])
