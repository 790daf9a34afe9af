"""Questions to a registry with a real upstream, about an image that it can serve.

What shows only in requests to upstream, or while upstream fails, stays unanswered; the line then
says how to get an answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from harness.clients.containerd_pull import ACCEPT
from harness.doctor.questions import QUESTIONS, Line, Observed
from harness.http.client import Answer
from harness.http.namespace import Namespace
from harness.targets import UrlTarget
from harness.targets.url_probe import describe
from reference_registry.names import is_repository_name, is_tag

_ABSENT = "sha256:" + "0" * 64
_WRITES = {"push", "delete"}
_OF_IMAGES = {"range-cold", "range-warm", "digest-header", "ns", "referrers", "absent"}


class ImageProblem(Exception):
    """The image cannot be used; the text says why."""


def parse_reference(text: str) -> tuple[str, str]:
    """Repository and tag of ``library/alpine:3``. ``ImageProblem``."""
    repository, _, tag = text.partition(":")
    tag = tag or "latest"
    if not is_repository_name(repository) or not is_tag(tag):
        raise ImageProblem(f"{text!r} is not an image such as library/alpine:3")
    return repository, tag


def about_image(target: UrlTarget, image: tuple[str, str] | None) -> list[Line]:
    """One line for each question; without *image*, most have no answer. ``ImageProblem``."""
    asking = _Asking(target)
    try:
        if target.access.allow_writes:
            asking.try_writes()
        if image is not None:
            asking.pull(*image)
    finally:
        asking.client.close()
    lines = []
    for question in QUESTIONS:
        if question.id in asking.seen:
            observed, evidence = asking.seen[question.id]
            lines.append(Line(question.id, question.text, *question.read(observed), evidence))
            continue
        if question.id in _WRITES:
            why = "needs --allow-writes"
        elif question.id not in _OF_IMAGES:
            why = (
                "needs a mock upstream: point the registry's upstream at HOST:PORT and use "
                "--upstream-at HOST:PORT"
            )
        elif image is None:
            why = "needs an image that can be pulled: --image library/alpine:3"
        else:
            why = "the image has no layer"
        lines.append(Line(question.id, question.text, None, why))
    return lines


class _Asking:
    """Sends the requests in a fixed order: the first ones may be misses."""

    def __init__(self, target: UrlTarget) -> None:
        self.client = target.client(Namespace("", target.place))
        self.seen: dict[str, tuple[Observed, tuple[str, ...]]] = {}
        """By question: the findings that answer it, and the requests that showed them."""
        self._target = target
        self._requests: list[str] = []

    def _answer(self, question: str, observed: Observed) -> None:
        """*question* is answered by what the requests since the last answer *observed*."""
        self.seen[question] = observed, tuple(self._requests)
        self._requests.clear()

    def try_writes(self) -> None:
        """Begin a push and cancel it; delete a manifest that does not exist."""
        with self.client.asking_as(self._target.names()):
            opened = self._request("POST", "/v2/canary/upload/blobs/uploads/")
            if opened.status == 202 and (location := opened.headers.get("Location")):
                self.client.delete(location)
            self._answer("push", {"client: status": opened.status})
            gone = self._request("DELETE", f"/v2/canary/upload/manifests/{_ABSENT}")
            # A registry that looks for it would have deleted it.
            status = 202 if gone.status == 404 else gone.status
            self._answer("delete", {"client: status": status})

    def pull(self, repository: str, tag: str) -> None:
        """Pull the image and parts of it. ``ImageProblem`` where that fails."""
        base = f"/v2/{repository}"
        path = f"{base}/manifests/{tag}"
        head = self._request("HEAD", path, ACCEPT)
        got = self._request("GET", path, ACCEPT)
        if got.status != 200:
            raise ImageProblem(f"{repository}:{tag} cannot be pulled: {describe(got)}")
        digest = f"sha256:{hashlib.sha256(got.body).hexdigest()}"
        of_get = {"Docker-Content-Digest": digest}
        self._answer(
            "digest-header", {"client: HEAD, a miss": head.headers, "client: GET, a hit": of_get}
        )
        self._pull_part(base, got)
        with_ns = f"{path}?ns=docker.io"
        statuses = [self._request(method, with_ns, ACCEPT).status for method in ("HEAD", "GET")]
        self._answer("ns", {"client: statuses": statuses, "upstream: queries": []})
        listed = self._request("GET", f"{base}/referrers/{digest}")
        is_list = isinstance(_document(listed).get("manifests"), list)
        observed = {"client: status": listed.status, "client: the signature is right": is_list}
        self._answer("referrers", observed)
        absent = {
            "client: status by tag": f"{base}/manifests/pullproof-has-no-such-tag",
            "client: status by digest": f"{base}/manifests/{_ABSENT}",
            "client: status of a blob": f"{base}/blobs/{_ABSENT}",
        }
        self._answer(
            "absent", {key: self._request("GET", p, ACCEPT).status for key, p in absent.items()}
        )

    def _pull_part(self, base: str, manifest: Answer) -> None:
        """Request one byte of the smallest layer twice; of an index, of its first image."""
        document = _document(manifest)
        if children := document.get("manifests"):
            path = f"{base}/manifests/{children[0]['digest']}"
            document = _document(self.client.get(path, headers=ACCEPT))
        layers = [one for one in document.get("layers") or () if one["size"] > 1]
        if not layers:
            return
        layer = min(layers, key=lambda one: int(one["size"]))["digest"]
        for question, check in (
            ("range-cold", "client: the part is right"),
            ("range-warm", "client: the bytes are right"),
        ):
            part = self._request("GET", f"{base}/blobs/{layer}", {"Range": "bytes=1-1"})
            self._requests[-1] += ", Range: bytes=1-1"
            self._answer(question, {"client: status": part.status, check: len(part.body) == 1})

    def _request(
        self, method: str, path: str, headers: Mapping[str, str | None] | None = None
    ) -> Answer:
        content = b"" if method == "POST" else None
        answer = self.client.request(method, path, headers=headers, content=content)
        seconds = self.client.exchanges[-1].seconds
        said = f"{method} {path} -> {answer.status or answer.error} ({seconds:.2f} s)"
        self._requests.append(said)
        return answer


def _document(answer: Answer) -> Mapping[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
