"""daemon.json: what keeps dockerd from starting, and mirrors that it does not use."""

from __future__ import annotations

from collections.abc import Iterator

from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import Edit, RenameKey, SetValue, nearest, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import host_of
from harness.nodes.lint.rule import Hit, RuleContext, Rules
from harness.nodes.lint.rules.daemon_keys import FLAGS, KEYS

__all__ = ["rules"]

rules = Rules(Kind.DAEMON)

_DOCS = "https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file"
_MIRROR_DOCS = "https://docs.docker.com/docker-hub/image-library/mirror/"
_VALIDATE = "moby registry/config.go (ValidateMirror)"
_MIRRORS, _INSECURE = "registry-mirrors", "insecure-registries"
_LISTS = (_MIRRORS, _INSECURE, "hosts", "labels")
_MOST_MENDED = 100  # items of a list that an edit writes anew
_HUB = {"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}


def _texts(file: TreeFile, key: str) -> list[Node]:
    node = file.roots[0].get(key) if file.roots else None
    return [item for item in node.list() if item.kind == "str"] if node is not None else []


def _without(texts: list[Node], key: str, item: Node) -> tuple[Edit, ...]:
    if len(texts) > _MOST_MENDED:
        return ()
    return (SetValue((key,), tuple(n.text for n in texts if n.path != item.path)),)


def _replaced(nodes: list[Node], key: str, item: Node, text: str) -> tuple[Edit, ...]:
    """The list with *text* in place of *item*, unless *text* stands there already."""
    if len(nodes) > _MOST_MENDED:
        return ()
    texts = [n.text if n.path != item.path else text for n in nodes]
    return (SetValue((key,), tuple(texts)),) if texts.count(text) == 1 else ()


@rules("PPD001", "error")
def no_url(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Mirror that is not an http or https URL.

    why: dockerd does not start: invalid mirror
    fix: write https://HOST:PORT or http://HOST:PORT
    source: moby registry/config.go (ValidateMirror); measured on 20.10.24
    """
    for item in _texts(file, _MIRRORS):
        scheme, mark, rest = item.text.partition("://")
        if not mark:
            yield Hit(item.spot, f"{quoted(item.text)} has no scheme")
        elif scheme not in {"http", "https"}:
            yield Hit(item.spot, f"unsupported scheme {quoted(scheme)}")
        elif "?" in rest or "#" in rest:
            yield Hit(item.spot, f"{quoted(item.text)} has a query or a fragment")


def _after_scheme(url: str) -> str:
    return url.partition("://")[2]


@rules("PPD002", "warning")
def with_path(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """A mirror with a path.

    why: before 24.0.8 and 25.0, dockerd does not start: path, query, or fragment at end of the URI.
        Later releases request PATH/v2/, which distribution's cache does not serve
    fix: give the mirror its own host or port, and no path
    source: moby#36598, moby#46594, moby#46944; measured on 20.10.24
    """
    for item in _texts(file, _MIRRORS):
        _, _, path = _after_scheme(item.text).partition("/")
        if path.strip("/") and not any(mark in item.text for mark in "?#"):
            yield Hit(item.spot, f"{quoted(item.text)} has the path {quoted('/' + path)}")


@rules("PPD003", "error")
def with_user(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Username in a mirror URL.

    why: dockerd does not start: username/password not allowed in URI. dockerd sends a mirror that
        requires authentication the login for docker.io
    fix: remove it, and use docker login
    source: moby registry/config.go (ValidateMirror); moby#30880; measured on 20.10.24
    """
    for item in _texts(file, _MIRRORS):
        authority = _after_scheme(item.text).partition("/")[0]
        if "@" in authority:
            yield Hit(item.spot, f"the URL of {quoted(host_of(item.text))} has a username")


@rules("PPD004", "warning")
def no_mirror_of_hub(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Mirror that is a registry of its own, or Docker Hub.

    why: registry-mirrors apply to Docker Hub only: dockerd asks this registry for images of Docker
        Hub, and pulls images of this registry without a mirror
    fix: name a cache of Docker Hub; for other registries use containerd or podman, or put the
        cache's name in the image name
    source: https://docs.docker.com/docker-hub/image-library/mirror/; moby#18818
    """
    used = _used(context)
    for item in _texts(file, _MIRRORS):
        host = host_of(item.text)
        fronted = context.project.mirrored.get(host, frozenset()) - {host, "_default"}
        if host in _HUB:
            yield Hit(item.spot, f"{quoted(host)} is Docker Hub itself", "leave it out")
        elif fronted and "docker.io" not in fronted:
            yield Hit(item.spot, f"{quoted(host)} is a mirror of {quoted(min(fronted))}")
        elif host in used:
            yield Hit(item.spot, f"{quoted(host)} is the registry of images in these files")


def _used(context: RuleContext) -> frozenset[str]:
    from harness.nodes.lint.containers import of_compose
    from harness.nodes.lint.project import image_at

    files = context.project.of_kind(Kind.COMPOSE, TreeFile)
    found = (image_at(file, c.image) for file in files for c in of_compose(file, context.project))
    return context.cluster.image_registries | {image.registry for image in found if image}


@rules("PPD005", "warning", fixable=True)
def twice(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Duplicate mirror.

    why: if it fails, dockerd tries it again, which doubles the time until it tries Docker Hub
    fix: keep one
    source: https://docs.docker.com/docker-hub/image-library/mirror/
    """
    for key in (_MIRRORS, _INSECURE):
        seen: set[str] = set()
        texts = _texts(file, key)
        for item in texts:
            text = item.text.rstrip("/")
            if text in seen:
                what = f"duplicate {quoted(text)} in {key}"
                yield Hit(item.spot, what, edits=_without(texts, key, item))
            seen.add(text)


@rules("PPD006", "warning")
def insecure_mirror(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Insecure https mirror.

    why: its certificate is not checked, so anyone on the network path can impersonate it
    fix: put its CA in /etc/docker/certs.d/HOST/ca.crt, and remove it from insecure-registries
    source: https://docs.docker.com/engine/security/certificates/
    """
    insecure = {item.text: item for item in _texts(file, _INSECURE)}
    for item in _texts(file, _MIRRORS):
        host = host_of(item.text)
        if item.text.startswith("https://") and host in insecure:
            yield Hit(insecure[host].spot, f"certificates of {quoted(host)} are not checked")


@rules("PPD007", "warning")
def not_insecure(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """http mirror that is not insecure.

    why: the mirror itself works over http; but for images that name it as their registry, and for
        docker push and docker login, dockerd uses https
    fix: add HOST:PORT to insecure-registries, or give the mirror a certificate
    source: https://docs.docker.com/reference/cli/dockerd/#insecure-registries
    """
    from harness.nodes.models.dockerd.endpoints import DaemonConfig

    insecure = {item.text for item in _texts(file, _INSECURE)}
    networks = sorted(text for text in insecure if "/" in text)[:_MOST_MENDED]
    config = DaemonConfig(insecure=tuple(networks))
    for item in _texts(file, _MIRRORS):
        host = host_of(item.text)
        plain = item.text.startswith("http://") and host not in insecure
        if plain and host and not config.is_insecure(host):
            yield Hit(item.spot, f"{quoted(host)} is not in {_INSECURE}", f"add {host}")


@rules("PPD008", "error", fixable=True)
def insecure_url(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """insecure-registries with a URL or a path.

    why: an item is HOST, HOST:PORT or a network such as 10.0.0.0/8. With a path, dockerd does not
        start; it removes a scheme with a warning in its log
    fix: write HOST:PORT
    source: https://docs.docker.com/reference/cli/dockerd/#insecure-registries; measured on 20.10.24
    """
    texts = _texts(file, _INSECURE)
    for item in texts:
        if "/" in item.text and not _is_network(item.text):
            host = host_of(item.text)
            edits = _replaced(texts, _INSECURE, item, host)
            yield Hit(item.spot, f"{quoted(item.text)} is not a host", f"write {host}", edits)


def _is_network(text: str) -> bool:
    from ipaddress import ip_network

    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


@rules("PPD009", "error", fixable=True)
def unknown_key(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Unknown key.

    why: dockerd does not start: the following directives don't match any configuration option
    fix: check the name in the documentation; logins belong in ~/.docker/config.json
    source: https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file; moby#22309
    """
    for root in file.roots:
        present = {key for key, _ in root.items()}
        for key, node in root.items():
            if key not in KEYS and key not in FLAGS:
                meant = nearest(key, KEYS)
                edits = (RenameKey(node.path, meant),) if meant and meant not in present else ()
                fix = f"did you mean {meant}?" if meant else ""
                yield Hit(node.spot, f"unknown key {quoted(key)}", fix, edits)


@rules("PPD012", "error", fixable=True)
def flag_for_key(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Name of a flag instead of the key.

    why: dockerd starts, because the flag exists, but does not read the value: no mirror is used
    fix: write the plural, with a list in brackets
    source: https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file; moby
        daemon/config/config.go (findConfigurationConflicts); measured on 20.10.24
    """
    for root in file.roots:
        for key, node in root.items():
            meant = FLAGS.get(key)
            if meant is None:
                continue
            edits: tuple[Edit, ...] = ()
            if root.get(meant) is None and meant in _LISTS:
                edits = (RenameKey(node.path, meant),)
                if node.kind == "str":
                    edits = (SetValue(node.path, (node.text,)), *edits)
            yield Hit(node.spot, f"{key} is the name of a flag", f"write {meant}", edits)


@rules("PPD010", "error", fixable=True)
def wrong_type(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Value of the wrong type.

    why: dockerd does not start: cannot unmarshal
    fix: write a list of strings, in brackets
    source: https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file; measured on
        20.10.24
    """
    for root in file.roots:
        if root.kind != "mapping":
            yield Hit(root.spot, "the file must contain one object")
        for key in (_MIRRORS, _INSECURE):
            node = root.get(key)
            if node is None:
                continue
            if node.kind != "sequence":
                edits = (SetValue(node.path, (node.text,)),) if node.kind == "str" else ()
                yield Hit(node.spot, f"{key} is not a list", edits=edits)
            for item in node.list():
                if item.kind != "str":
                    yield Hit(item.spot, f"an item of {key} is not a string", "quote it")


@rules("PPD011", "warning")
def repeated_key(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Duplicate key.

    why: only the last one counts
    fix: merge them
    source: RFC 8259, 4; Go's encoding/json keeps the last
    """
    from harness.nodes.lint.documents import spot_of

    for root in file.roots:
        for repeat in getattr(root.entry.value, "repeats", ()):
            yield Hit(spot_of(repeat.place), f"duplicate key {quoted(repeat.key)}")
