"""``drayage``: https://github.com/rvben/drayage, an independent pull-through cache, where its wheel
is installed (``pip install drayage``).

It has a configuration and a storage of its own. Facts here were read from the file that
``drayage init`` writes, its only documentation, and measured on 0.2.9. What a scenario does not set
is left at drayage's own default, as an operator would find it: it asks about a tag again after 900
seconds, and about what upstream lacked after 60. Only its patience with upstream is made shorter.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harness.http.client import Answer, RegistryClient
from harness.system.needs import Need
from harness.system.process import Process, clean_environment
from harness.targets.errors import NotOffered
from harness.targets.peer import PeerRegistry, PeerTarget
from harness.targets.registry import NOWHERE
from harness.targets.settings import Settings
from reference_registry.config.units import parse_duration

__all__ = ["DrayageTarget"]

_SECONDS = {"tag_freshness": "manifest_ttl_seconds", "negative_ttl": "negative_ttl_seconds"}
"""Durations and the keys for them, which take whole seconds."""
_PATIENCE = 3
"""Seconds that upstream has for an answer. The default is 30, which is also how long clients wait
here: who gives up first would be chance."""
_START_TIMEOUT = 20.0
_LISTENING = re.compile(r"listening on \S+:(\d+)")


class _Client(RegistryClient):
    """drayage refuses a push before it has read it, and closes the connection without saying so.
    Whether the next request still meets it there would be chance: it gets a connection of its own,
    as Go's client would give it."""

    def request(self, method: str, path: str, **options: Any) -> Answer:
        answer = super().request(method, path, **options)
        if options.get("content"):
            self.close()
        return answer


class DrayageRegistry(PeerRegistry):
    """A process that serves. Its storage and its metrics are its own."""

    where = "drayage"
    known = frozenset(
        {"upstream_url", "upstream_login", "log_level", "log_formatter", "offline", *_SECONDS}
    )

    def __init__(self, program: Path, settings: Settings, workdir: Path) -> None:
        super().__init__(program, settings, workdir)
        self._cache = workdir / "cache"

    def _new_client(self) -> RegistryClient:
        return _Client(NOWHERE)

    def _launch(self, port: int) -> Process:
        if self.settings.upstream_url is None:
            raise NotOffered("drayage is a cache alone: nothing can be pushed to it")
        config = self.workdir / "config.toml"
        config.write_text(self._config(self.settings.upstream_url, port))
        as_json = ["--log-json"] if self.settings.log_formatter == "json" else []
        # It tells that it listens at level info.
        level = {"error": "info", "warn": "info"}.get(
            self.settings.log_level, self.settings.log_level
        )
        return Process(
            [self._program, "serve", "--config", config, *as_json],
            environment=clean_environment({"RUST_LOG": level, "NO_COLOR": "1"}),
            directory=self.workdir,
        )

    def _listens(self, process: Process, port: int) -> bool:
        return process.await_output(_LISTENING, timeout=_START_TIMEOUT) is not None

    def pass_time(self, delta: timedelta) -> None:
        """Stop it, move the moments at which it asked about tags into the past, start it again.
        What it holds in memory - tokens, what upstream lacked - starts anew."""
        self.stop()
        for file in (self._cache / "manifests" / "by-tag").rglob("*.json"):
            tag = json.loads(file.read_text())
            asked = datetime.fromisoformat(tag["fetched_at"]) - delta
            file.write_text(json.dumps(tag | {"fetched_at": asked.isoformat()}))
        self.start()

    def _config(self, upstream: str, port: int) -> str:
        self._cache.mkdir(exist_ok=True)
        values: dict[str, object] = {
            "listen": f"127.0.0.1:{port}",
            "cache_dir": str(self._cache),
            "read_timeout_secs": _PATIENCE,
        }
        for field, key in _SECONDS.items():
            if (wanted := getattr(self.settings, field)) is not None:
                values[key] = _whole_seconds(wanted)
        if self.settings.offline:
            values["offline_mode"] = True
        # docker_io is the upstream of names that say no registry.
        source = {"registry": upstream}
        if self.settings.upstream_login is not None:
            source["username"], source["password"] = self.settings.upstream_login
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        lines += ["[upstreams.docker_io]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in source.items()]
        return "\n".join(lines) + "\n"


def _whole_seconds(text: str) -> int:
    seconds = parse_duration(text) / timedelta(seconds=1)
    if not seconds.is_integer():
        raise NotOffered(f"drayage counts in whole seconds, {text} cannot be set")
    return int(seconds)


class DrayageTarget(PeerTarget):
    """The program, configured as far as it has what is asked for."""

    kind = "drayage"
    fix = "pip install drayage"
    offers = frozenset({Need.CONFIG, Need.X_KEYS, Need.RESTART, Need.CLOCK, Need.LOGS})
    registry = DrayageRegistry
