"""How releases of distribution differ from each other and from ``ideal``, in one table.

Code asks a :class:`Profile` for a named behaviour and never for a version. ``ideal`` is a registry
without the known bugs. A row of the table has the value of ``ideal``, then of each release in
:data:`_RELEASES`; the last value also holds for all later releases, so that ``_by(True, False)`` is
what no release does.

Every value was measured on the released binary (2.8.2 as Debian ships it; 2.8.3, 3.0.0-alpha.1,
3.0.0 and 3.1.1 built from their tags). Issue numbers are those of distribution/distribution.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

_RELEASES = ("2.8", "3.0.0-alpha.1", "3.0", "3.1")
T = TypeVar("T")


def _by(ideal: T, *releases: T) -> T:
    """A field whose default is *ideal*; *releases* are the values of :data:`_RELEASES`."""
    made: T = field(default=ideal, metadata={"releases": releases})
    return made


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Named behaviours; the defaults are those of ``ideal``."""

    name: str = "ideal"
    implementation: str = "pullproof"
    """Whose behaviour this is: ``pullproof`` or ``distribution``."""

    # -- answers --------------------------------------------------------------------------------
    json_content_type: str = _by(
        "application/json", "application/json; charset=utf-8", "application/json"
    )
    """Content-Type of JSON answers."""
    error_detail: Literal["text", "struct"] = _by("text", "struct", "text")
    """``detail`` of a wrapped error: its text, or the marshalled Go struct (2.8: often ``{}``)."""
    range_rules: Literal["rfc9110", "go"] = _by("rfc9110", "go")
    """``Range`` of a stored blob; ``go``: bad syntax is a 416 in plain text, HEAD has ranges."""
    multi_range: Literal["whole", "multipart"] = _by("whole", "multipart")
    """Several ranges in one request: the whole content, or ``multipart/byteranges`` (releases)."""
    keeps_caching_headers_on_416: bool = _by(False, True, True, False)
    """A 416 still has the blob's Etag and Cache-Control."""
    trusts_descriptor_cache: bool = _by(False, True)
    """A blob in the descriptor cache whose bytes are gone is a 200 without a body."""
    remembers_manifests: Literal["never", "bytes", "as-blobs"] = _by(
        "never", "bytes", "bytes", "as-blobs"
    )
    """What the descriptor cache holds of manifests: nothing; the size of each that was read; the
    same as of blobs, so that HEAD of a manifest's digest as a blob is 200."""
    descriptor_cache_forgets: Literal["bytes", "all"] = _by("all", "bytes", "bytes", "bytes", "all")
    """What redis forgets with a blob: its size only, or its link to the repository too."""
    names_what_is_invalid: bool = _by(True, False)
    """A malformed name, tag or digest is reported; otherwise a 404 in plain text or a 500."""
    name_limit_skips_host: bool = _by(False, False, False, True)
    """The 255 characters of a name are counted without a first component that may be a host."""

    # -- proxy: what a miss costs ---------------------------------------------------------------
    blob_miss: Literal["shared", "tee", "double"] = _by("shared", "double", "tee")
    """GET of an uncached blob. ``double``: one upstream GET for the client and another for the
    cache (2.8, #3569). ``tee``: one stream feeds both, per client. ``shared``: one upstream GET
    serves the cache and every client that asks meanwhile (#1334, #3969). But for ``shared``, HEAD
    fetches the whole blob, and Range and If-None-Match are ignored on a miss (#4667); ``tee`` ends
    with its client (#4793)."""
    blob_miss_headers: bool = _by(True, True, False, True)
    """A miss is answered with length, type and digest."""
    fill_leaves_upload_on_abort: bool = _by(False, False, True, True, False)
    """An aborted fill leaves ``_uploads/<uuid>`` behind."""
    fill_leaves_upload_on_mismatch: bool = _by(False, True)
    """A fill whose bytes do not match leaves ``_uploads/<uuid>`` behind."""
    appends_error_to_broken_body: bool = _by(False, True)
    """After a body that upstream cut short, the error's JSON follows on the same stream."""
    verifies_manifests: bool = _by(True, False)
    """Manifest bytes are checked against the requested digest."""
    notices_damage: bool = _by(True, False)
    """A cached file of the wrong size is hashed and, if it is damaged, fetched again."""
    pings_anonymous_upstream_every_time: bool = _by(False, True)
    """An upstream without a challenge is asked ``GET /v2/`` before every operation."""
    keeps_connection_of_ping: bool = _by(True, False)
    """The connection of ``GET /v2/`` is reused. Go closes it, since its body is not read."""
    pings_upstream_at_start: bool = _by(False, True)
    """One ``GET /v2/`` at start; the process dies if upstream cannot be reached."""
    refetches_blob_cached_elsewhere: bool = _by(False, True)
    """A blob that another repository has is fetched again, instead of a HEAD and a link."""
    fetches_tagged_manifest_by: Literal["digest", "tag"] = _by("digest", "tag")
    """What follows the HEAD of a tag: GET of its digest, or of the tag, which may have moved."""
    fills_config_unscheduled: bool = _by(False, True)
    """An image configuration fetched for a schema 1 conversion never expires."""
    joins_upstream_requests: bool = _by(True, False)
    """Clients that ask for the same manifest or tag at once share one upstream request (#1334)."""
    retries_upstream: bool = _by(True, False)
    """A request that got no answer at all is sent once more, a moment later."""
    upstream_redirects: int = _by(5, 9)
    """How many redirects in a row are followed; Go's client sends ten requests in all."""
    takes_redirects_for_success: bool = _by(False, True)
    """A status of 3xx that leads nowhere counts as success."""
    upstream_timeouts: bool = _by(True, False)
    """10 s to connect and 60 s between bytes; releases wait forever (#3705)."""
    honours_remote_path: bool = _by(True, False)
    """The path of ``proxy.remoteurl`` precedes every request, not only the start-up ping."""
    blob_accept_encoding: str = _by("identity", "gzip", "zstd, gzip, deflate")
    """``Accept-Encoding`` of blob requests. Releases let a blob be compressed on the way."""
    upstream_user_agent: str = _by("pullproof", "Go-http-client/1.1")
    """``User-Agent`` of upstream requests."""
    asks_for_schema1: bool = _by(True, True, False)
    """Requests accept Docker's schema 1 manifests."""
    keeps_unknown_manifests: bool = _by(True, False)
    """A manifest whose Content-Type is unknown is kept and served; releases answer 500 (#3530)."""

    # -- proxy: what upstream's failures become -------------------------------------------------
    honest_upstream_errors: bool = _by(True, False)
    """401, 403, 404, 429 and 5xx reach the client as such, Retry-After kept. Every release answers
    404 by tag, 500 by digest, and 404 or 500 for a blob (#3842, #4477)."""
    parses_empty_refusals: bool = _by(True, True, True, False)
    """A 4xx without a body that is called JSON, as to HEAD, is reported as truncated JSON."""
    marks_stale: bool = _by(True, False)
    """Content served because upstream failed carries ``Warning: 110`` (RFC 9111, 5.5)."""
    not_modified_skips_caching: bool = _by(False, True)
    """304 to a conditional GET by tag writes the tag link but not the manifest."""
    not_modified_before_existence: bool = _by(False, True)
    """``If-None-Match`` with the digest of the URL is a 304 even if there is no manifest."""

    # -- proxy: credentials ---------------------------------------------------------------------
    upstream_basic_auth: bool = _by(True, False, False, True)
    """A Basic challenge of upstream is answered (#3153)."""
    caches_upstream_tokens: bool = _by(True, False)
    """Bearer tokens are kept until they expire; every release asks again per client request."""
    helper_is_asked_for_realm: bool = _by(False, True)
    """``proxy.exec`` is asked for the token server's host, not upstream's (since 3.0.0)."""
    realm_rule: Literal["any", "same-site"] = _by("same-site", "any", "any", "any", "same-site")
    """Which token realms get the credentials. 3.1.1 and ideal: the upstream's own host and port or
    registrable domain (CVE-2026-33540); ``any`` before."""
    realm_allows_loopback: bool = _by(True, True, True, True, False)
    """A realm on another port of the same IP literal, or of loopback, is trusted."""
    credentials_only_for_realms_of_start: bool = _by(False, True)
    """A token server that upstream did not name at start gets no credentials."""
    broken_htpasswd_is_unavailable: bool = _by(True, False)
    """While the htpasswd file cannot be read, clients get 503, not an empty 400."""
    restricts_targets: bool = _by(True, False)
    """Redirects and realms that lead to another host must not lead to this machine or its link, nor
    from https to http. Releases follow everything."""

    # -- proxy: expiry --------------------------------------------------------------------------
    honours_ttl: bool = _by(True, False, True)
    """``proxy.ttl`` is read; 2.8 does not know the key and keeps everything 168 h (#3880)."""
    expiry_needs_delete_enabled: bool = _by(False, True)
    """Without ``storage.delete.enabled``, expiry drops the entry and keeps content (#4249)."""
    expiry_counts_shared_blobs: bool = _by(True, False)
    """A blob's bytes go only when no other repository links it (#2367, #4191)."""
    expiry_removes_manifest_bytes: bool = _by(True, False)
    """Manifest bytes are freed at expiry; releases leave them to garbage-collect."""
    expiry_takes_both_kinds: bool = _by(True, False)
    """Content pulled as manifest and as blob expires as both, not only as the last kind."""
    expiry_removes_tag_links: bool = _by(True, False)
    """Tags that point at an expired manifest go with it; releases keep them forever."""
    rebuilds_damaged_state: bool = _by(True, False)
    """A damaged ``scheduler-state.json`` is rebuilt with a warning, not a panic at start."""
    schedules_what_it_finds: bool = _by(True, False)
    """Cached content without a schedule expires one ttl after the start, instead of never."""
    saves_state: Literal["at-once", "ticker"] = _by("at-once", "ticker")
    """``ticker``: every 5 s if something changed, and what happened since is lost at exit."""
    removes_leftovers: bool = _by(True, False)
    """A cache removes the uploads and partial files of a killed process when it starts."""
    saves_state_on_drain: bool = _by(True, False, False, True)
    """State is written on a graceful stop (with ``http.draintimeout``)."""

    # -- tags and catalog -----------------------------------------------------------------------
    paginates_tags: bool = _by(True, False, True)
    """``n`` and ``last`` of tags/list are honoured; sorted then."""
    tags_skip_when_last_unknown: bool = _by(False, False, True, True, False)
    """``last=`` that names no existing tag skips one tag too many."""
    tags_link_on_exact_page: bool = _by(False, False, False, False, True)
    """A page that ends exactly with the last tag still carries a Link."""
    proxy_tags_pagination: Literal["sorted", "ignored", "as-sent", "upstream"] = _by(
        "sorted", "ignored", "as-sent", "as-sent", "upstream"
    )
    """How the proxy applies ``n`` and ``last``: to the sorted list of upstream, not at all, to the
    list in upstream's order, or by forwarding them (3.1.1, where ``last`` without ``n`` is
    ignored)."""
    checks_page_size_last: bool = _by(False, False, True, True, False)
    """A bad ``n`` of tags/list costs an upstream request, and is 404 in an unknown repository."""
    tags_after_last_need_no_repository: bool = _by(False, False, False, False, True)
    """``last=`` in an unknown repository leads to ``"tags":null`` and not to 404."""
    page_size_detail: Literal["text", "number"] = _by("text", "text", "text", "text", "number")
    """How a bad ``n`` of tags/list is shown in the error: as sent, or as a number."""
    limits_tags_page: bool = _by(True, False, False, False, True)
    """A larger ``n`` of tags/list than ``tags.maxtags`` is cut down to it."""
    empty_tags: Literal["list", "null"] = _by("list", "null", "list", "list", "null")
    """``"tags":[]`` or ``"tags":null`` once all tags are gone."""
    repository_evidence: Literal["_layers", "_manifests", "either"] = _by(
        "either", "_layers", "_manifests"
    )
    """The directory that makes a repository exist for the catalog and for GC. 2.8 misses those of a
    cache that have manifests only, and GC deletes their bytes."""
    catalog_lists_empty: bool = _by(False, True)
    """Repositories stay in the catalog after all of their content has gone."""
    catalog_bad_n_is_default: bool = _by(False, True, False)
    """A negative or textual ``n`` of the catalog means 100; otherwise it is a 400."""

    # -- standard registry ----------------------------------------------------------------------
    delete_tag: Literal["supported", "digest-invalid", "even-if-disabled"] = _by(
        "supported", "digest-invalid", "even-if-disabled", "even-if-disabled", "supported"
    )
    """DELETE by tag: 202 if deletion is enabled; 400 DIGEST_INVALID; 202 even if disabled."""
    referrers_api: bool = _by(True, False)
    """``/v2/<name>/referrers/<digest>`` exists (OCI 1.1)."""
    converts_to_schema1: bool = _by(False, True, False)
    """schema2 by tag without an Accept for it is converted to schema1."""
    picks_platform_for_old_clients: bool = _by(False, True)
    """A list by tag is answered with its linux/amd64 child if the client reads no lists."""
    oci_manifest_needs_accept: bool = _by(False, True)
    """An OCI manifest without a matching Accept is 404."""
    oci_index_needs_accept: bool = _by(False, True, False)
    """An OCI index without a matching Accept is 404."""
    sha512: bool = _by(True, False)
    """Blobs and manifests are kept under sha512 when pushed so; releases store them as sha256."""
    upload_status_needs_state: bool = _by(False, True, False)
    """GET of an upload without its ``_state`` token is 404."""
    wrong_upload_offset: Literal["range-invalid", "upload-invalid"] = _by(
        "range-invalid", "upload-invalid", "range-invalid"
    )
    """A PATCH at the wrong offset: 416, or 404 BLOB_UPLOAD_INVALID."""
    checks_content_range: bool = _by(True, False, True)
    """``Content-Range`` of a PATCH is compared with what is stored."""
    monolithic_post: bool = _by(True, False)
    """``POST ?digest=`` with a body stores the blob."""
    sparse_manifests: bool = _by(True, False)
    """A manifest may be pushed before its layers, and an index before its children, as the OCI
    conformance suite does. Releases refuse that, and layers with ``urls``."""
    mounts_from_anywhere: bool = _by(True, False)
    """``mount`` without ``from`` finds the blob in any repository, unless tokens restrict clients
    to some."""
    accepts_schema1: bool = _by(True, False)
    """Docker schema 1 manifests may be pushed, and are taken from upstream."""
    accepts_untyped_manifest: bool = _by(True, False)
    """A manifest pushed without a Content-Type is accepted as what its body states."""
    oversized_manifest_status: int = _by(413, 400)
    """The response to a manifest over 4 MiB."""
    tags_by_query: bool = _by(True, False)
    """``PUT`` by digest takes ``?tag=``, and says so in ``OCI-Tag``."""
    finds_manifests_among_layers: bool = _by(False, True, False)
    """A manifest is also looked for among the layers, so that a layer's digest is 500 there."""
    upload_needs_state: bool = _by(False, True)
    """Writes to an upload without its ``_state`` token are 404."""
    keeps_upload_on_mismatch: bool = _by(False, True)
    """An upload that was closed with the wrong digest stays."""
    keeps_hash_states: bool = _by(False, True)
    """An upload session has ``hashstates``, with the state before the first byte."""
    cancel_leaves_hash_state: bool = _by(False, True)
    """A cancelled upload leaves ``_uploads/<uuid>/hashstates``, closed after its removal."""
    checks_chunk_type: bool = _by(False, True)
    """A PATCH whose Content-Type is not ``application/octet-stream`` is 500."""
    content_range_rules: Literal["rfc9110", "go"] = _by("rfc9110", "go")
    """``Content-Range`` of a chunk. ``go``: bare ``start-end``, checked on a PATCH that has a
    Content-Length; anything else is 500."""
    reports_upload_offset: bool = _by(True, False)
    """A 416 to a chunk reports the stored range and the next offset."""
    proxy_signs_with_empty_secret: bool = _by(False, False, False, True)
    """A proxy without ``http.secret`` signs upload tokens with the empty string."""
    proxy_warns_of_missing_secret: bool = _by(False, True, True, False)
    """A proxy without ``http.secret`` says so at start, though it takes no uploads."""
    repository_needs_tags: bool = _by(False, True)
    """tags/list of a repository that never had a tag is 404 NAME_UNKNOWN."""
    upload_uuid_version: Literal[4, 7] = _by(4, 4, 4, 4, 7)
    """Uploads are named by random, or by time-ordered UUIDs."""

    # -- garbage collection ---------------------------------------------------------------------
    gc_fails_without_layers: bool = _by(False, False, False, True)
    """A repository without ``_layers`` makes the whole run fail."""
    gc_keeps_children_of_tagged_index: bool = _by(True, False, False, True)
    """``--delete-untagged`` keeps children of a tagged index."""
    gc_without_tags: Literal["untagged", "fails", "skips"] = _by(
        "untagged", "fails", "fails", "skips"
    )
    """A repository without tags under ``-m``: all is untagged; the run fails; all is skipped."""
    gc_keeps_referrers: bool = _by(True, False)
    """``--delete-untagged`` keeps what refers to a kept manifest by ``subject``."""
    gc_fails_on_unreadable_manifest: bool = _by(False, True)
    """Content that is not a manifest, linked as one, makes the whole run fail."""
    gc_fails_on_broken_links: bool = _by(False, True)
    """A link without a digest, to a manifest or (``-m``) of a tag, makes the whole run fail."""
    gc_reads_link_targets: bool = _by(True, False)
    """A layer stays that is stored under another digest than it is referred to by (sha512)."""
    gc_removes_layer_links: bool = _by(True, False, False, True)
    """Layer links of swept blobs go too."""
    gc_lists_layer_links: bool = _by(False, False, False, True)
    """Prints ``layer link eligible for deletion``."""
    gc_untagged_line: Literal["digest", "struct"] = _by("digest", "digest", "digest", "struct")
    """``manifest eligible for deletion: <digest>`` or ``{<repo> <digest> [tags]}``."""
    gc_fails_on_empty_storage: bool = _by(False, True)
    """A storage without repositories is an error, exit 1."""
    gc_keeps_what_is_leased: bool = _by(True, False)
    """Content that a client pushed, mounted, pulled or asked for is leased (``storage.leases``), so
    that garbage may be collected while the registry serves. A release needs read-only mode."""
    locks_storage: bool = _by(True, False)
    """A second process on a root directory does not start. Releases do not check."""
    gc_reports: bool = _by(True, False)
    """GC has ``--json``, ``--grace`` and a bar, and reports links without or with bad content."""
    gc_quiet_flag: bool = _by(True, False, False, True)
    """``--quiet`` exists."""

    # -- process --------------------------------------------------------------------------------
    strict_config: bool = _by(True, False)
    """What releases accept silently (an unknown key, a quoted boolean, a key given twice, a bare
    number of nanoseconds) is an error, and every bad configuration ends with exit code 2. Releases
    end with 1 for what they cannot parse and with 2 where they panic."""
    has_x_keys: bool = _by(True, False)
    """The ``x-`` keys of docs/configuration.md are known. Releases skip keys that begin so."""
    warns_of_exposure: bool = _by(True, False)
    """The log at start warns of open access and of passwords that are sent without TLS."""
    config_version_without_dot_panics: bool = _by(False, True, False)
    """``version: 1`` is a panic, exit 2, and not an error, exit 1."""
    has_keys_of_3_alpha: bool = _by(True, False, True)
    """``storage.cache.blobdescriptorsize`` and ``redis.username`` are known."""
    has_keys_of_3_0: bool = _by(True, False, False, True)
    """``storage.tag``, ``http.h2c``, ``http.tls.clientauth`` and ``proxy.exec`` are known."""
    has_keys_of_3_1: bool = _by(True, False, False, False, True)
    """``tags.maxtags`` and ``proxy.cachewritetimeout`` are known."""
    redis_addresses: Literal["addr", "addrs", "either"] = _by("either", "addr", "addr", "addrs")
    """The key that names the redis server: ``addr``, ``addrs``."""
    redis_tls: Literal["none", "by-certificate", "by-any"] = _by(
        "by-any", "none", "none", "by-certificate", "by-any"
    )
    """What turns on TLS to redis: nothing, ``tls.certificate``, or any key of ``redis.tls``."""
    believes_forwarded: bool = _by(False, True)
    """``Forwarded`` and ``X-Forwarded-...`` headers of every client go into URLs (CWE-644)."""
    redirects_outside: bool = _by(False, True)
    """A path that leads out of ``/v2/`` is redirected to where it leads (CWE-601)."""
    old_tls: bool = _by(False, True, False)
    """``http.tls.minimumtls`` takes tls1.0 and tls1.1."""
    body_timeout: float | None = _by(60.0, None)
    """Seconds that the registry waits for the next bytes of a request's body; None: forever."""
    drain_timeout_default: float | None = _by(10.0, None)
    """Seconds to finish requests after SIGTERM by default; None: the signal kills the process."""
    drains_on_sigint: bool = _by(True, False, False, True)
    """SIGINT ends like SIGTERM; otherwise it kills the process even while draining is on."""
    drain_overrun_fails: bool = _by(False, True)
    """The exit code is 1 where requests were still in flight when the drain time was over."""
    drain_panics_without_ttl: bool = _by(False, False, False, True, False)
    """A graceful stop with ``ttl: 0`` panics, exit 2."""

    # -- storage that cannot be written ---------------------------------------------------------
    writes_files: Literal["replaced", "in-place"] = _by(
        "replaced", "in-place", "in-place", "in-place", "replaced"
    )
    """``in-place``: emptied, then written; a crash or a full disk leaves a part of the file."""
    serves_what_it_cannot_store: bool = _by(True, False)
    """A cache with a full disk serves what it pulls; otherwise a manifest or tag is a 500."""
    reports_full_disk: bool = _by(True, False)
    """507 UNAVAILABLE (RFC 4918, 11.5) instead of 500 UNKNOWN."""

    # -- clients' credentials -------------------------------------------------------------------
    provisions_htpasswd: bool = _by(False, True)
    """A missing htpasswd file is created with one user ``docker`` and a logged password."""
    hides_unknown_users: bool = _by(True, False, False, False, True)
    """An unknown user takes as long to refuse as a wrong password."""
    token_parser: Literal["jose", "libtrust"] = _by("jose", "libtrust", "jose")
    """``libtrust``: RSA PKCS #1 and ECDSA, one audience; ``jose``: PSS, EdDSA and lists too."""
    token_key_ids: tuple[Literal["libtrust", "thumbprint", "jwks"], ...] = _by(
        ("libtrust", "thumbprint", "jwks"), ("libtrust",), ("jwks",), ("thumbprint", "jwks")
    )
    """By which ``kid`` a token may name a key: libtrust's name of a root certificate's key, that
    key's RFC 7638 thumbprint, or the name in ``auth.token.jwks``."""
    has_token_options: bool = _by(True, False, False, True)
    """``auth.token``: ``autoredirectpath``, ``signingalgorithms``, ``X-Forwarded-Proto``."""
    names_bad_signature: bool = _by(True, True, False)
    """The challenge after a token with a wrong signature says ``invalid_token``."""

    # -- health and metrics ---------------------------------------------------------------------
    health_errors_name_cause: bool = _by(True, False, True)
    """The text of a failed http or tcp check carries the cause."""
    serving_action: Literal["URLFor", "RedirectURL"] = _by("RedirectURL", "URLFor", "RedirectURL")
    """The ``action`` under which metrics count that a blob is served."""
    cache_metrics: Literal["by-type", "by-name"] = _by("by-name", "by-type", "by-name")
    """``registry_storage_cache_total{type}`` or ``registry_storage_cache_hits_total`` etc."""
    measures_upstream: bool = _by(True, False)
    """Metrics show how long upstream takes to answer, and the hit ratio."""
    proxy_metrics: Literal["absent", "after-use", "always"] = _by(
        "always", "absent", "after-use", "always"
    )
    """Whether ``registry_proxy_*`` exists: never, from the first proxied request on, or always."""
    counts_proxy_blobs_wrongly: bool = _by(False, True, False)
    """``/debug/vars``: hits equal requests; blob misses and pulled bytes stay 0."""
    debug_listens_first: bool = _by(True, True, False)
    """The debug listener is up before the registry is built, and so while it pings upstream."""
    debug_vars_break_with_redis: bool = _by(False, False, False, True, False)
    """``/debug/vars`` is not JSON once redis is configured."""


def _released(index: int, name: str) -> Profile:
    """The profile of the release at *index* of :data:`_RELEASES`."""
    values: dict[str, Any] = {}
    for behaviour in fields(Profile):
        if given := behaviour.metadata.get("releases"):
            values[behaviour.name] = given[min(index, len(given) - 1)]
    return Profile(name=name, implementation="distribution", **values)


DEFAULT_PROFILE = IDEAL = Profile()
PROFILES = {
    "ideal": IDEAL,
    **{name: _released(index, name) for index, name in enumerate(_RELEASES)},
}


def profile_named(name: str) -> Profile:
    """The profile called *name*; ``ValueError`` with the known names if there is none."""
    try:
        return PROFILES[name]
    except KeyError:
        known = ", ".join(PROFILES)
        raise ValueError(f"unknown profile {name!r}; known are {known}") from None
