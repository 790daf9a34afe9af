"""daemon.json: what keeps dockerd from starting, and mirrors that it does not use.

Keys: https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file, of dockerd 20.10 to
29, Linux and Windows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network

from harness.nodes.lint.containers import compose_containers
from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import Edit, Hit, KeyEdit, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import host_of, image_at
from harness.nodes.lint.rule import RuleContext, Rules, misspelt

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

_LIST_NAMES = """
authorization-plugins default-address-pools default-network-opts default-ulimits dns-opts exec-opts
hosts insecure-registries labels log-opts node-generic-resources registry-mirrors storage-opts
"""
_FLAGS: Mapping[str, str] = {
    key.replace("registries", "registry").removesuffix("s"): key for key in _LIST_NAMES.split()
}
"""Names of flags to their keys: dockerd accepts them as keys, and reads nothing."""

_MIRRORS, _INSECURE = "registry-mirrors", "insecure-registries"
_LISTS = (_MIRRORS, _INSECURE, "hosts", "labels")
_MOST_ITEMS = 100  # items of a list that an edit rewrites
_HUB = {"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}


def _texts(file: TreeFile, key: str) -> list[Node]:
    return [item for item in file.roots[0].list(key) if item.kind == "str"] if file.roots else []


def _rewritten(nodes: list[Node], key: str, item: Node, text: str | None) -> list[Edit]:
    """The edit that replaces *item* with *text*, or removes it; none if *text* is already in the
    list."""
    texts = [text if node.path == item.path else node.text for node in nodes[: _MOST_ITEMS + 1]]
    if len(texts) > _MOST_ITEMS or (text is not None and texts.count(text) > 1):
        return []
    return [KeyEdit("set", (key,), tuple(each for each in texts if each is not None))]


@rules("PPD001", "PPD002", "PPD003", "PPD004", "PPD006", "PPD007")
def mirrors(file: TreeFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    from harness.nodes.models.dockerd import DaemonConfig

    insecure = {item.text: item for item in _texts(file, _INSECURE)}
    networks = sorted(text for text in insecure if "/" in text)[:_MOST_ITEMS]
    config = DaemonConfig(insecure=tuple(networks))
    for item in _texts(file, _MIRRORS):
        host, text = host_of(item.text), quoted(item.text)
        scheme, mark, rest = item.text.partition("://")
        authority, _, path = rest.partition("/")
        odd = re.search("[?#]", rest)
        if not mark:
            yield "PPD001", item.hit(f"{text} has no scheme")
        elif scheme not in {"http", "https"}:
            yield "PPD001", item.hit(f"unsupported scheme {quoted(scheme)}")
        elif odd:
            yield "PPD001", item.hit(f"{text} has a query or a fragment")
        if path.strip("/") and not odd:
            yield "PPD002", item.hit(f"{text} has the path {quoted('/' + path)}")
        if "@" in authority:
            yield "PPD003", item.hit(f"the URL of {quoted(host)} has a username")
        fronted = context.project.mirrored.get(host, frozenset()) - {host, "_default"}
        if host in _HUB:
            yield "PPD004", item.hit(f"{quoted(host)} is Docker Hub itself", fix="leave it out")
        elif fronted and "docker.io" not in fronted:
            what = f"{quoted(host)} is a mirror of {quoted(min(fronted))}"
            yield "PPD004", item.hit(what)
        elif host in _used(context):
            what = f"{quoted(host)} is the registry of images in these files"
            yield "PPD004", item.hit(what)
        if scheme == "https" and mark and host in insecure:
            what = f"certificates of {quoted(host)} are not checked"
            yield "PPD006", insecure[host].hit(what)
        plain = scheme == "http" and mark and host not in insecure
        if plain and host and not config.is_insecure(host):
            yield "PPD007", item.hit(f"{quoted(host)} is not in {_INSECURE}", fix=f"add {host}")


def _used(context: RuleContext) -> frozenset[str]:
    """The registries of the images in Kubernetes manifests and compose files."""
    project = context.project

    def found() -> frozenset[str]:
        files = project.of_kind(Kind.COMPOSE, TreeFile)
        services = (c for file in files for c in project.once_each(compose_containers, file))
        images = (image_at(service.image) for service in services)
        return context.cluster.image_registries | {image.registry for image in images if image}

    return project.once("used registries", found)


@rules("PPD005", "PPD008")
def lists(file: TreeFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    for key in (_MIRRORS, _INSECURE):
        seen: set[str] = set()
        texts = _texts(file, key)
        for item in texts:
            text = item.text.rstrip("/")
            if text in seen:
                what = f"duplicate {quoted(text)} in {key}"
                yield "PPD005", item.hit(what, *_rewritten(texts, key, item, None))
            seen.add(text)
            if key == _INSECURE and "/" in item.text and not _is_network(item.text):
                host, what = host_of(item.text), f"{quoted(item.text)} is not a host"
                edits = _rewritten(texts, key, item, host)
                yield "PPD008", item.hit(what, *edits, fix=f"write {host}")


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


@rules("PPD009", "PPD010", "PPD011", "PPD012")
def keys(file: TreeFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    for root in file.roots:
        if root.kind != "mapping":
            yield "PPD010", root.hit("the file must contain one object")
        for key, spot in root.repeated_keys():
            yield "PPD011", Hit(spot, f"duplicate key {quoted(key)}")
        present = {key for key, _ in root.items()}
        for key, node in root.items():
            meant = _FLAGS.get(key)
            if meant is not None:
                edits: list[Edit] = []
                if root.get(meant) is None and meant in _LISTS:
                    edits = [KeyEdit("set", node.path, (node.text,))] if node.kind == "str" else []
                    edits += [KeyEdit("rename", node.path, meant)]
                what = f"{key} is the name of a flag"
                yield "PPD012", node.hit(what, *edits, fix=f"write {meant}")
            elif key not in _KEYS:
                where, what = node.path, "unknown key"
                hit = misspelt(node.spot, what, key, _KEYS, rename=where, present=present)
                yield "PPD009", hit
            elif key in (_MIRRORS, _INSECURE) and node.kind != "null":
                if node.kind != "sequence":
                    edits = [KeyEdit("set", node.path, (node.text,))] if node.kind == "str" else []
                    yield "PPD010", node.hit(f"{key} is not a list", *edits)
                for item in node.list():
                    if item.kind != "str":
                        what = f"an item of {key} is not a string"
                        yield "PPD010", item.hit(what, fix="quote it")
