"""Section 0: what answers, identifiers and logs have in common."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from uuid import UUID

from harness.content import an_index
from harness.http.client import Answer, RegistryClient
from harness.system.process import clean_environment
from harness.targets import RunningRegistry, Settings
from reference_registry.digest import digest_of
from tests.contract.profiles.bench import (
    ANY,
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    chosen,
    detail,
    failure,
    manifest_path,
    push,
    put_manifest,
)
from tests.contract.profiles.processes import command, written
from tests.contract.profiles.table import SAME, row

_ABSENT = digest_of(b"absent")
_UPLOADS = f"/v2/{REPOSITORY}/blobs/uploads/"
_TAGS = f"/v2/{REPOSITORY}/tags/list"
_OF_UPLOADS = {"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}
_CHARSET = "application/json; charset=utf-8"


# -- bodies ---------------------------------------------------------------------------------------
@row("0.1", [_CHARSET] * 5, ["application/json"] * 5)
def test_type_of_json(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    answers = [
        registry.get("/v2/"),
        registry.get("/v2/_catalog"),
        registry.get(_TAGS),
        registry.get(manifest_path("nothing"), headers=ANY),
        registry.get(blob_path(_ABSENT)),
    ]
    return [answer.headers["Content-Type"] for answer in answers]


@row(
    "0.2",
    {
        "tag": {"Tag": "zz"},
        "digest": {"Name": REPOSITORY, "Revision": _ABSENT},
        "upload": {},
        "repository": {"name": "no/app"},
    },
    {
        "tag": "unknown tag=zz",
        "digest": f"unknown manifest name={REPOSITORY} revision={_ABSENT}",
        "upload": "invalid secret",
        "repository": {"name": "no/app"},
    },
)
def test_detail(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    answers = {
        "tag": registry.get(manifest_path("zz"), headers=ANY),
        "digest": registry.get(manifest_path(_ABSENT), headers=ANY),
        "upload": registry.patch(f"{_UPLOADS}00000000-0000-0000-0000-000000000000"),
        "repository": registry.get("/v2/no/app/tags/list"),
    }
    return {name: detail(answer) for name, answer in answers.items()}


@row(
    "0.3",
    {
        "/nothing": (404, b"404 page not found\n", None),
        "/v2/nothing": (404, b"404 page not found\n", None),
        _TAGS: (405, b"Method not allowed\n", {"GET"}),
        _UPLOADS: (405, b"Method not allowed\n", _OF_UPLOADS),
        manifest_path("v1"): (405, b"Method not allowed\n", {"DELETE", "GET", "HEAD", "PUT"}),
    },
)
def test_no_such_route_or_method(bench: Bench) -> object:
    registry, seen = bench.standard(), {}
    for path in ("/nothing", "/v2/nothing", _TAGS, _UPLOADS, manifest_path("v1")):
        answer = registry.request("PURGE", path)
        assert chosen(answer, "Content-Type", "X-Content-Type-Options") == {
            "Content-Type": "text/plain; charset=utf-8",
            "X-Content-Type-Options": "nosniff",
        }
        allow = answer.headers.get("Allow")
        seen[path] = answer.status, answer.body, allow and set(allow.split(", "))
    return seen


def _says_version(answer: Answer) -> tuple[int | None, bool]:
    return answer.status, answer.headers.get("Docker-Distribution-Api-Version") == "registry/2.0"


@row(
    "0.4",
    {
        "base": (200, True),
        "no route": (404, True),
        "no method": (405, True),
        "no content": (404, True),
        "not modified": (304, True),
        "top": (200, False),
        "debug": (200, False),
        "unauthorized": (401, True),
        "unhealthy": (503, False),
    },
)
def test_version_of_the_api(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    same = {"If-None-Match": f'"{IMAGE.digest}"'}
    seen = {
        "base": registry.get("/v2/"),
        "no route": registry.get("/v2/nothing"),
        "no method": registry.put(_TAGS),
        "no content": registry.get(blob_path(_ABSENT)),
        "not modified": registry.get(manifest_path("v1"), headers=ANY | same),
        "top": registry.get("/"),
        "debug": registry.debug("/debug/health"),
        "unauthorized": bench.standard(htpasswd={"alice": "secret"}).get("/v2/"),
        "unhealthy": _unhealthy(bench).get("/v2/"),
    }
    return {name: _says_version(answer) for name, answer in seen.items()}


def _unhealthy(bench: Bench) -> RunningRegistry:
    """A registry with a check that has failed."""
    marker = bench.workdir / "down"
    marker.touch()
    check = {"file": str(marker), "interval": "10ms"}
    registry = bench.standard(extra={"health": {"file": [check]}})
    assert registry.eventually(lambda: registry.get("/v2/").status == 503)
    return registry


_CODES = {
    "unsupported": (405, "UNSUPPORTED"),
    "unauthorized": (401, "UNAUTHORIZED"),
    "unavailable": (503, "UNAVAILABLE"),
    "unknown": (500, "UNKNOWN"),
    "no such upload": (404, "BLOB_UPLOAD_UNKNOWN"),
    "forged upload": (404, "BLOB_UPLOAD_INVALID"),
    "no such blob": (404, "BLOB_UNKNOWN"),
    "no such manifest": (404, "MANIFEST_UNKNOWN"),
    "no such repository": (404, "NAME_UNKNOWN"),
    "no manifest": (400, "MANIFEST_INVALID"),
    "other digest": (400, "DIGEST_INVALID"),
    "no such children": (400, "MANIFEST_BLOB_UNKNOWN"),
    "page": (400, "PAGINATION_NUMBER_INVALID"),
}


@row(
    "0.5",
    _CODES | {"chunk": (202, None), "length": (202, None)},
    _CODES | {"chunk": (416, "RANGE_INVALID"), "length": (400, "SIZE_INVALID")},
)
def test_codes(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")

    def chunk(span: str | None, kind: str = "application/octet-stream") -> Answer:
        location = registry.post(_UPLOADS).headers["Location"]
        headers = {"Content-Type": kind, "Content-Range": span}
        return registry.patch(location, content=b"hello", headers=headers)

    cancelled = registry.post(_UPLOADS).headers["Location"]
    registry.delete(cancelled)
    kind = {"Content-Type": IMAGE.media_type}
    answers = {
        "unsupported": registry.delete(blob_path(_ABSENT)),
        "unauthorized": bench.standard(htpasswd={"alice": "secret"}).get("/v2/"),
        "unavailable": _unhealthy(bench).get("/v2/"),
        "unknown": chunk(None, kind="text/plain"),
        "no such upload": registry.get(cancelled),
        "forged upload": registry.patch(cancelled.partition("?")[0]),
        "no such blob": registry.get(blob_path(_ABSENT)),
        "no such manifest": registry.get(manifest_path(_ABSENT), headers=ANY),
        "no such repository": registry.get("/v2/no/app/tags/list"),
        "no manifest": registry.put(manifest_path("v2"), content=b"{", headers=kind),
        "other digest": put_manifest(registry, IMAGE, _ABSENT),
        "no such children": put_manifest(registry, an_index(), "v2"),
        "page": registry.get("/v2/_catalog?n=1001"),
        "chunk": chunk("7-11"),
        "length": chunk("0-11"),
    }
    return {name: failure(answer) for name, answer in answers.items()}


# -- identifiers and logs -------------------------------------------------------------------------
@row("0.8", 4, SAME, SAME, 7)
def test_version_of_upload_ids(bench: Bench) -> object:
    answer = bench.standard().post(_UPLOADS)
    return UUID(answer.headers["Docker-Upload-UUID"]).version


_COMBINED = re.compile(
    r"127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
    r'"GET /v2/_catalog HTTP/1\.1" 200 \d+ "" "pullproof"'
)
_LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")


@row("0.6", {"stdout": ["access"], "stderr": ["listening"]})
def test_streams(bench: Bench) -> object:
    """Which of two lines stands where."""
    streams = {name: bench.workdir / name for name in ("stdout", "stderr")}
    config = written(bench, Settings())
    with streams["stdout"].open("w") as stdout, streams["stderr"].open("w") as stderr:
        process = subprocess.Popen(
            [*command(bench), "serve", config],
            env=clean_environment(),
            stdout=stdout,
            stderr=stderr,
        )
        try:
            registry = bench.standard()
            url = registry.eventually(lambda: _LISTENING.search(_text(streams)), timeout=20)
            assert url, _text(streams)
            client = RegistryClient(f"http://{url[1]}")
            assert client.get("/v2/_catalog").status == 200
            client.close()
            registry.eventually(lambda: _COMBINED.search(_text(streams)))
        finally:
            process.kill()
            process.wait()
    found = {"access": _COMBINED, "listening": _LISTENING}
    return {
        name: [what for what, pattern in found.items() if pattern.search(path.read_text())]
        for name, path in streams.items()
    }


def _text(streams: dict[str, Path]) -> str:
    return "".join(path.read_text() for path in streams.values())
