"""``zot``: https://zotregistry.dev, where the program is on the search path. **Not run here**: made
from its documentation (zotregistry.dev: Configuring zot, OCI Registry Mirroring) and the examples
and commands of its repository (project-zot/zot, ``examples/``), of 2.0 to 2.1.

It is a registry of its own that pulls through where its extension ``sync`` says ``onDemand``, for
names that it does not have. What a scenario does not set stays at zot's defaults.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from harness.system.needs import Need
from harness.system.process import Process, clean_environment
from harness.targets.peer import PeerRegistry, PeerTarget
from harness.targets.process_registry import opens
from harness.targets.settings import HTPASSWD

__all__ = ["ZotTarget"]

_COMMIT = re.compile(r'"commit":"([^"]*?)(?:-\d+-g[0-9a-f]+[^"]*)?"')
"""``--version`` is a line of its log, with the release as what git describes: v2.1.2-0-gdeadbee."""


class ZotRegistry(PeerRegistry):
    """A process that serves. Manifests can be deleted without anything being set."""

    where = "zot"
    known = frozenset(
        {"upstream_url", "upstream_login", "htpasswd", "log_level", "log_formatter"}
        | {"delete_enabled"}
    )

    def _launch(self, port: int) -> Process:
        config = self.workdir / "config.json"
        config.write_text(json.dumps(self._config(port), indent=1))
        return Process(
            [self._program, "serve", config],
            environment=clean_environment(),
            directory=self.workdir,
        )

    def _listens(self, process: Process, port: int) -> bool:
        return opens(port, process)

    def _config(self, port: int) -> dict[str, Any]:
        http: dict[str, Any] = {"address": "127.0.0.1", "port": str(port)}
        if self.settings.htpasswd is not None:
            http["auth"] = {"htpasswd": {"path": str(self.workdir / HTPASSWD)}}
        config: dict[str, Any] = {
            "distSpecVersion": "1.1.0",
            "storage": {"rootDirectory": str(self.workdir / "zot")},
            "http": http,
            "log": {"level": self.settings.log_level},
        }
        if self.settings.upstream_url is not None:
            config["extensions"] = {"sync": self._sync(self.settings.upstream_url)}
        return config

    def _sync(self, upstream: str) -> dict[str, Any]:
        sync: dict[str, Any] = {
            "enable": True,
            "registries": [{"urls": [upstream], "onDemand": True, "tlsVerify": False}],
        }
        if self.settings.upstream_login is not None:
            username, password = self.settings.upstream_login
            logins = self.workdir / "credentials.json"
            host = urlsplit(upstream).netloc
            logins.write_text(json.dumps({host: {"username": username, "password": password}}))
            sync["credentialsFile"] = str(logins)
        return sync


class ZotTarget(PeerTarget):
    """The program."""

    kind = "zot"
    fix = "put the program zot (https://zotregistry.dev) on the search path"
    offers = frozenset(
        {Need.CONFIG, Need.RESTART, Need.LOGS, Need.TAG_LISTS, Need.CATALOG, Need.REFERRERS}
    )
    registry = ZotRegistry

    @staticmethod
    def version_in(said: str) -> str:
        """The line names the specification's version and Go's as well."""
        commit = _COMMIT.search(said)
        return commit[1] if commit else ""
