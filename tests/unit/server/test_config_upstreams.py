"""``proxy.x-upstreams`` and its related keys."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from reference_registry.config import Config, ExecConfig, ProxyConfig, UpstreamConfig
from reference_registry.config.file import ReadConfig, read
from reference_registry.config.proxy import DOCKER_HUB, namespaces_of
from reference_registry.config.rules import Reviewed, review
from reference_registry.observability.logs import secrets_of
from reference_registry.profiles import IDEAL, PROFILES
from tests.unit.server.config_cases import GOOD

_PROXY = GOOD + "proxy:\n  remoteurl: https://one.example\n"
_FURTHER = _PROXY + "  x-upstreams:\n"


def _read(tmp_path: Path, text: str, profile: str = "ideal", **environ: str) -> ReadConfig:
    path = tmp_path / "config.yml"
    path.write_text(text)
    return read(path, environ, PROFILES[profile])


def _proxy(tmp_path: Path, text: str, profile: str = "ideal", **environ: str) -> ProxyConfig:
    found = _read(tmp_path, text, profile, **environ)
    assert found.config is not None, found.errors
    assert found.config.proxy is not None
    return found.config.proxy


# -- what is understood -------------------------------------------------------------------------
def test_all_keys(tmp_path: Path) -> None:
    text = f"""{_PROXY}  ttl: 10h
  x-namespaces: [One.example]
  x-library: true
  x-offline: true
  x-local-hosts: [Store.corp.example., "fd00::7", 10.0.0.8]
  x-upstreams:
    ghcr.io:
      remoteurl: https://ghcr.io
    two:
      remoteurl: http://two.example:5000
      username: alice
      password: wonderland
      ttl: 24h
      namespaces: [two.example, "[::1]:5000"]
      library: true
      local-hosts: [token]
    x-3:
      remoteurl: https://docker.io
      exec: {{command: docker-credential-x, lifetime: 1h}}
      ttl: 0
      library: false
"""
    assert _proxy(tmp_path, text) == ProxyConfig(
        remoteurl="https://one.example",
        ttl=timedelta(hours=10),
        namespaces=("one.example",),
        library=True,
        offline=True,
        local_hosts=("store.corp.example", "fd00::7", "10.0.0.8"),
        upstreams={
            "ghcr.io": UpstreamConfig(remoteurl="https://ghcr.io", ttl=timedelta(hours=10)),
            "two": UpstreamConfig(
                remoteurl="http://two.example:5000",
                username="alice",
                password="wonderland",
                ttl=timedelta(hours=24),
                namespaces=("two.example", "[::1]:5000"),
                library=True,
                local_hosts=("token",),
            ),
            "x-3": UpstreamConfig(
                remoteurl="https://docker.io",
                exec=ExecConfig(command="docker-credential-x", lifetime=timedelta(hours=1)),
                ttl=None,
            ),
        },
    )


@pytest.mark.parametrize("profile", ["2.8", "3.0", "3.1"])
def test_releases_skip_them(tmp_path: Path, profile: str) -> None:
    text = _PROXY + "  x-offline: maybe\n  x-library: 1\n  x-upstreams: [nonsense]\n"
    proxy = _proxy(tmp_path, text, profile)
    assert (proxy.offline, proxy.library, dict(proxy.upstreams)) == (False, False, {})
    assert _proxy(tmp_path, text.replace("one.example", "docker.io"), profile).library is False


@pytest.mark.parametrize("host", sorted(DOCKER_HUB))
def test_docker_hub_is_known(tmp_path: Path, host: str) -> None:
    text = f"{_FURTHER}    hub: {{remoteurl: 'https://{host}'}}\n"
    proxy = _proxy(tmp_path, text)
    assert proxy.upstreams["hub"].library
    assert not proxy.library
    hosts = namespaces_of(proxy)
    assert {ns for ns, prefix in hosts.items() if prefix == "hub"} == {"hub", *DOCKER_HUB}
    assert hosts["one.example"] == ""


def test_variables(tmp_path: Path) -> None:
    text = _FURTHER + "    two: {remoteurl: 'https://two.example', username: u}\n"
    environ = {"REGISTRY_PROXY_X-UPSTREAMS_TWO_PASSWORD": "p", "REGISTRY_PROXY_X-OFFLINE": "true"}
    proxy = _proxy(tmp_path, text, **environ)
    assert (proxy.upstreams["two"].password, proxy.offline) == ("p", True)


# -- what ns= means -----------------------------------------------------------------------------
def test_a_prefix_goes_before_a_host() -> None:
    config = ProxyConfig(
        remoteurl="https://quay.io",
        upstreams={
            "quay.io": UpstreamConfig(remoteurl="http://nearby.example:80"),
            "far": UpstreamConfig(remoteurl="http://nearby.example:8080"),
            "none": UpstreamConfig(remoteurl="https://none.example", namespaces=()),
        },
    )
    assert namespaces_of(config) == {
        "quay.io": "quay.io",
        "nearby.example": "quay.io",
        "far": "far",
        "nearby.example:8080": "far",
    }


def test_what_is_listed_goes_before_a_prefix() -> None:
    config = ProxyConfig(
        remoteurl="https://one.example",
        namespaces=("two",),
        upstreams={"two": UpstreamConfig(remoteurl="https://two.example")},
    )
    assert namespaces_of(config) == {"two": "", "two.example": "two"}


def test_ns_is_ignored_with_one_upstream() -> None:
    assert namespaces_of(ProxyConfig(remoteurl="https://one.example")) == {}


# -- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("profile", "seconds"), [("ideal", 30), ("2.8", 60), ("3.1", 60)], ids=str)
def test_how_long_upstream_may_be_silent(tmp_path: Path, profile: str, seconds: int) -> None:
    """Releases skip the key; their profiles have no timeout."""
    proxy = _proxy(tmp_path, f"{_PROXY}  x-upstream-timeout: 30s\n", profile)
    assert proxy.upstream_timeout == timedelta(seconds=seconds)


# -- secrets and reviews -----------------------------------------------------------------------
def _config(**proxy: object) -> Config:
    return Config(proxy=ProxyConfig(remoteurl="https://one.example", **proxy))  # type: ignore[arg-type]


def test_passwords_of_all_upstreams_are_secrets() -> None:
    further = UpstreamConfig(remoteurl="http://two.example", username="bob", password="builder-123")
    config = _config(username="alice", password="wonderland", upstreams={"two": further})
    assert secrets_of(config) == ["wonderland", "builder-123"]
    assert "builder-123" not in repr(config)


def test_what_a_further_upstream_exposes() -> None:
    further = UpstreamConfig(remoteurl="http://two.example", username="bob", password="builder-123")
    found = review(Reviewed(_config(upstreams={"two": further}), IDEAL))
    keys = {problem.key for problem in found}
    assert {"proxy.x-upstreams.two.username", "proxy.x-upstreams.two.remoteurl"} <= keys
