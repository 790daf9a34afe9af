"""Logins: which images an entry is for. kubelet decides by the image's name alone."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from harness.nodes.lint.documents import TreeFile
from harness.nodes.lint.finding import RenameKey, quoted
from harness.nodes.lint.judged_logins import host_in, hostname, judged_in
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.logins import logins_in
from harness.nodes.lint.rule import Hit, RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.LOGINS, Kind.KUBERNETES)

_DOCS = "https://kubernetes.io/docs/concepts/containers/images/#config-json"
_KEYRING = "Kubernetes pkg/credentialprovider/keyring.go"
_HUB_KEY = "https://index.docker.io/v1/"
_NEVER_HUB = {
    "registry-1.docker.io",
    "registry.hub.docker.com",
    "hub.docker.com",
    "registry.docker.io",
    "registry.docker.com",
    "docker.com",
    "auth.docker.io",
    "www.docker.io",
}
"""Hosts of Docker's that are in no image's name, which is all that kubelet compares with."""


@rules("PPS001", "error")
def for_the_mirror(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Login for the mirror instead of the registry.

    why: kubelet compares image names with the keys of the secret, before containerd selects a
        mirror: this login is never used. Any host that asks, including the mirror, gets the login
        for the registry of the image
    fix: name the entry after the registry in the image names, with the login for the mirror
    source: https://kubernetes.io/docs/concepts/containers/images/#config-json; measured on
        containerd 1.6.20 to 2.3.4
    """
    for judged in judged_in(file, context):
        for entry in judged.unmatched:
            registry = judged.mirror_of(entry)
            if registry:
                # No edit: whether the mirror's login is right for the registry, only people know.
                what = f"{quoted(entry.key)} is the mirror; images are of {quoted(registry)}"
                yield Hit(entry.spot, what, f"name the entry {registry}")


@rules("PPS002", "error", fixable=True)
def port_differs(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Login with a port that images do not have, or without the one they have.

    why: the port must be the same as in the image name; no port is not the same as 443
    fix: write the registry as in the image names
    source: https://kubernetes.io/docs/concepts/containers/images/#config-json; Kubernetes
        pkg/credentialprovider/keyring.go
    """
    for judged in judged_in(file, context):
        for entry in judged.unmatched:
            registry = judged.port_differs(entry)
            if registry and not judged.mirror_of(entry):
                edits = entry.edits(RenameKey(entry.node.path, registry))
                what = f"{quoted(entry.key)} does not match images of {quoted(registry)}"
                yield Hit(entry.spot, what, f"write {registry}", edits)


@rules("PPS003", "error", fixable=True)
def hub_under_another_name(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Login for Docker Hub under a name that no image has.

    why: for kubelet, images of Docker Hub are docker.io, and it also tries
        https://index.docker.io/v1/; docker uses only that name
    fix: write https://index.docker.io/v1/
    source: Kubernetes pkg/credentialprovider/keyring.go; docker/cli cli/command/registry.go
    """
    for logins in logins_in(file, context):
        for entry in logins.all:
            if host_in(entry.key).lower() in _NEVER_HUB:
                edits = entry.edits(RenameKey(entry.node.path, _HUB_KEY))
                yield Hit(entry.spot, f"{quoted(entry.key)} is never looked up", edits=edits)


@rules("PPS004", "error", fixable=True)
def impossible(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Login under a name that nothing can match.

    why: an entry is named HOST, HOST:PORT or HOST:PORT/PATH, where PATH is the beginning of a
        repository name; a URL may end in /v1/ or /v2/ with the slash, and in nothing else
    fix: write HOST:PORT, or HOST:PORT/REPOSITORY
    source: https://kubernetes.io/docs/concepts/containers/images/#config-json; Kubernetes
        pkg/credentialprovider/keyring.go
    """
    for logins in logins_in(file, context):
        keys = {entry.key for entry in logins.all}
        for entry in logins.all:
            why = _why_impossible(entry.key)
            if why:
                host = host_in(entry.key.strip())
                clean = host and " " not in host and host not in keys
                edits = entry.edits(RenameKey(entry.node.path, host)) if clean else ()
                yield Hit(entry.spot, f"{quoted(entry.key)}: {why}", edits=edits)


def _why_impossible(key: str) -> str:
    if not key.strip() or key != key.strip() or any(c.isspace() for c in key):
        return "it contains spaces"
    rest = key.removeprefix("https://").removeprefix("http://")
    if "://" in rest:
        return "only http:// and https:// are removed"
    if "@" in rest.partition("/")[0]:
        return "it contains a username"
    host, _, path = rest.partition("/")
    if path in {"v1", "v2"}:
        return f"without a trailing slash, /{path} is taken as a repository"
    if path.startswith(("v1/", "v2/")) and len(path) > 3:
        return ""
    last = posixpath.basename(path)
    if ":" in last or "@" in last:
        return "it has a tag or a digest, and repositories have none"
    return "registry names are in lower case" if host != host.lower() and "*" not in host else ""


@rules("PPS005", "error")
def pattern(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Pattern that matches no image.

    why: a * matches within one label of the host name: *.example.com matches neither
        a.b.example.com nor example.com, and * alone matches no registry; the port is compared too
    fix: write as many labels as the registry name has
    source: https://kubernetes.io/docs/concepts/containers/images/#config-json
    """
    for judged in judged_in(file, context):
        for entry in judged.unmatched:
            host = hostname(host_in(entry.key))
            if "*" in host and (judged.images or host == "*"):
                yield Hit(entry.spot, f"{quoted(entry.key)} matches no image in these files")


@rules("PPS006", "warning")
def other_registries(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Logins for other registries only.

    why: kubelet tries none of them for the images in these files, so all pulls are anonymous
    fix: add an entry for the registry in the image names
    source: https://kubernetes.io/docs/concepts/containers/images/#config-json
    """
    for judged in judged_in(file, context):
        entries = judged.logins.all
        if not entries or not judged.images or len(judged.unmatched) < len(entries):
            continue
        explained = any(
            judged.mirror_of(e)
            or judged.port_differs(e)
            or "*" in e.key
            or host_in(e.key).lower() in _NEVER_HUB
            or _why_impossible(e.key)
            for e in entries
        )
        if not explained:
            registries = ", ".join(sorted(judged.registries)[:3])
            yield Hit(entries[0].spot, f"the images in these files are of {registries}")


@rules("PPS007", "warning", fixable=True, kinds=(Kind.LOGINS,))
def unknown_to_docker(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Login for Docker Hub that docker does not find.

    why: docker looks for the login under https://index.docker.io/v1/ only; it pulls anonymously,
        and soon hits the rate limit
    fix: write https://index.docker.io/v1/, or run docker login
    source: docker/cli cli/config/credentials/file_store.go; registry.IndexServer of moby
    """
    docker = posixpath.basename(posixpath.dirname(file.absolute)) == ".docker"
    composes = next(context.project.of_kind(Kind.COMPOSE, TreeFile), None) is not None
    if not (docker or (composes and not context.cluster.images)):
        return
    for logins in logins_in(file, context):
        if any(entry.key == _HUB_KEY for entry in logins.all):
            continue
        for entry in logins.all:
            if host_in(entry.key) in {"docker.io", "index.docker.io"}:
                edits = entry.edits(RenameKey(entry.node.path, _HUB_KEY))
                yield Hit(entry.spot, f"docker does not look up {quoted(entry.key)}",
                          edits=edits)  # fmt: skip


@rules("PPS008", "info")
def several(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Two secrets of a pod for the same registry.

    why: kubelet tries each with a full pull: in the order of imagePullSecrets if the names are the
        same, otherwise by name, longest path first. The wrong one costs time, and its error is
        reported too
    fix: keep one login for each registry
    source: Kubernetes pkg/credentialprovider/keyring.go
    """
    if file.kind is not Kind.KUBERNETES:
        return
    cluster = context.cluster
    for pod in cluster.pods_in(file):
        seen: dict[str, str] = {}
        for name, node in pod.pull_secrets:
            first = ""
            for secret in cluster.named("Secret", name):
                for logins in logins_in(secret.file, context):
                    if logins.secret is secret and secret.may_share(pod.owner):
                        keys = {entry.key for entry in logins.all}
                        first = next((seen[key] for key in sorted(keys & seen.keys())), first)
                        seen |= dict.fromkeys(keys - seen.keys(), name)
            if first and first != name:
                what = f"{quoted(name)} and {quoted(first)} have logins for the same registry"
                yield Hit(node.spot, what)
