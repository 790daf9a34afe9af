"""Questions to a registry with a real upstream, about an image that it can serve.

What only shows in requests to upstream, or while upstream fails, stays unanswered; the line then
says how to get an answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from harness.clients.containerd_pull import ACCEPT
from harness.doctor.questions import QUESTIONS, Line, Question
from harness.http.client import Answer
from harness.http.namespace import Namespace
from harness.targets import UrlTarget
from harness.targets.url_probe import describe
from reference_registry.names import is_repository_name, is_tag

__all__ = ["ImageProblem", "about_image", "parse_reference"]

_DIGEST = "Docker-Content-Digest"
_ABSENT = "sha256:" + "0" * 64
_WARM = "the bytes are right"


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
        seen = dict(asking.writes()) | (dict(asking.about(*image)) if image else {})
    finally:
        asking.close()
    return [_line(question, seen, image is not None) for question in QUESTIONS]


def _line(question: Question, seen: Mapping[str, _Seen], has_image: bool) -> Line:
    if question.id in seen:
        looks, evidence = seen[question.id]
        return Line(question.id, question.text, *question.read(looks), evidence)
    if question.id in _WRITES:
        why = "needs --allow-writes"
    elif question.id in _OF_IMAGES:
        why = (
            "the image has no layer"
            if has_image
            else "needs an image that can be pulled: --image library/alpine:3"
        )
    else:
        why = (
            "needs a mock upstream: point the registry's upstream at HOST:PORT and use "
            "--upstream-at HOST:PORT"
        )
    return Line(question.id, question.text, None, why)


_WRITES = {"push", "delete"}
_OF_IMAGES = {"range-cold", "range-warm", "digest-header", "ns", "referrers", "absent"}
_Seen = tuple[Mapping[str, Any], tuple[str, ...]]
"""The findings that the question reads, and the requests."""


class _Asking:
    """Sends the requests in a fixed order: the first ones may be misses."""

    def __init__(self, target: UrlTarget) -> None:
        self._target = target
        self._client = target.client(Namespace("", target.place))

    def close(self) -> None:
        self._client.close()

    def writes(self) -> Iterator[tuple[str, _Seen]]:
        """Begins a push and cancels it; deletes a manifest that does not exist."""
        if not self._target.access.allow_writes:
            return
        with self._client.asking_as(self._target.names()):
            opened, said = self._request("POST", "/v2/canary/upload/blobs/uploads/")
            if opened.status == 202 and (location := opened.headers.get("Location")):
                self._client.delete(location)
            yield "push", ({"client: status": opened.status}, (said,))
            gone, said = self._request("DELETE", f"/v2/canary/upload/manifests/{_ABSENT}")
            # A registry that looks for it would have deleted it.
            status = 202 if gone.status == 404 else gone.status
            yield "delete", ({"client: status": status}, (said,))

    def about(self, repository: str, tag: str) -> Iterator[tuple[str, _Seen]]:
        """Pulls the image and parts of it. ``ImageProblem`` where that fails."""
        base = f"/v2/{repository}"
        path = f"{base}/manifests/{tag}"
        head, said = self._request("HEAD", path, ACCEPT)
        got, said_too = self._request("GET", path, ACCEPT)
        if got.status != 200:
            raise ImageProblem(f"{repository}:{tag} cannot be pulled: {describe(got)}")
        digest = f"sha256:{hashlib.sha256(got.body).hexdigest()}"
        yield (
            "digest-header",
            (
                {
                    "client: HEAD, a miss": dict(_digest_of(head)),
                    "client: GET, a hit": {_DIGEST: digest},
                },
                (said, said_too),
            ),
        )
        yield from self._parts(base, got)
        statuses, lines = [], []
        for method in ("HEAD", "GET"):
            answer, said = self._request(method, f"{path}?ns=docker.io", ACCEPT)
            statuses.append(answer.status)
            lines.append(said)
        yield "ns", ({"client: statuses": statuses, "upstream: queries": []}, tuple(lines))
        listed, said = self._request("GET", f"{base}/referrers/{digest}")
        right = isinstance(_document(listed).get("manifests"), list)
        looks = {"client: status": listed.status, "client: the signature is right": right}
        yield "referrers", (looks, (said,))
        yield "absent", self._absent(base)

    def _parts(self, base: str, manifest: Answer) -> Iterator[tuple[str, _Seen]]:
        """Requests one byte of the smallest layer twice; of an index, of its first image."""
        document = _document(manifest)
        if children := document.get("manifests"):
            child, _ = self._request("GET", f"{base}/manifests/{children[0]['digest']}", ACCEPT)
            document = _document(child)
        layers = [one for one in document.get("layers") or () if one["size"] > 1]
        if not layers:
            return
        layer = min(layers, key=lambda one: int(one["size"]))["digest"]
        for name, look in (("range-cold", "the part is right"), ("range-warm", _WARM)):
            part, said = self._request("GET", f"{base}/blobs/{layer}", {"Range": "bytes=1-1"})
            looks = {"client: status": part.status, f"client: {look}": len(part.body) == 1}
            yield name, (looks, (f"{said}, Range: bytes=1-1",))

    def _absent(self, base: str) -> _Seen:
        looks, lines = {}, []
        for what, path in (
            ("by tag", "manifests/pullproof-has-no-such-tag"),
            ("by digest", f"manifests/{_ABSENT}"),
            ("of a blob", f"blobs/{_ABSENT}"),
        ):
            answer, said = self._request("GET", f"{base}/{path}", ACCEPT)
            looks[f"client: status {what}"] = answer.status
            lines.append(said)
        return looks, tuple(lines)

    def _request(
        self, method: str, path: str, headers: Mapping[str, str | None] | None = None
    ) -> tuple[Answer, str]:
        content = b"" if method == "POST" else None
        answer = self._client.request(method, path, headers=headers, content=content)
        seconds = self._client.exchanges[-1].seconds
        return answer, f"{method} {path} -> {answer.status or answer.error} ({seconds:.2f} s)"


def _digest_of(answer: Answer) -> Iterator[tuple[str, str]]:
    if answer.digest is not None:
        yield _DIGEST, answer.digest


def _document(answer: Answer) -> Mapping[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
