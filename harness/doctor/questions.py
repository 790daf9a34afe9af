"""What an operator wants to know of a cache, and which look of which scenario tells it. Pure data.

Nothing is asked here that no scenario asks: the scenarios' ids lead to claim, sources and steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["LIKENESS", "QUESTIONS", "Line", "Question"]


@dataclass(frozen=True)
class Line:
    """``id`` is stable. Where ``answer`` is None there was none to be had, and ``meaning`` says why
    and how it can be. ``evidence`` are requests with their answers."""

    id: str
    question: str
    answer: str | None
    meaning: str
    evidence: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


Looks = Mapping[str, Any]
"""What a scenario saw, by ``side: what``."""
Told = tuple[str, str]
"""The answer, and what it means to an operator."""


@dataclass(frozen=True)
class Question:
    """*scenario* is the key of one case; *read* makes the answer of what it saw."""

    id: str
    text: str
    scenario: str
    read: Callable[[Looks], Told]
    otherwise: str = ""
    """What it means where the registry has not got what the scenario needs."""

    @property
    def scenario_id(self) -> str:
        """Without the case."""
        return self.scenario.partition("[")[0]


def _push(looks: Looks) -> Told:
    status = looks["client: status"]
    if status == 202:
        return "yes", "what is pushed to a cache is not upstream: clients must not push here"
    return f"no, {status}", "pushes fail, and should: images belong upstream"


def _delete(looks: Looks) -> Told:
    status = looks["client: status"]
    if status == 202:
        return "yes", "a bad copy can be dropped by DELETE of its digest, by whoever may"
    return f"no, {status}", "a bad copy stays until it expires, or somebody tidies the storage"


def _head_downloads(looks: Looks) -> Told:
    bodies = looks["upstream: blob bodies"]
    if not bodies:
        return "no", "whether a layer is there can be asked at no cost"
    return (
        f"yes, {_times(bodies)}",
        "whoever asks whether a layer is there - docker push does, for each - makes the cache "
        "fetch all of it",
    )


def _blobs_together(looks: Looks) -> Told:
    bodies = looks["upstream: blob bodies"]
    if bodies == 1:
        return "yes", "a rollout to many nodes fetches each new layer once"
    return f"no, {bodies} downloads for 6 clients", "a rollout fetches each new layer once a node"


def _tags_together(looks: Looks) -> Told:
    bodies = looks["upstream: manifest bodies"]
    if bodies == 1:
        return "yes", "a rollout of a new tag counts as one pull upstream"
    return f"no, {bodies} for 4 clients", "each node of a rollout counts as a pull upstream"


def _revalidates(looks: Looks) -> Told:
    asked = looks["upstream: content requests"]
    kinds = [line.partition(" ")[0] for line in asked]
    if not asked:
        return "no", "a tag that moved is seen only when the cache asks again: find its interval"
    if set(kinds) == {"HEAD"}:
        return (
            f"yes, by {_times(len(kinds))} HEAD",
            "a moved tag is seen at once, and each pull waits for upstream; on Docker Hub a HEAD "
            "is free",
        )
    return "yes, by GET", "each pull of a tag counts as one upstream, cached or not"


def _pinned(looks: Looks) -> Told:
    asked = looks["upstream: requests"]
    if not asked:
        return "nothing", "what is pinned to digests needs no upstream once it is cached"
    return f"{len(asked)} requests", "pinning to digests does not make pods independent of upstream"


def _stale(looks: Looks) -> Told:
    if looks["client: whole pull"] is not True:
        return "no", "an outage upstream stops pods whose images are cached"
    if looks["client: Warning"] in {None, "absent"}:
        return "yes, unmarked", "cached tags work through an outage; nobody sees that they are old"
    return "yes, marked by Warning", "cached tags work through an outage, and say that they are old"


def _limited(looks: Looks) -> Told:
    tag, blob = looks["client: tag"], looks["client: blob"]
    told = f"tag {_status(tag)}, layer {_status(blob)}"
    if tag.startswith("429") and blob.startswith("429"):
        return f"yes: {told}", "clients wait as long as upstream asks them to"
    return (
        f"no: {told}",
        "a rate limit looks like a missing image or a broken cache: look at upstream's limit first",
    )


def _range_cold(looks: Looks) -> Told:
    status = looks["client: status"]
    if status == 206 and looks["client: the part is right"] is True:
        return "yes, 206", "lazy pulling (stargz, SOCI, nydus) works from the first request on"
    return (
        f"no, {status}",
        "lazy pulling and resumed downloads of what is not cached get the whole layer, or fail",
    )


def _range_warm(looks: Looks) -> Told:
    status = looks["client: status"]
    if status == 206 and looks["client: the bytes are right"] is True:
        return "yes, 206", "downloads that broke off go on where they ended"
    return f"no, {status}", "downloads that broke off begin again"


def _digest(looks: Looks) -> Told:
    head, get = (looks[f"client: {name}"] for name in ("HEAD, a miss", "GET, a hit"))
    digests = [headers.get("Docker-Content-Digest", "absent") for headers in (head, get)]
    if digests[0] == digests[1] != "absent":
        return "yes", "docker and containerd resolve tags by HEAD, without a body"
    return "no" if "absent" in digests else "yes, wrong", "clients need a GET to resolve each tag"


def _ns(looks: Looks) -> Told:
    statuses, queries = looks["client: statuses"], looks["upstream: queries"]
    if statuses != [200, 200]:
        return f"no, {statuses}", "containerd, which adds ns= to every request, cannot use it"
    if any(queries):
        return "yes, and passes it on", "upstream sees ns=, which few registries know"
    return "yes", "containerd can use it as a mirror"


def _referrers(looks: Looks) -> Told:
    if looks["client: status"] == 200 and looks["client: the signature is right"] is True:
        return "yes", "signatures and SBOMs that refer to an image are found through it"
    return f"no, {looks['client: status']}", "cosign and others have to ask upstream itself"


def _streams(looks: Looks) -> Told:
    if looks["client: the first had its beginning while upstream was sending"] is True:
        return "yes", "the first pull is about as fast as without a cache"
    return "no", "clients wait until the cache has the whole layer: mind their timeouts"


def _moved(looks: Looks) -> Told:
    if looks["client: served by tag"] is True:
        return "yes", "a fix under the same tag reaches nodes with their next pull"
    return "no", "nodes go on getting the old image for as long as the cache likes"


def _wrong(looks: Looks) -> Told:
    if looks["client: wrong bytes pass for the manifest"] is True:
        return "yes", "the cache does not check digests of manifests: clients have to"
    return "no", "a broken or hostile upstream is found out by the cache"


def _absent(looks: Looks) -> Told:
    seen = [looks[f"client: status {what}"] for what in ("by tag", "by digest", "of a blob")]
    told = ", ".join(str(status) for status in seen)
    if set(seen) == {404}:
        return "yes, 404", "nodes go on to the next mirror, or fail at once"
    return f"no: {told}", "what does not exist looks like an outage, and is tried again"


def _times(number: int) -> str:
    return {1: "one", 2: "two"}.get(number, str(number))


def _status(text: str) -> str:
    status, _, after = text.partition(", ")
    return f"{status} without Retry-After" if after == "None" else f"{status}, Retry-After {after}"


QUESTIONS = (
    Question("push", "Does it take a push?", "push.upload-refused[new]", _push),
    Question(
        "delete",
        "Does it delete what is cached?",
        "delete.proxy-refuses[manifest-cached-delete-off]",
        _delete,
    ),
    Question(
        "head-downloads",
        "Does HEAD of a layer download it?",
        "blob.head-is-not-a-download",
        _head_downloads,
    ),
    Question(
        "coalesces-layers",
        "Do clients that want a new layer at once share one download?",
        "blob.concurrent-first-pulls",
        _blobs_together,
    ),
    Question(
        "coalesces-tags",
        "Do clients that want a new tag at once share one pull?",
        "head.concurrent-first-pulls",
        _tags_together,
    ),
    Question(
        "streams",
        "Do clients get a layer while it comes from upstream?",
        "coalescing.first-bytes-come-at-once",
        _streams,
    ),
    Question(
        "revalidates",
        "Does it ask upstream about a cached tag each time?",
        "head.hit-by-tag-asks-once",
        _revalidates,
    ),
    Question("moved-tag", "Is a tag that moved upstream served anew?", "tags.moved", _moved),
    Question(
        "pinned", "What does a cached digest cost?", "head.hit-by-digest-costs-nothing", _pinned
    ),
    Question(
        "stale",
        "Does it serve cached tags while upstream fails (503)?",
        "failure.cached-tag-is-served[503]",
        _stale,
    ),
    Question(
        "rate-limit",
        "Do 429 and Retry-After of upstream reach clients?",
        "refusal.retry-after[seconds-429]",
        _limited,
    ),
    Question("absent", "Is what does not exist 404?", "failure.absent-is-404", _absent),
    Question(
        "range-cold",
        "Can a part of a layer that is not cached be asked for?",
        "range.of-a-miss[closed]",
        _range_cold,
    ),
    Question(
        "range-warm",
        "Can a part of a cached layer be asked for?",
        "blob.range-of-a-hit[closed]",
        _range_warm,
    ),
    Question(
        "digest-header",
        "Does HEAD of a tag tell its digest?",
        "head.same-headers-as-get[tag]",
        _digest,
    ),
    Question(
        "wrong-bytes",
        "Do wrong bytes of upstream pass for a manifest?",
        "integrity.other-manifest[right-header-wrong-bytes-digest]",
        _wrong,
    ),
    Question("ns", "Does it bear containerd's ns=?", "head.ns-is-not-passed-on", _ns),
    Question(
        "referrers",
        "Can it be asked what refers to an image?",
        "referrers.of-upstream",
        _referrers,
        otherwise="cosign and others fall back to tags, or ask upstream itself",
    ),
)
"""In the order in which they are answered."""

LIKENESS = ("refusal.status-and-code", "tags.pages-for-clients", "tags.empty-list", "head.no-ping")
"""Scenarios whose answers tell releases apart, beside those of the questions."""
