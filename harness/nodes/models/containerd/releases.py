"""What each containerd release does differently, in one table.

The model reads named behaviours of a :class:`Release` and never its version. The defaults are those
of 1.6.0; :data:`RELEASES` at the bottom derives every later release from its predecessor, so that
the table reads as a changelog. A release that is not listed behaves like the nearest earlier one of
its series.

Values are measured on 1.6.20, 1.6.39, 1.7.0, 1.7.8, 1.7.24, 1.7.34, 2.0.0, 2.0.11, 2.1.9, 2.2.0,
2.2.4 and 2.3.4; the patch release in which a behaviour changed was read from containerd's tags.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Release:
    """Named behaviours of one release; the defaults are those of 1.6.0."""

    version: str = "1.6.0"

    # -- reading hosts.toml ---------------------------------------------------------------------
    host_tables: Literal["any", "headers"] = "any"
    """How ``[host]`` is read. ``any``: every spelling counts, each URL once, ordered by the line of
    its first mention, inline tables in random order before all others. ``headers``: only table
    headers (``[host."URL"]`` and below) count, one entry for each run of equal URLs; hosts in
    inline tables or dotted keys are silently ignored."""
    key_case: Literal["exact or upper", "any"] = "exact or upper"
    """The accepted letter case of keys."""
    accepts_byte_order_mark: bool = True
    """A byte order mark is accepted; otherwise it makes the file invalid."""
    server_alone_suffices: bool = False
    """A file without ``host`` tables is used; otherwise it is ignored."""
    capabilities: frozenset[str] = frozenset({"pull", "resolve", "push"})
    """The known capabilities; any other makes the whole file invalid."""
    reads_dial_timeout: bool = False
    """``dial_timeout`` is read; otherwise it is ignored like any unknown key."""

    # -- reading config.toml --------------------------------------------------------------------
    config_version: int = 2
    """The highest ``version`` of config.toml that the release knows."""
    refuses_newer_config: bool = False
    """The daemon does not start with a higher version; otherwise it reads it like the highest."""
    plugin_prefix: bool = False
    """Plugins of version 2 must be named ``io.containerd...``; otherwise four parts are enough."""
    import_patterns_from: Literal["working directory", "file"] = "working directory"
    """Where relative patterns in ``imports`` start."""
    merges_sections: bool = False
    """A later file's section of a plugin is merged key by key; otherwise it replaces the whole."""
    migrates_config: Literal["never", "at the end", "each file"] = "never"
    """When sections of older versions are migrated. ``at the end``: after merging, from the version
    of the last file; a file of version 1 (or without a version) counts as the newest version, so
    its registry settings are not migrated."""
    default_config_path: Literal["none", "until set", "without mirrors"] = "none"
    """When a missing ``config_path`` means both well-known directories. ``until set``: whenever the
    key is missing, so that ``mirrors`` alone are an error."""
    legacy_tls: bool = True
    """``registry.configs.HOST.tls`` is used for ``mirrors`` (removed in 2.0)."""
    endpoint_credentials: Literal["endpoint", "challenger"] = "endpoint"
    """With ``registry.mirrors``: the ``configs`` entry that answers a challenge, of the endpoint in
    the mirror list or of the host that sent the challenge (they differ after a redirect)."""
    transfer_service: bool = False
    """CRI pulls use the transfer service, which supports one hosts directory only, unless the
    configuration has a setting that it does not support."""
    ctr_transfer_service: bool = False
    """``ctr images pull`` and ``push`` go through the transfer service unless ``--local``."""

    # -- schemes, TLS and time ------------------------------------------------------------------
    https_first: Literal["never", "explicit port", "any port"] = "never"
    """Which ``http://`` hosts with TLS settings are tried over https first (never on port 80)."""
    dial_timeout_counts_as_tls: bool = False
    """``dial_timeout`` counts as a TLS setting for ``http://`` hosts (since 2.0.7)."""
    loopback_scheme: Literal["http", "by port"] = "http"
    """The default for a loopback registry. ``by port``: http on 80, https on 443 or without a port
    (certificate not checked), otherwise https first."""
    ctr_always_has_tls: bool = False
    """``ctr`` has TLS settings even without flags, so that every ``http://`` host is tried over
    https first (fixed in 1.6.32 and 1.7.16)."""
    remembers_fallback: bool = False
    """A client that fell back to http keeps using http for that host, and a TLS handshake timeout
    causes a fallback too."""
    falls_back_when_refused: bool = False
    """A refused or timed out connection falls back to http if the URL names no port."""
    response_header_timeout: float | None = None
    """Seconds until a request that gets no answer fails; None waits forever."""

    # -- requests -------------------------------------------------------------------------------
    attempts: int = 6
    """Requests per host and object while the answer is 401 with usable credentials, 408 or 429."""
    repeats_server_errors: bool = False
    """500, 503 and 504 are retried once on the last host."""
    repeats_transport_errors: bool = False
    """Timeouts and closed connections are retried on the last host."""
    explains_forbidden: bool = False
    """A HEAD with answer 403 is repeated as GET, to show the registry's message."""
    checks_tag_get: bool = False
    """The status of the GET that replaces a HEAD without digest is checked (400 and more fail)."""
    blob_round: Literal["always", "after 404"] = "always"
    """When a digest that is not found as a manifest is requested as a blob. ``after 404``: only if
    no host answered with another status of 400 or more."""
    resolve_error: Literal["first", "ranked"] = "first"
    """Which host's error is reported for resolving. ``first``: the first that is not 404.
    ``ranked``: a manifest that is too large, then the first status of 400 or more, then 404, then
    transport errors."""
    push_names_namespace: bool = False
    """Pushes send ``ns=`` too."""

    # -- credentials ----------------------------------------------------------------------------
    basic_needs_credentials: bool = False
    """A Basic challenge without credentials fails with "no basic auth credentials"; otherwise the
    401 itself is the answer."""
    renews_refused_token: bool = False
    """A 401 with ``error=`` discards the host's token before a new one is requested."""
    headers_on_token_requests: bool = False
    """``header`` of hosts.toml is sent to the token server too; so is ``registry.headers``, unless
    the transfer service pulls."""

    # -- error messages -------------------------------------------------------------------------
    wording: Literal["pulling from host", "unexpected status"] = "pulling from host"
    """How a status is reported. With ``unexpected status``, errors of Go about certificates have a
    prefix."""
    ctr_shows_grpc_codes: bool = False
    """``ctr`` shows the transfer service's error with its gRPC prefix."""
    joins_registry_errors: bool = False
    """The registry's error follows on a second line."""
    manifest_too_short: Literal["expected number", "short read"] = "expected number"
    mangles_percent: bool = True
    """"not found" errors pass through a format string once too often: ``%3A`` is mutilated."""
    redacts_queries: bool = False
    """Queries of URLs in transport errors are shown as ``%5BREDACTED%5D``."""

    def then(self, version: str, **changes: Any) -> Release:
        """The release *version*: this release with *changes*."""
        return replace(self, version=version, **changes)


class UnknownRelease(ValueError):
    """A version older than 1.6, or text that is not a version."""


# -- 1.6 ----------------------------------------------------------------------------------------
_1_6_0 = Release()
_1_6_25 = _1_6_0.then(
    "1.6.25",
    https_first="explicit port",
    loopback_scheme="by port",
    ctr_always_has_tls=True,
    basic_needs_credentials=True,
    wording="unexpected status",
)
_1_6_29 = _1_6_25.then("1.6.29", import_patterns_from="file")
_1_6_32 = _1_6_29.then(
    "1.6.32",
    refuses_newer_config=True,
    ctr_always_has_tls=False,
    remembers_fallback=True,
    renews_refused_token=True,
)

# -- 1.7 ----------------------------------------------------------------------------------------
_1_7_0 = _1_6_0.then(
    "1.7.0",
    plugin_prefix=True,
    wording="unexpected status",
)
_1_7_7 = _1_7_0.then(
    "1.7.7",
    https_first="explicit port",
    loopback_scheme="by port",
    ctr_always_has_tls=True,
)
_1_7_8 = _1_7_7.then("1.7.8", basic_needs_credentials=True)
_1_7_16 = _1_7_8.then(
    "1.7.16",
    import_patterns_from="file",
    ctr_always_has_tls=False,
    remembers_fallback=True,
    renews_refused_token=True,
)
_1_7_17 = _1_7_16.then("1.7.17", refuses_newer_config=True)
_1_7_24 = _1_7_17.then("1.7.24", https_first="any port", falls_back_when_refused=True)
_1_7_25 = _1_7_24.then("1.7.25", mangles_percent=False)
_1_7_30 = _1_7_25.then("1.7.30", redacts_queries=True)
_1_7_32 = _1_7_30.then("1.7.32", server_alone_suffices=True)

# -- 2.0 ----------------------------------------------------------------------------------------
_2_0_0 = _1_7_25.then(
    "2.0.0",
    host_tables="headers",
    key_case="any",
    accepts_byte_order_mark=False,
    server_alone_suffices=True,
    config_version=3,
    merges_sections=True,
    migrates_config="at the end",
    legacy_tls=False,
    endpoint_credentials="challenger",
    ctr_transfer_service=True,
    ctr_shows_grpc_codes=True,
    resolve_error="ranked",
)
_2_0_7 = _2_0_0.then("2.0.7", reads_dial_timeout=True, dial_timeout_counts_as_tls=True)
_2_0_8 = _2_0_7.then("2.0.8", redacts_queries=True)
_2_0_11 = _2_0_8.then("2.0.11", blob_round="after 404")

# -- 2.1 ----------------------------------------------------------------------------------------
_2_1_0 = _2_0_7.then(
    "2.1.0",
    dial_timeout_counts_as_tls=False,
    transfer_service=True,
    repeats_server_errors=True,
    headers_on_token_requests=True,
    joins_registry_errors=True,
)
_2_1_3 = _2_1_0.then("2.1.3", manifest_too_short="short read", ctr_shows_grpc_codes=False)
_2_1_6 = _2_1_3.then("2.1.6", redacts_queries=True)

# -- 2.2 ----------------------------------------------------------------------------------------
_2_2_0 = _2_1_3.then(
    "2.2.0",
    default_config_path="until set",
    capabilities=frozenset({"pull", "resolve", "push", "referrers"}),
)
_2_2_1 = _2_2_0.then("2.2.1", redacts_queries=True)
_2_2_2 = _2_2_1.then("2.2.2", default_config_path="without mirrors")
_2_2_6 = _2_2_2.then("2.2.6", blob_round="after 404")

# -- 2.3 ----------------------------------------------------------------------------------------
_2_3_0 = _2_2_6.then(
    "2.3.0",
    config_version=4,
    migrates_config="each file",
    response_header_timeout=30.0,
    checks_tag_get=True,
    push_names_namespace=True,
)
_2_3_2 = _2_3_0.then("2.3.2", attempts=5, repeats_transport_errors=True)
_2_3_3 = _2_3_2.then("2.3.3", explains_forbidden=True)

RELEASES: tuple[Release, ...] = (
    *(_1_6_0, _1_6_25, _1_6_29, _1_6_32),
    *(_1_7_0, _1_7_7, _1_7_8, _1_7_16, _1_7_17, _1_7_24, _1_7_25, _1_7_30, _1_7_32),
    *(_2_0_0, _2_0_7, _2_0_8, _2_0_11),
    *(_2_1_0, _2_1_3, _2_1_6),
    *(_2_2_0, _2_2_1, _2_2_2, _2_2_6),
    *(_2_3_0, _2_3_2, _2_3_3),
)
"""Every release in which something changed, oldest first in its series."""

DEFAULT_RELEASE = "1.6.20"

_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:[-+~].*)?", re.DOTALL)


def release_named(version: str) -> Release:
    """The behaviours of *version*, such as ``1.6.20``, ``v2.1.9`` or ``1.7`` (its last release).

    A series newer than the last one listed behaves like that one. Raises :class:`UnknownRelease`
    for a version before 1.6 and for text that is not a version.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise UnknownRelease(f"{version[:40]!r} is not a containerd version such as 1.7.24")
    wanted = (int(match[1]), int(match[2]), int(match[3]) if match[3] else 9999)
    earlier = [known for known in RELEASES if _numbers(known) <= wanted]
    if not earlier:
        raise UnknownRelease(f"containerd {version[:40]} is older than 1.6, the first one modelled")
    return replace(max(earlier, key=_numbers), version=version.removeprefix("v"))


def _numbers(known: Release) -> tuple[int, ...]:
    return tuple(int(part) for part in known.version.split("."))
