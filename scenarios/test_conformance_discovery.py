"""OCI distribution-spec, category Content Discovery: lists of tags and of referrers."""

from __future__ import annotations

from itertools import chain
from typing import Any
from urllib.parse import quote

from harness.content import OCI_CONFIG, OCI_INDEX, Manifest, an_artifact, an_image, an_index
from harness.http.client import Answer
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, SHOULD, Need, theme
from harness.upstream import MockUpstream
from scenarios.conformance import ROLES, SPEC, Publish, in_role
from scenarios.paging import next_page, pages
from scenarios.steps import OBSERVED, push
from scenarios.trees import write_tree

TAGS = f"{SPEC}: Listing Tags"
REFERRERS = f"{SPEC}: Listing Referrers"
ENABLING = f"{SPEC}: Enabling the Referrers API"

NAMES = ["alpha", "beta", "v1", "v10", "v2"]
CASES = ["b1", "A2", "C4", "a0", "B3", "c5", "D1", "d0", "E3", "e2", "F5", "f4"]
SIGNATURE = "application/vnd.example.signature.v1+json"
scenario = theme("conformance", level=MUST, refs=(TAGS,), needs={Need.TAG_LISTS})


# -- tags --------------------------------------------------------------------------------------
@scenario("tags", "A repository's tags are listed with status 200, its name, and in lexical order")
@ROLES
def test_tags(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The tags are pushed in another order."""
    registry, publish = in_role(role, target, upstream)
    names = [f"v{number * 7 % 16:02}" for number in range(16)]
    publish("conformance/tags", an_image(), *names)

    answer = registry.get("/v2/conformance/tags/tags/list")

    expect.client("status", answer.status, 200)
    expect.client("name", _member(answer, "name"), "conformance/tags")
    listed = _member(answer, "tags") or []
    expect.client("all are there", set(listed) == set(names), True)
    expect.client("in order", listed == sorted(listed), True)


@scenario(
    "tags-of-both-cases",
    "Tags in upper and lower case are in lexical or in byte order",
    refs=(TAGS, "distribution-spec main: lexical or ASCIIbetical"),
)
@ROLES
def test_tags_of_both_cases(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """1.1 says lexical. Registries that sort bytes, as Go's sort.Strings does, are allowed by its
    successor."""
    registry, publish = in_role(role, target, upstream)
    publish("conformance/cases", an_image(), *CASES)

    listed = _member(registry.get("/v2/conformance/cases/tags/list"), "tags") or []

    orders = [sorted(listed), sorted(listed, key=str.lower)]
    expect.client("in one of the orders", listed in orders and set(listed) == set(CASES), True)


@scenario("tags-page", "A list of n tags has n entries, or fewer and a Link to more")
@ROLES
def test_tags_page(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A client that gets fewer than n and no Link takes the list for complete."""
    registry, publish = in_role(role, target, upstream)
    publish("conformance/page", an_image(), *NAMES)

    for wanted in (1, 3, 5, 6):
        page = registry.get(f"/v2/conformance/page/tags/list?n={wanted}")
        listed = _member(page, "tags") or []
        fewer = next_page(page) is not None and 0 < len(listed) < wanted
        expect.client(f"length for n={wanted}", "fewer" if fewer else len(listed), min(wanted, 5))
        expect.client(f"the first ones for n={wanted}", _orderly(listed), NAMES[: len(listed)])


@scenario(
    "tags-all-pages",
    "Following Link, or last, visits every tag once and in order",
    refs=(TAGS, "RFC 8288: Web Linking"),
)
@ROLES
def test_tags_all_pages(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients use one or the other to read a long list."""
    registry, publish = in_role(role, target, upstream)
    publish("conformance/pages", an_image(), *NAMES)
    place = "/v2/conformance/pages/tags/list?n=2"

    linked = [_member(page, "tags") or [] for page in pages(registry, place)]
    by_last: list[str] = []
    for _ in range(3):
        after = f"&last={by_last[-1]}" if by_last else ""
        by_last += _member(registry.get(place + after), "tags") or []

    if len(linked) > 1:
        expect.client("tags by Link", list(chain(*linked)), NAMES)
    expect.client("tags by last", _orderly(by_last), NAMES)


@scenario("tags-after-last", "last without n lists the tags after that tag")
@ROLES
def test_tags_after_last(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Update checkers ask this way for newer tags."""
    registry, publish = in_role(role, target, upstream)
    publish("conformance/last", an_image(), *NAMES)

    listed = _member(registry.get("/v2/conformance/last/tags/list?last=beta"), "tags") or []

    expect.client("tags", _orderly(listed), ["v1", "v10", "v2"])


@scenario("tags-none-wanted", "n=0 lists no tags and has no Link")
@ROLES
def test_tags_none_wanted(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients use it to test whether a repository exists. With a Link they would page forever."""
    registry, publish = in_role(role, target, upstream)
    publish("conformance/none", an_image(), *NAMES)

    page = registry.get("/v2/conformance/none/tags/list?n=0")

    expect.client("status", page.status, 200)
    expect.client("tags", sorted(_member(page, "tags") or []), [])
    expect.client("Link", page.headers.get("Link"), None)


@scenario("tags-of-untagged", "A repository without tags has an empty tag list, with status 200")
def test_tags_of_untagged(target: TargetUnderTest, expect: Expectations) -> None:
    """Some images are pushed and deployed by digest only."""
    registry = target.standard()
    push(registry, "conformance/untagged", an_image())

    answer = registry.get("/v2/conformance/untagged/tags/list")

    expect.client("status", answer.status, 200)
    expect.client("tags", _member(answer, "tags") or [], [])


@scenario(
    "tags-unknown",
    "The tags of an unknown repository are 404",
    level=SHOULD,
    refs=(f"{SPEC}: Endpoints, end-8a and end-8b",),
)
@ROLES
def test_tags_unknown(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An empty list would tell a clean-up job that it is done."""
    registry, _ = in_role(role, target, upstream)

    for query in ("", "?n=2"):
        answer = registry.get(f"/v2/conformance/nowhere/tags/list{query}")
        expect.client(f"status{query and ' with a number'}", answer.status, 404)


# -- referrers ---------------------------------------------------------------------------------
@scenario(
    "referrers",
    "Referrers are listed as an image index with their types and annotations",
    refs=(REFERRERS, ENABLING),
    needs={Need.REFERRERS},
)
@ROLES
def test_referrers(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A client chooses by type and annotations which signature or SBOM to download."""
    registry, publish = in_role(role, target, upstream)
    image = an_image()
    note = {"org.example.note": "of the nightly scan"}
    artifact = an_artifact(subject=image, annotations=note)
    untyped, index = an_image("untyped", subject=image), an_index(seed="listed", subject=image)
    publish("conformance/referrers", image, "v1")
    for referrer in (artifact, untyped, index):
        publish("conformance/referrers", referrer)

    answer = registry.get(_referrers("conformance/referrers", image))

    if not expect.client("status", answer.status, 200):
        return
    expect.client("Content-Type", answer.headers.get("Content-Type"), OCI_INDEX)
    expect.client("version of the schema", _member(answer, "schemaVersion"), 2)
    expect.client("media type", _member(answer, "mediaType"), OCI_INDEX)
    listed = _described(answer)
    wanted = {artifact.digest, untyped.digest, index.digest}
    expect.client("all are there", set(listed) == wanted, True)
    for name, referrer, kind, notes in (
        ("an artifact", artifact, artifact.artifact_type, note),
        ("an image without artifactType", untyped, OCI_CONFIG, None),
        ("an index without artifactType", index, None, None),
    ):
        entry = listed.get(referrer.digest, {})
        expect.client(f"type of {name}", entry.get("artifactType"), kind)
        expect.client(f"annotations of {name}", entry.get("annotations") or None, notes)
        described = [entry.get("mediaType"), entry.get("size")]
        expect.client(f"descriptor of {name}", described, [referrer.media_type, referrer.size])


@scenario(
    "referrers-of-what-comes-later",
    "A referrer pushed before its subject is listed",
    refs=(ENABLING, f"{SPEC}: Push"),
    needs={Need.REFERRERS},
)
def test_referrers_of_what_comes_later(target: TargetUnderTest, expect: Expectations) -> None:
    """A copy of a repository may begin with the signatures."""
    registry = target.standard()
    image = an_image()
    artifact = an_artifact(subject=image)
    push(registry, "conformance/later", artifact)
    before = registry.get(_referrers("conformance/later", image))
    push(registry, "conformance/later", image, "v1")
    after = registry.get(_referrers("conformance/later", image))

    for name, answer in (("before the manifest is there", before), ("when it is there", after)):
        if expect.client(f"status {name}", answer.status, 200):
            expect.client(f"digests {name}", list(_described(answer)), [artifact.digest])


@scenario(
    "referrers-none",
    "A manifest without referrers has an empty list with status 200, even an unknown manifest",
    refs=(REFERRERS,),
    needs={Need.REFERRERS},
)
@ROLES
def test_referrers_none(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """404 means that the API is missing, and sends clients to the referrers tag."""
    registry, publish = in_role(role, target, upstream)
    publish("conformance/unreferred", an_image(), "v1")

    for name, image in (("is there", an_image()), ("is not there", an_image("absent"))):
        answer = registry.get(_referrers("conformance/unreferred", image))
        if expect.client(f"status where it {name}", answer.status, 200):
            expect.client(f"list where it {name}", _member(answer, "manifests"), [])


@scenario(
    "referrers-of-no-digest",
    "Referrers of an invalid digest are 400",
    refs=(REFERRERS,),
    needs={Need.REFERRERS},
)
@ROLES
def test_referrers_of_no_digest(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An empty list would mean that nothing is signed."""
    registry, publish = in_role(role, target, upstream)
    publish("conformance/no-digest", an_image(), "v1")

    for name, text in (("a tag", "v1"), ("a digest without its end", "sha256:abc")):
        answer = registry.get(f"/v2/conformance/no-digest/referrers/{text}")
        expect.client(f"status for {name}", answer.status, 400)


@scenario(
    "referrers-filter-is-told",
    "A filtered list of referrers has OCI-Filters-Applied; one without it is complete",
    refs=(REFERRERS,),
    needs={Need.REFERRERS},
)
@ROLES
def test_referrers_filter_is_told(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A client needs the header to know whether it has to filter the list."""
    registry, publish = in_role(role, target, upstream)
    image, sbom, signature = _signed(publish, "conformance/filter")

    whole = registry.get(_referrers("conformance/filter", image))
    some = registry.get(_referrers("conformance/filter", image, SIGNATURE))

    both, one = {sbom.digest, signature.digest}, {signature.digest}
    filtered = some.headers.get("OCI-Filters-Applied") == "artifactType"
    if expect.client("status", some.status, 200):
        expect.client("the list is what it says", set(_described(some)), one if filtered else both)
    expect.client("filters, unrequested", whole.headers.get("OCI-Filters-Applied"), None)


@scenario(
    "referrers-filter",
    "Referrers can be filtered by artifactType",
    level=SHOULD,
    refs=(REFERRERS,),
    needs={Need.REFERRERS},
)
@ROLES
def test_referrers_filter(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Of a nightly scanned image with many reports a client wants the one signature."""
    registry, publish = in_role(role, target, upstream)
    image, _, signature = _signed(publish, "conformance/filtered")

    some = registry.get(_referrers("conformance/filtered", image, SIGNATURE))
    none = registry.get(_referrers("conformance/filtered", image, "application/x.none"))

    if not expect.client("status", some.status, 200):
        return
    expect.client("filters", some.headers.get("OCI-Filters-Applied"), "artifactType")
    expect.client("digests", list(_described(some)), [signature.digest])
    expect.client("digests of a type that nothing has", _member(none, "manifests"), [])


@scenario(
    "referrers-all-pages",
    "Referrers that exceed one manifest are paged with Link",
    refs=(REFERRERS, "RFC 8288: Web Linking"),
    needs={Need.REFERRERS},
)
def test_referrers_all_pages(target: TargetUnderTest, expect: Expectations) -> None:
    """Three referrers with long annotations exceed the 4 MiB that clients read."""
    registry = target.standard()
    image = an_image()
    push(registry, "conformance/many", image, "v1")
    long = {"org.example.report": "x" * 2_000_000}
    artifacts = [an_artifact(f"report {n}", subject=image, annotations=long) for n in range(3)]
    for artifact in artifacts:
        push(registry, "conformance/many", artifact)

    listed = list(pages(registry, _referrers("conformance/many", image)))

    if not expect.client("status", listed[0].status, 200):
        return
    expect.client("there are several", len(listed) > 1, True)
    found = sorted(digest for page in listed for digest in _described(page))
    expect.client("all are there, once", found == sorted(a.digest for a in artifacts), True)
    types = {page.headers.get("Content-Type") for page in listed}
    expect.client("each page is an index", types, {OCI_INDEX})


@scenario(
    "referrers-from-before",
    "Referrers pushed before the registry had the API are listed",
    refs=(ENABLING,),
    needs=OBSERVED | {Need.REFERRERS},
)
def test_referrers_from_before(target: TargetUnderTest, expect: Expectations) -> None:
    """After an upgrade on the same storage signed images must not look unsigned: clients that find
    the API do not look at the old tag."""
    registry = target.standard()
    image = an_image()
    signature = an_artifact("signature", subject=image)
    tag = image.digest.replace(":", "-")
    write_tree(registry.root, "conformance/before", image, "v1")
    write_tree(registry.root, "conformance/before", signature, "signature")
    push(registry, "conformance/before", an_index(signature), tag)

    answer = registry.get(_referrers("conformance/before", image))

    if expect.client("status", answer.status, 200):
        expect.client("digests", list(_described(answer)), [signature.digest])


def _orderly(listed: list[str]) -> list[str]:
    """What ignores the question lists all tags, in an order that means nothing."""
    return sorted(listed) if len(listed) >= len(NAMES) else listed


def _signed(publish: Publish, repository: str) -> tuple[Manifest, Manifest, Manifest]:
    """An image, published with an SBOM and a signature."""
    image = an_image()
    sbom = an_artifact("sbom", subject=image)
    signature = an_artifact("signature", artifact_type=SIGNATURE, subject=image)
    publish(repository, image, "v1")
    publish(repository, sbom)
    publish(repository, signature)
    return image, sbom, signature


def _referrers(repository: str, manifest: Manifest, artifact_type: str = "") -> str:
    query = f"?artifactType={quote(artifact_type)}" if artifact_type else ""
    return f"/v2/{repository}/referrers/{manifest.digest}{query}"


def _member(answer: Answer, name: str) -> Any:
    """What *name* is in the JSON object of *answer*; None where it is something else."""
    try:
        document = answer.json()
    except ValueError:
        return None
    return document.get(name) if isinstance(document, dict) else None


def _described(answer: Answer) -> dict[str, dict[str, Any]]:
    """The descriptors that *answer* lists, by their digests."""
    return {entry["digest"]: entry for entry in _member(answer, "manifests") or ()}
