"""Settings become distribution's configuration, and hide what is secret in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from harness.targets.settings import Settings, config_text, htpasswd_text, render

ROOT = Path("/r")
PLAIN: dict[str, Any] = {
    "version": 0.1,
    "log": {"level": "info", "formatter": "text"},
    "storage": {"filesystem": {"rootdirectory": "/r"}},
    "http": {
        "addr": "127.0.0.1:0",
        "debug": {
            "addr": "127.0.0.1:0",
            "prometheus": {"enabled": True, "path": "/metrics"},
        },
        "secret": "signs-upload-tokens",
    },
}


def rendered(**settings: Any) -> dict[str, Any]:
    return render(Settings(**settings), root=ROOT, htpasswd=Path("/h"))


def test_the_default_is_a_plain_registry() -> None:
    assert rendered() == PLAIN


@pytest.mark.parametrize(
    ("settings", "section", "expected"),
    [
        (
            {"upstream_url": "http://u", "upstream_login": ("a", "b"), "ttl": "48h"},
            "proxy",
            {"remoteurl": "http://u", "username": "a", "password": "b", "ttl": "48h"},
        ),
        ({"upstream_url": "http://u", "ttl": 0}, "proxy", {"remoteurl": "http://u", "ttl": 0}),
        (
            {
                "upstream_url": "http://u",
                "upstreams": {"two": {"remoteurl": "http://v", "ttl": 0}},
                "namespaces": (),
                "library": True,
                "offline": True,
            },
            "proxy",
            {
                "remoteurl": "http://u",
                "x-upstreams": {"two": {"remoteurl": "http://v", "ttl": 0}},
                "x-namespaces": [],
                "x-library": True,
                "x-offline": True,
            },
        ),
        ({"redis_addr": "h:1"}, "redis", {"addr": "h:1"}),
        ({"maxentries": 5}, "catalog", {"maxentries": 5}),
        ({"htpasswd": {}}, "auth", {"htpasswd": {"realm": "pullproof", "path": "/h"}}),
        (
            {"delete_enabled": True, "cache": "inmemory", "readonly": True},
            "storage",
            {
                "filesystem": {"rootdirectory": "/r"},
                "delete": {"enabled": True},
                "cache": {"blobdescriptor": "inmemory"},
                "maintenance": {"readonly": {"enabled": True}},
            },
        ),
        (
            {
                "prefix": "/p/",
                "draintimeout": "5s",
                "headers": {"X-A": ["1"]},
                "secret": None,
                "prometheus": False,
            },
            "http",
            {
                "addr": "127.0.0.1:0",
                "debug": {"addr": "127.0.0.1:0"},
                "prefix": "/p/",
                "draintimeout": "5s",
                "headers": {"X-A": ["1"]},
            },
        ),
        (
            {"log_level": "warn", "log_formatter": "json"},
            "log",
            {"level": "warn", "formatter": "json"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_setting_has_its_key(
    settings: dict[str, Any], section: str, expected: dict[str, Any]
) -> None:
    assert rendered(**settings) == PLAIN | {section: expected}


def test_redis_key_of_newer_releases() -> None:
    document = render(Settings(redis_addr="h:1"), root=ROOT, htpasswd=Path("/h"), redis_key="addrs")
    assert document["redis"] == {"addrs": ["h:1"]}


def test_extra_is_merged_deeply_and_none_removes() -> None:
    document = rendered(extra={"http": {"addr": 80, "secret": None}, "new": {"a": {"b": 1}}})
    assert document["http"] == {"addr": 80, "debug": PLAIN["http"]["debug"]}
    assert document["new"] == {"a": {"b": 1}}
    assert rendered() == PLAIN


def test_the_text_is_yaml_in_the_usual_order() -> None:
    text = config_text(rendered())
    assert text.startswith("version: 0.1\nlog:\n  level: info\n")
    assert yaml.safe_load(text) == PLAIN


def test_passwords_are_bcrypt() -> None:
    user, _, hashed = htpasswd_text({"u": "pw"}).strip().partition(":")
    assert user == "u"
    assert hashed.startswith("$2b$04$")
    assert bcrypt.checkpw(b"pw", hashed.encode())


def test_secrets_are_known_and_not_shown() -> None:
    settings = Settings(
        upstream_login=("up", "pw-up"), htpasswd={"cl": "pw-cl"}, secret="sign", ttl="1h"
    )
    assert set(settings.secrets()) == {"pw-up", "pw-cl", "sign", "dXA6cHctdXA=", "Y2w6cHctY2w="}
    further = {"remoteurl": "http://u", "username": "fu", "password": "pw-fu"}
    several = Settings(secret=None, upstreams={"two": further, "three": {"remoteurl": "http://v"}})
    assert set(several.secrets()) == {"pw-fu", "ZnU6cHctZnU="}
    assert "pw-" not in repr(several)
    assert "pw-" not in repr(settings)
    assert "sign" not in repr(settings)
