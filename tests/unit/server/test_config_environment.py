"""``REGISTRY_*`` variables over the file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from reference_registry.config import Config
from reference_registry.config.file import load, read
from reference_registry.config.problem import ConfigError
from reference_registry.profiles import IDEAL
from tests.unit.server.config_cases import GOOD


def _with(tmp_path: Path, environ: dict[str, str], text: str = GOOD) -> Config:
    path = tmp_path / "config.yml"
    path.write_text(text)
    return load(path, environ, IDEAL)


def test_sections_are_made(tmp_path: Path) -> None:
    config = _with(
        tmp_path,
        {
            "REGISTRY_PROXY_REMOTEURL": "https://h",
            "REGISTRY_PROXY_TTL": "1h",
            "REGISTRY_STORAGE_DELETE_ENABLED": "true",
            "REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED": "true",
            "REGISTRY_HTTP_DEBUG_ADDR": ":5001",
            "REGISTRY_AUTH_HTPASSWD_REALM": "r",
            "REGISTRY_AUTH_HTPASSWD_PATH": "/p",
        },
    )
    assert config.proxy is not None
    assert config.proxy.ttl == timedelta(hours=1)
    assert config.storage.delete_enabled
    assert config.http.debug is not None
    assert config.http.debug.prometheus_enabled
    assert config.auth.htpasswd is not None


def test_a_section_is_replaced_as_a_whole(tmp_path: Path) -> None:
    config = _with(
        tmp_path,
        {"REGISTRY_STORAGE": "inmemory", "REGISTRY_STORAGE_DELETE_ENABLED": "true"},
    )
    assert config.storage.driver == "inmemory"
    assert config.storage.delete_enabled


def test_a_driver_named_by_a_word_takes_parameters(tmp_path: Path) -> None:
    text = "version: 0.1\nstorage: filesystem\n"
    config = _with(tmp_path, {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/elsewhere"}, text)
    assert config.storage.rootdirectory == Path("/elsewhere")


def test_values_are_yaml(tmp_path: Path) -> None:
    headers = {"REGISTRY_HTTP_HEADERS": "{X-A: [b, c]}"}
    assert _with(tmp_path, headers).http.headers == {"X-A": ("b", "c")}


def test_list_items_by_number(tmp_path: Path) -> None:
    text = GOOD + "health:\n  tcp:\n    - addr: a:1\n"
    environ = {"REGISTRY_HEALTH_TCP_0_ADDR": "b:1", "REGISTRY_HEALTH_TCP_1_ADDR": "c:1"}
    checks = _with(tmp_path, environ, text).health.checks
    assert [check.target for check in checks] == ["b:1", "c:1"]
    with pytest.raises(ConfigError, match="7 is not a position in a list of 1; count from 0"):
        _with(tmp_path, {"REGISTRY_HEALTH_TCP_7_ADDR": "b:1"}, text)


@pytest.mark.parametrize(
    "name", ["REGISTRY_VERSION", "registry_http_addr", "REGISTRY_", "HTTP_ADDR"]
)
def test_names_without_effect(name: str, tmp_path: Path) -> None:
    assert _with(tmp_path, {name: "0.2"}).http.addr == "127.0.0.1:0"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"REGISTRY_HTTP_ADDR": "80"}, "REGISTRY_HTTP_ADDR: http.addr: '80' is not an address"),
        ({"REGISTRY_LOG_LEVEL": "loud"}, "REGISTRY_LOG_LEVEL: log.level: 'loud' is not one of"),
        ({"REGISTRY_HTTP_HEADERS": "{"}, "REGISTRY_HTTP_HEADERS: YAML: "),
        ({"REGISTRY_PROXY_USERNAME": "u"}, "REGISTRY_PROXY_USERNAME: proxy.remoteurl: missing"),
    ],
)
def test_mistakes_name_the_variable(environ: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as failure:
        _with(tmp_path, environ)
    assert str(failure.value).startswith(said)


def test_what_kubernetes_sets_beside_a_service_called_registry(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(GOOD)
    environ = {
        "REGISTRY_PORT": "tcp://10.0.0.1:5000",
        "REGISTRY_PORT_5000_TCP_ADDR": "10.0.0.1",
        "REGISTRY_SERVICE_HOST": "10.0.0.1",
        "REGISTRY_HTTP_ADRR": ":1",
        "REGISTRY_PROXI_REMOTEURL": "{",
    }
    found = read(path, environ, IDEAL)
    assert found.config is not None
    assert [(str(p.place), p.fix) for p in found.warnings] == [
        ("REGISTRY_PORT", ""),
        ("REGISTRY_PORT_5000_TCP_ADDR", ""),
        ("REGISTRY_PROXI_REMOTEURL", "did you mean REGISTRY_PROXY?"),
        ("REGISTRY_SERVICE_HOST", ""),
        ("REGISTRY_HTTP_ADRR", "did you mean addr?"),
    ]


def test_the_process_own_environment_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.yml"
    path.write_text(GOOD)
    monkeypatch.setenv("REGISTRY_HTTP_PREFIX", "/from-environment/")
    assert load(path).http.prefix == "/from-environment/"
