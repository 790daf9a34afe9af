"""A push with ``ctr``, to the first host with that capability only.

Protocol: OCI distribution-spec, "Pushing Blobs" and "Pushing Manifests".
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from harness.content import Content, Manifest
from harness.nodes.models.containerd.failures import Exchange, RequestFailed, unexpected_status
from harness.nodes.models.containerd.plan import PlannedHost
from harness.nodes.models.containerd.session import Session, Target
from harness.nodes.models.go_url import InvalidURL, parse_url
from harness.nodes.models.network import ClientRequest

__all__ = ["Pushing"]


class Pushing:
    """Uploads one image: its blobs concurrently, then the manifest."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, image: Manifest) -> None:
        """Push *image*, children first. Raises :class:`RequestFailed`."""
        plan = self._session.plan
        if plan.push is None:
            raise RequestFailed("no push hosts: not found", not_found=True)
        for child in image.children:
            self._manifest(plan.push, child, child.digest)
        self._manifest(plan.push, image, plan.reference.tag or image.digest)

    def _manifest(self, host: PlannedHost, image: Manifest, reference: str) -> None:
        lanes = [(blob.digest, partial(self._blob, host, blob)) for blob in image.blobs]
        self._session.concurrently(lanes)
        target = Target(host, ("manifests", reference))
        if not self._exists(target, image):
            because = f"{host.name} does not have the manifest"
            self._expect(self._session.send(target, "PUT", because), {200, 201, 204})

    def _blob(self, host: PlannedHost, blob: Content) -> None:
        if self._exists(Target(host, ("blobs", blob.digest)), blob):
            return
        uploads = Target(host, ("blobs", "uploads/"))
        begun = self._session.send(uploads, "POST", f"{host.name} does not have the blob")
        if begun.response.status == 201:
            return
        self._expect(begun, {200, 202, 204})
        request = self._upload(uploads, begun.response.header("Location") or "", blob)
        because = f"the upload that {host.name} began"
        self._expect(self._session.repeat(request, uploads, because), {200, 201, 204})

    def _upload(self, uploads: Target, location: str, blob: Content) -> ClientRequest:
        host = uploads.host
        base = self._session.request(uploads, "PUT")
        try:
            url = parse_url(
                location if "://" in location else f"{host.scheme}://{host.name}{location}"
            )
        except InvalidURL as error:
            text = f"unable to parse location {location}: {error}"
            raise RequestFailed(text, host.name) from None
        query = (("digest", str(blob.digest)), *base.query)
        return replace(base, scheme=url.scheme, host=url.host, path=url.path, query=query)

    def _exists(self, target: Target, content: Content) -> bool:
        """Whether the host has the object already."""
        kind, reference = target.resource
        because = f"first host for pushes: does it have the {kind[:-1]}?"
        try:
            exchange = self._session.send(target, "HEAD", because)
        except RequestFailed as failed:
            if failed.denied:
                return False
            raise
        response = exchange.response
        if response.status == 404:
            return False
        if response.status != 200:
            text = self._session.explained(target, exchange)
            self._expect(exchange, {200}, text)
        return ":" in reference or response.header("Docker-Content-Digest") == content.digest

    def _expect(self, exchange: Exchange, statuses: set[int], text: str | None = None) -> None:
        """Raises :class:`RequestFailed`, with *text* if it is given, for any other status."""
        request, status = exchange.request, exchange.response.status
        if status not in statuses:
            general = unexpected_status(request, exchange.response, self._session.release)
            raise RequestFailed(text or general, request.host, status)
