"""The application's log and the access log: forms, fields, and what must never be in them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from reference_registry.config import (
    Config,
    HealthConfig,
    HttpConfig,
    LogConfig,
    PeriodicCheck,
    ProxyConfig,
    RedisConfig,
)
from reference_registry.http.hooks import ObservedExchange
from reference_registry.http.messages import Request
from reference_registry.observability.logs import AccessLog, Redactor, configure_logging, secrets_of

_log = logging.getLogger("reference_registry.tests")


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The package's logger, put back as it was."""
    logger = logging.getLogger("reference_registry")
    before = (logger.level, list(logger.handlers), logger.propagate)
    yield logger
    logger.level, logger.handlers, logger.propagate = before
    logger.setLevel(before[0])


def _lines(root: logging.Logger, config: LogConfig, secret: str | None = None) -> Any:
    stream = io.StringIO()
    configure_logging(Config(log=config, http=HttpConfig(secret=secret)), stream)
    return stream


def test_text(root: logging.Logger) -> None:
    stream = _lines(root, LogConfig(fields={"service": "registry", "site": "a b"}))
    _log.warning('say "%s"\nagain', "hi", extra={"fields": {"http.request.uri": "/v2/"}})
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert re.fullmatch(
        r'time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z" level=warning '
        r'msg="say \\"hi\\"\\nagain" http\.request\.uri=/v2/ '
        r"instance\.id=[0-9a-f-]{36} service=registry site=\"a b\" version=[0-9.]+\n",
        line,
    )


@pytest.mark.parametrize(
    ("formatter", "message", "time"),
    [("json", "msg", "time"), ("logstash", "message", "@timestamp")],
)
def test_json(formatter: Any, message: str, time: str, root: logging.Logger) -> None:
    stream = _lines(root, LogConfig(formatter=formatter, fields={"service": "registry"}))
    _log.error("broken\n", extra={"fields": {"n": 3}})
    document = json.loads(stream.getvalue())
    assert document[message] == "broken\n"
    assert datetime.fromisoformat(document[time]).tzinfo == UTC
    assert (document["level"], document["service"], document["n"]) == ("error", "registry", 3)


@pytest.mark.parametrize(
    ("level", "expected"),
    [("debug", "dime"), ("info", "ime"), ("warn", "me"), ("error", "e")],
)
def test_levels(level: Any, expected: str, root: logging.Logger) -> None:
    stream = _lines(root, LogConfig(level=level))
    _log.debug("d")
    _log.info("i")
    _log.warning("m")
    _log.error("e")
    assert "".join(re.findall(r"msg=(\w)", stream.getvalue())) == expected


def test_a_second_configuration_releases_the_first_stream(root: logging.Logger) -> None:
    first = _lines(root, LogConfig())
    second = _lines(root, LogConfig())
    _log.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_tracebacks_stay_on_one_line(root: logging.Logger) -> None:
    stream = _lines(root, LogConfig(), secret="hunter2hunter2")
    try:
        raise ValueError("the key hunter2hunter2")
    except ValueError:
        _log.exception("failed")
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert "ValueError" in line
    assert "hunter2" not in line


# -- redaction ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [redacted]"),
        ("got bearer eyJhbGciOi.x.y from", "got bearer [redacted] from"),
        ("GET https://u:p@host/v2/", "GET https://[redacted]@host/v2/"),
        ("/token?scope=a&token=abc&x=1", "/token?scope=a&token=[redacted]&x=1"),
        ('{"access_token": "abc", "n": 1}', '{"access_token": "[redacted]", "n": 1}'),
        ("/b?X-Amz-Signature=abcdef&y=1", "/b?X-Amz-Signature=[redacted]&y=1"),
        ("password=hunter2", "password=[redacted]"),
        ("key is s3cr3t-key!", "key is [redacted]"),
        ("/v2/team/app@sha256:abc", "/v2/team/app@sha256:abc"),
        ("basic realm of the token server", "basic realm of the token server"),
        ("mail a@b", "mail a@b"),
    ],
)
def test_redaction(text: str, shown: str) -> None:
    assert Redactor(["s3cr3t-key!", "abc"])(text) == shown  # three letters are no secret


def test_the_secrets_of_a_configuration() -> None:
    check = PeriodicCheck(kind="http", target="http://h", headers={"Authorization": ("Basic x",)})
    config = Config(
        http=HttpConfig(secret="one"),
        proxy=ProxyConfig(remoteurl="http://h", username="u", password="two"),
        redis=RedisConfig(addr="h:1", password="three"),
        health=HealthConfig(checks=(check,)),
    )
    assert secrets_of(config) == ["one", "two", "three", "Basic x"]
    assert secrets_of(Config()) == []


# -- access log ---------------------------------------------------------------------------------
async def _no_body() -> AsyncIterator[bytes]:
    return
    yield b""


def _exchange(**changes: Any) -> ObservedExchange:
    request = Request(
        method=changes.get("method", "GET"),
        path="/v2/",
        query_string="",
        headers=changes.get("headers", {"user-agent": ("curl/7.88.1",)}),
        scheme="http",
        body=_no_body(),
        remote_address=changes.get("remote_address", "127.0.0.1:5000"),
        target=changes.get("target", "/v2/_catalog?n=2"),
    )
    return ObservedExchange(
        request=request,
        handler="catalog",
        status=200,
        sent=35,
        received=0,
        started=datetime(2024, 5, 4, 11, 18, 10, tzinfo=UTC),
        seconds=0.1,
        complete=True,
    )


def _written(*exchanges: ObservedExchange) -> str:
    stream = io.StringIO()

    async def run() -> None:
        log = AccessLog(Redactor(), stream)
        for exchange in exchanges:
            log.started(exchange.request, exchange.handler)
            log.finished(exchange)
        assert stream.getvalue() == ""  # one write for all that end together
        await asyncio.sleep(0)

    asyncio.run(run())
    return stream.getvalue()


def test_combined_format() -> None:
    line = '127.0.0.1 - - [04/May/2024:11:18:10 +0000] "GET /v2/_catalog?n=2 HTTP/1.1" 200 35 "" '
    assert _written(_exchange()) == line + '"curl/7.88.1"\n'


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"remote_address": "[::1]:77"}, "::1 - - ["),
        ({"remote_address": ""}, "- - - ["),
        ({"target": "/v2/?token=abc"}, '"GET /v2/?token=[redacted] HTTP/1.1"'),
        ({"target": '/v2/"\x1b[31m'}, '"GET /v2/\\x22\\x1b[31m HTTP/1.1"'),
        ({"headers": {"user-agent": ('a"\\',), "referer": ("r",)}}, '"r" "a\\x22\\x5c"'),
    ],
)
def test_odd_requests(changes: dict[str, Any], part: str) -> None:
    line = _written(_exchange(**changes))
    assert part in line
    assert line.count("\n") == 1


def test_requests_that_end_together_are_in_order() -> None:
    lines = _written(_exchange(target="/1"), _exchange(target="/2")).splitlines()
    assert [re.findall(r"/\d", line)[1] for line in lines] == ["/1", "/2"]


def test_a_full_disk_does_not_stop_pulls() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    log = AccessLog(Redactor(), Full())

    async def run() -> None:
        log.finished(_exchange())
        await asyncio.sleep(0)

    asyncio.run(run())
    log.flush()
