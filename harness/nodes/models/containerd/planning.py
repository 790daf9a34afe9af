"""Makes the :class:`~harness.nodes.models.containerd.plan.Plan` of a pull from configuration files.

Rules: containerd's docs/hosts.md and docs/cri/registry.md, and measurements on the releases in
:mod:`~harness.nodes.models.containerd.releases`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from harness.nodes.models.containerd.certs_d import (
    HostDirectory,
    TrustReader,
    read_host_directory,
)
from harness.nodes.models.containerd.config_files import CONFIG_FILE, InvalidConfig
from harness.nodes.models.containerd.config_toml import RegistryConfig, parse_config_toml
from harness.nodes.models.containerd.hosts_toml import ALL_CAPABILITIES, Capability, HostEntry
from harness.nodes.models.containerd.plan import (
    DIAL_TIMEOUT,
    HttpClient,
    Plan,
    PlannedHost,
    PullRefused,
)
from harness.nodes.models.containerd.pullers import (
    CredentialError,
    Cri,
    Ctr,
    Puller,
    node_login,
)
from harness.nodes.models.containerd.releases import DEFAULT_RELEASE, Release, release_named
from harness.nodes.models.files import FileLine, FileProblem, FileTree
from harness.nodes.models.go_url import GoURL, InvalidURL, is_loopback, parse_url, port_of
from harness.nodes.models.network import Login, Trust
from harness.nodes.models.reference import (
    InvalidReference,
    Reference,
    ctr_reference,
    normalised_reference,
)

DEFAULT_CONFIG_PATH = "/etc/containerd/certs.d"
AS_KUBELET = Cri()
"""A pull request without credentials."""
_SOCKET = "/run/containerd/containerd.sock"


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
    found = {f"{DEFAULT_CONFIG_PATH}/{path}": text for path, text in (certs_d or {}).items()}
    found |= files or {}
    parse = normalised_reference if isinstance(puller, Cri) else ctr_reference
    plan = Plan(release=release, puller=puller, reference=Reference("", image[:200]))
    try:
        plan = replace(plan, reference=parse(image))
    except InvalidReference as error:
        doing = "parse image" if isinstance(puller, Cri) else "resolve"
        message = f'failed to {doing} reference "{plan.reference.repository}": {error}'
        return replace(plan, refusal=PullRefused(message, while_resolving=False))
    planner = _Planner(plan, FileTree(found))
    try:
        config = _registry_config(config_toml, config_file, found, plan)
        if isinstance(puller, Ctr):
            planner.for_ctr(puller)
        else:
            planner.for_cri(puller, config)
    except PullRefused as refused:
        return replace(planner.plan, refusal=refused)
    return planner.plan


def _registry_config(
    text: str | None, path: str, files: Mapping[str, str], plan: Plan
) -> RegistryConfig:
    """The CRI plugin's settings; ``ctr`` only needs a daemon that starts."""
    if text is None:
        return RegistryConfig(config_path=DEFAULT_CONFIG_PATH)
    try:
        return parse_config_toml(text, plan.release, files, path)
    except InvalidConfig as error:
        if isinstance(plan.puller, Ctr) and not error.stops_containerd:
            return RegistryConfig()
        raise _not_started(error, plan.puller) from None


def _not_started(error: InvalidConfig, puller: Puller) -> PullRefused:
    """The error for *puller* if config.toml stops the CRI plugin or containerd from starting."""
    what = "containerd does not start" if error.stops_containerd else "the CRI plugin does not load"
    finding = FileProblem(f"{what}: {error.reason}", error.line, error.file)
    if not error.stops_containerd:
        text = "unknown service runtime.v1.ImageService"
        return PullRefused(text, False, "UNIMPLEMENTED", finding)
    if isinstance(puller, Ctr):
        text = f"cannot access socket {_SOCKET}: no such file or directory"
        return PullRefused(text, False, None, finding)
    text = f"Error while dialing: dial unix {_SOCKET}: connect: no such file or directory"
    said = f'connection error: desc = "transport: {text}"'
    return PullRefused(said, False, "UNAVAILABLE", finding)


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
        login_for: Callable[[str], Login] = partial(node_login, config.auths, None)
        if puller.auth is not None:
            login_for = partial(puller.auth.login_for, origin="the pull request (imagePullSecret)")
        own = self._release.headers_on_token_requests and not transfer
        shared = HttpClient(0, Trust(), login_for, token_headers=config.headers if own else {})
        if transfer:
            # The transfer service treats "A:B" as one directory name.
            roots = (config.config_path,) if config.config_path else ()
            self._add_hosts(roots, replace(shared, login_for=partial(_transferred, login_for)))
        elif config.directories:
            self._add_hosts(config.directories, shared)
        else:
            self._add_endpoints(config, puller, shared)

    def for_ctr(self, puller: Ctr) -> None:
        """The plan of a ``ctr`` command."""
        moves = puller.command in {"pull", "push"} and "local" not in puller.flags
        transfer = self._release.ctr_transfer_service and moves
        self.plan = replace(self.plan, transfer=transfer)
        if transfer and puller.tls_flags:
            message = f'"--{puller.tls_flags[0]}" requires "--local" flag'
            raise PullRefused(message, while_resolving=False, code=None)
        has_tls = bool(puller.tls_flags) or self._release.ctr_always_has_tls
        trust = self._trust.of_flags(puller) if has_tls else Trust()
        self._add_hosts(
            (puller.hosts_dir,) if puller.hosts_dir else (),
            HttpClient(0, trust, lambda _host: puller.login),
            default_scheme="http" if "plain-http" in puller.flags else "",
            has_tls=has_tls,
        )

    # -- hosts.toml -----------------------------------------------------------------------------
    def _add_hosts(
        self,
        roots: tuple[str, ...],
        shared: HttpClient,
        *,
        default_scheme: str = "",
        has_tls: bool = False,
    ) -> None:
        """Add the hosts of the namespace's directory; *has_tls*: the puller has TLS settings."""
        found = read_host_directory(self._files, roots, self._namespace, self._release)
        *mirrors, server = found.hosts.entries if found.hosts else (HostEntry(),)
        because = f"[host] entry for {self._namespace}"
        listed = [(entry, because) for entry in mirrors]
        listed.append(self._last(server, found, default_scheme))
        hosts: list[PlannedHost] = []
        for number, (entry, because) in enumerate(listed, 1):
            client = self._client(entry, number, shared)
            https_first = self._is_tried_over_https_first(entry, has_tls)
            if https_first and client is shared:
                # From now on the shared client falls back for all of its hosts.
                shared = replace(shared, falls_back=True)
                hosts = [
                    replace(host, client=shared) if host.client.number == shared.number else host
                    for host in hosts
                ]
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

    def _last(
        self, entry: HostEntry, found: HostDirectory, default_scheme: str
    ) -> tuple[HostEntry, str]:
        """The entry of the server: the registry itself, unless ``server`` is set."""
        host, scheme, skip_verify = self._namespace, default_scheme or "https", entry.skip_verify
        if entry.host:
            return entry, f"`server` of {host}, tried last"
        because = "the registry itself, tried last as no `server` is set"
        if found.path is None:
            because = "the registry itself, which has no hosts directory"
        elif found.source is None:
            because = f"the registry itself, as {found.path} lists no hosts"
        if host == "docker.io":
            scheme, host = "https", "registry-1.docker.io"
        elif is_loopback(host):
            scheme, unchecked = self._loopback(default_scheme)
            skip_verify = True if unchecked else skip_verify
        entry = replace(entry, scheme=scheme, host=host, path="/v2", skip_verify=skip_verify)
        return replace(entry, capabilities=ALL_CAPABILITIES), because

    def _loopback(self, wanted: str) -> tuple[str, bool]:
        """The scheme of a loopback registry, and whether its certificate is not checked."""
        if self._release.loopback_scheme == "http":
            return "http", True
        if wanted:
            return wanted, False
        port = port_of(self._namespace)
        return "https" if port in {"", "443"} else "http", port != "80"

    def _client(self, entry: HostEntry, number: int, shared: HttpClient) -> HttpClient:
        """The client for *entry*: the shared one or its own."""
        has_headers = self._release.headers_on_token_requests and bool(entry.header)
        own_transport = entry.has_tls_settings or entry.dial_timeout is not None
        if not own_transport and not has_headers:
            return shared
        token_headers = dict(shared.token_headers)
        for name, values in (entry.header or {}).items() if has_headers else ():
            token_headers[name] = (*token_headers.get(name, ()), *values)
        return HttpClient(
            number,
            self._trust.of_entry(entry, shared.trust),
            shared.login_for,
            falls_back=shared.falls_back and not own_transport,
            dial_timeout=DIAL_TIMEOUT if entry.dial_timeout is None else entry.dial_timeout,
            token_headers=token_headers,
        )

    def _is_tried_over_https_first(self, entry: HostEntry, has_tls: bool) -> bool:
        """Whether an ``http://`` host is tried over https first, with plain HTTP as fallback."""
        has_tls = has_tls or entry.has_tls_settings
        if self._release.dial_timeout_counts_as_tls and entry.dial_timeout is not None:
            has_tls = True
        port = port_of(entry.host)
        if entry.scheme != "http" or not has_tls or port == "80":
            return False
        return self._release.https_first == "any port" or (
            self._release.https_first == "explicit port" and port != ""
        )

    # -- registry.mirrors of config.toml --------------------------------------------------------
    def _add_endpoints(self, config: RegistryConfig, puller: Cri, shared: HttpClient) -> None:
        """Add the endpoints of the namespace, and the registry itself unless it is listed.

        Every endpoint has its own client. A path is used unchanged, without ``/v2``.
        """
        listed = self._namespace if self._namespace in config.mirrors else "*"
        place = config.configuration.place("mirrors", listed)
        source = None if place is None else FileLine(*place)
        urls = [_endpoint(text) for text in config.mirrors.get(listed, ())]
        found = [(url, f'registry.mirrors."{listed}"', source) for url in urls]
        if all(url.host != self._namespace for url in urls):
            host = "registry-1.docker.io" if self._namespace == "docker.io" else self._namespace
            url = GoURL("http" if is_loopback(host) else "https", host, "")
            found.append((url, "the registry itself, as no endpoint names it", None))
        hosts = []
        for number, (url, because, line) in enumerate(found, 1):
            client = replace(shared, number=number, trust=self._endpoint_trust(url, config))
            if puller.auth is None and self._release.endpoint_credentials == "endpoint":
                client = replace(client, login_for=partial(node_login, config.auths, url.host))
            capabilities = frozenset({Capability.PULL, Capability.RESOLVE})
            path = url.path or "/v2"
            hosts.append(
                PlannedHost(url.host, url.scheme, path, client, because, line, capabilities)
            )
        self.plan = replace(self.plan, hosts=tuple(hosts))

    def _endpoint_trust(self, url: GoURL, config: RegistryConfig) -> Trust:
        if self._release.legacy_tls and url.host in config.tls:
            return self._trust.of_endpoint(config.tls[url.host])
        return Trust(verify=not (is_loopback(self._namespace) and url.scheme == "http"))


def _endpoint(text: str) -> GoURL:
    try:
        if "://" not in text:
            host = parse_url(f"dummy://{text}").host
            text = f"{'http' if is_loopback(host) else 'https'}://{text}"
        return parse_url(text)
    except InvalidURL as error:
        reason = f'parse endpoint url: parse "{text[:200]}": {error}'
        raise PullRefused(f"get registry endpoints: {reason}") from None


def _transferred(login_for: Callable[[str], Login], host: str) -> Login:
    """The login as the transfer service gets it from the CRI plugin: errors name the host."""
    try:
        return login_for(host)
    except CredentialError as error:
        text = f'failed to get credentials for "{host}": {error}'
        raise CredentialError(text) from None
