"""``container:IMAGE``: a registry in a container: ``registry:2``, ``registry:3``, or any image that
is called like them (``IMAGE serve CONFIG``, ``IMAGE garbage-collect CONFIG``, ``IMAGE --version``).

Nothing is ever pulled: what is tested should be what somebody chose, and a run without the internet
should say so at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from harness.system.needs import Need
from harness.targets.container_registry import ContainerRegistry, Image
from harness.targets.docker_daemon import Daemon
from harness.targets.errors import DidNotStart, TargetError
from harness.targets.identity import Identified, Identity, identify
from harness.targets.settings import Settings

__all__ = ["ContainerTarget"]

_DEBIAN = "+ds"


@dataclass(frozen=True)
class ContainerTarget(Identified):
    """``container:IMAGE``; the image is on the daemon that ``DOCKER_HOST`` or the default socket
    leads to."""

    image: Image
    identity: Identity
    known_as: str
    network: Literal["host", "published"] = "host"

    @classmethod
    def find(cls, image: str, network: Literal["host", "published"] = "host") -> ContainerTarget:
        """The target behind ``container:``*image*, asked for its version. ``TargetError`` where no
        daemon answers, the image is not there, or it is no registry."""
        where = f"container:{image}"
        daemon = Daemon.reach(where)
        found = Image(image, daemon.has_entry_point(where, image))
        code, out, err = daemon.run_once(where, image, found.words("--version"), network="none")
        said = (out + err).strip().partition("\n")[0]
        if code != 0:
            raise TargetError(
                f"{where}: --version ended with {code}, saying {said!r}; is it a registry?"
            )
        # What Debian built differs from the release as its program does, in a container or not.
        known_as = "docker-registry" if _DEBIAN in said else image
        return cls(found, identify(where, said), known_as, network)

    @property
    def name(self) -> str:
        """The image's."""
        return self.image.name

    @property
    def capabilities(self) -> frozenset[Need]:
        """All but being attacked as a process; the ``x-`` keys are ours alone."""
        lacks = {Need.PROCESS}
        if self.implementation != "pullproof":
            lacks.add(Need.X_KEYS)
        return frozenset(Need) - lacks

    def check(self) -> None:
        """Remove what a killed run left, and launch it once with nothing special; ``TargetError``
        where that fails."""
        Daemon.reach(f"container:{self.name}").remove_orphans()
        with TemporaryDirectory(prefix="pullproof-") as workdir:
            try:
                self.launch(Settings(), Path(workdir) / "registry").stop()
            except DidNotStart as failure:
                raise TargetError(
                    f"{failure}; the image must start with `serve` and a plain configuration"
                ) from failure

    def launch(self, settings: Settings, workdir: Path) -> ContainerRegistry:
        """A registry of this image that listens, its files under *workdir*. ``DidNotStart``, or
        ``NotOffered`` for a cache behind published ports."""
        registry = ContainerRegistry(self.image, self.identity, self.network, settings, workdir)
        registry.start()
        return registry
