"""A real redis on a free port of loopback, which persists nothing."""

from __future__ import annotations

from pathlib import Path

import redis

from harness.system.ports import free_port
from harness.system.process import Process
from harness.system.real_parts import real_part, start_part

Keys = dict[str, dict[str, str] | set[str]]


class RedisServer:
    """``redis-server`` in *directory*; *options* are added to its command line. After a restart it
    listens on the same port and is empty."""

    def __init__(self, directory: Path, *options: str, tls: bool = False) -> None:
        self._directory = directory
        self._options = options
        self._tls = tls
        self._process: Process | None = None
        self.port = free_port()

    @property
    def address(self) -> str:
        """``host:port``, as a registry's configuration names it."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it. Skips the test if redis-server is not installed."""
        ports = {"--port": 0, "--tls-port": self.port} if self._tls else {"--port": self.port}
        command: list[str | Path] = [
            real_part("redis-server"),
            *(str(word) for pair in ports.items() for word in pair),
            *("--bind", "127.0.0.1", "--dir", self._directory),
            *("--save", "", "--appendonly", "no"),
            *self._options,
        ]
        self._process = start_part("redis-server", command, "Ready to accept connections")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()

    def client(self, db: int = 0) -> redis.Redis:
        """A new connection."""
        return redis.Redis(port=self.port, db=db, protocol=2, decode_responses=True)

    def keys(self, db: int = 0) -> Keys:
        """Everything that is stored. ``ValueError`` for a key that expires."""
        found: Keys = {}
        with self.client(db) as client:
            for key in client.keys("*"):
                if client.type(key) == "hash":
                    found[key] = dict(client.hgetall(key))
                else:
                    found[key] = set(client.smembers(key))
                if client.ttl(key) != -1:
                    raise ValueError(f"{key} expires")
        return found
