"""Lists of tags and repositories: which are upstream's, which are the cache's own, and what
happens to a tag that moves or disappears."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import Image, an_image
from harness.suite.expectation import Expectations, any_of
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, MUST, Need, theme
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.paging import pages
from scenarios.pulling import manifest_path, pull_blob, pull_image, pull_manifest
from scenarios.scheduling import all_of, reopen_with
from scenarios.steps import OBSERVED, asked, push

DOCS = "distribution docs: Registry as a pull through cache"
LISTING = "OCI distribution-spec: Listing Tags"
CATALOG = "distribution docs: HTTP API V2, Listing Repositories"

TAGS = "/v2/team/app/tags/list"
scenario = theme(
    "tags", refs=("d#2307", DOCS, "measured on 2.8.2 to 3.1.1"), needs={Need.CONFIG, Need.TAG_LISTS}
)


# -- tags --------------------------------------------------------------------------------------
@scenario(
    "live", "A cache lists upstream's current tags, and caches nothing for it", needs=OBSERVED
)
def test_live(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Update checkers (Renovate, Flux, Keel) see what exists, not what happened to be pulled."""
    cache = target.proxy(upstream)
    pull_manifest(cache, "team/app", image, "v1")
    upstream.add("team/app", an_image("newer"), tags=("v2",))
    upstream.ledger.clear()
    before = cache.disk.snapshot()

    answer = cache.get(TAGS)
    upstream.add("team/app", an_image("newest"), tags=("v3",))
    later = cache.get(TAGS)

    expect.client("status", answer.status, 200)
    expect.client("document", _sorted(answer.json()), {"name": "team/app", "tags": ["v1", "v2"]})
    expect.client("tags a moment later", sorted(later.json()["tags"]), ["v1", "v2", "v3"])
    expect.upstream("requests", asked(upstream), [f"GET {TAGS}", f"GET {TAGS}"])
    changes = before.diff(cache.disk.snapshot())
    touched = changes.added | changes.changed
    expect.disk("content touched", {path for path in touched if path.startswith("docker/")}, set())


@scenario(
    "all-pages-of-upstream",
    "A paged tag list from upstream is complete for the client",
    level=MUST,
    refs=(LISTING, "d#4844", "d#4846"),
)
def test_all_pages_of_upstream(
    make_upstream: Callable[..., MockUpstream], target: TargetUnderTest, expect: Expectations
) -> None:
    """Public registries send a hundred tags at a time. A cache that stops after the first page
    hides the newest release."""
    upstream = make_upstream(page_size=2)
    wanted = tuple(f"v{n}" for n in range(1, 6))
    upstream.add("team/app", an_image(), tags=wanted)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answer = cache.get(TAGS)

    expect.client("status", answer.status, 200)
    expect.client("tags", sorted(answer.json()["tags"]), list(wanted))
    expect.client("Link", answer.headers.get("Link"), None)
    expect.upstream("requests for tags", upstream.ledger.count("GET", kind="tags"), 3)


@scenario(
    "pages-for-clients",
    "A client that pages with n gets every tag",
    level=MUST,
    refs=(LISTING, "d#4856", "d#4931"),
)
@pytest.mark.parametrize("mode", ["proxy", "standard"])
def test_pages_for_clients(
    mode: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients follow Link headers to the end, and take a list without one for complete."""
    image = an_image()
    tags = tuple(f"v{n}" for n in range(1, 6))
    upstream.add("team/app", image, tags=tags)
    if mode == "proxy":
        registry = target.proxy(upstream)
    else:
        registry = target.standard()
        push(registry, "team/app", image, *tags)

    listed = [page.json()["tags"] for page in pages(registry, f"{TAGS}?n=2")]

    expect.client("lengths of the pages", [len(page) for page in listed], [2, 2, 1])
    expect.client("all tags", sorted(tag for page in listed for tag in page), list(tags))
    for what, query in {"after v3": "last=v3", "after v3, at most ten": "n=10&last=v3"}.items():
        rest = sorted(registry.get(f"{TAGS}?{query}").json()["tags"])
        expect.client(f"tags {what}", rest, ["v4", "v5"])


@scenario(
    "exact-page-ends-the-list",
    "A page that ends with the last tag has no Link",
    refs=(LISTING, "measured on 3.1.1"),
)
def test_exact_page_ends_the_list(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An empty page costs a request, and some clients take an empty or null list for an error."""
    image = upstream.add("team/app", an_image(), tags=("v1", "v2"))
    cache = target.proxy(upstream)
    pull_manifest(cache, "team/app", image, "v1")

    answer = cache.get(f"{TAGS}?n=2")
    upstream.down()
    cached = cache.get(f"{TAGS}?n=1")

    expect.client("tags", sorted(answer.json()["tags"]), ["v1", "v2"])
    expect.client("Link", answer.headers.get("Link"), None)
    expect.client("cached tags", cached.json()["tags"], ["v1"])
    expect.client("Link of the cached ones", cached.headers.get("Link"), None)


@scenario(
    "empty-list",
    "A repository without tags has an empty tag list, not null",
    level=MUST,
    refs=(LISTING, "d#4324"),
)
def test_empty_list(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """Programs iterate over the list; null breaks those in strict languages."""
    upstream.add("team/app", an_image())
    cache = target.proxy(upstream)

    answer = cache.get(TAGS)

    expect.client("status", answer.status, 200)
    expect.client("tags", answer.json()["tags"], [])


@scenario(
    "unknown-repository",
    "Tags of a repository unknown upstream are 404 NAME_UNKNOWN",
    level=MUST,
    refs=("OCI distribution-spec: Error Codes", LISTING),
)
def test_unknown_repository(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A typo in an image's name should read as one."""
    cache = target.proxy(upstream)

    answer = cache.get(TAGS)

    expect.client("status", answer.status, 404)
    expect.client("error code", answer.error_code, "NAME_UNKNOWN")
    expect.upstream("requests", asked(upstream), [f"GET {TAGS}"])
    expect.disk("repositories", cache.disk.repositories(), [])


@scenario(
    "fall-back-to-cached",
    "While upstream is down the cached tags are listed",
    refs=("d#3705", "measured on 2.8.2 to 3.1.1"),
)
@pytest.mark.parametrize("fault", ["429", "500", "503", "reset", "refused"])
def test_fall_back_to_cached(
    fault: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """During an outage the list shrinks to what can be pulled."""
    image = upstream.add("team/app", an_image(), tags=("v1", "v2"))
    cache = target.proxy(upstream)
    pull_manifest(cache, "team/app", image, "v1")
    match fault:
        case "refused":
            upstream.down()
        case "reset":
            upstream.on().reset()
        case status:
            upstream.on(kind="tags").status(int(status))

    answer = cache.get(TAGS)

    expect.client("status", answer.status, 200)
    expect.client("tags", answer.json().get("tags"), ["v1"])


@scenario(
    "unavailable-is-not-unknown",
    "While upstream is down the tags of an uncached repository are 5xx, not 404",
    refs=("d#3842", "d#4477", "measured on 2.8.2 to 3.1.1"),
)
def test_unavailable_is_not_unknown(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An update checker that gets 404 reports the image as withdrawn; on 5xx it retries later."""
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    upstream.down()

    answer = cache.get(TAGS)

    expect.client("status", answer.status, any_of(502, 503, 504))


# -- tags that change --------------------------------------------------------------------------
@scenario(
    "moved",
    "A tag moved upstream is served in its new version, the old image by digest",
    needs={Need.CONFIG},
)
def test_moved(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """ "latest" through a cache has to be the latest, and a deployment pinned to yesterday's digest
    has to find that."""
    old = upstream.add("team/app", an_image("old"), tags=("latest",))
    cache = target.proxy(upstream)
    pull_manifest(cache, "team/app", old, "latest")
    new = upstream.add("team/app", an_image("new"), tags=("latest",))
    upstream.ledger.clear()

    answer = pull_manifest(cache, "team/app", new, "latest")
    cache.await_stored(lambda: cache.disk.tags("team/app") == {"latest": new.digest})
    by_digest = cache.get(manifest_path("team/app", old.digest), headers=ACCEPT)

    expect.client("served by tag", answer.body == new.content, True)
    expect.client("served by the old digest", by_digest.body == old.content, True)
    expect.upstream("requests for the old image", upstream.ledger.count(digest=old.digest), 0)
    tags = cache.disk.tags("team/app")
    expect.disk("tag points at the new image", tags.get("latest"), new.digest)
    revisions = cache.disk.revisions("team/app")
    expect.disk("both images are kept", revisions, {old.digest, new.digest})


@scenario(
    "deleted-upstream",
    "A tag deleted upstream is no longer listed",
    refs=("measured on 2.8.2 to 3.1.1", DOCS),
)
def test_deleted_upstream(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The cache should not offer a withdrawn release. An image pinned by digest is still served."""
    image = upstream.add("team/app", an_image(), tags=("v1", "v2"))
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", image, "v1")
    upstream.untag("team/app", "v1")

    listed = cache.get(TAGS)
    by_digest = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)

    expect.client("tags", listed.json()["tags"], ["v2"])
    expect.client("status by digest", by_digest.status, 200)


# -- the catalog -------------------------------------------------------------------------------
@scenario(
    "catalog-is-local",
    "The catalog lists cached repositories without asking upstream",
    level=INFO,
    refs=("d#2307", CATALOG, "measured on 2.8.2 to 3.1.1"),
    needs={Need.CONFIG, Need.CATALOG},
)
def test_catalog_is_local(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Unlike the tag list. An empty catalog does not mean that upstream is unreachable."""
    upstream.add("team/other", an_image("other"), tags=("v1",))
    cache = target.proxy(upstream)
    empty = cache.get("/v2/_catalog")
    pull_image(cache, "team/app", image, "v1")
    upstream.ledger.clear()

    answer = cache.get("/v2/_catalog")

    expect.client("status while empty", empty.status, 200)
    expect.client("document while empty", empty.json(), {"repositories": []})
    expect.client("document", answer.json(), {"repositories": ["team/app"]})
    expect.upstream("requests", upstream.ledger.lines(), [])


@scenario(
    "catalog-lists-every-repository",
    "A repository is in the catalog once anything of it is cached",
    refs=(CATALOG, "measured on 2.8.2 to 3.1.1"),
    needs=OBSERVED,
)
@pytest.mark.parametrize("cached", ["manifest", "blob"])
def test_catalog_lists_every_repository(
    cached: str, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clean-up scripts walk the catalog and skip what is not listed."""
    cache = target.proxy(upstream)
    if cached == "manifest":
        pull_manifest(cache, "team/app", image, "v1")
    else:
        pull_blob(cache, "team/app", image.layers[0])

    answer = cache.get("/v2/_catalog")

    expect.client("repositories", answer.json()["repositories"], ["team/app"])
    expect.disk("repositories on disk", cache.disk.repositories(), ["team/app"])


@scenario(
    "catalog-after-expiry",
    "A repository whose content has all expired is not in the catalog",
    refs=("measured on 2.8.2 to 3.1.1", "d#2314"),
    needs=OBSERVED | {Need.RESTART, Need.STATE_FILE},
)
def test_catalog_after_expiry(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Otherwise the catalog grows forever and lists mostly empty repositories."""
    cache = target.proxy(upstream, delete_enabled=True)
    pull_image(cache, "team/app", image, "v1")
    reopen_with(cache, *all_of("team/app", image))
    cache.eventually(lambda: not cache.disk.revisions("team/app"))
    cache.eventually(lambda: not cache.disk.layer_links("team/app"))

    cache.eventually(lambda: not _catalog(cache), timeout=0.1)

    expect.client("repositories", _catalog(cache), [])


@scenario(
    "catalog-in-pages",
    "The catalog is paged, and its pages add up to all repositories",
    refs=(CATALOG, "d#4856"),
    needs={Need.CONFIG, Need.CATALOG},
)
def test_catalog_in_pages(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache of a public registry holds thousands of repositories."""
    image = an_image(layers=1)
    cache = target.proxy(upstream)
    names = [f"team/app{n}" for n in range(1, 4)]
    for name in names:
        upstream.add(name, image, tags=("v1",))
        pull_image(cache, name, image, "v1")

    listed = [page.json()["repositories"] for page in pages(cache, "/v2/_catalog?n=2")]

    expect.client("pages", listed, [names[:2], names[2:]])


def _sorted(document: dict[str, Any]) -> dict[str, Any]:
    """2.8 lists tags in the order in which it finds them."""
    return document | {"tags": sorted(document["tags"])}


def _catalog(registry: RunningRegistry) -> list[str]:
    repositories: list[str] = registry.get("/v2/_catalog").json()["repositories"]
    return repositories
