"""A registry in this process, asked without a network."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from harness.content import Manifest
from reference_registry.app import Application, create_app
from reference_registry.clock import ManualClock
from reference_registry.config import Config, HttpConfig, StorageConfig
from reference_registry.digest import Digest, digest_of
from reference_registry.profiles import profile_named
from reference_registry.registry import StandardRegistry
from reference_registry.storage.repository import LocalRepository

T = TypeVar("T")


class InProcess:
    """Sync access to an :class:`Application` and to the storage behind it."""

    def __init__(self, root: Path, profile: str = "ideal", **changes: Any) -> None:
        """*changes* are fields of ``StorageConfig``, ``HttpConfig`` or ``Config``."""
        self.root = root
        self.clock = ManualClock()
        storage = StorageConfig(rootdirectory=root, **_fields_of(StorageConfig, changes))
        http = HttpConfig(**{"secret": "s3cret", **_fields_of(HttpConfig, changes)})
        config = Config(storage=storage, http=http, **_fields_of(Config, changes))
        self.app: Application = create_app(config, profile=profile_named(profile), clock=self.clock)
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(self.app, client=("127.0.0.1", 4711))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://registry.test")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._client.aclose())
        self._runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        return self.run(
            self._client.request(method, path, headers=dict(headers or {}), content=content)
        )

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET; header names with underscores for hyphens."""
        return self.request("GET", path, headers=_named(headers))

    def head(self, path: str, **headers: str) -> httpx.Response:
        return self.request("HEAD", path, headers=_named(headers))

    def post(self, path: str, content: bytes | None = None, **headers: str) -> httpx.Response:
        return self.request("POST", path, content=content, headers=_named(headers))

    def put(self, path: str, content: bytes | None = None, **headers: str) -> httpx.Response:
        return self.request("PUT", path, content=content, headers=_named(headers))

    def patch(self, path: str, content: bytes | None = None, **headers: str) -> httpx.Response:
        return self.request("PATCH", path, content=content, headers=_named(headers))

    def delete(self, path: str) -> httpx.Response:
        return self.request("DELETE", path)

    def start_upload(self, repository: str) -> str:
        """The session's URL."""
        location: str = self.post(f"/v2/{repository}/blobs/uploads/").headers["location"]
        return location

    def push_blob(self, repository: str, content: bytes) -> Digest:
        digest = digest_of(content)
        answer = self.put(f"{self.start_upload(repository)}&digest={digest}", content)
        assert answer.status_code == 201, answer.text
        return digest

    def push(self, repository: str, manifest: Manifest, *tags: str) -> Digest:
        """*manifest* with all it refers to, by digest and then by *tags*."""
        for child in manifest.children:
            self.push(repository, child)
        for blob in manifest.blobs:
            self.push_blob(repository, blob.content)
        for reference in (manifest.digest, *tags):
            answer = self.put(
                f"/v2/{repository}/manifests/{reference}",
                manifest.content,
                content_type=manifest.media_type,
            )
            assert answer.status_code == 201, answer.text
        return Digest(manifest.digest)

    def local(self, repository: str) -> LocalRepository:
        assert isinstance(self.app.registry, StandardRegistry)
        return self.app.registry.repository(repository)

    def files(self) -> list[str]:
        """All files below ``docker/registry/v2``, sorted."""
        base = self.root / "docker/registry/v2"
        return sorted(str(p.relative_to(base)) for p in base.rglob("*") if p.is_file())


def _fields_of(kind: type, changes: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in changes.items() if name in names}


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
