"""A mirror takes no push and no delete, and asks nobody about it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.content import an_image
from reference_registry.api.upload_state import UploadState, UploadStates
from tests.support.in_process import Proxy
from tests.support.upstream_double import UpstreamDouble
from tests.unit.proxy.conftest import RELEASES, MakeProxy

pytestmark = pytest.mark.anyio

IMAGE = an_image()
BLOB = IMAGE.blobs[0].digest
UPLOADS = "/v2/team/app/blobs/uploads/"
UUID = "11111111-2222-4333-8444-555555555555"

every_profile = pytest.mark.parametrize("profile", ["ideal", *RELEASES])


@pytest.fixture
def upstream() -> UpstreamDouble:
    upstream = UpstreamDouble()
    upstream.add("team/app", IMAGE, "v1")
    return upstream


async def warm(proxy: Proxy) -> list[str]:
    await proxy.get("/v2/team/app/manifests/v1", accept=IMAGE.media_type)
    await proxy.get(f"/v2/team/app/blobs/{BLOB}")
    await proxy.settled()
    proxy.upstream.clear()
    return proxy.files()


@every_profile
@pytest.mark.parametrize("delete_enabled", [True, False])
@pytest.mark.parametrize("cached", [True, False])
async def test_pushes_and_deletes(
    make_proxy: MakeProxy,
    upstream: UpstreamDouble,
    profile: str,
    delete_enabled: bool,
    cached: bool,
) -> None:
    """1.1, 2.1 to 2.3 (#3424)."""
    async with make_proxy(profile, delete_enabled=delete_enabled).running() as proxy:
        before = await warm(proxy) if cached else []
        for method, path in [
            ("POST", UPLOADS),
            ("POST", f"{UPLOADS}?digest={BLOB}"),
            ("POST", f"{UPLOADS}?mount={BLOB}&from=team/app"),
            ("DELETE", f"/v2/team/app/manifests/{IMAGE.digest}"),
            ("DELETE", "/v2/team/app/manifests/v1"),
            ("DELETE", f"/v2/team/app/blobs/{BLOB}"),
        ]:
            answer = await proxy.ask(method, path)
            assert (answer.status, answer.code) == (405, "UNSUPPORTED"), (method, path)
            assert answer.json() == {
                "errors": [{"code": "UNSUPPORTED", "message": "The operation is unsupported."}]
            }
        assert proxy.files() == before
        assert upstream.lines == []


def token(uuid: str = UUID) -> str:
    from datetime import UTC, datetime

    return UploadStates("s3cret").pack(
        UploadState("team/app", uuid, 0), datetime(2026, 1, 1, tzinfo=UTC)
    )


UPLOAD_ANSWERS: dict[str, Any] = {
    # method, with a signed state: status by 2.8, by 3.x, by ideal
    "PATCH": (404, 404, 405),
    "PUT": (404, 404, 405),
    "DELETE": (404, 404, 405),
    "GET": (404, 500, 405),
    "HEAD": (404, 500, 405),
    "PATCH signed": (500, 500, 405),
    "PUT signed": (500, 500, 405),
    "DELETE signed": (500, 500, 405),
}


@every_profile
@pytest.mark.parametrize("request_line", UPLOAD_ANSWERS)
async def test_upload_sessions(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str, request_line: str
) -> None:
    """1.2 to 1.4: what releases answer is an accident, and clients have met it."""
    method, _, signed = request_line.partition(" ")
    old, new, ideal = UPLOAD_ANSWERS[request_line]
    expected = {"ideal": ideal, "2.8": old}.get(profile, new)
    query = f"?_state={token()}&digest={BLOB}" if signed else f"?digest={BLOB}"
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.ask(method, f"{UPLOADS}{UUID}{query}")
        assert proxy.files() == []
    assert upstream.lines == []
    assert answer.status == expected
    if expected == 500 and method != "HEAD" and profile != "2.8":
        assert answer.detail == "operation unsupported"
