"""Runs an already built OCI conformance suite against the reference registry.

    python -m tests.contract.conformance.run_conformance PATH_OF_THE_SUITE

The suite is ``conformance/`` of https://github.com/opencontainers/distribution-spec, built with
``go build``; it is not part of this project. The path may also stand in ``OCI_CONFORMANCE``.
Prints a line for each configuration. Exit code 0: no failure and no skip in any; 1: otherwise;
2: no suite was given.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from harness.content import Manifest, an_artifact, an_image, an_index
from reference_registry.config import Config, HttpConfig, ProxyConfig, StorageConfig
from reference_registry.server.server import Server

_EVERYTHING = {
    "OCI_VERSION": "dev",
    "OCI_API_BLOBS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
    "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
    "OCI_API_MANIFESTS_TAG_PARAM": "true",
    "OCI_DATA_SPARSE": "true",
}
_COUNT = re.compile(r"^ *(\w+)\.+: *(\d+)$", re.MULTILINE)
_REPOSITORY = "conformance/readonly"


class SuiteFailed(Exception):
    """The suite ended without a report; the text is what it printed."""


@dataclass(frozen=True)
class Configuration:
    """One run of the suite."""

    title: str
    settings: Mapping[str, str]
    through_proxy: bool = False


@dataclass(frozen=True)
class Counts:
    """What the suite prints at its end. ``disabled`` tests were not asked for."""

    passed: int
    failed: int
    skipped: int
    disabled: int

    @classmethod
    def read(cls, output: str) -> Counts:
        """Raises :class:`SuiteFailed` where *output* has no such end.

        The reports in files are not looked at: in read-only mode the suite fails to write them.
        """
        _, result, summary = output.partition("OCI Conformance Result:")
        if not result:
            raise SuiteFailed(output)
        counts = {name: int(count) for name, count in _COUNT.findall(summary.partition("\n\n")[0])}
        failed = counts["FAIL"] + counts["Error"]
        return cls(counts["Pass"], failed, counts["Skip"], counts["Disabled"])

    def __str__(self) -> str:
        return (
            f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped, "
            f"{self.disabled} disabled"
        )


_CONFIGURATIONS = (
    Configuration("OCI_VERSION=1.1", {"OCI_VERSION": "1.1"}),
    Configuration("OCI_VERSION=dev", {"OCI_VERSION": "dev"}),
    Configuration("everything switched on", _EVERYTHING),
    Configuration("read-only, through a proxy", {"OCI_VERSION": "1.1"}, through_proxy=True),
)


@dataclass
class Laboratory:
    """Servers, and a directory for them to store in."""

    suite: Path
    directory: Path
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def serve(self, name: str, upstream: str | None = None) -> Server:
        """A running registry, with deletion enabled."""
        storage = StorageConfig(rootdirectory=self.directory / name, delete_enabled=True)
        proxy = ProxyConfig(remoteurl=upstream) if upstream else None
        http = HttpConfig(addr="127.0.0.1:0", secret="conformance")
        server = Server(Config(storage=storage, http=http, proxy=proxy))
        await server.start()
        self.stack.push_async_callback(server.stop)
        return server

    async def run(self, number: int, configuration: Configuration) -> Counts:
        """What the suite finds, with an empty storage."""
        server = await self.serve(f"registry-{number}")
        settings = dict(configuration.settings)
        if configuration.through_proxy:
            settings |= await _preload(server.url)
            server = await self.serve(f"proxy-{number}", upstream=server.url)
        environment = {
            "PATH": os.environ["PATH"],
            "OCI_REGISTRY": server.url.removeprefix("http://"),
            "OCI_TLS": "disabled",
            "OCI_LOG": "error",
            "OCI_RESULTS_DIR": str(self.directory / f"results-{number}"),
            **settings,
        }
        process = await asyncio.create_subprocess_exec(
            self.suite,
            env=environment,
            cwd=self.directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()
        output = printed.decode(errors="replace")
        counts = Counts.read(output)
        if counts.failed:
            sys.stdout.write(output)
        return counts


async def _preload(url: str) -> dict[str, str]:
    """Push content that the suite can read, and tell the suite of it."""
    image = an_image("subject")
    pushed: list[Manifest] = [
        image,
        an_index(an_image("amd64"), an_image("arm64")),
        an_artifact(subject=image),
    ]
    async with httpx.AsyncClient(base_url=f"{url}/v2/{_REPOSITORY}") as client:
        for number, manifest in enumerate(pushed):
            await _push(client, manifest, f"v{number}")
    return {
        "OCI_REPO1": _REPOSITORY,
        "OCI_API_PUSH": "false",
        "OCI_API_BLOBS_DELETE": "false",
        "OCI_API_MANIFESTS_DELETE": "false",
        "OCI_API_TAGS_DELETE": "false",
        "OCI_RO_DATA_TAGS": " ".join(f"v{n}" for n in range(len(pushed))),
        "OCI_RO_DATA_MANIFESTS": " ".join(manifest.digest for manifest in pushed),
        "OCI_RO_DATA_BLOBS": " ".join(blob.digest for blob in image.blobs),
        "OCI_RO_DATA_REFERRERS": image.digest,
    }


async def _push(client: httpx.AsyncClient, manifest: Manifest, tag: str | None = None) -> None:
    for child in manifest.children:
        await _push(client, child)
    for blob in manifest.blobs:
        answer = await client.post(f"/blobs/uploads/?digest={blob.digest}", content=blob.content)
        answer.raise_for_status()
    for reference in filter(None, (manifest.digest, tag)):
        answer = await client.put(
            f"/manifests/{reference}",
            content=manifest.content,
            headers={"Content-Type": manifest.media_type},
        )
        answer.raise_for_status()


async def _run_all(suite: Path) -> int:
    failed = False
    with tempfile.TemporaryDirectory() as directory:
        laboratory = Laboratory(suite, Path(directory))
        async with laboratory.stack:
            for number, configuration in enumerate(_CONFIGURATIONS):
                counts = await laboratory.run(number, configuration)
                sys.stdout.write(f"{configuration.title}: {counts}\n")
                failed |= counts.failed + counts.skipped > 0
    return 1 if failed else 0


def main(arguments: list[str]) -> int:
    """The exit code; *arguments* are those of the command line."""
    given = arguments[0] if arguments else os.environ.get("OCI_CONFORMANCE", "")
    suite = shutil.which(given) if given else None
    if suite is None:
        sys.stderr.write(
            "the path of a built OCI conformance suite is needed, as argument or in "
            "OCI_CONFORMANCE: `go build` in conformance/ of opencontainers/distribution-spec"
            f"{f' (there is no program {given})' if given else ''}\n"
        )
        return 2
    try:
        return asyncio.run(_run_all(Path(suite).resolve()))
    except SuiteFailed as failure:
        sys.stderr.write(f"the suite did not run: {failure}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
