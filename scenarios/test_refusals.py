"""Upstream refuses a request: what clients get, for each kind of request."""

from __future__ import annotations

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import Image, an_image
from harness.http.client import Answer
from harness.suite.expectation import Expectations, at_most
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, Need, theme
from harness.upstream import Bearer, MockUpstream
from scenarios.pulling import blob_path, manifest_path, pull_image
from scenarios.steps import OBSERVED, settle

ERRORS = "OCI distribution-spec: Error Codes"
GATEWAY = "RFC 9110, 15.6.3 502 Bad Gateway"
RETRY_AFTER = "RFC 9110, 10.2.3 Retry-After"
MEASURED = "measured on 2.8.2 to 3.1.1"

REPOSITORY = "team/app"

TOLD = {
    "401": "403 DENIED",
    "403": "403 DENIED",
    "429": "429 TOOMANYREQUESTS",
    "500": "502 UNAVAILABLE",
    "502": "502 UNAVAILABLE",
    "503": "503 UNAVAILABLE",
    "504": "504 UNAVAILABLE",
    "418": "502 UNAVAILABLE",
    "reset": "502 UNAVAILABLE",
    "refused": "502 UNAVAILABLE",
    "empty-reply": "502 UNAVAILABLE",
    "garbage": "502 UNAVAILABLE",
    "redirect-to-nowhere": "502 UNAVAILABLE",
}
"""What clients get, by what upstream does. Upstream's 401 is about the cache's account and not
about the client's; a gateway's own failures are the 5xx of RFC 9110, 15.6.3 to 15.6.5."""


def break_down(upstream: MockUpstream, how: str) -> None:
    """From now on every question about content meets *how*."""
    if how == "refused":
        upstream.down()
        return
    for kind in ("manifest", "blob", "tags", "referrers"):
        fault = upstream.on(kind=kind)
        match how:
            case "reset":
                fault.reset()
            case "empty-reply":
                fault.truncate()
            case "garbage":
                fault.raw(b"SSH-2.0-OpenSSH_9.2p1\r\n")
            case "redirect-to-nowhere":
                fault.redirect("ftp://nowhere.example/", 302)
            case status:
                fault.status(int(status), {"Retry-After": "7"})


def in_short(answer: Answer) -> str:
    """Such as ``404 BLOB_UNKNOWN``."""
    return f"{answer.status} {answer.error_code}"


scenario = theme("refusal")


@scenario(
    "status-and-code",
    "Each upstream failure has one status and error code, for every kind of request",
    refs=(ERRORS, GATEWAY, "d#3842", "d#4477", "harbor#20764", MEASURED),
)
@pytest.mark.parametrize("how", list(TOLD))
def test_status_and_code(
    how: str, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients decide by it whether to wait, try the next mirror or give up; operators, where to
    look."""
    cache = target.proxy(upstream)
    break_down(upstream, how)

    by_tag = cache.get(manifest_path(REPOSITORY, "v1"), headers=ACCEPT)
    by_digest = cache.get(manifest_path(REPOSITORY, image.digest), headers=ACCEPT)
    blob = cache.get(blob_path(REPOSITORY, image.layers[0]))

    expect.client("manifest by tag", in_short(by_tag), TOLD[how])
    expect.client("manifest by digest", in_short(by_digest), TOLD[how])
    expect.client("blob", in_short(blob), TOLD[how])
    expect.disk("stored", cache.disk.blobs(), set())


@scenario(
    "list-of-tags",
    "A tag list that upstream refuses has the status and code of that failure",
    refs=(ERRORS, GATEWAY, "d#3842", MEASURED),
    needs={Need.CONFIG, Need.TAG_LISTS},
)
@pytest.mark.parametrize("how", list(TOLD))
def test_list_of_tags(
    how: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An update checker that gets 404 reports that the image was withdrawn."""
    upstream.add(REPOSITORY, an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    break_down(upstream, how)

    expect.client("answer", in_short(cache.get(f"/v2/{REPOSITORY}/tags/list")), TOLD[how])


@scenario(
    "referrers",
    "Referrers that upstream refuses are an error, not an empty list",
    refs=("OCI distribution-spec: Listing Referrers", GATEWAY, "harbor#23024", MEASURED),
    needs={Need.CONFIG, Need.REFERRERS},
)
@pytest.mark.parametrize("how", [how for how in TOLD if how != "418"])
def test_referrers(
    how: str, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An empty list means that the image is not signed. During an outage that is false, and
    admission controllers act on it."""
    cache = target.proxy(upstream)
    break_down(upstream, how)

    answer = cache.get(f"/v2/{REPOSITORY}/referrers/{image.digest}")

    expect.client("answer", in_short(answer), TOLD[how])


# -- Retry-After -----------------------------------------------------------------------------------
@scenario(
    "retry-after",
    "Upstream's Retry-After reaches the client with 429 and 503, as seconds and as a date",
    refs=(RETRY_AFTER, "harbor#19899", "d#4050", MEASURED),
)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("value", ["120", "Fri, 31 Dec 1999 23:59:59 GMT"], ids=["seconds", "date"])
def test_retry_after(
    value: str,
    status: int,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Only Retry-After keeps a crowd of clients from returning at once."""
    for kind in ("manifest", "blob", "tags"):
        upstream.on(kind=kind).status(status, {"Retry-After": value})
    cache = target.proxy(upstream)

    paths = {
        "tag": manifest_path(REPOSITORY, "v1"),
        "digest": manifest_path(REPOSITORY, image.digest),
        "blob": blob_path(REPOSITORY, image.layers[0]),
        "list of tags": f"/v2/{REPOSITORY}/tags/list",
    }
    for name, path in paths.items():
        answer = cache.get(path, headers=ACCEPT)
        seen = f"{answer.status}, {answer.headers.get('Retry-After')}"
        expect.client(name, seen, f"{status}, {value}")


@scenario(
    "retry-after-nonsense",
    "An invalid Retry-After from upstream does not reach the client",
    refs=(RETRY_AFTER,),
)
@pytest.mark.parametrize(
    "value",
    ["-1", "soon", "1e9", "1; url=http://elsewhere.example", "9" * 30, "<script>", "1, 2"],
    ids=["negative", "word", "exponent", "url", "huge", "markup", "list"],
)
def test_retry_after_nonsense(
    value: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients parse it carelessly: some wait forever, some crash."""
    upstream.add(REPOSITORY, an_image(), tags=("v1",))
    upstream.on(kind="manifest").status(429, {"Retry-After": value})
    cache = target.proxy(upstream)

    answer = cache.get(manifest_path(REPOSITORY, "v1"), headers=ACCEPT)

    expect.client("Retry-After", answer.headers.get("Retry-After"), None)


# -- the way to upstream ---------------------------------------------------------------------------
@scenario(
    "by-the-token-server",
    "A failing token server is an upstream failure, not a missing image",
    refs=("distribution docs: Token Authentication Specification", GATEWAY, MEASURED),
)
@pytest.mark.parametrize(
    ("status", "reported"),
    [(401, "403"), (404, "502"), (410, "502"), (429, "429"), (500, "502"), (503, "503")],
    ids=str,
)
def test_by_the_token_server(
    status: int,
    reported: str,
    make_upstream: type[MockUpstream],
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Its 404 means that the address in the challenge is wrong, and says nothing about images."""
    upstream = make_upstream(auth=Bearer("puller", "secret"))
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    upstream.on(kind="token").status(status)
    cache = target.proxy(upstream, upstream_login=("puller", "secret"))

    by_tag = cache.get(manifest_path(REPOSITORY, "v1"), headers=ACCEPT)
    by_digest = cache.get(manifest_path(REPOSITORY, image.digest), headers=ACCEPT)
    blob = cache.get(blob_path(REPOSITORY, image.layers[0]))

    expect.client("manifest by tag", str(by_tag.status), reported)
    expect.client("manifest by digest", str(by_digest.status), reported)
    expect.client("blob", str(blob.status), reported)


@scenario(
    "evicts-nothing",
    "Content that upstream refuses from now on stays in the cache",
    level=MUST,
    refs=("NEXUS-26642", "harbor#20997", MEASURED),
    needs=OBSERVED,
)
@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_evicts_nothing(
    status: int, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An account that lapses for an hour must not empty the cache of everything that runs."""
    cache = target.proxy(upstream)
    pull_image(cache, REPOSITORY, image, "v1")
    before = cache.disk.blobs()
    break_down(upstream, str(status))

    cache.get(manifest_path(REPOSITORY, "v1"), headers=ACCEPT)
    pinned = containerd_pull(cache.client, REPOSITORY, image.digest)
    settle(cache, upstream)
    after = cache.disk.blobs()
    upstream.clear_faults()
    again = cache.get(manifest_path(REPOSITORY, "v1"), headers=ACCEPT)

    expect.client("pull by digest", pinned.complete, True)
    expect.client("bytes of the tag afterwards", again.body == image.content, True)
    expect.client("Warning afterwards", again.headers.get("Warning"), None)
    expect.disk("what is gone", len(before - after), 0)


@scenario(
    "ends-the-trying",
    "One client request costs a broken upstream a few requests, not a flood",
    refs=("zot#4175", "landscape: bounded retries", MEASURED),
)
@pytest.mark.parametrize("how", ["429", "503", "reset", "garbage"])
def test_ends_the_trying(
    how: str, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that retries without end, for each of a thousand clients, keeps a source down."""
    cache = target.proxy(upstream)
    break_down(upstream, how)
    upstream.ledger.clear()

    cache.get(manifest_path(REPOSITORY, "v1"), headers=ACCEPT)
    cache.get(blob_path(REPOSITORY, image.layers[0]))
    settle(cache, upstream)

    expect.upstream("questions about the tag", upstream.ledger.count(kind="manifest"), at_most(3))
    expect.upstream("questions about the blob", upstream.ledger.count(kind="blob"), at_most(3))
