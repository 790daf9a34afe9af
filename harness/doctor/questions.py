"""What an operator wants to know about a cache, and which findings answer it. Pure data.

Each question is answered by a scenario, whose id leads to the claim, sources and requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["FINGERPRINT", "QUESTIONS", "Line", "Question"]


@dataclass(frozen=True)
class Line:
    """One answer. The ``id`` is stable. If ``answer`` is None, ``meaning`` says why and how to get
    one. ``evidence`` are requests with their answers."""

    id: str
    question: str
    answer: str | None
    meaning: str
    evidence: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


Observed = Mapping[str, Any]
"""Observed values of a scenario, by ``side: what``."""
Reading = tuple[str, str]
"""The answer, and what it means for an operator."""


@dataclass(frozen=True)
class Question:
    """*scenario* is the key of one case; *read* turns its findings into the answer."""

    id: str
    text: str
    scenario: str
    read: Callable[[Observed], Reading]
    otherwise: str = ""
    """What it means if the registry does not offer what the scenario needs."""

    @property
    def scenario_id(self) -> str:
        """Without the case."""
        return self.scenario.partition("[")[0]


def _push(observed: Observed) -> Reading:
    status = observed["client: status"]
    if status == 202:
        return "yes", "pushed images are not upstream: clients must not push here"
    return f"no, {status}", "pushes fail, as they should: images belong upstream"


def _delete(observed: Observed) -> Reading:
    status = observed["client: status"]
    if status == 202:
        return "yes", "authorised users can remove a bad copy with DELETE of its digest"
    return f"no, {status}", "a bad copy stays until it expires or the storage is cleaned up"


def _head_downloads(observed: Observed) -> Reading:
    bodies = observed["upstream: blob bodies"]
    if not bodies:
        return "no", "checking whether a layer exists is free"
    return (
        f"yes, {_times(bodies)}",
        "every check whether a layer exists, as docker push does for each layer, makes the cache "
        "download it",
    )


def _blobs_together(observed: Observed) -> Reading:
    bodies = observed["upstream: blob bodies"]
    if bodies == 1:
        return "yes", "a rollout to many nodes fetches each new layer once"
    return (
        f"no, {bodies} downloads for 6 clients",
        "a rollout fetches each new layer for every node",
    )


def _tags_together(observed: Observed) -> Reading:
    bodies = observed["upstream: manifest bodies"]
    if bodies == 1:
        return "yes", "a rollout of a new tag counts as one pull upstream"
    return f"no, {bodies} for 4 clients", "each node of a rollout counts as a pull upstream"


def _revalidates(observed: Observed) -> Reading:
    asked = observed["upstream: content requests"]
    kinds = [line.partition(" ")[0] for line in asked]
    if not asked:
        return "no", "a moved tag is noticed only at the next revalidation: find out the interval"
    if set(kinds) == {"HEAD"}:
        return (
            f"yes, by {_times(len(kinds))} HEAD",
            "a moved tag is noticed at once, and each pull waits for upstream; on Docker Hub "
            "a HEAD does not count as a pull",
        )
    return "yes, by GET", "each pull of a tag counts as a pull upstream, even when cached"


def _pinned(observed: Observed) -> Reading:
    asked = observed["upstream: requests"]
    if not asked:
        return "nothing", "pods pinned to cached digests do not need upstream"
    return f"{len(asked)} requests", "pods pinned to cached digests still need upstream"


def _stale(observed: Observed) -> Reading:
    if observed["client: whole pull"] is not True:
        return "no", "during an upstream outage, pods cannot start from cached tags"
    if observed["client: Warning"] in {None, "absent"}:
        return "yes, unmarked", "cached tags work during an outage; nothing marks them as stale"
    return "yes, marked by Warning", "cached tags work during an outage and are marked as stale"


def _limited(observed: Observed) -> Reading:
    tag, blob = observed["client: tag"], observed["client: blob"]
    shown = f"tag {_status(tag)}, layer {_status(blob)}"
    if tag.startswith("429") and blob.startswith("429"):
        return f"yes: {shown}", "clients back off as upstream requests"
    return (
        f"no: {shown}",
        "a rate limit looks like a missing image or a broken cache: check the limit first",
    )


def _range_cold(observed: Observed) -> Reading:
    status = observed["client: status"]
    if status == 206 and observed["client: the part is right"] is True:
        return "yes, 206", "lazy pulling (stargz, SOCI, nydus) works from the first request"
    return (
        f"no, {status}",
        "lazy pulls and resumed downloads of an uncached layer get all of it, or fail",
    )


def _range_warm(observed: Observed) -> Reading:
    status = observed["client: status"]
    if status == 206 and observed["client: the bytes are right"] is True:
        return "yes, 206", "interrupted downloads resume"
    return f"no, {status}", "interrupted downloads start over"


def _digest(observed: Observed) -> Reading:
    head, get = (observed[f"client: {name}"] for name in ("HEAD, a miss", "GET, a hit"))
    digests = [headers.get("Docker-Content-Digest", "absent") for headers in (head, get)]
    if digests[0] == digests[1] != "absent":
        return "yes", "docker and containerd resolve tags by HEAD, without a body"
    return "no" if "absent" in digests else "yes, wrong", "clients need a GET to resolve each tag"


def _ns(observed: Observed) -> Reading:
    statuses, queries = observed["client: statuses"], observed["upstream: queries"]
    if statuses != [200, 200]:
        return f"no, {statuses}", "containerd, which adds ns= to every request, cannot use it"
    if any(queries):
        return "yes, and passes it on", "upstream sees ns=, which few registries know"
    return "yes", "containerd can use it as a mirror"


def _referrers(observed: Observed) -> Reading:
    if observed["client: status"] == 200 and observed["client: the signature is right"] is True:
        return "yes", "signatures and SBOMs of an image are found through the cache"
    return f"no, {observed['client: status']}", "cosign and others have to query upstream directly"


def _streams(observed: Observed) -> Reading:
    if observed["client: the first had its beginning while upstream was sending"] is True:
        return "yes", "the first pull is about as fast as without a cache"
    return "no", "clients wait until the cache has the whole layer: check their timeouts"


def _moved(observed: Observed) -> Reading:
    if observed["client: served by tag"] is True:
        return "yes", "nodes get a fix under the same tag with their next pull"
    return "no", "nodes keep getting the old image until the cache revalidates"


def _wrong(observed: Observed) -> Reading:
    if observed["client: wrong bytes pass for the manifest"] is True:
        return "yes", "the cache does not verify digests of manifests: clients have to"
    return "no", "the cache detects a broken or hostile upstream"


def _absent(observed: Observed) -> Reading:
    seen = [observed[f"client: status {what}"] for what in ("by tag", "by digest", "of a blob")]
    shown = ", ".join(str(status) for status in seen)
    if set(seen) == {404}:
        return "yes, 404", "nodes try the next mirror, or fail at once"
    return f"no: {shown}", "a missing image looks like an outage, and clients retry"


def _times(number: int) -> str:
    return {1: "one", 2: "two"}.get(number, str(number))


def _status(text: str) -> str:
    status, _, after = text.partition(", ")
    return f"{status} without Retry-After" if after == "None" else f"{status}, Retry-After {after}"


QUESTIONS = (
    Question("push", "Does it accept a push?", "push.upload-refused[new]", _push),
    Question(
        "delete",
        "Does it delete cached content?",
        "delete.proxy-refuses[manifest-cached-delete-off]",
        _delete,
    ),
    Question(
        "head-downloads",
        "Does HEAD of a layer download the layer?",
        "blob.head-is-not-a-download",
        _head_downloads,
    ),
    Question(
        "coalesces-layers",
        "Do concurrent requests for a new layer share one download?",
        "blob.concurrent-first-pulls",
        _blobs_together,
    ),
    Question(
        "coalesces-tags",
        "Do concurrent requests for a new tag share one request?",
        "head.concurrent-first-pulls",
        _tags_together,
    ),
    Question(
        "streams",
        "Do clients get a layer while it is being downloaded?",
        "coalescing.first-bytes-come-at-once",
        _streams,
    ),
    Question(
        "revalidates",
        "Does it revalidate a cached tag on each request?",
        "head.hit-by-tag-asks-once",
        _revalidates,
    ),
    Question("moved-tag", "Does it notice that a tag moved upstream?", "tags.moved", _moved),
    Question(
        "pinned",
        "What does a request for a cached digest cost upstream?",
        "head.hit-by-digest-costs-nothing",
        _pinned,
    ),
    Question(
        "stale",
        "Does it serve cached tags while upstream fails (503)?",
        "failure.cached-tag-is-served[503]",
        _stale,
    ),
    Question(
        "rate-limit",
        "Does it pass on 429 and Retry-After?",
        "refusal.retry-after[seconds-429]",
        _limited,
    ),
    Question("absent", "Is a missing image answered 404?", "failure.absent-is-404", _absent),
    Question(
        "range-cold",
        "Does it serve a range of an uncached layer?",
        "range.of-a-miss[closed]",
        _range_cold,
    ),
    Question(
        "range-warm",
        "Does it serve a range of a cached layer?",
        "blob.range-of-a-hit[closed]",
        _range_warm,
    ),
    Question(
        "digest-header",
        "Does HEAD of a tag return its digest?",
        "head.same-headers-as-get[tag]",
        _digest,
    ),
    Question(
        "wrong-bytes",
        "Does it accept a manifest with wrong bytes from upstream?",
        "integrity.other-manifest[right-header-wrong-bytes-digest]",
        _wrong,
    ),
    Question("ns", "Does it accept containerd's ns=?", "head.ns-is-not-passed-on", _ns),
    Question(
        "referrers",
        "Does it list referrers of an image?",
        "referrers.of-upstream",
        _referrers,
        otherwise="cosign and others fall back to tags, or query upstream directly",
    ),
)
"""In the order in which they are answered."""

FINGERPRINT = (
    "refusal.status-and-code",
    "tags.pages-for-clients",
    "tags.empty-list",
    "head.no-ping",
)
"""More scenarios that distinguish releases, besides those of the questions."""
