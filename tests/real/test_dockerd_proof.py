"""The model of dockerd's registry-mirrors against a real dockerd, request by request.

``--dockerd-generated N --seed S`` makes up other cases; see docs/client-models.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.real.dockerd_lab import DockerLab
from tests.real.made_up import play_made_up


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[DockerLab]:
    # The path of a socket must be short.
    with TemporaryDirectory(prefix="dkr-", ignore_cleanup_errors=True) as directory:
        lab = DockerLab(Path(directory), request.config.getoption("dockerd"))
        try:
            yield lab
        finally:
            lab.stop()


# -- stories ------------------------------------------------------------------------------------
_MANIFEST_RULES: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda on, do: {"on": on, "do": do},
    st.sampled_from([{"kind": "manifest-tag"}, {"kind": "manifest-digest"}, {"method": "HEAD"}]),
    st.one_of(
        st.builds(
            lambda status: {"status": status},
            st.sampled_from([400, 401, 403, 404, 405, 429, 500, 502, 503]),
        ),
        st.just({"html": True}),
        st.just({"no_digest_header": True}),
    ),
)
# Layers are asked for again after pauses of 5, 10, 15 and 20 seconds: only what ends at once.
_BLOB_RULES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(
        lambda obj, do: {"on": {"obj": obj}, "do": do},
        st.sampled_from(["config", "layer"]),
        st.sampled_from([{"status": 404}, {"html": True}, {"wrong_body": True}]),
    ),
    st.builds(
        lambda status: {"on": {"obj": "config"}, "do": {"status": status}},
        st.sampled_from([403, 429, 500]),
    ),
)
_PING_RULES: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda status: {"on": {"kind": "base"}, "do": {"status": status}},
    st.sampled_from([401, 404, 429, 500]),
)
_CHALLENGES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"type": "basic", "cred": "u:p"},
        {"type": "basic", "cred": "other:p"},
        {"type": "bearer", "service": "s", "token": "T-s"},
        {"type": "bearer", "service": "s", "token": "wrong"},
    ]
)
_HOSTS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.just({"down": True}),
    st.just({"store": False}),
    st.builds(lambda auth: {"auth": auth}, _CHALLENGES),
    st.builds(lambda auth: {"auth": auth, "store": False}, _CHALLENGES),
    st.builds(lambda rule: {"rules": [rule]}, _MANIFEST_RULES),
    st.builds(lambda rule: {"rules": [rule]}, _BLOB_RULES),
    st.builds(lambda rule: {"rules": [rule]}, _PING_RULES),
)
_MIRRORS = st.lists(
    st.tuples(st.sampled_from(["http", "http", "https"]), st.sampled_from(["m1", "m2"])),
    max_size=2,
    unique_by=lambda mirror: mirror[1],
)


@st.composite
def stories(draw: st.DrawFn) -> dict[str, Any]:
    """Mirrors, how hosts behave, an image of Docker Hub, and whether somebody has logged in."""
    hosts = {host: {**draw(_HOSTS)} for host in ("m1", "m2")}
    if draw(st.booleans()):
        hosts["m1"]["tls"] = "plain"
    # Docker Hub itself: a proxy stands before it, so that only answers are of interest.
    hosts["hub"] = draw(st.sampled_from([{}, {}, {"store": False}, {"auth": _BASIC}]))
    hosts["tok"] = draw(st.sampled_from([{}, {}, {"token": {"cred": "u:p"}}, {"down": True}]))
    return {
        "mirrors": draw(_MIRRORS),
        "hosts": {host: {**found} for host, found in hosts.items() if found},
        "by": draw(st.sampled_from(["tag", "tag", "digest"])),
        "index": draw(st.booleans()),
        "login": draw(st.booleans()),
    }


_BASIC = {"type": "basic", "cred": "u:p"}


# -- the proof ----------------------------------------------------------------------------------
def test_what_is_made_up_goes_as_the_model_says(
    lab: DockerLab, request: pytest.FixtureRequest, record_property: Any
) -> None:
    """Random mirrors, hosts and logins; a difference shrinks to its simplest story."""
    count: int = request.config.getoption("dockerd_generated")
    seed: int = request.config.getoption("seed")
    record_property("seed", seed)

    def play(story: dict[str, Any]) -> None:
        found, measured = lab.difference(story)
        assert not found, (
            f"model and dockerd differ (seed {seed}): {found}\n"
            f"{json.dumps({**story, 'measured': measured}, indent=1)}"
        )

    played = play_made_up(stories(), play, count=count, seed=seed)
    sys.stdout.write(f"{played} cases of seed {seed}\n")
    assert played >= count
