"""Section 13: a cache's credentials, and how it starts."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from pathlib import Path
from typing import Any

import pytest

from harness.http.client import RegistryClient
from harness.targets import RunningRegistry, Settings
from harness.upstream import Basic, Bearer, MockUpstream
from harness.upstream.auth import Auth
from tests.contract.profiles.bench import (
    ANY,
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    manifest_path,
    pull_manifest,
    starts,
)
from tests.contract.profiles.processes import listening, serving, written
from tests.contract.profiles.table import SAME, row
from tests.unit.server.certificates import make_authority, make_certificate

_LOGIN = ("ann", "sesame")
_LAYER = IMAGE.layers[0]
_SCOPE = f"scope=repository%3A{'%2F'.join(REPOSITORY.split('/'))}%3Apull&service=mock-upstream"


def _upstream(bench: Bench, auth: Auth) -> MockUpstream:
    """One that asks for credentials, with the image as ``team/app:v1``."""
    upstream = bench.lab.upstream(auth=auth)
    upstream.add(REPOSITORY, IMAGE, tags=("v1",))
    return upstream


def _pulled(cache: RunningRegistry) -> list[int | None]:
    """The statuses of an uncached tag, digest and blob."""
    paths = (manifest_path("v1"), manifest_path(IMAGE), blob_path(_LAYER))
    return [cache.get(path, headers=ANY).status for path in paths]


_WORKS = [200, 200, 200]
_FAILS = [404, 500, 500]


def _shown(credentials: list[str]) -> list[str]:
    return sorted(set(credentials))


def _credentials(upstream: MockUpstream) -> list[str]:
    """With what content was asked for."""
    entries = upstream.ledger.entries
    return _shown([e.credential for e in entries if e.kind not in {"base", "token"}])


def _token_requests(upstream: MockUpstream) -> list[str]:
    return [entry.query for entry in upstream.ledger.select(kind="token")]


# -- start ----------------------------------------------------------------------------------------
@row("13.1", [("GET /v2/", "none")])
@pytest.mark.parametrize("auth", [Basic(*_LOGIN), Bearer(*_LOGIN)], ids=["basic", "bearer"])
def test_request_at_start(bench: Bench, auth: Auth) -> object:
    upstream = _upstream(bench, auth)
    bench.proxy(upstream, upstream_login=_LOGIN)
    return [(entry.line, entry.credential) for entry in upstream.ledger.entries]


@row("13.1", "waits")
def test_start_waits_for_upstream(bench: Bench) -> object:
    hung = bench.upstream.on("GET", "/v2/").hang()
    with ThreadPoolExecutor(1) as pool:
        start = pool.submit(bench.proxy)
        bench.upstream.ledger.wait_for(lambda entry: entry.kind == "base")
        try:
            start.result(timeout=0.2)
        except StillRunning:
            seen = "waits"
        else:
            seen = "listens"
        hung.release()
        assert start.result().get("/v2/").status == 200
    return seen


@row("13.2", 2)
def test_start_without_upstream(bench: Bench) -> object:
    bench.upstream.down()
    return starts(bench, upstream=True)


@row("13.3", "starts")
@pytest.mark.parametrize("status", [404, 500])
def test_start_with_an_odd_upstream(bench: Bench, status: int) -> object:
    bench.upstream.on("GET", "/v2/").status(status)
    return starts(bench, upstream=True)


# -- Basic ----------------------------------------------------------------------------------------
@row("13.4", (_FAILS, ["none"]), SAME, (_WORKS, [f"basic:{_LOGIN[0]}"]))
def test_basic(bench: Bench) -> object:
    upstream = _upstream(bench, Basic(*_LOGIN))
    cache = bench.proxy(upstream, upstream_login=_LOGIN)
    return _pulled(cache), _credentials(upstream)


@row("13.4", (_FAILS, ["none"]), SAME, (_FAILS, []))
def test_basic_without_a_login(bench: Bench) -> object:
    upstream = _upstream(bench, Basic(*_LOGIN))
    return _pulled(bench.proxy(upstream)), _credentials(upstream)


# -- Bearer ---------------------------------------------------------------------------------------
@row("13.5", (_WORKS, ["bearer"], {(_SCOPE, "none")}))
def test_anonymous_token(bench: Bench) -> object:
    upstream = _upstream(bench, Bearer())
    pulled = _pulled(bench.proxy(upstream))
    tokens = {(entry.query, entry.credential) for entry in upstream.ledger.select(kind="token")}
    return pulled, _credentials(upstream), tokens


@row("13.6", (_WORKS, {(f"account={_LOGIN[0]}&{_SCOPE}", f"basic:{_LOGIN[0]}")}))
def test_token_of_a_user(bench: Bench) -> object:
    upstream = _upstream(bench, Bearer(*_LOGIN))
    pulled = _pulled(bench.proxy(upstream, upstream_login=_LOGIN))
    tokens = {(entry.query, entry.credential) for entry in upstream.ledger.select(kind="token")}
    return pulled, tokens


@row("13.7", 3)
def test_one_token_for_each_request(bench: Bench) -> object:
    upstream = _upstream(bench, Bearer())
    cache = bench.proxy(upstream)
    for _ in range(3):
        pull_manifest(cache, IMAGE, "v1")
    return len(_token_requests(upstream))


@row("13.8", _WORKS, SAME, SAME, _FAILS)
def test_realm_on_another_port(bench: Bench) -> object:
    upstream = _upstream(bench, Bearer(*_LOGIN, own_port=True))
    return _pulled(bench.proxy(upstream, upstream_login=_LOGIN))


@row("13.8", [f"basic:{_LOGIN[0]}"], SAME, SAME, [])
def test_realm_on_another_host(bench: Bench) -> object:
    """The credentials that it is shown."""
    elsewhere = bench.lab.upstream(auth=Bearer(*_LOGIN))
    upstream = _upstream(bench, Bearer(*_LOGIN, realm=elsewhere.token_url))
    _pulled(bench.proxy(upstream, upstream_login=_LOGIN))
    return _shown([entry.credential for entry in elsewhere.ledger.entries])


@row("13.9", _FAILS)
def test_wrong_password(bench: Bench) -> object:
    upstream = _upstream(bench, Bearer(*_LOGIN))
    return _pulled(bench.proxy(upstream, upstream_login=(_LOGIN[0], "open")))


@row("13.9", 200)
def test_wrong_password_and_a_cached_tag(bench: Bench) -> object:
    upstream = _upstream(bench, Bearer(*_LOGIN))
    cache = bench.proxy(upstream, upstream_login=_LOGIN)
    pull_manifest(cache, IMAGE, "v1")
    cache.restart(upstream_login=(_LOGIN[0], "open"))
    return cache.get(manifest_path("v1"), headers=ANY).status


@row("13.11", ["none"])
def test_realm_that_came_after_the_start(bench: Bench) -> object:
    """The credentials that it is shown."""
    upstream = _upstream(bench, Bearer(*_LOGIN))
    cache = bench.proxy(upstream, upstream_login=_LOGIN)
    realm = f"{upstream.url}/later/token"
    challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="mock-upstream"'}
    upstream.on("GET", "/v2/").status(401, challenge)
    _pulled(cache)
    entries = upstream.ledger.entries
    return _shown([entry.credential for entry in entries if entry.path == "/later/token"])


# -- a program that knows the user ----------------------------------------------------------------
def _helper(bench: Bench) -> dict[str, Any]:
    """The settings for a program that says who ann is, and notes what it is asked."""
    program = bench.workdir / "helper"
    answer = '{"ServerURL":"x","Username":"ann","Secret":"sesame"}'
    script = f"#!/bin/sh\necho \"$* $(cat)\" >> {_notes(bench)}\nprintf '{answer}'\n"
    program.write_text(script)
    program.chmod(0o755)
    return _exec(program)


def _exec(program: Path) -> dict[str, Any]:
    return {"extra": {"proxy": {"exec": {"command": str(program)}}}}


def _notes(bench: Bench) -> Path:
    return bench.workdir / "asked"


def _helper_asked(bench: Bench, upstream: MockUpstream) -> list[str]:
    """What the program was asked, with HOST for *upstream*."""
    lines = _notes(bench).read_text().splitlines() if _notes(bench).exists() else []
    return [line.replace(upstream.address, "HOST") for line in lines]


@row("13.10", ([], _FAILS, []), SAME, ([], _WORKS, ["get HOST"]))
def test_program(bench: Bench) -> object:
    """What it is asked at start, the answers of the cache, and what it is asked for them."""
    upstream = _upstream(bench, Basic(*_LOGIN))
    cache = bench.proxy(upstream, **_helper(bench))
    at_start = _helper_asked(bench, upstream)
    return at_start, _pulled(cache), _helper_asked(bench, upstream)


@row("13.10", "basic:bob", SAME, "basic:ann")
def test_program_and_a_login_in_the_file(bench: Bench) -> object:
    """As whom a token is asked for, where the file names bob."""
    upstream = _upstream(bench, Bearer(*_LOGIN))
    _pulled(bench.proxy(upstream, upstream_login=("bob", "other"), **_helper(bench)))
    return upstream.ledger.select(kind="token")[0].credential


@row("13.10", _FAILS)
def test_program_that_is_missing(bench: Bench) -> object:
    upstream = _upstream(bench, Bearer(*_LOGIN))
    return _pulled(bench.proxy(upstream, **_exec(bench.workdir / "nothing")))


@row("13.2", 2, SAME, "starts")
def test_start_with_a_program_and_without_upstream(bench: Bench) -> object:
    bench.upstream.down()
    return starts(bench, upstream=True, **_helper(bench))


# -- addresses ------------------------------------------------------------------------------------
@row("13.12", ["GET /sub/v2/", "GET /v2/", f"HEAD {manifest_path('v1')}"])
def test_path_of_upstream(bench: Bench) -> object:
    remote = {"remoteurl": f"{bench.upstream.url}/sub"}
    cache = bench.proxy(extra={"proxy": remote})
    cache.get(manifest_path("v1"), headers=ANY)
    return bench.upstream.ledger.lines()[:3]


@row("13.13", ([401, 401, 401], [], _WORKS))
def test_users_of_the_cache(bench: Bench) -> object:
    """The answers without a login, what upstream is asked then, and the answers with one."""
    cache = bench.proxy(htpasswd={"ann": "sesame"})
    bench.forget()
    without = _pulled(cache)
    asked = bench.asked(pings=True)
    paths = (manifest_path("v1"), manifest_path(IMAGE), blob_path(_LAYER))
    allowed = [cache.get(path, headers=ANY, auth=_LOGIN).status for path in paths]
    return without, asked, allowed


# -- TLS ------------------------------------------------------------------------------------------
@row("13.14", (2, 200))
def test_certificate_of_an_unknown_authority(bench: Bench) -> object:
    """The exit code, and the answer of a cache that is told of the authority."""
    authority = make_authority(bench.workdir)
    certificate, key = make_certificate(bench.workdir, "upstream", authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    upstream = bench.lab.upstream(ssl_context=context)
    upstream.add(REPOSITORY, IMAGE, tags=("v1",))
    config = written(bench, Settings(upstream_url=upstream.url))
    with serving(bench, config) as process:
        code = process.wait(20.0)
    with serving(bench, config, SSL_CERT_FILE=str(authority[0])) as process:
        client = RegistryClient(listening(process))
        status = client.get(manifest_path("v1"), headers=ANY).status
        client.close()
    return code, status
