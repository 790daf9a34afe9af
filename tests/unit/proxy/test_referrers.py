"""Referrers through ``ideal``: what upstream may answer, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from harness.content import OCI_INDEX, an_artifact, an_image, an_index, descriptor
from reference_registry.digest import Digest, digest_of
from reference_registry.proxy.referrers import referrers_tag
from reference_registry.proxy.upstream import client as upstream_repository
from tests.support.upstream_double import UpstreamDouble
from tests.unit.proxy.conftest import MakeProxy

pytestmark = pytest.mark.anyio

IMAGE = an_image()
SIGNATURE = an_artifact(subject=IMAGE)
PATH = f"/v2/team/app/referrers/{IMAGE.digest}"
GET = f"GET {PATH}"
TAG = IMAGE.digest.replace(":", "-")


@pytest.fixture
def upstream() -> UpstreamDouble:
    upstream = UpstreamDouble()
    upstream.add("team/app", IMAGE, "v1")
    upstream.add("team/app", SIGNATURE)
    return upstream


def listing(*entries: Any, **headers: str) -> httpx.Response:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}
    return httpx.Response(200, json=document, headers=headers)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"mediaType": "a/b", "size": 1},
        {"mediaType": "a/b", "size": 1, "digest": "sha256:no"},
        {"mediaType": "a/b", "size": -1, "digest": IMAGE.digest},
        {"mediaType": "a/b", "size": "1", "digest": IMAGE.digest},
        {"mediaType": 7, "size": 1, "digest": IMAGE.digest},
        {"size": 1, "digest": IMAGE.digest},
        "sha256",
        None,
    ],
)
async def test_entries_that_are_not_descriptors(
    make_proxy: MakeProxy, upstream: UpstreamDouble, wrong: Any
) -> None:
    upstream.on(GET, listing(descriptor(SIGNATURE), wrong))
    async with make_proxy().running() as proxy:
        answer = await proxy.get(PATH)
    assert (answer.status, answer.code) == (502, "UNAVAILABLE")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"manifests":{}}', b"<html>", b"[" * 99999])
async def test_documents_that_are_not_lists(
    make_proxy: MakeProxy, upstream: UpstreamDouble, body: bytes
) -> None:
    upstream.on(GET, httpx.Response(200, content=body))
    async with make_proxy().running() as proxy:
        assert (await proxy.get(PATH)).status == 502


async def test_a_list_without_end(
    make_proxy: MakeProxy, upstream: UpstreamDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_repository, "_MAX_REFERRERS", 5)
    entries = [descriptor(an_image(f"{n}")) for n in range(3)]
    for n in range(9):
        last = "" if n == 0 else f"?last={n}"
        link = f'<{PATH}?last={n + 1}>; rel="next"'
        upstream.on(f"GET {PATH}{last}", listing(*entries, Link=link))
    async with make_proxy().running() as proxy:
        assert (await proxy.get(PATH)).status == 502
        assert len(upstream.asked("GET", "/referrers/")) == 2


async def test_a_page_elsewhere_is_not_fetched(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    upstream.on(GET, listing(Link='<http://169.254.169.254/latest>; rel="next"'))
    async with make_proxy().running() as proxy:
        assert (await proxy.get(PATH)).status == 502
        assert {r.url.host for r in upstream.requests} == {"registry.example"}


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_a_refusal_is_not_an_empty_list(
    make_proxy: MakeProxy, upstream: UpstreamDouble, status: int
) -> None:
    """And the tag is not asked for, which would be believed."""
    upstream.on(GET, status)
    upstream.add("team/app", an_index(SIGNATURE), TAG)
    expected = {401: 403, 500: 502}.get(status, status)
    async with make_proxy().running() as proxy:
        assert (await proxy.get(PATH)).status == expected
        assert upstream.asked("HEAD") == []


@pytest.mark.parametrize("status", [404, 405, 410, 501])
async def test_an_upstream_that_knows_no_such_api(
    make_proxy: MakeProxy, upstream: UpstreamDouble, status: int
) -> None:
    upstream.on(GET, status)
    async with make_proxy().running() as proxy:
        assert (await proxy.get(PATH)).json()["manifests"] == []
        index = an_index(SIGNATURE)
        upstream.add("team/app", index, TAG)
        listed = await proxy.get(PATH)
        assert listed.json()["manifests"] == [descriptor(SIGNATURE)]
        assert "warning" not in listed.headers
        assert proxy.holds(index.digest.partition(":")[2])
        upstream.down = True
        listed = await proxy.get(PATH)
        assert listed.json()["manifests"] == [descriptor(SIGNATURE)]
        assert listed.headers["warning"].startswith("110 ")


async def test_the_tag_cannot_be_asked_for(make_proxy: MakeProxy, upstream: UpstreamDouble) -> None:
    upstream.on(GET, 404)
    upstream.on(f"HEAD /v2/team/app/manifests/{TAG}", 503)
    async with make_proxy().running() as proxy:
        assert (await proxy.get(PATH)).status == 503


async def test_the_tag_is_an_image(make_proxy: MakeProxy, upstream: UpstreamDouble) -> None:
    upstream.on(GET, 404)
    upstream.add("team/app", IMAGE, TAG)
    async with make_proxy().running() as proxy:
        answer = await proxy.get(PATH)
        assert (answer.status, answer.json()["manifests"]) == (200, [])
        upstream.down = True
        assert (await proxy.get(PATH)).status == 502


async def test_descriptors_that_are_listed_twice(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    """Cached as a manifest with a subject, and in the index under the tag."""
    upstream.on(GET, 404)
    upstream.add("team/app", an_index(SIGNATURE), TAG)
    async with make_proxy().running() as proxy:
        await proxy.get(PATH)
        await proxy.get(f"/v2/team/app/manifests/{SIGNATURE.digest}")
        upstream.down = True
        listed = (await proxy.get(PATH)).json()["manifests"]
    assert [entry["digest"] for entry in listed] == [SIGNATURE.digest]
    assert listed[0]["artifactType"] == SIGNATURE.artifact_type


async def test_damage_under_the_tag(make_proxy: MakeProxy, upstream: UpstreamDouble) -> None:
    """What is listed from the disk has been verified, too."""
    upstream.on(GET, 404)
    index = an_index(SIGNATURE)
    upstream.add("team/app", index, TAG)
    async with make_proxy().running() as proxy:
        await proxy.get(PATH)
        hex_digits = index.digest.partition(":")[2]
        file = proxy.root / f"docker/registry/v2/blobs/sha256/{hex_digits[:2]}/{hex_digits}/data"
        forged = an_index(an_artifact("forged"))
        file.write_bytes(json.dumps(json.loads(forged.content)).encode())
        upstream.down = True
        assert (await proxy.get(PATH)).status == 502


def test_the_tag_of_a_long_digest() -> None:
    """OCI distribution-spec, "Referrers Tag Schema": at most 32 and 64 characters."""
    assert referrers_tag(Digest(f"sha256:{'a' * 64}")) == f"sha256-{'a' * 64}"
    assert referrers_tag(digest_of(b"x", "sha512")) == f"sha512-{digest_of(b'x', 'sha512')[7:71]}"
