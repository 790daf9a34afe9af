"""What an operator wants to know about a cache, and which findings answer it. Pure data.

A scenario answers each question; its id leads to the claim, sources and requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Line:
    """One answer. The ``id`` is stable. If ``answer`` is None, ``meaning`` says why and how to get
    one. ``evidence`` are requests with their answers."""

    id: str
    question: str
    answer: str | None
    meaning: str
    evidence: tuple[str, ...] = ()


Observed = Mapping[str, Any]
"""Observed values of a scenario, by ``side: what``."""
Reading = tuple[str, str]
"""The answer, and what it means for an operator."""
Read = Callable[[Observed], Reading]


@dataclass(frozen=True)
class Question:
    """*scenario* is the key of one case; *read* turns its findings into the answer."""

    id: str
    text: str
    scenario: str
    read: Read
    otherwise: str = ""
    """What it means if the registry does not offer what the scenario needs."""

    @property
    def scenario_id(self) -> str:
        """Without the case."""
        return self.scenario.partition("[")[0]


QUESTIONS: list[Question] = []
"""In the order in which they are answered."""

FINGERPRINT = (
    "refusal.status-and-code",
    "tags.pages-for-clients",
    "tags.empty-list",
    "head.no-ping",
)
"""More scenarios that distinguish releases, besides those of the questions."""


def _answered_by(scenario: str, otherwise: str = "") -> Callable[[Read], Read]:
    """Add the question that is the docstring of the decorated function; the id is its name."""

    def add(read: Read) -> Read:
        text = read.__doc__ or ""
        QUESTIONS.append(Question(read.__name__.replace("_", "-"), text, scenario, read, otherwise))
        return read

    return add


@_answered_by("push.upload-refused[new]")
def push(seen: Observed) -> Reading:
    """Does it accept a push?"""
    if seen["client: status"] == 202:
        return "yes", "pushed images are not upstream: clients must not push here"
    return f"no, {seen['client: status']}", "pushes fail, as they should: images belong upstream"


@_answered_by("delete.proxy-refuses[manifest-cached-delete-off]")
def delete(seen: Observed) -> Reading:
    """Does it delete cached content?"""
    if seen["client: status"] == 202:
        return "yes", "authorised users can remove a bad copy with DELETE of its digest"
    meaning = "a bad copy stays until it expires or the storage is cleaned up"
    return f"no, {seen['client: status']}", meaning


@_answered_by("blob.head-is-not-a-download")
def head_downloads(seen: Observed) -> Reading:
    """Does HEAD of a layer download the layer?"""
    if not (bodies := seen["upstream: blob bodies"]):
        return "no", "checking whether a layer exists is free"
    return f"yes, {_times(bodies)}", (
        "every check whether a layer exists, as docker push does for each layer, makes the cache "
        "download it"
    )


@_answered_by("blob.concurrent-first-pulls")
def coalesces_layers(seen: Observed) -> Reading:
    """Do concurrent requests for a new layer share one download?"""
    if (bodies := seen["upstream: blob bodies"]) == 1:
        return "yes", "a rollout to many nodes fetches each new layer once"
    meaning = "a rollout fetches each new layer for every node"
    return f"no, {bodies} downloads for 6 clients", meaning


@_answered_by("head.concurrent-first-pulls")
def coalesces_tags(seen: Observed) -> Reading:
    """Do concurrent requests for a new tag share one request?"""
    if (bodies := seen["upstream: manifest bodies"]) == 1:
        return "yes", "a rollout of a new tag counts as one pull upstream"
    return f"no, {bodies} for 4 clients", "each node of a rollout counts as a pull upstream"


@_answered_by("coalescing.first-bytes-come-at-once")
def streams(seen: Observed) -> Reading:
    """Do clients get a layer while it is being downloaded?"""
    if seen["client: the first had its beginning while upstream was sending"] is True:
        return "yes", "the first pull is about as fast as without a cache"
    return "no", "clients wait until the cache has the whole layer: check their timeouts"


@_answered_by("head.hit-by-tag-asks-once")
def revalidates(seen: Observed) -> Reading:
    """Does it revalidate a cached tag on each request?"""
    methods = [line.partition(" ")[0] for line in seen["upstream: content requests"]]
    if not methods:
        return "no", "a moved tag is noticed only at the next revalidation: find out the interval"
    if set(methods) == {"HEAD"}:
        return f"yes, by {_times(len(methods))} HEAD", (
            "a moved tag is noticed at once, and each pull waits for upstream; on Docker Hub "
            "a HEAD does not count as a pull"
        )
    return "yes, by GET", "each pull of a tag counts as a pull upstream, even when cached"


@_answered_by("tags.moved")
def moved_tag(seen: Observed) -> Reading:
    """Does it notice that a tag moved upstream?"""
    if seen["client: served by tag"] is True:
        return "yes", "nodes get a fix under the same tag with their next pull"
    return "no", "nodes keep getting the old image until the cache revalidates"


@_answered_by("head.hit-by-digest-costs-nothing")
def pinned(seen: Observed) -> Reading:
    """What does a request for a cached digest cost upstream?"""
    if not (requests := seen["upstream: requests"]):
        return "nothing", "pods pinned to cached digests do not need upstream"
    return f"{len(requests)} requests", "pods pinned to cached digests still need upstream"


@_answered_by("failure.cached-tag-is-served[503]")
def stale(seen: Observed) -> Reading:
    """Does it serve cached tags while upstream fails (503)?"""
    if seen["client: whole pull"] is not True:
        return "no", "during an upstream outage, pods cannot start from cached tags"
    if seen["client: Warning"] in {None, "absent"}:
        return "yes, unmarked", "cached tags work during an outage; nothing marks them as stale"
    return "yes, marked by Warning", "cached tags work during an outage and are marked as stale"


@_answered_by("refusal.retry-after[seconds-429]")
def rate_limit(seen: Observed) -> Reading:
    """Does it pass on 429 and Retry-After?"""
    tag, blob = seen["client: tag"], seen["client: blob"]
    shown = f"tag {_refusal(tag)}, layer {_refusal(blob)}"
    if tag.startswith("429") and blob.startswith("429"):
        return f"yes: {shown}", "clients back off as upstream requests"
    meaning = "a rate limit looks like a missing image or a broken cache: check the limit first"
    return f"no: {shown}", meaning


@_answered_by("failure.absent-is-404")
def absent(seen: Observed) -> Reading:
    """Is a missing image answered 404?"""
    statuses = [seen[f"client: status {what}"] for what in ("by tag", "by digest", "of a blob")]
    if set(statuses) == {404}:
        return "yes, 404", "nodes try the next mirror, or fail at once"
    shown = ", ".join(map(str, statuses))
    return f"no: {shown}", "a missing image looks like an outage, and clients retry"


@_answered_by("range.of-a-miss[closed]")
def range_cold(seen: Observed) -> Reading:
    """Does it serve a range of an uncached layer?"""
    status = seen["client: status"]
    if status == 206 and seen["client: the part is right"] is True:
        return "yes, 206", "lazy pulling (stargz, SOCI, nydus) works from the first request"
    meaning = "lazy pulls and resumed downloads of an uncached layer get all of it, or fail"
    return f"no, {status}", meaning


@_answered_by("blob.range-of-a-hit[closed]")
def range_warm(seen: Observed) -> Reading:
    """Does it serve a range of a cached layer?"""
    status = seen["client: status"]
    if status == 206 and seen["client: the bytes are right"] is True:
        return "yes, 206", "interrupted downloads resume"
    return f"no, {status}", "interrupted downloads start over"


@_answered_by("head.same-headers-as-get[tag]")
def digest_header(seen: Observed) -> Reading:
    """Does HEAD of a tag return its digest?"""
    answers = seen["client: HEAD, a miss"], seen["client: GET, a hit"]
    head, get = (headers.get("Docker-Content-Digest", "absent") for headers in answers)
    if head == get != "absent":
        return "yes", "docker and containerd resolve tags by HEAD, without a body"
    answer = "no" if "absent" in {head, get} else "yes, wrong"
    return answer, "clients need a GET to resolve each tag"


@_answered_by("integrity.other-manifest[right-header-wrong-bytes-digest]")
def wrong_bytes(seen: Observed) -> Reading:
    """Does it accept a manifest with wrong bytes from upstream?"""
    if seen["client: wrong bytes pass for the manifest"] is True:
        return "yes", "the cache does not verify digests of manifests: clients have to"
    return "no", "the cache detects a broken or hostile upstream"


@_answered_by("head.ns-is-not-passed-on")
def ns(seen: Observed) -> Reading:
    """Does it accept containerd's ns=?"""
    if (statuses := seen["client: statuses"]) != [200, 200]:
        return f"no, {statuses}", "containerd, which adds ns= to every request, cannot use it"
    if any(seen["upstream: queries"]):
        return "yes, and passes it on", "upstream sees ns=, which few registries know"
    return "yes", "containerd can use it as a mirror"


@_answered_by(
    "referrers.of-upstream",
    otherwise="cosign and others fall back to tags, or query upstream directly",
)
def referrers(seen: Observed) -> Reading:
    """Does it list referrers of an image?"""
    status = seen["client: status"]
    if status == 200 and seen["client: the signature is right"] is True:
        return "yes", "signatures and SBOMs of an image are found through the cache"
    return f"no, {status}", "cosign and others have to query upstream directly"


def _times(number: int) -> str:
    return {1: "one", 2: "two"}.get(number, str(number))


def _refusal(text: str) -> str:
    status, _, after = text.partition(", ")
    return f"{status} without Retry-After" if after == "None" else f"{status}, Retry-After {after}"
