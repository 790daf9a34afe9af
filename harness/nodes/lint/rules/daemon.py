"""daemon.json: what keeps dockerd from starting, and mirrors that it does not use.

Keys: https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file, of dockerd 20.10 to
29, Linux and Windows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import Edit, RenameKey, SetValue, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import host_of
from harness.nodes.lint.rule import Hit, RuleContext, Rules, misspelt

__all__ = ["rules"]

rules = Rules(Kind.DAEMON)

_NAMES = """
allow-direct-routing allow-nondistributable-artifacts api-cors-header authorization-plugins bip
bip6 bridge bridge-accept-fwmark builder cdi-spec-dirs cgroup-parent cluster-advertise
cluster-store cluster-store-opts containerd containerd-namespace containerd-plugin-namespace
containerd-plugins-namespace cpu-rt-period cpu-rt-runtime data-root debug default-address-pools
default-cgroupns-mode default-gateway default-gateway-v6 default-ipc-mode default-network-opts
default-runtime default-shm-size default-ulimits disable-legacy-registry dns dns-opts dns-search
exec-opts exec-root experimental features firewall-backend fixed-cidr fixed-cidr-v6 graph group
host-gateway-ip host-gateway-ips hosts http-proxy https-proxy icc init init-path
insecure-registries ip ip-forward ip-forward-no-drop ip-masq ip6tables iptables ipv6 labels
live-restore log-driver log-format log-level log-opts max-concurrent-downloads
max-concurrent-uploads max-download-attempts metrics-addr min-api-version mtu
network-control-plane-mtu network-diagnostic-port no-new-privileges no-proxy
node-generic-resources oom-score-adjust pidfile proxies raw-logs registry-mirrors rootless
runtimes seccomp-profile selinux-enabled shutdown-timeout storage-driver storage-opts
swarm-default-advertise-addr swarm-raft-election-tick swarm-raft-heartbeat-tick tls tlscacert
tlscert tlskey tlsverify userland-proxy userland-proxy-path userns-remap validate
"""
_KEYS = frozenset(_NAMES.split())

_FLAGS: Mapping[str, str] = {
    key.replace("registries", "registry").removesuffix("s"): key
    for key in (
        *("authorization-plugins", "default-address-pools", "default-network-opts"),
        *("default-ulimits", "dns-opts", "exec-opts", "hosts", "insecure-registries", "labels"),
        *("log-opts", "node-generic-resources", "registry-mirrors", "storage-opts"),
    )
}
"""Names of flags to their keys: dockerd accepts them as keys, and reads nothing."""

_MIRRORS, _INSECURE = "registry-mirrors", "insecure-registries"
_LISTS = (_MIRRORS, _INSECURE, "hosts", "labels")
_MOST_ITEMS = 100  # items of a list that an edit rewrites
_HUB = {"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}


def _texts(file: TreeFile, key: str) -> list[Node]:
    node = file.roots[0].get(key) if file.roots else None
    return [item for item in node.list() if item.kind == "str"] if node is not None else []


def _rewritten(nodes: list[Node], key: str, item: Node, text: str | None) -> tuple[Edit, ...]:
    """The edit that replaces *item* with *text*, or removes it; none if *text* is already in the
    list."""
    texts = [text if node.path == item.path else node.text for node in nodes[: _MOST_ITEMS + 1]]
    if len(texts) > _MOST_ITEMS or (text is not None and texts.count(text) > 1):
        return ()
    return (SetValue((key,), tuple(each for each in texts if each is not None)),)


def _bad_url(item: Node) -> str:
    scheme, mark, rest = item.text.partition("://")
    if not mark:
        return f"{quoted(item.text)} has no scheme"
    if scheme not in {"http", "https"}:
        return f"unsupported scheme {quoted(scheme)}"
    return f"{quoted(item.text)} has a query or a fragment" if re.search("[?#]", rest) else ""


def _with_path(item: Node) -> str:
    path = item.text.partition("://")[2].partition("/")[2]
    has_path = path.strip("/") and not re.search("[?#]", item.text)
    return f"{quoted(item.text)} has the path {quoted('/' + path)}" if has_path else ""


def _with_user(item: Node) -> str:
    authority = item.text.partition("://")[2].partition("/")[0]
    return f"the URL of {quoted(host_of(item.text))} has a username" if "@" in authority else ""


def _check_mirrors(
    find: Callable[[Node], str], file: TreeFile, context: RuleContext
) -> Iterator[Hit]:
    for item in _texts(file, _MIRRORS):
        if what := find(item):
            yield Hit(item.spot, what)


for _id, _find in (("PPD001", _bad_url), ("PPD002", _with_path), ("PPD003", _with_user)):
    rules(_id)(partial(_check_mirrors, _find))


@rules("PPD004")
def no_mirror_of_hub(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
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
    from harness.nodes.lint.containers import compose_containers
    from harness.nodes.lint.project import image_at

    files = context.project.of_kind(Kind.COMPOSE, TreeFile)
    found = (
        image_at(file, c.image) for file in files for c in compose_containers(file, context.project)
    )
    return context.cluster.image_registries | {image.registry for image in found if image}


@rules("PPD005", fixable=True)
def duplicates(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for key in (_MIRRORS, _INSECURE):
        seen: set[str] = set()
        texts = _texts(file, key)
        for item in texts:
            text = item.text.rstrip("/")
            if text in seen:
                what = f"duplicate {quoted(text)} in {key}"
                yield Hit(item.spot, what, edits=_rewritten(texts, key, item, None))
            seen.add(text)


@rules("PPD006")
def insecure_mirror(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    insecure = {item.text: item for item in _texts(file, _INSECURE)}
    for item in _texts(file, _MIRRORS):
        host = host_of(item.text)
        if item.text.startswith("https://") and host in insecure:
            yield Hit(insecure[host].spot, f"certificates of {quoted(host)} are not checked")


@rules("PPD007")
def not_insecure(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    from harness.nodes.models.dockerd import DaemonConfig

    insecure = {item.text for item in _texts(file, _INSECURE)}
    networks = sorted(text for text in insecure if "/" in text)[:_MOST_ITEMS]
    config = DaemonConfig(insecure=tuple(networks))
    for item in _texts(file, _MIRRORS):
        host = host_of(item.text)
        plain = item.text.startswith("http://") and host not in insecure
        if plain and host and not config.is_insecure(host):
            yield Hit(item.spot, f"{quoted(host)} is not in {_INSECURE}", f"add {host}")


@rules("PPD008", fixable=True)
def insecure_url(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    texts = _texts(file, _INSECURE)
    for item in texts:
        if "/" in item.text and not _is_network(item.text):
            host = host_of(item.text)
            edits = _rewritten(texts, _INSECURE, item, host)
            yield Hit(item.spot, f"{quoted(item.text)} is not a host", f"write {host}", edits)


def _is_network(text: str) -> bool:
    from ipaddress import ip_network

    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


@rules("PPD009", fixable=True)
def unknown_key(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for root in file.roots:
        present = {key for key, _ in root.items()}
        for key, node in root.items():
            if key not in _KEYS and key not in _FLAGS:
                yield misspelt(
                    node.spot, "unknown key", key, _KEYS, rename=node.path, present=present
                )


@rules("PPD012", fixable=True)
def flag_for_key(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for root in file.roots:
        for key, node in root.items():
            meant = _FLAGS.get(key)
            if meant is None:
                continue
            edits: tuple[Edit, ...] = ()
            if root.get(meant) is None and meant in _LISTS:
                edits = (RenameKey(node.path, meant),)
                if node.kind == "str":
                    edits = (SetValue(node.path, (node.text,)), *edits)
            yield Hit(node.spot, f"{key} is the name of a flag", f"write {meant}", edits)


@rules("PPD010", fixable=True)
def wrong_type(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
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


@rules("PPD011")
def repeated_key(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    from harness.nodes.lint.documents import spot_of

    for root in file.roots:
        for repeat in getattr(root.entry.value, "repeats", ()):
            yield Hit(spot_of(repeat.place), f"duplicate key {quoted(repeat.key)}")
