"""A rate limit like Docker Hub's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from harness.content import Image, an_image
from harness.upstream import MockUpstream, RateLimit
from reference_registry.clock import ManualClock

TAG = "/v2/team/app/manifests/v1"


def test_gets_of_manifests_count_and_heads_are_free(
    upstream: MockUpstream, client: httpx.Client, image: Image
) -> None:
    limiter = upstream.limit(RateLimit(2))
    assert client.head(TAG).headers["ratelimit-remaining"] == "2;w=21600"
    assert client.get(TAG).headers["ratelimit-remaining"] == "1;w=21600"
    assert client.get(f"/v2/team/app/manifests/{image.digest}").status_code == 200
    assert (limiter.used, limiter.remaining) == (2, 0)
    refused = client.get(TAG)
    assert refused.status_code == 429
    assert refused.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
    assert refused.headers["ratelimit-limit"] == "2;w=21600"
    assert refused.headers["ratelimit-remaining"] == "0;w=21600"
    assert "retry-after" not in refused.headers
    assert client.head(TAG).status_code == 200
    assert client.get(f"/v2/team/app/blobs/{image.config.digest}").status_code == 200
    upstream.clear_faults()
    assert "ratelimit-limit" not in client.get(TAG).headers


def test_what_counts_can_be_chosen(
    upstream: MockUpstream, client: httpx.Client, image: Image
) -> None:
    limiter = upstream.limit(RateLimit(1, counts="HEAD blob", retry_after=7))
    path = f"/v2/team/app/blobs/{image.config.digest}"
    assert [client.head(path).status_code for _ in range(2)] == [200, 429]
    assert client.head(path).headers["retry-after"] == "7"
    assert client.get(path).status_code == 200
    assert limiter.used == 1


def test_a_new_window_begins(
    http: httpx.Client, make_upstream: Callable[..., MockUpstream]
) -> None:
    clock = ManualClock()
    upstream = make_upstream(clock=clock)
    upstream.add("team/app", an_image(), tags=("v1",))
    upstream.limit(RateLimit(1, window=timedelta(hours=1)))
    url = upstream.url + TAG
    assert [http.get(url).status_code for _ in range(2)] == [200, 429]
    clock.advance(timedelta(minutes=59))
    assert http.get(url).status_code == 429
    clock.advance(timedelta(minutes=1))
    assert [http.get(url).status_code for _ in range(2)] == [200, 429]


def test_a_rule_that_says_nothing_is_refused(upstream: MockUpstream) -> None:
    with pytest.raises(ValueError, match="not enough values"):
        upstream.limit(RateLimit(1, counts="manifest"))
