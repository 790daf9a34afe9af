"""A real redis on a free port of loopback, without a file of its own."""

from __future__ import annotations

import re
from pathlib import Path

import redis

from harness.system.ports import free_port
from harness.system.process import Process
from harness.system.real_parts import real_part

__all__ = ["Keys", "RedisServer"]

_READY = re.compile("Ready to accept connections")

Keys = dict[str, dict[str, str] | set[str]]


class RedisServer:
    """Its files lie in *directory*; *options* are added to its command line.

    ``start`` again after ``stop`` listens on the same port, and has forgotten everything."""

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
        """Return once it answers. Skips the test where there is no redis-server."""
        ports = {"--port": 0, "--tls-port": self.port} if self._tls else {"--port": self.port}
        self._process = Process(
            [
                real_part("redis-server"),
                *(str(word) for pair in ports.items() for word in pair),
                *("--bind", "127.0.0.1", "--dir", self._directory),
                *("--save", "", "--appendonly", "no"),
                *self._options,
            ]
        )
        if self._process.await_output(_READY, timeout=30.0) is None:
            raise RuntimeError(f"redis-server does not start:\n{self._process.output()}")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()

    def client(self, db: int = 0) -> redis.Redis:
        """A connection of our own."""
        return redis.Redis(port=self.port, db=db, protocol=2, decode_responses=True)

    def keys(self, db: int = 0) -> Keys:
        """Everything that is stored, with the time to live of a key that has one."""
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
