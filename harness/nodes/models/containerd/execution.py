"""Runs a plan against hosts with given behaviours: every request, and the result.

:func:`simulate` is deterministic and contacts nothing; behaviours are data
(:mod:`harness.nodes.models.simulated_network`). :func:`run` accepts any network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from harness.content import Content, Manifest, an_image
from harness.nodes.models.containerd.plan import (
    ContainerdPull,
    Hangs,
    ModelExchange,
    Plan,
    PlannedHost,
    PullError,
    PullRefused,
    RequestFailed,
    unexpected_status,
)
from harness.nodes.models.containerd.pullers import Ctr
from harness.nodes.models.containerd.pulling import Fetching, Resolving
from harness.nodes.models.containerd.session import RequestTarget, Session
from harness.nodes.models.go_url import InvalidURL, parse_url
from harness.nodes.models.network import Attempt, ClientRequest, Network
from harness.nodes.models.simulated_network import HostBehaviour, SimulatedNetwork


def simulate(
    plan: Plan,
    behaviours: Mapping[str, HostBehaviour] | None = None,
    *,
    image: Manifest | None = None,
) -> ContainerdPull:
    """The pull (or push) of *plan* with these *behaviours*.

    Keys of *behaviours* are hosts as URLs name them, with or without port. Every other host is
    healthy. All hosts have *image*, a small one by default.
    """
    image = image or an_image(layers=1)
    return run(plan, SimulatedNetwork(behaviours or {}, image), image)


def run(plan: Plan, network: Network, image: Manifest | None = None) -> ContainerdPull:
    """The pull of *plan* over *network*; *image* is the image of a push."""
    record: list[Attempt] = []
    errors: tuple[PullError, ...] = ()
    try:
        _run(plan, network, image, record)
    except PullRefused as refused:
        errors = (_refused(plan, refused),)
    except RequestFailed as failed:
        errors = tuple(_error(plan, each) for each in (failed, *failed.others))
    except Hangs:
        code = None if isinstance(plan.puller, Ctr) else "DEADLINE_EXCEEDED"
        text = f"{_pulling(plan)}context deadline exceeded"
        errors = (PullError(text, code),)
    return ContainerdPull(
        plan=plan,
        attempts=tuple(record),
        error=errors[0] if errors else None,
        possible_errors=errors,
    )


def _run(plan: Plan, network: Network, image: Manifest | None, record: list[Attempt]) -> None:
    if plan.refusal is not None:
        raise plan.refusal
    command = plan.puller.command if isinstance(plan.puller, Ctr) else "pull"
    if command == "push":
        if image is None:
            raise ValueError("a push needs an image")
        _Pushing(Session(plan, network, record, "push")).run(image)
        return
    try:
        root = Resolving(Session(plan, network, record, "resolve")).run()
    except RequestFailed as failed:
        if command == "fetch-object":
            raise
        raise failed.within(_resolving(plan)) from None
    fetching = Fetching(Session(plan, network, record, "fetch"))
    if command == "fetch-object":
        fetching.fetch_only(root)
    else:
        fetching.run(root)


# -- errors -------------------------------------------------------------------------------------
def _resolving(plan: Plan) -> str:
    if plan.transfer:
        return "failed to resolve image: "
    return f'failed to resolve reference "{plan.reference}": '


def _pulling(plan: Plan) -> str:
    if isinstance(plan.puller, Ctr):
        return "ctr: "
    return f'failed to pull and unpack image "{plan.reference}": '


def _as_grpc(plan: Plan, code: str | None) -> str:
    """The prefix of Go's gRPC client before the server's text, if ``ctr`` shows it."""
    shown = isinstance(plan.puller, Ctr) and plan.transfer and plan.release.ctr_shows_grpc_codes
    name = (code or "UNKNOWN").title().replace("_", "")
    return f"rpc error: code = {name} desc = " if shown else ""


def _refused(plan: Plan, refused: PullRefused) -> PullError:
    is_ctr = isinstance(plan.puller, Ctr)
    prefix = "ctr: " if is_ctr else ""
    if refused.while_resolving:
        prefix = f"{_pulling(plan)}{_as_grpc(plan, refused.code)}{_resolving(plan)}"
    return PullError(prefix + refused.message, None if is_ctr else refused.code)


def _error(plan: Plan, failed: RequestFailed) -> PullError:
    code = failed.code or ("NOT_FOUND" if failed.not_found else "UNKNOWN")
    doing = "" if failed.stands_alone else _pulling(plan) + _as_grpc(plan, code)
    message = doing + failed.text
    if isinstance(plan.puller, Ctr):
        return PullError(message, None)
    if code != "UNKNOWN" and plan.release.mangles_percent:
        message = message.replace("%3A", "%!A(MISSING)")
    return PullError(message, code)


# -- pushing ------------------------------------------------------------------------------------
class _Pushing:
    """Uploads one image to the first host with that capability: its blobs concurrently, then the
    manifest (OCI distribution-spec, "Pushing Blobs" and "Pushing Manifests")."""

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
        target = RequestTarget(host, ("manifests", reference))
        if not self._exists(target, image):
            because = f"{host.name} does not have the manifest"
            self._expect(self._session.send(target, "PUT", because), {200, 201, 204})

    def _blob(self, host: PlannedHost, blob: Content) -> None:
        if self._exists(RequestTarget(host, ("blobs", blob.digest)), blob):
            return
        uploads = RequestTarget(host, ("blobs", "uploads/"))
        begun = self._session.send(uploads, "POST", f"{host.name} does not have the blob")
        if begun.response.status == 201:
            return
        self._expect(begun, {200, 202, 204})
        request = self._upload(uploads, begun.response.header("Location") or "", blob)
        because = f"the upload that {host.name} began"
        self._expect(self._session.repeat(request, uploads, because), {200, 201, 204})

    def _upload(self, uploads: RequestTarget, location: str, blob: Content) -> ClientRequest:
        host = uploads.host
        base = self._session.request(uploads, "PUT")
        try:
            url = parse_url(
                location if "://" in location else f"{host.scheme}://{host.name}{location}"
            )
        except InvalidURL as error:
            text = f"unable to parse location {location}: {error}"
            raise RequestFailed(text) from None
        query = (("digest", str(blob.digest)), *base.query)
        return replace(base, scheme=url.scheme, host=url.host, path=url.path, query=query)

    def _exists(self, target: RequestTarget, content: Content) -> bool:
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

    def _expect(self, exchange: ModelExchange, statuses: set[int], text: str | None = None) -> None:
        """Raises :class:`RequestFailed`, with *text* if it is given, for any other status."""
        request, status = exchange.request, exchange.response.status
        if status not in statuses:
            general = unexpected_status(request, exchange.response, self._session.release)
            raise RequestFailed(text or general, status)
