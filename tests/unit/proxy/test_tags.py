"""tags/list and the catalog through a proxy."""

from __future__ import annotations

import httpx
import pytest

from harness.content import an_image
from tests.support.upstream_double import UpstreamDouble
from tests.unit.proxy.conftest import RELEASES, MakeProxy

pytestmark = pytest.mark.anyio

LIST = "/v2/team/app/tags/list"

every_profile = pytest.mark.parametrize("profile", ["ideal", *RELEASES])


@pytest.fixture
def upstream() -> UpstreamDouble:
    upstream = UpstreamDouble()
    upstream.add("team/app", an_image(), "a", "b", "c")
    return upstream


def page(tags: list[str] | None, link: str | None = None) -> httpx.Response:
    headers = {"Link": f'<{link}>; rel="next"'} if link else {}
    return httpx.Response(200, headers=headers, json={"name": "team/app", "tags": tags})


@every_profile
async def test_the_list_is_upstreams(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """3.1: uncached tags too, and nothing is written."""
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(LIST)
        assert proxy.files() == []
    assert answer.json() == {"name": "team/app", "tags": ["a", "b", "c"]}
    assert upstream.lines == ["GET " + LIST] if profile == "ideal" else ["GET /v2/", "GET " + LIST]


@every_profile
@pytest.mark.parametrize("fault", [401, 403, 404, 429, 500, 503])
async def test_upstream_refuses(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str, fault: int
) -> None:
    """3.2: what is cached is listed, and else the repository is unknown; told honestly by ideal."""
    upstream.on(f"GET {LIST}", fault)
    async with make_proxy(profile).running() as proxy:
        unknown = await proxy.get(LIST)
        await proxy.get("/v2/team/app/manifests/b", accept=an_image().media_type)
        cached = await proxy.get(LIST)
    assert cached.json()["tags"] == ["b"]
    assert ("warning" in cached.headers) is (profile == "ideal")
    if profile == "ideal":
        statuses = {401: 403, 403: 403, 404: 404, 429: 429, 500: 502, 503: 503}
        assert unknown.status == statuses[fault]
    else:
        assert (unknown.status, unknown.code) == (404, "NAME_UNKNOWN")
        assert unknown.detail == {"name": "team/app"}


@every_profile
async def test_tags_that_vanished_upstream_are_not_listed(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """3.3."""
    async with make_proxy(profile).running() as proxy:
        await proxy.get("/v2/team/app/manifests/b", accept=an_image().media_type)
        upstream.on(f"GET {LIST}", page(["a"]))
        assert (await proxy.get(LIST)).json()["tags"] == ["a"]


@every_profile
@pytest.mark.parametrize("tags", [[], None])
async def test_an_empty_list(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str, tags: list[str] | None
) -> None:
    """3.4."""
    upstream.on(f"GET {LIST}", page(tags))
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(LIST)
    assert answer.json()["tags"] == ([] if profile == "ideal" else None)


async def test_pages_by_2_8_are_not_made(make_proxy: MakeProxy, upstream: UpstreamDouble) -> None:
    """3.5."""
    async with make_proxy("2.8").running() as proxy:
        answer = await proxy.get(f"{LIST}?n=1&last=a")
    assert answer.json()["tags"] == ["a", "b", "c"]
    assert "link" not in answer.headers


@pytest.mark.parametrize("profile", ["ideal", "3.0.0-alpha.1", "3.0"])
async def test_pages_are_made_here(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(f"{LIST}?n=1&last=a")
        last = await proxy.get(f"{LIST}?last=b")
    assert answer.json()["tags"] == ["b"]
    assert answer.headers["link"].startswith(f"<{LIST}?last=b&n=1>")
    assert last.json()["tags"] == ["c"]
    assert all("?" not in line for line in upstream.lines)


async def test_pages_by_3_1_are_upstreams(make_proxy: MakeProxy, upstream: UpstreamDouble) -> None:
    """3.5: n and last are passed on, and there is a next page where upstream names one; last alone
    is ignored; n=0 asks nobody."""
    upstream.on(f"GET {LIST}?last=a&n=1", page(["b"], f"{LIST}?last=b&n=1"))
    upstream.on(f"GET {LIST}?n=5", page(["a", "b", "c"]))
    upstream.on(f"GET {LIST}?n=3", page(["a", "b", "c"]))
    upstream.on(f"GET {LIST}?last=c&n=5", page(None))
    async with make_proxy("3.1").running() as proxy:
        some = await proxy.get(f"{LIST}?n=1&last=a")
        every = await proxy.get(f"{LIST}?n=5")
        exactly = await proxy.get(f"{LIST}?n=3&last=")
        none = await proxy.get(f"{LIST}?n=5&last=c")
        ignored = await proxy.get(f"{LIST}?last=a")
        upstream.clear()
        zero = await proxy.get(f"{LIST}?n=0")
        assert upstream.lines == []
    assert some.json()["tags"] == ["b"]
    assert "last=b" in some.headers["link"]
    assert every.json()["tags"] == ["a", "b", "c"]
    assert "link" not in every.headers
    assert exactly.json()["tags"] == ["a", "b", "c"]
    assert "link" not in exactly.headers
    assert none.json()["tags"] == []
    assert ignored.json()["tags"] == ["a", "b", "c"]
    assert zero.json()["tags"] == []


async def test_a_link_on_an_empty_page_ends_3_1(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    """Go panics for the name of the last tag; the connection is cut."""
    upstream.on(f"GET {LIST}?n=1", page([], f"{LIST}?n=1"))
    async with make_proxy("3.1").running() as proxy:
        with pytest.raises(ConnectionResetError):
            await proxy.get(f"{LIST}?n=1")


@pytest.mark.parametrize(
    ("profile", "whole", "after"),
    [
        ("ideal", ["a", "b", "c"], ["c"]),
        ("3.0.0-alpha.1", ["c", "a", "b"], []),
        ("3.0", ["c", "a", "b"], []),
    ],
)
async def test_the_order_of_upstream(
    make_proxy: MakeProxy,
    upstream: UpstreamDouble,
    profile: str,
    whole: list[str],
    after: list[str],
) -> None:
    """Releases look ``last`` up as if the list were sorted."""
    upstream.on(f"GET {LIST}", page(["c", "a", "b"]))
    async with make_proxy(profile).running() as proxy:
        assert (await proxy.get(LIST)).json()["tags"] == whole
        assert (await proxy.get(f"{LIST}?last=b")).json()["tags"] == after


@pytest.mark.parametrize("profile", ["3.0.0-alpha.1", "3.0"])
async def test_nothing_after_an_empty_list(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """It is null until something is cut off."""
    upstream.on(f"GET {LIST}", page([]))
    async with make_proxy(profile).running() as proxy:
        assert (await proxy.get(f"{LIST}?n=1")).json()["tags"] is None
        assert (await proxy.get(f"{LIST}?n=1&last=a")).json()["tags"] == []


@every_profile
async def test_a_bad_page_size(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """3.0.0 looks at it when the tags are there."""
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(f"{LIST}?n=many")
    if profile == "2.8":
        assert answer.status == 200
        return
    assert (answer.status, answer.code) == (400, "PAGINATION_NUMBER_INVALID")
    asked = profile in {"3.0.0-alpha.1", "3.0"}
    assert upstream.lines == (["GET /v2/", f"GET {LIST}"] if asked else [])


@pytest.mark.parametrize(("profile", "status"), [("3.0", 404), ("3.1", 200), ("ideal", 502)])
async def test_after_a_tag_of_nothing(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str, status: int
) -> None:
    async with make_proxy(profile).running() as proxy:
        upstream.down = True
        answer = await proxy.get(f"{LIST}?n=1&last=a")
    assert answer.status == status
    if status == 200:
        assert answer.json()["tags"] is None


@pytest.mark.parametrize("profile", ["2.8", "3.1"])
async def test_one_cached_tag_on_its_page(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """3.6: 3.1 names a next page that is empty."""
    async with make_proxy(profile).running() as proxy:
        await proxy.get("/v2/team/app/manifests/b", accept=an_image().media_type)
        upstream.down = True
        answer = await proxy.get(f"{LIST}?n=1")
    assert answer.json()["tags"] == ["b"]
    assert ("link" in answer.headers) is (profile == "3.1")


@every_profile
async def test_the_catalog_is_local(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """4.1, 4.2: which kind of content makes a repository appear."""
    image = an_image()
    upstream.add("blobs/only", image)
    async with make_proxy(profile).running() as proxy:
        assert (await proxy.get("/v2/_catalog")).json() == {"repositories": []}
        await proxy.get("/v2/team/app/manifests/a", accept=image.media_type)
        await proxy.get(f"/v2/blobs/only/blobs/{image.blobs[0].digest}")
        await proxy.settled()
        upstream.clear()
        answer = await proxy.get("/v2/_catalog")
        assert upstream.lines == []
    expected = {"2.8": ["blobs/only"], "ideal": ["blobs/only", "team/app"]}
    assert answer.json()["repositories"] == expected.get(profile, ["team/app"])
