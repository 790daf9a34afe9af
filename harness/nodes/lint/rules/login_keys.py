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
    """A login for the mirror instead of the images' registry.

    why: kubelet compares the names of images with the keys of the secret, before containerd chooses
        a mirror: this login is never used. The one for the images' registry is sent to whichever
        host asks for it, the mirror too
    fix: call the entry after the registry in the images' names, with the login that the mirror
        wants
    source: https://kubernetes.io/docs/concepts/containers/images/#config-json; measured on
        containerd 1.6.20 to 2.3.4
    """
    for judged in judged_in(file, context):
        for entry in judged.unmatched:
            registry = judged.mirror_of(entry)
            if registry:
                # No edit: whether the mirror's login is right for the registry, only people know.
                what = f"{quoted(entry.key)} is the mirror; images are of {quoted(registry)}"
                yield Hit(entry.spot, what, f"call the entry {registry}")


@rules("PPS002", "error", fixable=True)
def port_differs(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """A login without the port of the images, or with another.

    why: the port must be the same as in the image's name; without one is not the same as 443
    fix: write the registry as the images do
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
    """A login for Docker Hub under a name that no image has.

    why: images of Docker Hub are of docker.io to kubelet, and https://index.docker.io/v1/ is what
        it tries for them besides; docker knows this name only
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
    """A login under a name that nothing can match.

    why: an entry is called HOST, HOST:PORT or HOST:PORT/PATH, where PATH is the beginning of a
        repository's name; a URL may end in /v1/ or /v2/ with the slash, and then nothing else
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
        return "it has blanks"
    rest = key.removeprefix("https://").removeprefix("http://")
    if "://" in rest:
        return "only http:// and https:// are taken off"
    if "@" in rest.partition("/")[0]:
        return "a user stands in it"
    host, _, path = rest.partition("/")
    if path in {"v1", "v2"}:
        return f"/{path} is taken for a repository without a slash behind it"
    if path.startswith(("v1/", "v2/")) and len(path) > 3:
        return ""
    last = posixpath.basename(path)
    if ":" in last or "@" in last:
        return "it has a tag or a digest, and is compared with repositories"
    return "registries are in small letters" if host != host.lower() and "*" not in host else ""


@rules("PPS005", "error")
def pattern(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """A pattern that matches no image.

    why: each * stands for something within one part of the host's name, between its dots:
        *.example.com is not a.b.example.com and not example.com, and * alone is no registry at all;
        the port is compared too
    fix: write as many parts as the registry's name has
    source: https://kubernetes.io/docs/concepts/containers/images/#config-json
    """
    for judged in judged_in(file, context):
        for entry in judged.unmatched:
            host = hostname(host_in(entry.key))
            if "*" in host and (judged.images or host == "*"):
                yield Hit(entry.spot, f"{quoted(entry.key)} matches no image here")


@rules("PPS006", "warning")
def other_registries(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Logins for other registries only.

    why: none of them is tried for an image that is named here, so that all are pulled anonymously
    fix: add an entry for the registry in the images' names
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
            yield Hit(entries[0].spot, f"images here are of {registries}")


@rules("PPS007", "warning", fixable=True, kinds=(Kind.LOGINS,))
def unknown_to_docker(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """A login for Docker Hub that docker does not find.

    why: docker looks for Docker Hub's login under https://index.docker.io/v1/ and nothing else; it
        pulls anonymously, and soon meets the limit for that
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
                yield Hit(entry.spot, f"{quoted(entry.key)} is not looked up by docker",
                          edits=edits)  # fmt: skip


@rules("PPS008", "info")
def several(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Two secrets of a pod for the same registry.

    why: each is tried with a whole pull, in the order of imagePullSecrets where the names are the
        same and else by name, longest path first: the wrong one in front costs time, and its error
        is shown besides
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
                what = f"{quoted(name)} has a login for a registry of {quoted(first)} too"
                yield Hit(node.spot, what)
