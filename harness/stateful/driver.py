"""Applies the operations of sequences to one target, with an upstream of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from harness.clients.push import Refused, put_manifest, upload_blob
from harness.compare.observation import (
    Names,
    Observation,
    observed_disk,
    observed_state,
    observed_steps,
    observed_upstream,
)
from harness.content import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Image,
    Index,
    a_layer,
    an_image,
    an_index,
)
from harness.http.client import Answer, Exchange
from harness.stateful.sequences import REPOSITORIES, TAGS, Operation, StepSequence
from harness.targets import DidNotStart, Target
from harness.targets.registry import RunningRegistry
from harness.targets.settings import Settings
from harness.upstream import MockUpstream
from harness.upstream.faults import FaultScript

_JSON = {"Content-Type": "application/json"}
_REFUSAL = '{"errors":[{"code":"%s","message":"refused"}]}'
_CODES = {"403": "DENIED", "429": "TOOMANYREQUESTS", "500": "UNKNOWN", "503": "UNAVAILABLE"}
_ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_MANIFEST_LIST, DOCKER_MANIFEST))
_QUIET, _QUIET_WITH_UPLOADS = 0.02, 0.25
_LONGEST = 2.0
_DUE = re.compile(r"expired$|expires in -")
_POLL = 0.004
_BLOB = re.compile(r"/v2/(.+)/blobs/sha256:([0-9a-f]{64})$")


_REQUESTS = {
    "get-tag": ("GET", "manifests/{tag}", "Accept: {accept}"),
    "head-tag": ("HEAD", "manifests/{tag}", "Accept: {accept}"),
    "get-digest": ("GET", "manifests/{digest}", "Accept: {accept}"),
    "head-digest": ("HEAD", "manifests/{digest}", "Accept: {accept}"),
    "if-none-match": ("GET", "manifests/{tag}", "Accept: {accept}", 'If-None-Match: "{digest}"'),
    "get-blob": ("GET", "blobs/{blob}"),
    "head-blob": ("HEAD", "blobs/{blob}"),
    "range": ("GET", "blobs/{blob}", "Range: {detail}"),
    "unless-blob": ("GET", "blobs/{blob}", 'If-None-Match: "{blob}"'),
    "tags": ("GET", "tags/list{detail}"),
    "catalog": ("GET", "/v2/_catalog"),
    "mount": ("POST", "blobs/uploads/?mount={blob}&from={other}"),
    "delete-tag": ("DELETE", "manifests/{tag}"),
    "delete-digest": ("DELETE", "manifests/{digest}"),
    "delete-blob": ("DELETE", "blobs/{blob}"),
}
"""Operations that are one request, below a repository unless the path is absolute: method, path,
headers."""


def _images() -> tuple[Image | Index, ...]:
    shared = a_layer("shared", 2300)
    first = an_image("0", layers=[shared, a_layer("0", 2100)])
    second = an_image("1", layers=[shared])
    return first, second, an_image("2", layers=1, layer_size=2200, oci=False), an_index(first)


_IMAGES = _images()


def _named() -> dict[str, str]:
    """The names in reports of what has a digest, by the hex digits."""
    found: dict[str, str] = {}
    for place, image in enumerate(_IMAGES):
        parts = {f"image {place}": image.digest}
        if isinstance(image, Image):
            layers = enumerate(image.layers)
            parts |= {f"config {place}": image.config.digest}
            parts |= {f"layer {place}.{which}": layer.digest for which, layer in layers}
        for name, digest in parts.items():
            found.setdefault(digest.partition(":")[2], f"<{name}>")
    return found


_NAMES = _named()


def _image(number: int) -> Image:
    """The image *number*; the first child of an index."""
    found = _IMAGES[number]
    return found if isinstance(found, Image) else _image(0)


class Driver:
    """A registry of *target* with the settings of *sequence*, in *workdir*. A context manager."""

    def __init__(self, target: Target, sequence: StepSequence, workdir: Path) -> None:
        self.upstream = MockUpstream()
        self.upstream.start()
        workdir.mkdir()
        self._is_cache = sequence.kind == "proxy"
        self._is_down = False
        known = {**_NAMES, str(workdir): "<workdir>", self.upstream.url: "http://<upstream>"}
        self._names = Names(known)
        settings = Settings(
            upstream_url=self.upstream.url if self._is_cache else None,
            delete_enabled=sequence.delete_enabled,
            cache=sequence.cache,
        )
        try:
            self.registry: RunningRegistry = target.launch(settings, workdir)
        except BaseException:
            self.upstream.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.registry.stop()
        self.upstream.stop()

    # -- running -----------------------------------------------------------------------------
    def do(self, one: Operation) -> Observation:
        """Apply *one* and return what it showed."""
        asked, reached = len(self.registry.exchanges), len(self.upstream.ledger.entries)
        outcome = None
        if one.do in _REQUESTS:
            self._request(one, *_REQUESTS[one.do])
        else:
            outcome = self._apply(one)
        if self._is_cache:
            self._settle(self.registry.exchanges[asked:])
        return Observation(
            steps=observed_steps(self.registry.exchanges[asked:], self._names),
            upstream=observed_upstream(self.upstream.ledger.entries[reached:], 1, self._names),
            disk={} if outcome is None else {"operator": outcome},
        )

    def end(self) -> Observation:
        """The final storage and schedule of the sequence."""
        registry, state = self.registry, {}
        if self._is_cache:
            found = observed_state(registry.state, registry.disk, datetime.now(UTC))
            state = {
                self._names.text(key): entry
                for key, entry in found.items()
                # Entries that are due leave the file whenever it is saved next.
                if "@" not in key or not _DUE.search(entry)
            }
        return Observation(disk=observed_disk(registry.disk, self._names), state=state)

    def _apply(self, one: Operation) -> str | None:
        """Do what is more than one request; returns what the operator sees."""
        repository, image = REPOSITORIES[one.repository], _IMAGES[one.image]
        match one.do:
            case "tag":
                self.upstream.add(repository, image, [TAGS[one.tag]])
            case "untag":
                with suppress(KeyError):
                    self.upstream.untag(repository, TAGS[one.tag])
            case "remove":
                with suppress(KeyError):
                    self.upstream.remove(repository, image.digest)
            case "down":
                self._is_down = True
                self.upstream.down()
            case "up":
                if self._is_down:
                    self.upstream.up()
                self._is_down = False
            case "fault":
                self.upstream.clear_faults()
                self._fault(self.upstream.on(repository=repository), one.detail)
            case "heal":
                self.upstream.clear_faults()
            case "pull":
                self._pull(one)
            case "push" | "put-manifest" | "push-blob":
                with suppress(Refused):
                    self._push(one)
            case "restart":
                return self._restart()
            case "collect":
                run = self.registry.garbage_collect(delete_untagged=bool(one.detail))
                blobs = sorted(self._names.text(digest) for digest in run.eligible_blobs)
                manifests = sorted(self._names.text(digest) for digest in run.eligible_manifests)
                return f"exit {run.exit_code}, blobs {blobs}, manifests {manifests}"
            case "later":
                self._later()
        return None

    @staticmethod
    def _fault(script: FaultScript, detail: str) -> None:
        match detail:
            case "reset":
                script.reset()
            case "truncation":
                script.truncate(after=100)
            case "wrong bytes":
                script.corrupt()
            case status:
                script.status(int(status), _JSON, _REFUSAL % _CODES[status])

    def _restart(self) -> str:
        try:
            self.registry.restart()
        except DidNotStart:
            # Some targets do not start without upstream: start it while upstream is up.
            self.upstream.up()
            self.registry.start()
            self.upstream.down()
            return "does not start without upstream"
        return "started"

    def _later(self) -> None:
        # Time passes for a process while it is stopped; other targets restart too, since they keep
        # state in memory. Upstream is up during the restart, which some targets need.
        if self._is_down:
            self.upstream.up()
        self.registry.pass_time(timedelta(days=8))
        self._settle(())
        self.registry.restart()
        if self._is_down:
            self.upstream.down()

    # -- clients ----------------------------------------------------------------------------------
    def _request(self, one: Operation, method: str, path: str, *headers: str) -> Answer:
        image = _image(one.image)
        blob = image.config if one.detail == "config" else image.layers[0]
        values = {
            "tag": TAGS[one.tag],
            "digest": _IMAGES[one.image].digest,
            "blob": blob.digest,
            "detail": one.detail,
            "accept": "*/*" if one.detail == "*/*" else _ACCEPT,
            "other": REPOSITORIES[1 - one.repository],
        }
        if not path.startswith("/"):
            path = f"/v2/{REPOSITORIES[one.repository]}/{path}"
        return self.registry.request(
            method,
            path.format(**values),
            headers=dict(line.format(**values).split(": ") for line in headers),
            content=b"" if method == "POST" else None,
        )

    def _pull(self, one: Operation) -> None:
        base = f"/v2/{REPOSITORIES[one.repository]}"
        answer = self._request(one, *_REQUESTS["get-tag"])
        for _ in range(2):
            document = _json(answer)
            if not (children := document.get("manifests")):
                break
            path = f"{base}/manifests/{children[0]['digest']}"
            answer = self.registry.get(path, headers={"Accept": _ACCEPT})
        for part in (document.get("config"), *document.get("layers", ())):
            if part is not None:
                self.registry.get(f"{base}/blobs/{part['digest']}")
                # One at a time: the order in which two copies end is random.
                self._settle(self.registry.exchanges[-1:])

    def _push(self, one: Operation) -> None:
        client, repository = self.registry.client, REPOSITORIES[one.repository]
        found, image = _IMAGES[one.image], _image(one.image)
        if one.do == "push-blob":
            upload_blob(client, repository, image.layers[0])
        elif one.do == "put-manifest":
            put_manifest(client, repository, TAGS[one.tag], found)
        else:
            for blob in (image.config, *image.layers):
                upload_blob(client, repository, blob)
            if found is not image:
                put_manifest(client, repository, image.digest, image)
            put_manifest(client, repository, TAGS[one.tag], found)

    # -- helpers -------------------------------------------------------------------------
    def _settle(self, exchanges: Iterable[Exchange]) -> None:
        """Wait until copies into the cache that these *exchanges* started in the background are
        complete, since they decide how the next request is answered."""
        awaited = [path for exchange in exchanges if (path := self._link_of(exchange))]
        began = quiet_since = time.monotonic()
        seen: Any = None
        while (now := time.monotonic()) < began + _LONGEST:
            entries = self.upstream.ledger.entries
            pending = any(entry.outcome == "pending" for entry in entries[-8:])
            uploads = [self.registry.disk.uploads(name) for name in REPOSITORIES]
            missing = [path for path in awaited if not path.exists()]
            if pending or seen != (seen := (len(entries), uploads, missing)):
                quiet_since = now
            if now - quiet_since > (_QUIET_WITH_UPLOADS if any(uploads) or missing else _QUIET):
                return
            time.sleep(_POLL)

    def _link_of(self, exchange: Exchange) -> Path | None:
        """The link file that exists once the blob that *exchange* returned is cached."""
        match = _BLOB.match(exchange.path)
        if match is None or exchange.status != 200 or exchange.error is not None:
            return None
        place = self.registry.root / "docker/registry/v2/repositories" / match[1]
        return place / "_layers/sha256" / match[2] / "link"


def _json(answer: Answer) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if answer.status == 200 and isinstance(document, dict) else {}
