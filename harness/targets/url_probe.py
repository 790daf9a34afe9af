"""What can be found out about a registry that runs already, before anything is claimed of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.clients.containerd_pull import ACCEPT
from harness.content import an_image
from harness.http.client import Answer
from harness.system.needs import Need
from harness.targets.errors import TargetError
from harness.targets.remote_client import RemoteClient
from harness.upstream.gateway import Gateway

__all__ = ["CANARY", "Offers", "await_upstream", "probe"]

CANARY = an_image("canary", layers=1)
"""Behind the door for whoever is not a test, to see whether the registry asks there."""
_REPOSITORY, _TAG = "canary/app", "v1"
_MANIFEST = f"/v2/{_REPOSITORY}/manifests/{_TAG}"
_NO_DIGEST = "sha256:" + "0" * 64
_WAITS = 10.0
"""Seconds in which a cache that was cut off from its upstream has to ask there again."""
_PAUSE = 0.1
_LOOPBACK = ("127.", "localhost", "[::1]")


@dataclass(frozen=True)
class Offers:
    """What the registry lets be done."""

    needs: frozenset[Need]
    upstream: bool = False
    """It is a cache of the mock upstream at the door."""
    reaches_loopback: bool = True
    """It runs where ``127.0.0.1`` is this machine."""
    deletes: bool = False
    """It deletes what it is asked to."""
    why_no_pushes: str = ""
    """Why it takes no pushes; empty where it does."""


def probe(client: RemoteClient, where: str, door: Gateway | None, *, writes: bool) -> Offers:
    """Ask the registry what it is. *door* is open. *writes*: an upload may be begun and given up.
    ``TargetError`` where it is none, refuses the login, or does not ask at the door."""
    _check_registry(client, where)
    reaches = True
    if door is not None:
        answer = await_upstream(client, door, patience=0)
        if answer.status != 200:
            raise TargetError(
                f"{where}: does not get its content from the mock upstream at {door.address}: "
                f"GET {client.names.outward(_MANIFEST)} {told(answer)}; point its upstream "
                "(proxy.remoteurl) there"
            )
        reaches = door.known_as.startswith(_LOOPBACK)
    return Offers(
        _lists(client),
        door is not None,
        reaches,
        deletes=writes and _deletes(client),
        why_no_pushes=_push(client) if writes else "it was not tried",
    )


def await_upstream(client: RemoteClient, door: Gateway, *, patience: float = _WAITS) -> Answer:
    """What the registry answers for content behind *door* once it gets it, or after *patience*
    seconds: some caches stay away from an upstream for a while after it has failed."""
    repository = client.names.behind_name(_REPOSITORY)
    door.add(repository, CANARY, _TAG)
    deadline = time.monotonic() + patience
    while True:
        answer = client.get(_MANIFEST, headers=ACCEPT)
        right = answer.status == 200 and answer.body == CANARY.content
        asked = any(entry.repository == repository for entry in door.asked)
        if right and asked:
            return answer
        if time.monotonic() >= deadline:
            return answer if answer.status != 200 else Answer(None, error="is not from there")
        time.sleep(_PAUSE)


def told(answer: Answer) -> str:
    """*answer* in a few words."""
    if answer.status is None:
        return f"failed ({answer.error})"
    return f"was answered {answer.status}" + (f" {answer.error_code}" if answer.error_code else "")


def _check_registry(client: RemoteClient, where: str) -> None:
    answer = client.get("/v2/")
    if answer.status == 401 and client.login.learn(answer.headers):
        answer = client.get("/v2/")
    if answer.status is None:
        raise TargetError(f"{where}: {_unreachable(answer.error or '')}")
    if answer.status in {401, 403}:
        given = "refuses what it was given" if client.login.scheme else "wants a login"
        raise TargetError(f"{where}: {given} ({answer.status}); --login USER:PASSWORD or @FILE")
    if answer.status in {301, 302, 303, 307, 308}:
        place = answer.headers.get("Location", "nowhere")
        raise TargetError(
            f"{where}: sends on to {place[:200]!r}, which nobody follows here; give that URL"
        )
    says = answer.headers.get("Docker-Distribution-Api-Version")
    html = answer.headers.get("Content-Type", "").startswith("text/html")
    if answer.status != 200 or (html and not says):
        raise TargetError(f"{where}: is no registry: GET /v2/ {told(answer)}")


def _unreachable(error: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in error:
        reason = error.rpartition("verify failed: ")[2].partition(" (_ssl")[0]
        return f"its certificate is not trusted ({reason}); --ca FILE"
    if "SSL" in error or "disconnected without sending" in error:
        return f"does not speak what the URL says ({error}); http:// or https://?"
    return f"cannot be reached ({error})"


def _push(client: RemoteClient) -> str:
    """Why no upload can be begun; empty where one can."""
    opened = client.post("/v2/canary/upload/blobs/uploads/", content=b"")
    location = opened.headers.get("Location")
    if opened.status != 202 or not location:
        return f"POST of an upload {told(opened)}"
    client.delete(location)
    return ""


def _deletes(client: RemoteClient) -> bool:
    """Whether a manifest could be deleted, by the answer for one that nobody has."""
    return client.delete(f"/v2/canary/upload/manifests/{_NO_DIGEST}").status in {202, 404}


def _lists(client: RemoteClient) -> frozenset[Need]:
    """By the answers for a repository that may not be there."""
    found = set()
    tags = client.get(f"/v2/{_REPOSITORY}/tags/list")
    if tags.status == 200 or tags.error_code == "NAME_UNKNOWN":
        found.add(Need.TAG_LISTS)
    if client.get(f"/v2/{_REPOSITORY}/referrers/{_NO_DIGEST}").status == 200:
        found.add(Need.REFERRERS)
    return frozenset(found)
