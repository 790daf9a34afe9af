"""Where an image may be pulled from: mirrors in file order, then the registry's location."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.nodes.models.containers.registries_conf import Mirror, RegistriesConf, RegistryEntry
from harness.nodes.models.kubelet import read_docker_config
from harness.nodes.models.network import ANONYMOUS, Login
from harness.nodes.models.reference import InvalidReference, Reference, normalised_reference


@dataclass(frozen=True)
class PullSource:
    """One source to try, with the image's name there."""

    reference: Reference
    insecure: bool
    because: str
    line: int | None = None
    """Of registries.conf, from 1."""
    is_primary: bool = False

    @property
    def host(self) -> str:
        """The host that is contacted."""
        name = self.reference.namespace
        return "registry-1.docker.io" if name == "docker.io" else name

    def __str__(self) -> str:
        return str(self.reference)


def pull_sources(image: str, config: RegistriesConf) -> tuple[PullSource, ...]:
    """The sources of *image*, a full name or a short name of Docker Hub.

    Mirrors that do not serve this kind of reference (``mirror-by-digest-only``,
    ``pull-from-mirror``) are left out. Raises ``InvalidReference``, also if a mirror's location
    makes the name invalid.
    """
    reference = normalised_reference(image)
    registry = config.registry_for(reference.name)
    if registry is None:
        return (PullSource(reference, False, "no [[registry]] matches", is_primary=True),)
    sources = [
        PullSource(
            _rewritten(reference, registry, mirror.location),
            mirror.insecure,
            f"a mirror of {registry.prefix}",
            mirror.line,
        )
        for mirror in registry.mirrors
        if _is_used(mirror, registry, by_digest=reference.digest is not None)
    ]
    because = f"the location of {registry.prefix}"
    rewritten = _rewritten(reference, registry, registry.location)
    return (
        *sources,
        PullSource(rewritten, registry.insecure, because, registry.line, is_primary=True),
    )


def _is_used(mirror: Mirror, registry: RegistryEntry, by_digest: bool) -> bool:
    if registry.mirror_by_digest_only:
        return by_digest
    return mirror.usage == "all" or by_digest == (mirror.usage == "digest-only")


def _rewritten(reference: Reference, registry: RegistryEntry, location: str) -> Reference:
    """*reference* with *location* in place of the registry's prefix."""
    if not location:
        return reference
    text = str(reference)
    covered = registry.match(text) or 0
    rewritten = location + text[covered:]
    found = normalised_reference(rewritten)
    if str(found) != rewritten:
        raise InvalidReference(f"{rewritten}: repository name must be canonical")
    return found


def long_names(name: str, config: RegistriesConf) -> tuple[str, ...]:
    """The names that podman tries for *name*: itself if it has a registry, else its alias, else one
    name for each registry of ``unqualified-search-registries``.

    skopeo takes every short name for one of Docker Hub.
    """
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return (name,)
    mark = min((i for i in (name.find("@"), name.find(":")) if i >= 0), default=len(name))
    alias = config.aliases.get(name[:mark])
    if alias:
        return (alias + name[mark:],)
    return tuple(f"{registry}/{name}" for registry in config.unqualified_search)


def login_for(logins: Mapping[str, Login], source: PullSource) -> Login:
    """The one of *logins* (by key) with the longest key that is a prefix of the source's name, by
    path parts. Credentials for the image's registry are never sent to a mirror."""
    parts = source.reference.name.split("/")
    keys = ("/".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((logins[key] for key in keys if key in logins), ANONYMOUS)


def read_auth_file(text: str) -> dict[str, Login]:
    """The logins in *text*, by key without scheme and API version; of equal keys the first counts.

    Raises ``InvalidSecret``.
    """
    return {
        _normalised(one.key): Login(one.username, one.password, f"auth.json, {one.key}")
        for one in reversed(read_docker_config(text))
    }


def _normalised(key: str) -> str:
    """Docker's keys may have a scheme and an API version, and Docker Hub has a special key."""
    for scheme in ("https://", "http://"):
        if key.startswith(scheme):
            key = key.removeprefix(scheme).partition("/")[0]
    return "docker.io" if key in {"index.docker.io", "registry-1.docker.io"} else key
