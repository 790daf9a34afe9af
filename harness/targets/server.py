"""What runs behind a registry under test: a process, a container, or a server in this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from harness.targets.errors import NotOffered
from harness.targets.readings import FILE_NAME, GcRun
from harness.targets.settings import HTPASSWD, Settings, config_text, htpasswd_text, render

__all__ = ["NOWHERE", "Addresses", "During", "Files", "Server"]

NOWHERE = "http://127.0.0.1:0"
"""The URL of a listener that does not exist (yet)."""

During = Literal["marking", "deleting"]
"""A phase of garbage collection."""


@dataclass(frozen=True)
class Files:
    """The settings of one registry and the files made from them, below its working directory."""

    settings: Settings
    workdir: Path

    @property
    def root(self) -> Path:
        """The storage directory."""
        return self.settings.root or self.workdir / "storage"

    @property
    def config(self) -> Path:
        return self.workdir / "config.yml"

    @property
    def state(self) -> Path:
        return self.root / FILE_NAME

    def write_htpasswd(self) -> None:
        """Create the working directory, and the password file if the settings name users."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        if self.settings.htpasswd is not None:
            (self.workdir / HTPASSWD).write_text(htpasswd_text(self.settings.htpasswd))

    def write_config(self, addr: str, debug_addr: str, redis_key: Literal["addr", "addrs"]) -> None:
        """Write the configuration of a registry that listens on *addr* and *debug_addr*."""
        places = {"root": self.root, "htpasswd": self.workdir / HTPASSWD}
        document = render(
            self.settings, **places, addr=addr, debug_addr=debug_addr, redis_key=redis_key
        )
        self.config.write_text(config_text(document))


class Addresses(NamedTuple):
    """``http://127.0.0.1:PORT`` of the API and of the debug listener."""

    url: str
    debug_url: str = NOWHERE


class Server(ABC):
    """Starts, ends and describes what serves. It never calls the registry that owns it."""

    exit_code: int | None = None
    """Of the process that ended last (negative: the signal that ended it), or None."""

    @property
    def pid(self) -> int | None:
        """The process that serves; None if nothing runs or it has no process of its own."""
        return None

    @abstractmethod
    def start(self, files: Files) -> Addresses:
        """Write the configuration, start, and return once it listens. Raises ``DidNotStart``."""

    @abstractmethod
    def stop(self) -> None:
        """End it in order (SIGTERM). Does nothing if it does not run."""

    @abstractmethod
    def kill(self) -> None:
        """End it as a crash does (SIGKILL). Does nothing if it does not run."""

    @abstractmethod
    def output(self) -> str:
        """Everything it has written, earlier runs included."""

    def collect(self, files: Files, *, dry_run: bool, delete_untagged: bool, online: bool) -> GcRun:
        """Run ``garbage-collect``; *online* with the flags for a registry that serves."""
        raise NotOffered("this target has no garbage-collect command that could be run")

    def kill_collection(self, files: Files, during: During, *, gently: bool) -> None:
        """Start a collection and kill it in the middle of *during*."""
        raise NotOffered("only a garbage collection in a process of its own can be killed")
