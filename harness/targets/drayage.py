"""``drayage``: https://github.com/rvben/drayage, an independent pull-through cache, if its wheel is
installed (``pip install drayage``).

It has a configuration and a storage of its own. The source is the file that ``drayage init``
writes, its only documentation, and measurements of 0.2.9. Settings that a scenario leaves out have
drayage's defaults: a tag is revalidated after 900 seconds, missing content after 60.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harness.http.client import Answer, RegistryClient
from harness.system.needs import Need
from harness.system.ports import free_port
from harness.system.process import Process, clean_environment
from harness.targets.errors import NotOffered, TargetError
from harness.targets.process import LISTENING, STARTS, OwnProcess
from harness.targets.registry import NOWHERE, Addresses, ForeignRegistry
from harness.targets.settings import Files, Settings
from harness.targets.target import Identity, Target, exact_release, release_series, version_line
from reference_registry.config.units import parse_duration

_SECONDS = {"tag_freshness": "manifest_ttl_seconds", "negative_ttl": "negative_ttl_seconds"}
"""Durations in :class:`Settings` and drayage's keys for them, in whole seconds."""
_KNOWN = {"upstream_url", "upstream_login", "log_level", "log_formatter", "offline", *_SECONDS}
_CACHE = "cache"
_UPSTREAM_TIMEOUT = 3
"""Seconds. The default, 30, is also the timeout of clients here, so either could be first."""


class _Client(RegistryClient):
    """drayage refuses a push before it has read it, and closes the connection without announcing
    it. The next request gets a new connection, as with Go's client."""

    def request(self, method: str, path: str, **options: Any) -> Answer:
        answer = super().request(method, path, **options)
        if options.get("content"):
            self.close()
        return answer


class DrayageServer(OwnProcess):
    """Runs *program* on a port that was free a moment before."""

    def __init__(self, program: Path) -> None:
        super().__init__("drayage")
        self._program = program

    def launch(self, files: Files) -> Addresses | None:
        if files.settings.upstream_url is None:
            raise NotOffered("drayage is only a cache: nothing can be pushed to it")
        as_json = ["--log-json"] if files.settings.log_formatter == "json" else []
        level = files.settings.log_level if files.settings.log_level == "debug" else "info"
        config = files.workdir / "config.toml"
        config.write_text(_config(files, files.settings.upstream_url, port := free_port()))
        self.process = Process(
            [self._program, "serve", "--config", config, *as_json],
            environment=clean_environment({"RUST_LOG": level, "NO_COLOR": "1"}),
            directory=files.workdir,
        )
        listens = self.process.await_output(LISTENING, timeout=STARTS)
        return Addresses(f"http://127.0.0.1:{port}") if listens else None


class DrayageRegistry(ForeignRegistry):
    """A running drayage."""

    where = "drayage"

    def start(self) -> None:
        self.refuse_settings(_KNOWN)
        super().start()

    def pass_time(self, delta: timedelta) -> None:
        """Stop it, move the times at which it fetched tags into the past, and start it again. Its
        memory (tokens, missing content) is lost."""
        self.stop()
        for file in (self.workdir / _CACHE / "manifests" / "by-tag").rglob("*.json"):
            tag = json.loads(file.read_text())
            asked = datetime.fromisoformat(tag["fetched_at"]) - delta
            file.write_text(json.dumps(tag | {"fetched_at": asked.isoformat()}))
        self.start()


def _config(files: Files, upstream: str, port: int) -> str:
    settings, cache = files.settings, files.workdir / _CACHE
    cache.mkdir(exist_ok=True)
    values: dict[str, object] = {
        "listen": f"127.0.0.1:{port}",
        "cache_dir": str(cache),
        "read_timeout_secs": _UPSTREAM_TIMEOUT,
    }
    for field, key in _SECONDS.items():
        if (wanted := getattr(settings, field)) is not None:
            values[key] = _whole_seconds(wanted)
    if settings.offline:
        values["offline_mode"] = True
    # docker_io is the upstream of names without a registry.
    source = {"registry": upstream}
    if settings.upstream_login is not None:
        source["username"], source["password"] = settings.upstream_login
    return f"{_toml(values)}[upstreams.docker_io]\n{_toml(source)}"


def _toml(values: Mapping[str, object]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def _whole_seconds(text: str) -> int:
    seconds = parse_duration(text) / timedelta(seconds=1)
    if not seconds.is_integer():
        raise NotOffered(f"drayage takes whole seconds, so {text} cannot be set")
    return int(seconds)


@dataclass(frozen=True)
class DrayageTarget(Target):
    """The installed program."""

    path: Path
    identity: Identity

    name = "drayage"
    capabilities = frozenset({Need.CONFIG, Need.X_KEYS, Need.RESTART, Need.CLOCK, Need.LOGS})
    plain_settings = Settings(upstream_url=NOWHERE)

    @classmethod
    def find(cls) -> DrayageTarget:
        """The program beside this Python or on PATH. ``TargetError`` if there is none."""
        # The programs of a virtual environment need not be on PATH.
        places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        found = shutil.which("drayage", path=places)
        if found is None:
            raise TargetError("drayage: not installed; pip install drayage")
        said = version_line("drayage", found)
        return cls(Path(found), Identity("drayage", release_series(said), exact_release(said)))

    def registry(self, settings: Settings, workdir: Path) -> DrayageRegistry:
        return DrayageRegistry(settings, workdir, DrayageServer(self.path), _Client(NOWHERE))
