"""A push with ``ctr``, to the first host with that capability only.

Protocol: OCI distribution-spec, "Pushing Blobs" and "Pushing Manifests".
"""

from __future__ import annotations

from dataclasses import replace

from harness.content import Content, Manifest
from harness.nodes.models.containerd.conversation import (
    Conversation,
    Exchange,
    RequestFailed,
    concurrent_failure,
    unexpected_status,
)
from harness.nodes.models.containerd.plan import Plan, PlannedHost
from harness.nodes.models.containerd.requester import Requester
from harness.nodes.models.go_url import InvalidURL, parse_url
from harness.nodes.models.network import ClientRequest

__all__ = ["Pushing"]


class Pushing:
    """Uploads one image: its blobs concurrently, then the manifest."""

    def __init__(self, plan: Plan, conversation: Conversation) -> None:
        self._plan = plan
        self._release = plan.release
        self._conversation = conversation
        self._requester = Requester(plan, conversation, "push")

    def run(self, image: Manifest) -> None:
        """Push *image*, children first. Raises :class:`RequestFailed`."""
        host = self._plan.push
        if host is None:
            raise RequestFailed("no push hosts: not found", not_found=True)
        for child in image.children:
            self._manifest(host, child, child.digest)
        self._manifest(host, image, self._plan.reference.tag or image.digest)

    def _manifest(self, host: PlannedHost, image: Manifest, reference: str) -> None:
        failures = []
        for blob in image.blobs:
            self._conversation.lane = blob.digest
            try:
                self._blob(host, blob)
            except RequestFailed as failed:
                failures.append(failed)
        self._conversation.lane = ""
        if failures:
            raise concurrent_failure(failures)
        resource = ("manifests", reference)
        if not self._exists(host, resource, image):
            because = f"{host.name} does not have the manifest"
            self._expect(self._send(host, "PUT", resource, because), {200, 201, 204})

    def _blob(self, host: PlannedHost, blob: Content) -> None:
        if self._exists(host, ("blobs", blob.digest), blob):
            return
        because = f"{host.name} does not have the blob"
        begun = self._send(host, "POST", ("blobs", "uploads/"), because)
        if begun.response.status == 201:
            return
        self._expect(begun, {200, 202, 204})
        location = begun.response.header("Location") or ""
        request = self._upload(host, location, blob)
        because = f"the upload that {host.name} began"
        finished = self._requester.repeat(request, host, because, last_host=True)
        self._expect(finished, {200, 201, 204})

    def _upload(self, host: PlannedHost, location: str, blob: Content) -> ClientRequest:
        base = self._requester.request(host, "PUT", ("blobs", "uploads/"), {})
        try:
            url = parse_url(location if "://" in location else f"{host.scheme}://{host.name}"
                            f"{location}")  # fmt: skip
        except InvalidURL as error:
            text = f"unable to parse location {location}: {error}"
            raise RequestFailed(text, host.name) from None
        query = (("digest", str(blob.digest)), *base.query)
        return replace(base, scheme=url.scheme, host=url.host, path=url.path, query=query)

    def _exists(self, host: PlannedHost, resource: tuple[str, str], content: Content) -> bool:
        """Whether *host* has the object already."""
        because = f"first host for pushes: does it have the {resource[0][:-1]}?"
        try:
            exchange = self._send(host, "HEAD", resource, because)
        except RequestFailed as failed:
            if failed.denied:
                return False
            raise
        status = exchange.response.status
        if status == 404:
            return False
        if status != 200:
            raise self._refused(host, resource, exchange)
        named = exchange.response.header("Docker-Content-Digest")
        return ":" in resource[1] or named == content.digest

    def _refused(
        self, host: PlannedHost, resource: tuple[str, str], exchange: Exchange
    ) -> RequestFailed:
        status = exchange.response.status
        text = unexpected_status(exchange.request, exchange.response, self._release)
        if status == 403 and exchange.request.method == "HEAD" and self._release.explains_forbidden:
            because = "to read why HEAD is forbidden"
            reply = self._send(host, "GET", resource, because, last_host=False)
            if reply.response.status == 403:
                text = unexpected_status(exchange.request, reply.response, self._release)
        return RequestFailed(text, host.name, status)

    def _expect(self, exchange: Exchange, statuses: set[int]) -> None:
        if exchange.response.status not in statuses:
            text = unexpected_status(exchange.request, exchange.response, self._release)
            raise RequestFailed(text, exchange.request.host, exchange.response.status)

    def _send(
        self,
        host: PlannedHost,
        method: str,
        resource: tuple[str, str],
        because: str,
        *,
        last_host: bool = True,
    ) -> Exchange:
        return self._requester.send(host, method, resource, because, last_host=last_host)
