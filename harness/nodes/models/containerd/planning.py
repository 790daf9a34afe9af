"""Makes the :class:`~harness.nodes.models.containerd.plan.Plan` of a pull from configuration files.

Rules: containerd's docs/hosts.md and docs/cri/registry.md, and measurements on the releases in
:mod:`~harness.nodes.models.containerd.releases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.nodes.models.containerd.certs_d import (
    HostDirectory,
    UnusableDirectory,
    read_host_directory,
)
from harness.nodes.models.containerd.config_files import CONFIG_FILE, InvalidConfig
from harness.nodes.models.containerd.config_toml import RegistryConfig, parse_config_toml
from harness.nodes.models.containerd.endpoints import planned_endpoints
from harness.nodes.models.containerd.hosts_toml import ALL_CAPABILITIES, HostEntry
from harness.nodes.models.containerd.plan import (
    DIAL_TIMEOUT,
    HttpClient,
    Plan,
    PlannedHost,
    PullRefusal,
    PullRefused,
    not_started,
)
from harness.nodes.models.containerd.pullers import (
    CredentialSource,
    Cri,
    Ctr,
    NodeCredentials,
    Puller,
    RequestCredentials,
    SameForAll,
    Transferred,
)
from harness.nodes.models.containerd.releases import DEFAULT_RELEASE, Release, release_named
from harness.nodes.models.containerd.trust import TrustReader
from harness.nodes.models.files import FileLine, FileTree
from harness.nodes.models.go_url import is_loopback, port_of
from harness.nodes.models.network import Trust
from harness.nodes.models.reference import (
    InvalidReference,
    Reference,
    ctr_reference,
    normalised_reference,
)

__all__ = ["DEFAULT_CONFIG_PATH", "resolve_plan"]

DEFAULT_CONFIG_PATH = "/etc/containerd/certs.d"
AS_KUBELET = Cri()
"""A pull request without credentials."""


def resolve_plan(
    image: str,
    certs_d: Mapping[str, str] | None = None,
    *,
    release: str | Release = DEFAULT_RELEASE,
    config_toml: str | None = None,
    config_file: str = CONFIG_FILE,
    puller: Puller = AS_KUBELET,
    files: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of pulling *image* with these files.

    *certs_d* maps paths below /etc/containerd/certs.d to their text (a path that ends in ``/`` is
    an empty directory). *files* maps absolute paths: other directories, certificates, imports of
    *config_toml*, whose path is *config_file*. Without *config_toml* the CRI plugin has only
    ``config_path`` set, to /etc/containerd/certs.d. Raises ``UnknownRelease`` only; problems of the
    files are in the plan.
    """
    release = release_named(release) if isinstance(release, str) else release
    tree = FileTree.below(DEFAULT_CONFIG_PATH, certs_d or {}) | FileTree(files or {})
    parse = normalised_reference if isinstance(puller, Cri) else ctr_reference
    plan = Plan(release=release, puller=puller, reference=Reference("", image[:200]))
    try:
        plan = replace(plan, reference=parse(image))
    except InvalidReference as error:
        return replace(plan, refusal=_not_an_image(plan, str(error)))
    planner = _Planner(plan, tree)
    try:
        config = _registry_config(config_toml, config_file, tree, plan)
        if isinstance(puller, Ctr):
            planner.for_ctr(puller)
        else:
            planner.for_cri(puller, config)
    except PullRefused as refused:
        return replace(planner.plan, refusal=refused.refusal)
    return planner.plan


def _not_an_image(plan: Plan, reason: str) -> PullRefusal:
    shown = plan.reference.repository
    if isinstance(plan.puller, Cri):
        message = f'failed to parse image reference "{shown}": {reason}'
    else:
        message = f'failed to resolve reference "{shown}": {reason}'
    return PullRefusal(message, while_resolving=False)


def _registry_config(text: str | None, path: str, tree: FileTree, plan: Plan) -> RegistryConfig:
    """The CRI plugin's settings; ``ctr`` only needs a daemon that starts."""
    if text is None:
        return RegistryConfig(config_path=DEFAULT_CONFIG_PATH)
    try:
        return parse_config_toml(text, plan.release, tree, path)
    except InvalidConfig as error:
        if isinstance(plan.puller, Ctr) and not error.stops_containerd:
            return RegistryConfig()
        raise PullRefused(not_started(error, plan.puller)) from None


@dataclass(frozen=True)
class _Settings:
    """The settings that a puller contributes to HTTP clients."""

    credentials: CredentialSource
    default_scheme: str = ""
    default_trust: Trust | None = None
    """TLS settings for every host; None without any."""
    node_headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sent to the token servers of all hosts."""


class _Planner:
    """Completes ``plan``."""

    def __init__(self, plan: Plan, files: FileTree) -> None:
        self.plan = plan
        self._release = plan.release
        self._namespace = plan.reference.namespace
        self._files = files
        self._trust = TrustReader(files)

    def for_cri(self, puller: Cri, config: RegistryConfig) -> None:
        """The plan of a PullImage."""
        transfer = self._release.transfer_service and config.local_puller is None
        self.plan = replace(self.plan, headers=config.headers, transfer=transfer)
        if not transfer and not config.directories:
            hosts = planned_endpoints(
                self._namespace, config, puller.auth, self._release, self._trust
            )
            self.plan = replace(self.plan, hosts=hosts)
            return
        credentials: CredentialSource = NodeCredentials(config.auths)
        if puller.auth is not None:
            credentials = RequestCredentials(puller.auth)
        node = self._release.node_headers_on_token_requests and not transfer
        roots = config.directories
        if transfer:
            # The transfer service treats "A:B" as one directory name.
            roots = (config.config_path,) if config.config_path else ()
            credentials = Transferred(credentials)
        self._add_hosts(roots, _Settings(credentials, node_headers=config.headers if node else {}))

    def for_ctr(self, puller: Ctr) -> None:
        """The plan of a ``ctr`` command."""
        transfer = (
            self._release.ctr_transfer_service
            and puller.command in {"pull", "push"}
            and not puller.local
        )
        self.plan = replace(self.plan, transfer=transfer)
        if transfer and puller.tls_flags:
            message = f'"--{puller.tls_flags[0]}" requires "--local" flag'
            raise PullRefused(PullRefusal(message, while_resolving=False, code=None))
        has_tls = bool(puller.tls_flags) or self._release.ctr_always_has_tls
        settings = _Settings(
            credentials=SameForAll(puller.login),
            default_scheme="http" if puller.plain_http else "",
            default_trust=self._trust.of_flags(puller) if has_tls else None,
        )
        self._add_hosts((puller.hosts_dir,) if puller.hosts_dir else (), settings)

    def _add_hosts(self, roots: tuple[str, ...], settings: _Settings) -> None:
        try:
            found = read_host_directory(self._files, roots, self._namespace, self._release)
        except UnusableDirectory as error:
            raise PullRefused(PullRefusal(str(error))) from None
        *mirrors, server = found.hosts.entries if found.hosts else (HostEntry(),)
        because = f"[host] entry for {self._namespace}"
        listed = [(entry, because) for entry in mirrors]
        listed.append(self._last(server, found, settings))
        shared = HttpClient(
            0,
            settings.default_trust or Trust(),
            settings.credentials,
            token_headers=settings.node_headers,
        )
        hosts: list[PlannedHost] = []
        for number, (entry, because) in enumerate(listed, 1):
            client = self._client(entry, number, shared)
            https_first = self._is_tried_over_https_first(entry, settings)
            if https_first and client is shared:
                # From now on the shared client falls back for all of its hosts.
                shared = replace(shared, falls_back=True)
                hosts = [_with_client(host, shared) for host in hosts]
            hosts.append(
                PlannedHost(
                    name=entry.host,
                    scheme="https" if https_first else entry.scheme,
                    path=entry.path,
                    client=replace(client, falls_back=client.falls_back or https_first),
                    because=because,
                    source=FileLine(found.source, entry.line) if found.source else None,
                    capabilities=entry.capabilities,
                    headers=entry.header or {},
                )
            )
        self.plan = replace(
            self.plan,
            hosts=tuple(hosts),
            directory=found.path,
            looked_for=found.tried,
            unordered=found.hosts.unordered if found.hosts else 0,
            findings=found.findings,
        )

    # -- the last host --------------------------------------------------------------------------
    def _last(
        self, entry: HostEntry, found: HostDirectory, settings: _Settings
    ) -> tuple[HostEntry, str]:
        """The entry of the server: the registry itself, unless ``server`` is set."""
        if entry.host:
            return entry, f"`server` of {self._namespace}, tried last"
        if found.path is None:
            why = ", which has no hosts directory"
        elif found.source is None:
            why = f", as {found.path} lists no hosts"
        else:
            why = ", tried last as no `server` is set"
        return self._registry_itself(entry, settings), f"the registry itself{why}"

    def _registry_itself(self, entry: HostEntry, settings: _Settings) -> HostEntry:
        host, skip_verify = self._namespace, entry.skip_verify
        scheme = settings.default_scheme or "https"
        if host == "docker.io":
            scheme, host = "https", "registry-1.docker.io"
        elif is_loopback(host):
            scheme, unchecked = self._loopback(settings.default_scheme)
            skip_verify = True if unchecked else skip_verify
        return replace(
            entry,
            scheme=scheme,
            host=host,
            path="/v2",
            capabilities=ALL_CAPABILITIES,
            skip_verify=skip_verify,
        )

    def _loopback(self, wanted: str) -> tuple[str, bool]:
        """The scheme of a loopback registry, and whether its certificate is not checked."""
        if self._release.loopback_scheme == "http":
            return "http", True
        if wanted:
            return wanted, False
        port = port_of(self._namespace)
        return "https" if port in {"", "443"} else "http", port != "80"

    # -- clients --------------------------------------------------------------------------------
    def _client(self, entry: HostEntry, number: int, shared: HttpClient) -> HttpClient:
        """The client for *entry*: the shared one or its own."""
        has_headers = self._release.host_headers_on_token_requests and bool(entry.header)
        own_transport = entry.has_tls_settings or entry.dial_timeout is not None
        if not own_transport and not has_headers:
            return shared
        token_headers = dict(shared.token_headers)
        for name, values in (entry.header or {}).items() if has_headers else ():
            token_headers[name] = (*token_headers.get(name, ()), *values)
        return HttpClient(
            number,
            self._trust.of_entry(entry, shared.trust),
            shared.credentials,
            falls_back=shared.falls_back and not own_transport,
            dial_timeout=DIAL_TIMEOUT if entry.dial_timeout is None else entry.dial_timeout,
            token_headers=token_headers,
        )

    def _is_tried_over_https_first(self, entry: HostEntry, settings: _Settings) -> bool:
        """Whether an ``http://`` host is tried over https first, with plain HTTP as fallback."""
        has_tls = (
            entry.has_tls_settings
            or settings.default_trust is not None
            or (self._release.dial_timeout_counts_as_tls and entry.dial_timeout is not None)
        )
        port = port_of(entry.host)
        if entry.scheme != "http" or not has_tls or port == "80":
            return False
        return self._release.https_first == "any port" or (
            self._release.https_first == "explicit port" and port != ""
        )


def _with_client(host: PlannedHost, shared: HttpClient) -> PlannedHost:
    return replace(host, client=shared) if host.client.number == shared.number else host
