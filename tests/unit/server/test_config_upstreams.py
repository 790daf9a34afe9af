"""``proxy.x-upstreams`` and its relatives: what is understood, and what is said about mistakes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from reference_registry.config import Config, ExecConfig, ProxyConfig, UpstreamConfig
from reference_registry.config.explanation import explain
from reference_registry.config.file import ReadConfig, read
from reference_registry.config.proxy import DOCKER_HUB, namespaces_of
from reference_registry.config.rules import Reviewed, review
from reference_registry.observability.redaction import secrets_of
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


def _said(found: ReadConfig) -> list[str]:
    """The errors, without the file's name and the line."""
    return [str(problem).partition(": ")[2] for problem in found.errors]


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


@pytest.mark.parametrize("host", ["http://a", "a:80", "a/b", "", "-a", "*.a", "a b"])
def test_local_hosts_are_names_or_addresses(tmp_path: Path, host: str) -> None:
    found = _read(tmp_path, f"{_PROXY}  x-local-hosts: ['{host}']\n")
    fix = "write the name or address alone, without scheme, port and path"
    assert _said(found) == [f"proxy.x-local-hosts: '{host}' is not a host; {fix}"]


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


def test_nothing_is_heeded_where_there_is_no_choice() -> None:
    assert namespaces_of(ProxyConfig(remoteurl="https://one.example")) == {}


# -- mistakes -----------------------------------------------------------------------------------
_NO_COMPONENT = (
    "not a path component of repository names; use lower-case letters and digits with single . _ - "
    "between, and list hosts that are no such name under namespaces"
)
_URL = "write it as https://HOST"
_HALF = "missing, the other of the two is given"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("Quay.io: {remoteurl: 'https://q'}", [f"proxy.x-upstreams.Quay.io: {_NO_COMPONENT}"]),
        ("a/b: {remoteurl: 'https://q'}", [f"proxy.x-upstreams.a/b: {_NO_COMPONENT}"]),
        ("'h:80': {remoteurl: 'https://q'}", [f"proxy.x-upstreams.h:80: {_NO_COMPONENT}"]),
        ("..: {remoteurl: 'https://q'}", [f"proxy.x-upstreams...: {_NO_COMPONENT}"]),
        ("q: {}", [f"proxy.x-upstreams.q.remoteurl: missing; {_URL}"]),
        ("q:", [f"proxy.x-upstreams.q.remoteurl: missing; {_URL}"]),
        ("q: {remoteurl: quay.io}", [f"proxy.x-upstreams.q.remoteurl: not a URL; {_URL}"]),
        ("q: {remoteurl: 'ftp://q'}", [f"proxy.x-upstreams.q.remoteurl: not a URL; {_URL}"]),
        (
            "q: {remoteurl: 'https://alice:secret@q'}",
            [
                "proxy.x-upstreams.q.remoteurl: credentials within the URL; "
                "set username and password instead"
            ],
        ),
        (
            "q: {remoteurl: 'https://q', username: alice}",
            [f"proxy.x-upstreams.q.password: {_HALF}; set password"],
        ),
        (
            "q: {remoteurl: 'https://q', password: secret}",
            [f"proxy.x-upstreams.q.username: {_HALF}; set username"],
        ),
        (
            "q: {remoteurl: 'https://q', username: a, password: secret, exec: {command: c}}",
            [
                "proxy.x-upstreams.q.exec: given beside username and password; keep one of them",
            ],
        ),
        (
            "q: {remoturl: 'https://q'}",
            [
                f"proxy.x-upstreams.q.remoteurl: missing; {_URL}",
                "proxy.x-upstreams.q.remoturl: unknown key; did you mean remoteurl?",
            ],
        ),
        (
            "q: {remoteurl: 'https://q', namespace: [q]}",
            ["proxy.x-upstreams.q.namespace: unknown key; did you mean namespaces?"],
        ),
        (
            "q: {remoteurl: 'https://q', namespaces: ['https://q']}",
            [
                "proxy.x-upstreams.q.namespaces: 'https://q' is not a host; "
                "write HOST or HOST:PORT, without scheme and path"
            ],
        ),
        (
            "q: {remoteurl: 'https://q', ttl: soon}",
            ["proxy.x-upstreams.q.ttl: not a duration; write 48h, 1h30m or 10s"],
        ),
        (
            "q: {remoteurl: 'https://one.example'}",
            [
                "proxy.x-upstreams.q: ns=one.example would mean remoteurl as well; say which by "
                "namespaces (x-namespaces for remoteurl) in one of them"
            ],
        ),
        (
            "q: {remoteurl: 'https://q'}\n    q: {remoteurl: 'https://r'}",
            ["proxy.x-upstreams.q: given twice, first on line 10; keep one of them"],
        ),
    ],
)
def test_mistakes(tmp_path: Path, entry: str, said: list[str]) -> None:
    found = _read(tmp_path, f"{_FURTHER}    {entry}\n")
    assert _said(found) == said
    assert "secret" not in str(found.problems)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("x-ofline: true", "proxy.x-ofline: unknown key; did you mean x-offline?"),
        ("x-upstream: {}", "proxy.x-upstream: unknown key; did you mean x-upstreams?"),
        ("x-offline: maybe", "proxy.x-offline: neither true nor false; write true or false"),
        (
            "x-upstreams: []",
            "proxy.x-upstreams: a list, where a section is wanted; put its keys below, indented",
        ),
        (
            "x-namespaces: one.example",
            "proxy.x-namespaces: not a list; write a list of texts, as in [one, two]",
        ),
        (
            "x-upstream-timeout: 0",
            "proxy.x-upstream-timeout: no time at all; "
            "write how long upstream may be silent, such as 30s",
        ),
        (
            "x-upstream-timeout: -1s",
            "proxy.x-upstream-timeout: negative; write 0 or a positive duration",
        ),
        ("x-of-somebody-else: {a: 1}", None),
    ],
)
def test_keys_of_the_proxy(tmp_path: Path, key: str, said: str | None) -> None:
    assert _said(_read(tmp_path, f"{_PROXY}  {key}\n")) == ([] if said is None else [said])


@pytest.mark.parametrize(("profile", "seconds"), [("ideal", 30), ("2.8", 60), ("3.1", 60)], ids=str)
def test_how_long_upstream_may_be_silent(tmp_path: Path, profile: str, seconds: int) -> None:
    """Releases skip the key; their profiles say that they wait forever."""
    proxy = _proxy(tmp_path, f"{_PROXY}  x-upstream-timeout: 30s\n", profile)
    assert proxy.upstream_timeout == timedelta(seconds=seconds)


def test_further_upstreams_need_a_first(tmp_path: Path) -> None:
    """It would be a registry that can be pushed to."""
    text = GOOD + "proxy:\n  x-upstreams:\n    q: {remoteurl: 'https://q'}\n"
    assert [said.partition(":")[0] for said in _said(_read(tmp_path, text))] == ["proxy.remoteurl"]


# -- how they are explained ---------------------------------------------------------------------
def _config(**proxy: object) -> Config:
    return Config(proxy=ProxyConfig(remoteurl="https://one.example", **proxy))  # type: ignore[arg-type]


def test_which_upstream_serves_what() -> None:
    config = _config(
        offline=True,
        upstreams={
            "hub": UpstreamConfig(
                remoteurl="https://docker.io", username="alice", password="wonderland", library=True
            ),
            "two": UpstreamConfig(remoteurl="https://two.example", namespaces=(), ttl=None),
        },
    )
    explained = [said for subject, said in explain(config, IDEAL) if subject == "upstream"]
    assert explained[1:] == [
        "https://one.example serves NAME, NAME?ns=one.example",
        "https://docker.io serves hub/NAME, NAME?ns=docker.io, NAME?ns=hub, "
        "NAME?ns=index.docker.io, NAME?ns=registry-1.docker.io; "
        "a NAME of one part means library/NAME; asked as alice",
        "https://two.example serves two/NAME; asked without credentials; kept forever",
        "offline: not asked; what is cached is served and does not expire",
    ]


def test_passwords_are_known_as_such() -> None:
    further = UpstreamConfig(remoteurl="http://two.example", username="bob", password="builder-123")
    config = _config(username="alice", password="wonderland", upstreams={"two": further})
    assert secrets_of(config) == ["wonderland", "builder-123"]
    assert "builder-123" not in repr(config)


def test_what_a_further_upstream_exposes() -> None:
    further = UpstreamConfig(remoteurl="http://two.example", username="bob", password="builder-123")
    found = review(Reviewed(_config(upstreams={"two": further}), IDEAL))
    keys = {problem.key for problem in found}
    assert {"proxy.x-upstreams.two.username", "proxy.x-upstreams.two.remoteurl"} <= keys
