"""Configuration files and environment variables: mistakes stop the start, overrides work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from harness.clients.push import upload_blob
from harness.content import an_image
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need, theme
from harness.targets import DidNotStart
from scenarios.pulling import blob_path

CONFIGURATION = "distribution docs: Configuring a registry"
MEASURED = "measured on 2.8.2 to 3.1.1"
scenario = theme(
    "configuration", refs=(f"{CONFIGURATION}, Override specific configuration options", MEASURED)
)


@scenario(
    "mistake-stops-the-start",
    "A mistake in the configuration file stops the start with an error that names it",
    refs=(CONFIGURATION, MEASURED),
)
@pytest.mark.parametrize(
    ("mistake", "names"),
    [
        pytest.param({"version": 0.2}, ("version",), id="version"),
        pytest.param({"storage": None}, ("storage",), id="no-storage"),
        pytest.param({"storage": {"inmemory": {}}}, ("storage", "inmemory"), id="two-drivers"),
        pytest.param(
            {"storage": {"filesystem": None, "floppy": {}}}, ("floppy",), id="unknown-driver"
        ),
        pytest.param(
            {"storage": {"cache": {"blobdescriptor": "memory"}}}, ("memory",), id="unknown-cache"
        ),
        pytest.param(
            {"storage": {"cache": {"blobdescriptor": "redis"}}}, ("redis",), id="redis-unconfigured"
        ),
        pytest.param(
            {"storage": {"maintenance": {"readonly": {"enabled": "true"}}}},
            ("readonly",),
            id="readonly-as-text",
        ),
        pytest.param({"http": {"draintimeout": "soon"}}, ("draintimeout", "soon"), id="duration"),
        pytest.param({"log": {"level": "loud"}}, ("level", "loud"), id="log-level"),
        pytest.param({"log": {"levle": "info"}}, ("levle",), id="unknown-key"),
        pytest.param(
            {"proxy": {"remoteurl": "registry.example:5000"}},
            ("remoteurl", "registry.example"),
            id="upstream-without-scheme",
        ),
        pytest.param({"proxy": {"username": "puller"}}, ("remoteurl",), id="no-upstream"),
        pytest.param({"auth": {"ldap": {"realm": "r"}}}, ("ldap",), id="unknown-auth"),
        pytest.param(
            {"auth": {"htpasswd": {"path": "/nowhere/users"}}}, ("realm",), id="htpasswd-no-realm"
        ),
        pytest.param({"auth": {"htpasswd": {"realm": "r"}}}, ("path",), id="htpasswd-no-path"),
        pytest.param(
            {"http": {"tls": {"certificate": "/nowhere/tls.pem"}}},
            ("key", "tls", "/nowhere/tls.pem"),
            id="certificate-without-key",
        ),
    ],
)
def test_mistake_stops_the_start(
    mistake: Mapping[str, Any],
    names: tuple[str, ...],
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """A registry that starts with a mistake runs open, uncached or without cleanup until an
    incident reveals it. A typo found at deployment costs a minute."""
    try:
        target.standard(extra=mistake)
    except DidNotStart as refusal:
        expect.client("start", "refused", "refused")
        named = any(name in refusal.message for name in names)
        expect.client("the error names the mistake", named, True)
    else:
        expect.client("start", "started", "refused")


@scenario(
    "environment-overrides",
    "REGISTRY_ environment variables override keys of the file, with YAML values",
)
def test_environment_overrides(target: TargetUnderTest, expect: Expectations) -> None:
    """Helm charts and compose files set a registry up this way, without a file of their own."""
    blob = an_image().config
    registry = target.standard(
        environment={
            "REGISTRY_STORAGE_DELETE_ENABLED": "true",
            "REGISTRY_HTTP_HEADERS": "{X-Extra: ['1']}",
        }
    )
    upload_blob(registry.client, "team/app", blob)

    deleted = registry.delete(blob_path("team/app", blob))

    expect.client("status of DELETE", deleted.status, 202)
    expect.client("X-Extra header", registry.get("/v2/").headers.get("X-Extra"), "1")


@scenario(
    "environment-mistake-stops-the-start",
    "An environment variable with a value of the wrong type stops the start",
)
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("REGISTRY_HTTP_RELATIVEURLS", "perhaps", id="switch"),
        pytest.param("REGISTRY_HTTP_DRAINTIMEOUT", "soon", id="duration"),
        pytest.param("REGISTRY_PROXY_TTL", "a week", id="ttl"),
    ],
)
def test_environment_mistake_stops_the_start(
    variable: str, value: str, target: TargetUnderTest, expect: Expectations
) -> None:
    """A variable that is silently dropped leaves the default in force."""
    try:
        target.standard(environment={variable: value})
    except DidNotStart as refusal:
        expect.client("start", "refused", "refused")
        named = any(name in refusal.message for name in (variable, value))
        expect.client("the error names the variable or the value", named, True)
    else:
        expect.client("start", "started", "refused")


@scenario(
    "catalog-limit",
    "catalog.maxentries limits the page size of the catalog; a larger n is refused",
    refs=(f"{CONFIGURATION}, catalog", MEASURED),
)
def test_catalog_limit(target: TargetUnderTest, expect: Expectations) -> None:
    """One request for a huge page walks the whole storage; the limit protects the registry."""
    registry = target.standard(maxentries=5)

    expect.client("status of n=5", registry.get("/v2/_catalog?n=5").status, 200)
    refused = registry.get("/v2/_catalog?n=6")
    expect.client("status of n=6", refused.status, 400)
    expect.client("error code of n=6", refused.error_code, "PAGINATION_NUMBER_INVALID")


@scenario(
    "prometheus-path",
    "http.debug.prometheus decides whether and where metrics are served",
    refs=(f"{CONFIGURATION}, debug, prometheus", MEASURED),
    needs={Need.CONFIG, Need.DEBUG},
)
@pytest.mark.parametrize(
    ("prometheus", "served"),
    [
        pytest.param({"path": "/numbers"}, (404, 200), id="another-path"),
        pytest.param({"enabled": False}, (404, 404), id="disabled"),
    ],
)
def test_prometheus_path(
    prometheus: Mapping[str, Any],
    served: tuple[int, int],
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Scrape configurations and firewalls name the path."""
    registry = target.standard(extra={"http": {"debug": {"prometheus": prometheus}}})
    registry.eventually(lambda: registry.health().status == 200)

    seen = tuple(registry.debug(path).status for path in ("/metrics", "/numbers"))

    expect.client("status of /metrics and /numbers", list(seen), list(served))


@scenario(
    "debug-vars-with-redis",
    "/debug/vars is valid JSON when redis is configured",
    refs=(f"{CONFIGURATION}, debug", MEASURED),
    needs={Need.CONFIG, Need.DEBUG},
)
def test_debug_vars_with_redis(target: TargetUnderTest, expect: Expectations) -> None:
    """Monitoring that reads the page gets a parse error instead of every number on it."""
    registry = target.standard(cache="redis", redis_addr="127.0.0.1:9")
    registry.eventually(lambda: registry.health().status == 200)

    answer = registry.debug("/debug/vars")

    expect.client("status", answer.status, 200)
    expect.client("valid JSON", _is_json(answer.body), True)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
