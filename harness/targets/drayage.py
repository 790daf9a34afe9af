"""``drayage``: https://github.com/rvben/drayage, an independent pull-through cache, where its wheel
is installed (``pip install drayage``).

It has a configuration and a storage of its own. Facts here were read from ``drayage init`` and
measured on 0.2.9.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.process import Process, clean_environment
from harness.redaction import redact_text
from harness.scenario import Need
from harness.targets.errors import DidNotStart, NotOffered, TargetError
from harness.targets.foreign import ForeignRegistry, refuse_settings
from harness.targets.identity import exact_release, release_series
from harness.targets.own_process import OwnProcess
from harness.targets.process_registry import free_port
from harness.targets.registry import NOWHERE
from harness.targets.settings import Settings

__all__ = ["DrayageTarget"]

_KNOWN = frozenset({"upstream_url", "upstream_login", "log_level", "log_formatter"})
_ATTEMPTS = 3
_START_TIMEOUT = 20.0
_LISTENING = re.compile(r"listening on \S+:(\d+)")
_TAKEN = "in use"


@dataclass(frozen=True)
class DrayageTarget:
    """The program, with its defaults: a tag is asked for again after 900 seconds."""

    path: Path
    version: str
    release: str

    @classmethod
    def find(cls) -> DrayageTarget:
        """The one beside this Python or on the search path. ``TargetError`` where there is none."""
        # A virtual environment need not be on the search path.
        places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        found = shutil.which("drayage", path=places)
        if found is None:
            raise TargetError("drayage: is not installed; pip install drayage")
        try:
            run = subprocess.run(
                [found, "--version"],
                env=clean_environment(),
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as failure:
            raise TargetError(f"drayage: --version failed: {failure}") from failure
        return cls(Path(found), release_series(run.stdout), exact_release(run.stdout))

    @property
    def name(self) -> str:
        return "drayage"

    @property
    def known_as(self) -> str:
        return "drayage"

    @property
    def implementation(self) -> str:
        return "drayage"

    @property
    def capabilities(self) -> frozenset[Need]:
        """It can be configured as far as it has what is asked for. Its storage and its metrics are
        its own."""
        return frozenset({Need.CONFIG, Need.RESTART, Need.LOGS})

    def check(self) -> None:
        """Launch it once; ``TargetError`` where that fails."""
        with TemporaryDirectory(prefix="pullproof-") as workdir:
            self.launch(Settings(upstream_url=NOWHERE), Path(workdir)).stop()

    def launch(self, settings: Settings, workdir: Path) -> DrayageRegistry:
        """A cache that listens, its files under *workdir*. ``NotOffered`` for what it cannot be
        told, ``DidNotStart``."""
        registry = DrayageRegistry(self.path, settings, workdir)
        registry.start()
        return registry


class DrayageRegistry(OwnProcess, ForeignRegistry):
    """A process that serves."""

    where = "drayage"

    def __init__(self, program: Path, settings: Settings, workdir: Path) -> None:
        super().__init__(settings, workdir)
        self._program = program

    def _begin(self) -> tuple[str, str]:
        refuse_settings(self.where, self.settings, _KNOWN)
        upstream = self.settings.upstream_url
        if upstream is None:
            raise NotOffered("drayage is a cache alone: nothing can be pushed to it")
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._try_to_begin(upstream, free_port())
            except DidNotStart as failure:
                if _TAKEN not in failure.message or attempt == _ATTEMPTS:
                    raise
        raise AssertionError

    def _try_to_begin(self, upstream: str, port: int) -> tuple[str, str]:
        config = self.workdir / "config.toml"
        config.write_text(self._config(upstream, port))
        as_json = ["--log-json"] if self.settings.log_formatter == "json" else []
        # It tells that it listens at level info.
        level = {"error": "info", "warn": "info"}.get(
            self.settings.log_level, self.settings.log_level
        )
        self._process = Process(
            [self._program, "serve", "--config", config, *as_json],
            environment=clean_environment({"RUST_LOG": level, "NO_COLOR": "1"}),
            directory=self.workdir,
        )
        if self._process.await_output(_LISTENING, timeout=_START_TIMEOUT) is None:
            exit_code = self._process.wait(1.0)
            said = redact_text(self._process.output(), self.settings.secrets())
            self._end_at_once()
            raise DidNotStart(self.where, exit_code, said)
        return f"http://127.0.0.1:{port}", NOWHERE

    def _config(self, upstream: str, port: int) -> str:
        cache = self.workdir / "cache"
        cache.mkdir(exist_ok=True)
        values: dict[str, str] = {"listen": f"127.0.0.1:{port}", "cache_dir": str(cache)}
        # docker_io is the upstream of names that say no registry.
        source = {"registry": upstream}
        if self.settings.upstream_login is not None:
            source["username"], source["password"] = self.settings.upstream_login
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        lines += ["[upstreams.docker_io]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in source.items()]
        return "\n".join(lines) + "\n"
