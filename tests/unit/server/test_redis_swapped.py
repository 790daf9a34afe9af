"""One redis, used in turn by the real 2.8.2 and by the 2.8 profile; and what others write."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from harness.content import Image, an_image
from harness.system.process import Process, clean_environment
from harness.system.real_parts import real_part
from harness.system.redis_server import Keys, RedisServer

_TIMEOUT = 30.0
_LISTENING = re.compile(r'msg="listening on (?P<address>[^",]*)')
_CONFIG = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
  cache: {{blobdescriptor: redis}}
redis: {{{key}: {address}, db: {db}, dialtimeout: 2s, readtimeout: 2s}}
http: {{addr: "127.0.0.1:0"}}
"""

Program = Callable[[], list[str | Path]]


def _real() -> list[str | Path]:
    return [real_part("docker-registry")]


def _ours(profile: str = "2.8") -> list[str | Path]:
    return [sys.executable, "-m", "reference_registry", "--profile", profile]


@dataclass(frozen=True)
class _Client:
    """A client of a registry on *root*."""

    http: httpx.Client
    root: Path

    def push_blob(self, repository: str, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        location = self.http.post(f"/v2/{repository}/blobs/uploads/").headers["location"]
        octets = {"Content-Type": "application/octet-stream"}
        answer = self.http.put(f"{location}&digest={digest}", content=content, headers=octets)
        assert answer.status_code == 201, answer.text
        return digest

    def push(self, repository: str, image: Image, tag: str) -> None:
        for blob in image.blobs:
            self.push_blob(repository, blob.content)
        answer = self.http.put(
            f"/v2/{repository}/manifests/{tag}",
            content=image.content,
            headers={"Content-Type": image.media_type},
        )
        assert answer.status_code == 201, answer.text

    def unlink(self, repository: str, digest: str) -> None:
        """Remove the link on disk, so that redis alone says that the blob is there."""
        layers = self.root / "docker/registry/v2/repositories" / repository / "_layers"
        (layers / digest.replace(":", "/") / "link").unlink()


@contextmanager
def _serving(
    program: list[str | Path], root: Path, address: str, db: int = 0, key: str = "addr"
) -> Iterator[_Client]:
    root.mkdir(exist_ok=True)
    config = root.with_suffix(f".{db}.yml")
    address = f'["{address}"]' if key == "addrs" else f'"{address}"'
    config.write_text(_CONFIG.format(root=root, address=address, db=db, key=key))
    process = Process([*program, "serve", config], environment=clean_environment())
    try:
        listening = process.await_output(_LISTENING, timeout=_TIMEOUT)
        assert listening is not None, process.output()
        url = f"http://{listening['address']}"
        with httpx.Client(base_url=url, trust_env=False, timeout=_TIMEOUT) as http:
            yield _Client(http, root)
    finally:
        process.kill()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


# -- the same keys ------------------------------------------------------------------------------
def _session(client: _Client, keys: Callable[[], Keys]) -> list[tuple[str, int, Keys]]:
    """What was asked, the status, and what redis held then."""
    image = an_image("cached", layers=1, oci=False)
    layer, config = image.layers[0].digest, image.config.digest
    seen: list[tuple[str, int, Keys]] = []

    def ask(method: str, path: str, **parameters: str) -> None:
        accept = {"Accept": image.media_type}
        answer = client.http.request(method, path, params=parameters, headers=accept)
        seen.append((f"{method} {path}", answer.status_code, keys()))

    client.push_blob("app", image.layers[0].content)
    seen.append(("push of a layer", 201, keys()))
    client.push("app", image, "v1")
    seen.append(("push of the image", 201, keys()))
    ask("GET", "/v2/app/manifests/v1")
    ask("GET", f"/v2/app/blobs/{layer}")
    ask("HEAD", f"/v2/app/blobs/{image.digest}")
    ask("POST", "/v2/other/blobs/uploads/", mount=layer, **{"from": "app"})
    ask("HEAD", f"/v2/other/blobs/{layer}")
    ask("HEAD", f"/v2/none/blobs/{layer}")
    ask("DELETE", f"/v2/app/blobs/{config}")
    ask("HEAD", f"/v2/app/blobs/{config}")
    ask("HEAD", f"/v2/app/blobs/{layer}")
    ask("DELETE", f"/v2/app/manifests/{image.digest}")
    ask("GET", f"/v2/app/manifests/{image.digest}")
    digest = f"sha512:{hashlib.sha512(b'five').hexdigest()}"
    location = client.http.post("/v2/app/blobs/uploads/").headers["location"]
    octets = {"Content-Type": "application/octet-stream"}
    client.http.put(f"{location}&digest={digest}", content=b"five", headers=octets)
    seen.append(("push as sha512", 201, keys()))
    ask("HEAD", f"/v2/app/blobs/{digest}")
    return seen


def test_the_same_keys_after_every_request(server: RedisServer, tmp_path: Path) -> None:
    sessions = []
    for db, program in enumerate((_real(), _ours())):
        with _serving(program, tmp_path / f"root{db}", server.address, db) as client:
            sessions.append(_session(client, lambda db=db: server.keys(db)))  # type: ignore[misc]
    for real, ours in zip(*sessions, strict=True):
        assert ours == real


def _members(session: list[tuple[str, int, Keys]], step: str) -> dict[str, int | bool]:
    image = an_image("cached", layers=1, oci=False)
    status, keys = next((status, keys) for what, status, keys in session if what == step)
    return {
        "status": status,
        "bytes": f"blobs::{image.digest}" in keys,
        "member": image.digest in keys.get("repository::app::blobs", set()),
        "override": f"repository::app::blobs::{image.digest}" in keys,
        "config": image.config.digest in keys.get("repository::app::blobs", set()),
    }


@pytest.mark.parametrize(
    ("profile", "manifests", "forgets"),
    [
        ("3.0.0-alpha.1", False, False),
        ("3.0", True, False),
        ("3.1", True, True),
        ("ideal", False, True),
    ],
)
def test_manifests_and_deletion_by_release(
    profile: str, manifests: bool, forgets: bool, server: RedisServer, tmp_path: Path
) -> None:
    """Measured on each: 3.0.0 began to remember manifests, 3.1.1 to forget all of a blob."""
    image = an_image("cached", layers=1, oci=False)
    key = "addrs" if manifests else "addr"
    with _serving(_ours(profile), tmp_path / "root", server.address, key=key) as client:
        session = _session(client, server.keys)
    known = {"bytes": manifests, "member": manifests, "override": manifests}
    assert _members(session, "push of the image") == {"status": 201, **known, "config": True}
    assert _members(session, "GET /v2/app/manifests/v1") == {
        "status": 200,
        **known,
        "bytes": profile != "ideal",
        "config": True,
    }
    as_blob = _members(session, f"HEAD /v2/app/blobs/{image.digest}")
    assert as_blob["status"] == (200 if manifests else 404)
    deleted = _members(session, f"DELETE /v2/app/blobs/{image.config.digest}")
    assert deleted["config"] == (not forgets)
    gone = _members(session, f"DELETE /v2/app/manifests/{image.digest}")
    assert gone["member"] == gone["override"] == (manifests and not forgets)
    assert gone["bytes"] == (profile == "3.0.0-alpha.1")


# -- swapped ------------------------------------------------------------------------------------
@pytest.mark.parametrize(("writer", "reader"), [(_real, _ours), (_ours, _real)])
def test_what_one_has_written_the_other_uses(
    writer: Program, reader: Program, server: RedisServer, tmp_path: Path
) -> None:
    """The link on disk is removed meanwhile: what is answered comes from redis."""
    root = tmp_path / "root"
    with _serving(writer(), root, server.address) as client:
        kept = client.push_blob("app", b"kept")
        client.unlink("app", kept)
    with _serving(reader(), root, server.address) as client:
        answer = client.http.get(f"/v2/app/blobs/{kept}")
        assert (answer.status_code, answer.content) == (200, b"kept")
        assert client.http.head(f"/v2/other/blobs/{kept}").status_code == 404
    with server.client() as redis:
        redis.flushall()
    with _serving(reader(), root, server.address) as client:
        assert client.http.get(f"/v2/app/blobs/{kept}").status_code == 404


def test_ideal_believes_the_disk(server: RedisServer, tmp_path: Path) -> None:
    """Whatever is in redis: links and bytes that are gone are gone, and forgotten."""
    with _serving(_ours("ideal"), tmp_path / "root", server.address) as client:
        unlinked = client.push_blob("app", b"unlinked")
        client.unlink("app", unlinked)
        lost = client.push_blob("app", b"lost")
        stored = "docker/registry/v2/blobs/sha256"
        (client.root / stored / lost[7:9] / lost[7:] / "data").unlink()
        other = client.push_blob("app", b"other")
        with server.client() as redis:
            redis.hset(f"blobs::{other}", "digest", unlinked)
        assert client.http.get(f"/v2/app/blobs/{unlinked}").status_code == 404
        assert client.http.get(f"/v2/app/blobs/{lost}").status_code == 404
        assert client.http.get(f"/v2/app/blobs/{other}").content == b"other"
    assert server.keys()["repository::app::blobs"] == {other}


# -- without redis ------------------------------------------------------------------------------
@pytest.mark.parametrize("profile", ["2.8", "ideal"])
def test_served_without_redis(profile: str, tmp_path: Path) -> None:
    """Down at the start, there for a while, and gone again."""
    server = RedisServer(tmp_path)
    with _serving(_ours(profile), tmp_path / "root", server.address) as client:
        digest = client.push_blob("app", b"hello")
        assert client.http.get(f"/v2/app/blobs/{digest}").content == b"hello"
        server.start()
        server.stop()
        assert client.http.get(f"/v2/app/blobs/{digest}").content == b"hello"
        assert client.http.delete(f"/v2/app/blobs/{digest}").status_code == 202
        assert client.http.get(f"/v2/app/blobs/{digest}").status_code == 404
