"""Find out what a registry that runs already offers, before scenarios use it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.content import DOCKER_MANIFEST, OCI_MANIFEST, an_image
from harness.http.client import Answer
from harness.system.needs import Need
from harness.system.ports import scaled
from harness.targets.errors import TargetError
from harness.targets.remote_client import RemoteClient
from harness.upstream.mock import Gateway

CANARY = an_image("canary", layers=1)
"""Content of the gateway, to see whether the registry fetches from there."""
_REPOSITORY, _TAG = "canary/app", "v1"
_MANIFEST = f"/v2/{_REPOSITORY}/manifests/{_TAG}"
_NO_DIGEST = "sha256:" + "0" * 64
_WAITS = 10.0
"""Seconds within which a cache tries an upstream again that has failed."""
_PAUSE = 0.1
_ACCEPT = {"Accept": f"{OCI_MANIFEST}, {DOCKER_MANIFEST}, */*"}
_LOOPBACK = ("127.", "localhost", "[::1]")


@dataclass(frozen=True)
class Offers:
    """What the registry allows."""

    needs: frozenset[Need]
    upstream: bool = False
    """It is a cache of the mock upstream at the gateway."""
    reaches_loopback: bool = True
    """``127.0.0.1`` is this machine where it runs."""
    deletes: bool = False
    """It deletes manifests."""
    why_no_pushes: str = ""
    """Why it takes no pushes; empty if it does."""


def probe(client: RemoteClient, gateway: Gateway | None) -> Offers:
    """Probe the registry of *client*; *gateway* is open. With --allow-writes it also starts and
    cancels an upload. ``TargetError`` if it is not a registry, refuses the login, or does not fetch
    from the gateway."""
    where, writes = client.login.where, client.login.access.allow_writes
    _check_registry(client, where)
    reaches = True
    if gateway is not None:
        answer = await_upstream(client, gateway, timeout=0)
        if answer.status != 200:
            raise TargetError(
                f"{where}: does not fetch from the mock upstream at {gateway.address}: "
                f"GET {client.names.outward(_MANIFEST)} {describe(answer)}; point its upstream "
                "(proxy.remoteurl) there"
            )
        reaches = gateway.known_as.startswith(_LOOPBACK)
    return Offers(
        _lists(client),
        upstream=gateway is not None,
        reaches_loopback=reaches,
        deletes=writes and _deletes(client),
        why_no_pushes=_push(client) if writes else "it was not tried",
    )


def await_upstream(client: RemoteClient, gateway: Gateway, *, timeout: float = _WAITS) -> Answer:
    """The answer for content of *gateway* once the registry has fetched it, or the last answer
    after *timeout* seconds: some caches avoid a failed upstream for a while."""
    repository = client.names.behind_name(_REPOSITORY)
    gateway.add(repository, CANARY, _TAG)
    deadline = time.monotonic() + scaled(timeout)
    while True:
        answer = client.get(_MANIFEST, headers=_ACCEPT)
        if answer.status == 200:
            asked = any(entry.repository == repository for entry in gateway.asked)
            if answer.body == CANARY.content and asked:
                return answer
            answer = Answer(None, error="the content is not from there")
        if time.monotonic() >= deadline:
            return answer
        time.sleep(_PAUSE)


def describe(answer: Answer) -> str:
    """*answer* in a few words: ``returned 404 NAME_UNKNOWN``."""
    if answer.status is None:
        return f"failed ({answer.error})"
    return f"returned {answer.status}" + (f" {answer.error_code}" if answer.error_code else "")


def _check_registry(client: RemoteClient, where: str) -> None:
    answer = client.get("/v2/")
    if answer.status == 401 and client.login.learn(answer.headers):
        answer = client.get("/v2/")
    if answer.status is None:
        raise TargetError(f"{where}: {_unreachable(client.url, answer.error or '')}")
    if answer.status == 400 and b"HTTPS" in answer.body:
        raise TargetError(f"{where}: {_wrong_scheme(client.url)}")
    if answer.status in {401, 403}:
        given = "refuses the login" if client.login.scheme else "requires a login"
        raise TargetError(f"{where}: {given} ({answer.status}); --login USER:PASSWORD or @FILE")
    if answer.status in {301, 302, 303, 307, 308}:
        place = answer.headers.get("Location", "nowhere")
        raise TargetError(
            f"{where}: redirects to {place[:200]!r}, and redirects are not followed; give that URL"
        )
    says = answer.headers.get("Docker-Distribution-Api-Version")
    html = answer.headers.get("Content-Type", "").startswith("text/html")
    if answer.status != 200 or (html and not says):
        raise TargetError(f"{where}: not a registry: GET /v2/ {describe(answer)}")


def _wrong_scheme(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme == "https":
        return f"does not speak TLS; did you mean url:http://{rest}?"
    return f"does not speak plain HTTP; did you mean url:https://{rest}?"


def _unreachable(url: str, error: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in error:
        reason = error.rpartition("verify failed: ")[2].partition(" (_ssl")[0]
        return f"its certificate is not trusted ({reason}); give its CA with --ca FILE"
    if "SSL" in error or "RemoteProtocolError" in error:
        return f"{_wrong_scheme(url)} ({error})"
    return f"cannot be reached ({error})"


def _push(client: RemoteClient) -> str:
    """Why no upload can be started; empty if one can."""
    opened = client.post("/v2/canary/upload/blobs/uploads/", content=b"")
    location = opened.headers.get("Location")
    if opened.status != 202 or not location:
        return f"POST of an upload {describe(opened)}"
    client.delete(location)
    return ""


def _deletes(client: RemoteClient) -> bool:
    """Whether manifests can be deleted, by the answer for one that does not exist."""
    return client.delete(f"/v2/canary/upload/manifests/{_NO_DIGEST}").status in {202, 404}


def _lists(client: RemoteClient) -> frozenset[Need]:
    """What it lists, by the answers for a repository that may not exist."""
    tags = client.get(f"/v2/{_REPOSITORY}/tags/list")
    referrers = client.get(f"/v2/{_REPOSITORY}/referrers/{_NO_DIGEST}")
    found = {
        Need.TAG_LISTS: tags.status == 200 or tags.error_code == "NAME_UNKNOWN",
        Need.REFERRERS: referrers.status == 200,
    }
    return frozenset(need for need, has in found.items() if has)
