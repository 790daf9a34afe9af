"""What settings become in drayage's configuration, and which settings it lacks."""

import tomllib
from datetime import timedelta
from typing import Any

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import an_image
from harness.http.client import Answer
from harness.targets import NotOffered, RunningRegistry
from harness.targets.drayage import DrayageTarget
from harness.targets.registry import NOWHERE
from harness.upstream import MockUpstream
from tests.unit.targets.conftest import Launch


@pytest.fixture
def drayage(launch: Launch) -> Launch:
    """``drayage(**settings)``, by default of an upstream that is not there."""

    def launch_it(**settings: Any) -> RunningRegistry:
        return launch(DrayageTarget.find(), **{"upstream_url": NOWHERE, **settings})

    return launch_it


@pytest.mark.parametrize(
    ("settings", "key", "value"),
    [
        ({"tag_freshness": "15m"}, "manifest_ttl_seconds", 900),
        ({"negative_ttl": "0"}, "negative_ttl_seconds", 0),
        ({"offline": True}, "offline_mode", True),
    ],
)
def test_a_setting_becomes_its_key(
    drayage: Launch, settings: dict[str, Any], key: str, value: object
) -> None:
    registry = drayage(**settings)
    assert tomllib.loads((registry.workdir / "config.toml").read_text())[key] == value


def test_unset_settings_are_not_written(drayage: Launch) -> None:
    registry = drayage(upstream_login=("robot", 'a"b\\'))
    written = tomllib.loads((registry.workdir / "config.toml").read_text())
    assert set(written) == {"listen", "cache_dir", "read_timeout_secs", "upstreams"}
    assert written["upstreams"] == {
        "docker_io": {"registry": NOWHERE, "username": "robot", "password": 'a"b\\'}
    }


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"ttl": "1h", "prefix": "/p/"}, "cannot be set up with prefix and ttl"),
        ({"tag_freshness": "300ms"}, "takes whole seconds, so 300ms cannot be set"),
        ({"upstream_url": None}, "nothing can be pushed to it"),
    ],
)
def test_unsupported_settings_are_not_offered(
    drayage: Launch, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NotOffered, match=reason):
        drayage(**settings)


def test_time_passes_for_tags(drayage: Launch, source: MockUpstream) -> None:
    source.add("team/app", an_image(), tags=("v1",))
    cache = drayage(upstream_url=source.url)

    def pull() -> Answer:
        return cache.get("/v2/team/app/manifests/v1", headers=ACCEPT)

    pull()
    pull()
    assert source.ledger.count("GET", tag="v1") == 1
    cache.pass_time(timedelta(minutes=16))
    assert pull().status == 200
    assert cache.eventually(lambda: source.ledger.count("GET", tag="v1") == 2)
    assert cache.await_stored(lambda: False, timeout=3600) is False
