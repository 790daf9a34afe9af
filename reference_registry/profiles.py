"""What each release does differently, in one table.

The code asks a :class:`Profile` for a named behaviour and never for a version. ``IDEAL`` is a
registry without the known bugs; ``DISTRIBUTION_2_8`` lists every difference of CNCF distribution
2.8 from it, and each later release lists the changes since the one before, so that the bottom of
this file reads as a changelog.

Every value was measured on the released binary (2.8.2 as Debian ships it; 2.8.3, 3.0.0-alpha.1,
3.0.0 and 3.1.1 built from their tags). Issue numbers are those of distribution/distribution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["DEFAULT_PROFILE", "PROFILES", "Profile", "profile_named"]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Named behaviours; the defaults are those of ``ideal``."""

    name: str = "ideal"
    implementation: str = "pullproof"
    """Whose behaviour this is: ``pullproof`` or ``distribution``."""

    # -- answers --------------------------------------------------------------------------------
    json_content_type: str = "application/json"
    """Content-Type of JSON answers. 2.8 adds a charset."""
    error_detail: Literal["text", "struct"] = "text"
    """``detail`` of a wrapped error: its text, or the marshalled Go struct (2.8: often ``{}``)."""

    range_rules: Literal["rfc9110", "go"] = "rfc9110"
    """How ``Range`` of a stored blob is read: ``go`` is its ``http.ServeContent`` (all releases):
    416 for bad syntax too, in plain text, and ranges on HEAD."""
    multi_range: Literal["whole", "multipart"] = "whole"
    """Several ranges in one request: the whole content, or ``multipart/byteranges`` (releases)."""
    keeps_caching_headers_on_416: bool = False
    """A 416 still carries the blob's Etag and Cache-Control (2.8, 3.0.0-alpha.1)."""
    trusts_descriptor_cache: bool = False
    """With a descriptor cache, a blob whose bytes are gone is answered 200 with its full length
    and no body (all releases)."""

    remembers_manifests: Literal["never", "bytes", "as-blobs"] = "never"
    """What the descriptor cache holds of manifests: nothing; the size of each that was read (2.8,
    alpha.1); the same as of blobs, so that HEAD of a manifest's digest as a blob is 200 (3.0.0 and
    later)."""
    descriptor_cache_forgets: Literal["bytes", "all"] = "all"
    """What is deleted from a descriptor cache in redis with a blob of a repository: only its
    size (2.8 to 3.0.0), or its link to the repository too."""

    names_what_is_invalid: bool = True
    """A malformed repository name, tag or digest in a path is reported as such; releases answer
    404 in plain text, or 500 for what only their storage driver refuses."""

    name_limit_skips_host: bool = False
    """The 255 characters of a repository's name are counted without its first component, since that
    could be a host (3.0.0 and later)."""

    # -- proxy: what a miss costs ---------------------------------------------------------------
    blob_miss: Literal["shared", "tee", "double"] = "shared"
    """GET of an uncached blob. ``double``: one upstream GET for the client and another for the
    cache (2.8, #3569). ``tee``: one stream feeds both, per client (3.x). ``shared``: one upstream
    GET serves the cache and every client that asks meanwhile (#1334, #3969). But for ``shared``,
    HEAD fetches the whole blob, and Range and If-None-Match are ignored on a miss (#4667); ``tee``
    ends with its client (#4793)."""
    blob_miss_headers: bool = True
    """A miss is answered with length, type and digest. 3.0.0-alpha.1 sends none of them."""
    fill_leaves_upload_on_abort: bool = False
    """An aborted fill leaves ``_uploads/<uuid>`` behind (3.0.0-alpha.1, 3.0.0)."""
    fill_leaves_upload_on_mismatch: bool = False
    """A fill whose bytes do not match leaves ``_uploads/<uuid>`` behind (all releases)."""
    appends_error_to_broken_body: bool = False
    """After a body that upstream cut short, the error's JSON follows on the same stream (all
    releases)."""
    verifies_manifests: bool = True
    """Manifest bytes are checked against the digest that was asked for (no release does)."""
    notices_damage: bool = True
    """A cached file that is empty, or not of the size in its manifest, is checked and, if
    it is damaged, fetched again, as one that is gone (no release)."""
    pings_anonymous_upstream_every_time: bool = False
    """An upstream that sends no challenge is asked ``GET /v2/`` before every operation, because
    the empty list of challenges is never remembered (all releases)."""
    keeps_connection_of_ping: bool = True
    """The connection of ``GET /v2/`` to upstream is used again. Releases do not read the body
    (``registry/proxy/proxyauth.go``, ``ping``), so that Go closes it."""
    pings_upstream_at_start: bool = False
    """One ``GET /v2/`` at start; the process dies if upstream cannot be reached (all releases)."""
    refetches_blob_cached_elsewhere: bool = False
    """A blob that another repository has cached is fetched again (all releases). ``ideal`` asks
    upstream with HEAD whether this repository has it, and links it."""
    fetches_tagged_manifest_by: Literal["digest", "tag"] = "digest"
    """What follows the HEAD of a tag: GET of the digest in its answer, or GET of the tag again,
    which may have moved meanwhile (all releases)."""
    fills_config_unscheduled: bool = False
    """A configuration that was fetched to make a schema 1 manifest never expires (2.8)."""
    joins_upstream_requests: bool = True
    """Clients that ask for the same manifest or tag at once share one upstream request (#1334)."""
    retries_upstream: bool = True
    """A request that got no answer at all is sent once more, a moment later."""
    upstream_redirects: int = 5
    """How many redirects in a row are followed; Go's client sends ten requests in all."""
    takes_redirects_for_success: bool = False
    """A status of 3xx that leads nowhere counts as success (all releases)."""
    upstream_timeouts: bool = True
    """10 s to connect and 60 s between bytes; releases wait forever (#3705)."""
    honours_remote_path: bool = True
    """A path in ``proxy.remoteurl`` precedes the path of every request; releases use it for
    the start-up ping only."""
    blob_accept_encoding: str = "identity"
    """``Accept-Encoding`` of blob requests. Releases let a blob be compressed on the way."""
    upstream_user_agent: str = "pullproof"
    """``User-Agent`` of upstream requests."""
    asks_for_schema1: bool = True
    """Requests accept Docker's schema 1 manifests (2.8 and ideal; not 3.x)."""
    keeps_unknown_manifests: bool = True
    """A manifest whose Content-Type is unknown is kept and served; releases answer 500 (#3530)."""

    # -- proxy: what upstream's failures become -------------------------------------------------
    honest_upstream_errors: bool = True
    """401, 403, 404, 429 and 5xx reach the client as such, Retry-After kept. Every release answers
    404 by tag, 500 by digest, and 404 or 500 for a blob (#3842, #4477)."""
    parses_empty_refusals: bool = True
    """A 4xx without a body that calls itself JSON, as to HEAD, is reported as JSON that ends too
    early (2.8, 3.0.0-alpha.1), and not by its status."""
    marks_stale: bool = True
    """Content served because upstream failed carries ``Warning: 110`` (RFC 9111, 5.5)."""
    not_modified_skips_caching: bool = False
    """304 to a conditional GET by tag writes the tag link but not the manifest (all releases)."""
    not_modified_before_existence: bool = False
    """``If-None-Match`` equal to the digest in the URL is answered 304 without looking for the
    manifest (all releases)."""

    # -- proxy: credentials ---------------------------------------------------------------------
    upstream_basic_auth: bool = True
    """A Basic challenge of upstream is answered (not by 2.8, #3153)."""
    caches_upstream_tokens: bool = True
    """Bearer tokens are kept until they expire; every release asks again per client request."""
    helper_is_asked_for_realm: bool = False
    """``proxy.exec`` is asked for the credentials of the token server's host, and not of upstream's
    (3.0.0 and later; there is none before)."""
    realm_rule: Literal["any", "same-site"] = "same-site"
    """Which token realms get the credentials. 3.1.1 and ideal: the upstream's own host and port or
    registrable domain (CVE-2026-33540); ``any`` before."""
    realm_allows_loopback: bool = True
    """A token server on another port of the same IP literal is trusted (not by 3.1.1), and
    ``localhost`` is any loopback address."""
    credentials_only_for_realms_of_start: bool = False
    """A token server that upstream did not name when it was asked at start gets no credentials (all
    releases)."""
    broken_htpasswd_is_unavailable: bool = True
    """While the htpasswd file cannot be read, clients get 503; releases answer 400 with an empty
    body."""
    restricts_targets: bool = True
    """Redirects and realms that lead to another host must not lead to this machine or its link, nor
    from https to http. Releases follow everything."""

    # -- proxy: expiry --------------------------------------------------------------------------
    honours_ttl: bool = True
    """``proxy.ttl`` is read; 2.8 does not know the key and keeps everything 168 h (#3880)."""
    expiry_needs_delete_enabled: bool = False
    """Without ``storage.delete.enabled: true`` expiry deletes nothing and forgets the entry, so
    that the content stays forever (all releases, #4249)."""
    expiry_counts_shared_blobs: bool = True
    """A blob's bytes go only when no other repository links it; every release deletes them under
    the others (#2367, #4191)."""
    expiry_removes_manifest_bytes: bool = True
    """Manifest bytes are freed at expiry; releases leave them to garbage-collect."""
    expiry_takes_both_kinds: bool = True
    """Content pulled as a manifest and as a blob has one entry, and expires as both. In a release
    only the kind that was pulled last expires."""
    expiry_removes_tag_links: bool = True
    """Tags that point at an expired manifest go with it; releases keep them forever."""
    rebuilds_damaged_state: bool = True
    """An empty or damaged ``scheduler-state.json`` is rebuilt from the tree with a warning; every
    release panics at start."""
    schedules_what_it_finds: bool = True
    """Cached content that is in no schedule, after a crash or a time without ttl, expires one ttl
    after the start. In a release it never expires."""
    saves_state: Literal["at-once", "ticker"] = "at-once"
    """``ticker``: every 5 s if something changed, and what happened since is lost at exit."""
    removes_leftovers: bool = True
    """A cache removes the uploads and parts of files that a killed process left, when it starts.
    Releases keep uploads until the purge."""
    saves_state_on_drain: bool = True
    """State is written on a graceful stop (with ``http.draintimeout``; not by 2.8 and alpha.1)."""

    # -- tags and catalog -----------------------------------------------------------------------
    paginates_tags: bool = True
    """``n`` and ``last`` of tags/list are honoured (not by 2.8); sorted then."""
    tags_skip_when_last_unknown: bool = False
    """``last=`` that names no existing tag skips one tag too many (3.0.0-alpha.1, 3.0.0)."""
    tags_link_on_exact_page: bool = False
    """A page that ends exactly with the last tag still carries a Link (3.1.1)."""
    proxy_tags_pagination: Literal["sorted", "ignored", "as-sent", "upstream"] = "sorted"
    """How the proxy applies ``n`` and ``last``: to the sorted list of upstream, not at all (2.8),
    to the list in upstream's order (3.0.0-alpha.1, 3.0.0), or by forwarding them (3.1.1, where
    ``last`` without ``n`` is ignored)."""
    checks_page_size_last: bool = False
    """A bad ``n`` of tags/list is noticed when the tags are there, so that it costs an upstream
    request, and is 404 for an unknown repository (3.0.0-alpha.1, 3.0.0)."""
    tags_after_last_need_no_repository: bool = False
    """``last=`` in an unknown repository leads to ``"tags":null`` and not to 404 (3.1.1)."""
    page_size_detail: Literal["text", "number"] = "text"
    """How a bad ``n`` of tags/list is shown in the error: as sent, or as a number (3.1.1)."""
    limits_tags_page: bool = True
    """A larger ``n`` of tags/list than ``tags.maxtags`` is cut down to it (3.1.1)."""
    empty_tags: Literal["list", "null"] = "list"
    """``"tags":[]`` or ``"tags":null`` once all tags are gone."""
    catalog_lists: Literal["_layers", "_manifests", "either"] = "either"
    """The directory that makes a repository appear in the catalog: ``_layers`` (2.8),
    ``_manifests`` (3.x)."""
    catalog_lists_empty: bool = False
    """Repositories stay in the catalog after all of their content has gone (all releases)."""
    catalog_bad_n_is_default: bool = False
    """Negative or textual ``n`` of the catalog means 100 (2.8) instead of 400."""

    # -- standard registry ----------------------------------------------------------------------
    delete_tag: Literal["supported", "digest-invalid", "even-if-disabled"] = "supported"
    """DELETE by tag: 202 where deletion is enabled; 400 DIGEST_INVALID (2.8); or 202 even where it
    is disabled (3.0.0-alpha.1, 3.0.0)."""
    referrers_api: bool = True
    """``/v2/<name>/referrers/<digest>`` exists (OCI 1.1; in no release)."""
    converts_to_schema1: bool = False
    """schema2 by tag without an Accept for it is converted to schema1 (2.8)."""
    picks_platform_for_old_clients: bool = False
    """A manifest list by tag for a client that cannot read lists is answered with its linux/amd64
    child (all releases)."""
    oci_manifest_needs_accept: bool = False
    """An OCI manifest without a matching Accept is 404 (all releases)."""
    oci_index_needs_accept: bool = False
    """An OCI index without a matching Accept is 404 (2.8)."""
    sha512: bool = True
    """Blobs and manifests are kept under sha512 when pushed so; releases store them as sha256."""
    upload_status_needs_state: bool = False
    """GET of an upload without its ``_state`` token is 404 (2.8)."""
    wrong_upload_offset: Literal["range-invalid", "upload-invalid"] = "range-invalid"
    """A PATCH at the wrong offset: 416, or 404 BLOB_UPLOAD_INVALID (2.8)."""
    checks_content_range: bool = True
    """``Content-Range`` of a PATCH is compared with what is stored (not by 2.8)."""
    monolithic_post: bool = True
    """``POST ?digest=`` with a body stores the blob (in no release)."""

    sparse_manifests: bool = True
    """A manifest may be pushed before its layers, and an index before its children, as the OCI
    conformance suite's sparse data has it. No release takes either, nor layers with ``urls``,
    which are not to be pushed at all."""
    mounts_from_anywhere: bool = True
    """``mount`` without ``from`` finds the blob in any repository (no release)."""
    accepts_schema1: bool = True
    """Docker schema 1 manifests may be pushed, and are taken from upstream (not by 2.8, unless it
    is configured so; not by 3.x)."""
    accepts_untyped_manifest: bool = True
    """A manifest pushed without a Content-Type is taken for what it says it is (no release)."""
    oversized_manifest_status: int = 413
    """For a manifest over 4 MiB; 400 from all releases."""
    tags_by_query: bool = True
    """``PUT`` by digest takes ``?tag=``, and says so in ``OCI-Tag`` (in no release)."""
    finds_manifests_among_layers: bool = False
    """A manifest is also looked for among the layers, so that a layer's digest is 500 there
    (2.8)."""
    upload_needs_state: bool = False
    """Writes to an upload without its ``_state`` token are 404 (all releases). ``ideal`` uses the
    token only to notice a client that has lost count."""
    keeps_upload_on_mismatch: bool = False
    """An upload that was closed with the wrong digest stays (all releases)."""
    keeps_hash_states: bool = False
    """An upload session has ``hashstates`` from its beginning on (all releases). Only the state
    before the first byte is written, see tests/contract/profiles/not_imitated.toml."""
    cancel_leaves_hash_state: bool = False
    """A cancelled upload leaves ``_uploads/<uuid>/hashstates``, since it is closed after it was
    removed (measured on 2.8.2)."""
    checks_chunk_type: bool = False
    """A PATCH whose Content-Type is not ``application/octet-stream`` is 500 (all releases)."""
    content_range_rules: Literal["rfc9110", "go"] = "rfc9110"
    """``Content-Range`` of a chunk. ``go`` (3.x): bare ``start-end``, minded on a PATCH that has a
    Content-Length, and 500 for anything else."""
    reports_upload_offset: bool = True
    """A 416 to a chunk reports the stored range and the next offset (no release)."""
    proxy_signs_with_empty_secret: bool = False
    """A proxy without ``http.secret`` signs upload tokens with the empty string (3.0.0, 3.1.1)."""
    proxy_warns_of_missing_secret: bool = False
    """A proxy without ``http.secret`` says so at start, though it takes no uploads (2.8,
    3.0.0-alpha.1)."""
    repository_needs_tags: bool = False
    """tags/list of a repository that never had a tag is 404 NAME_UNKNOWN (all releases)."""
    upload_uuid_version: Literal[4, 7] = 4
    """Uploads are named by random, or by time-ordered UUIDs (3.1.1)."""

    # -- garbage collection ---------------------------------------------------------------------
    gc_enumerates: Literal["_layers", "_manifests", "either"] = "either"
    """Which directory makes GC look at a repository. 2.8 misses a cache's manifest-only ones and
    deletes their bytes."""
    gc_fails_without_layers: bool = False
    """A repository without ``_layers`` makes the whole run fail (3.0.0, 3.1.1)."""
    gc_keeps_children_of_tagged_index: bool = True
    """``--delete-untagged`` keeps children of a tagged index (not 2.8, alpha.1)."""
    gc_without_tags: Literal["untagged", "fails", "skips"] = "untagged"
    """What ``--delete-untagged`` makes of a repository that never had a tag: all of it is untagged;
    the whole run fails (2.8, alpha.1); its manifests are neither in use nor deleted (3.0.0)."""
    gc_keeps_referrers: bool = True
    """``--delete-untagged`` keeps what refers to a kept manifest by ``subject`` (no release)."""
    gc_fails_on_unreadable_manifest: bool = False
    """Content that is not a manifest, linked as one, makes the whole run fail (all releases)."""
    gc_fails_on_broken_links: bool = False
    """A link without a digest in it, to a manifest or, with ``--delete-untagged``, of a tag, makes
    the whole run fail (all releases). ``ideal`` keeps what the link once had."""
    gc_reports_damage: bool = True
    """Links without bytes and links that cannot be read are reported (no release)."""
    gc_reads_link_targets: bool = True
    """A layer kept under another digest than it is referred to by stays (no release: they sweep
    what was pushed as sha512)."""
    gc_removes_layer_links: bool = True
    """Layer links of swept blobs go too (3.0.0 and later)."""
    gc_lists_layer_links: bool = False
    """Prints ``layer link eligible for deletion`` (3.0.0 and later)."""
    gc_untagged_line: Literal["digest", "struct"] = "digest"
    """``manifest eligible for deletion: <digest>`` or ``{<repo> <digest> [tags]}`` (3.0.0)."""
    gc_fails_on_empty_storage: bool = False
    """A storage without repositories is an error, exit 1 (all releases)."""
    gc_keeps_what_is_leased: bool = True
    """Garbage may be collected while the registry serves: content that a client pushed, mounted,
    pulled or asked for is leased (``storage.leases``). A release deletes blobs of a push whose
    manifest has not arrived (documented: "ensure that the registry is in read-only mode")."""
    locks_storage: bool = True
    """A second process on a root directory does not start. Releases do not notice each other."""
    gc_reports: bool = True
    """``garbage-collect`` knows ``--json`` and ``--grace``, and draws a bar (no release)."""
    gc_quiet_flag: bool = True
    """``--quiet`` exists (3.0.0 and later)."""

    # -- process --------------------------------------------------------------------------------
    strict_config: bool = True
    """What releases accept silently (an unknown key, a quoted boolean, a key given twice, a bare
    number of nanoseconds) is an error, and every bad configuration ends with exit code 2. Releases
    end with 1 for what they cannot parse and with 2 where they panic."""
    has_x_keys: bool = True
    """The ``x-`` keys of docs/configuration.md are known. Releases skip keys that begin so."""
    warns_of_exposure: bool = True
    """At start the log warns of access without a password and of passwords sent without TLS (no
    release; ``check-config`` reports them under every profile)."""
    config_version_without_dot_panics: bool = False
    """``version: 1`` is a panic, exit 2, and not an error, exit 1 (2.8)."""
    has_tag_sections: bool = True
    """``storage.tag`` is a section and not a second driver (3.0.0 and later)."""
    has_maxtags: bool = True
    """``tags.maxtags`` is known (3.1.1)."""
    has_h2c: bool = True
    """``http.h2c``, HTTP/2 without TLS, is known (3.0.0 and later)."""
    has_clientauth: bool = True
    """``http.tls.clientauth`` is known (3.0.0 and later)."""
    has_proxy_exec: bool = True
    """``proxy.exec`` is known (3.0.0 and later)."""
    has_cache_write_timeout: bool = True
    """``proxy.cachewritetimeout`` is known (3.1.1)."""
    has_blobdescriptorsize: bool = True
    """``storage.cache.blobdescriptorsize`` is known (3.x)."""
    redis_addresses: Literal["addr", "addrs", "either"] = "either"
    """The key that names the redis server: ``addr`` (2.8, alpha.1), ``addrs`` (3.0.0 and later)."""
    redis_has_users: bool = True
    """``redis.username`` is known (not to 2.8)."""
    redis_tls: Literal["none", "by-certificate", "by-any"] = "by-any"
    """What makes TLS of the connection to redis: nothing (2.8, alpha.1), ``redis.tls.certificate``
    (3.0.0), or any key of ``redis.tls`` (3.1.1)."""
    old_tls: bool = False
    """``http.tls.minimumtls`` takes tls1.0 and tls1.1 (2.8)."""
    body_timeout: float | None = 60.0
    """Seconds that the registry waits for the next bytes of a request's body; None: forever (all
    releases)."""
    drain_timeout_default: float | None = 10.0
    """Seconds to finish requests in flight after SIGTERM where ``http.draintimeout`` is not given.
    None: the process is killed by the signal and saves nothing (all releases)."""
    drains_on_sigint: bool = True
    """SIGINT ends like SIGTERM (not 2.8 and alpha.1, which die of it even while draining is on)."""
    drain_overrun_fails: bool = False
    """The exit code is 1 where requests were still in flight when the drain time was over (all
    releases)."""
    drain_panics_without_ttl: bool = False
    """A graceful stop with ``ttl: 0`` is a nil pointer, exit 2 (3.0.0)."""

    # -- storage that cannot be written ---------------------------------------------------------
    writes_files: Literal["replaced", "in-place"] = "replaced"
    """``in-place``: a file is emptied and written, so that a process which is killed in between, or
    a full disk, leaves nothing or half of it (``PutContent`` of the releases before 3.1)."""
    serves_what_it_cannot_store: bool = True
    """A cache whose disk is full serves what it pulls from upstream; in a release a manifest or tag
    that cannot be stored is a 500."""
    reports_full_disk: bool = True
    """507 UNAVAILABLE (RFC 4918, 11.5) instead of 500 UNKNOWN."""

    # -- clients' credentials -------------------------------------------------------------------
    provisions_htpasswd: bool = False
    """A missing htpasswd file is created, with one user ``docker`` and a password that is logged
    (all releases). ``ideal`` does not start."""
    hides_unknown_users: bool = True
    """An unknown user takes as long to refuse as a wrong password (3.1.1)."""

    token_parser: Literal["jose", "libtrust"] = "jose"
    """2.8 reads tokens with libtrust, which knows RSA's older padding and ECDSA, one audience, and
    no list of them; 3.x with go-jose, which also knows PSS, EdDSA and lists."""
    token_key_ids: tuple[Literal["libtrust", "thumbprint", "jwks"], ...] = (
        "libtrust",
        "thumbprint",
        "jwks",
    )
    """By which ``kid`` a token may name a key: libtrust's name of a root certificate's key (2.8),
    that key's RFC 7638 thumbprint (3.0.0 and later), or the name in ``auth.token.jwks`` (3.x)."""
    has_token_options: bool = True
    """``auth.token.autoredirectpath`` and ``signingalgorithms`` are known, and an automatic realm
    minds ``X-Forwarded-Proto`` (3.0.0 and later)."""
    names_bad_signature: bool = True
    """The challenge that follows a token with a wrong signature says ``invalid_token``; in 3.x it
    says nothing."""

    # -- health and metrics ---------------------------------------------------------------------
    health_errors_name_cause: bool = True
    """The text of a failed http or tcp check carries the cause (3.x)."""
    serving_action: Literal["URLFor", "RedirectURL"] = "RedirectURL"
    """The ``action`` under which metrics count that a blob is served (2.8: ``URLFor``)."""
    cache_metrics: Literal["by-type", "by-name"] = "by-name"
    """``registry_storage_cache_total{type}`` (2.8) or ``registry_storage_cache_hits_total`` etc."""
    measures_upstream: bool = True
    """Metrics show how long upstream takes to answer, and which part of the requests is served
    from the cache (in no release)."""
    proxy_metrics: Literal["absent", "after-use", "always"] = "always"
    """Whether ``registry_proxy_*`` exists: not in 2.8; from the first proxied request on in
    3.0.0-alpha.1; from the start, also without a proxy, since 3.0.0."""
    counts_proxy_blobs_wrongly: bool = False
    """``/debug/vars``: hits equal requests, for manifests too, and blob misses and pulled bytes
    stay 0 (2.8)."""
    debug_listens_first: bool = True
    """The debug listener is up before the registry is built, and so while upstream is asked (2.8,
    ideal); or after (3.x)."""
    debug_vars_break_with_redis: bool = False
    """``/debug/vars`` is not JSON once redis is configured (3.0.0)."""


IDEAL = Profile()

DISTRIBUTION_2_8 = Profile(
    name="2.8",
    implementation="distribution",
    json_content_type="application/json; charset=utf-8",
    error_detail="struct",
    names_what_is_invalid=False,
    range_rules="go",
    multi_range="multipart",
    keeps_caching_headers_on_416=True,
    trusts_descriptor_cache=True,
    remembers_manifests="bytes",
    descriptor_cache_forgets="bytes",
    blob_miss="double",
    fill_leaves_upload_on_mismatch=True,
    appends_error_to_broken_body=True,
    verifies_manifests=False,
    notices_damage=False,
    pings_anonymous_upstream_every_time=True,
    keeps_connection_of_ping=False,
    pings_upstream_at_start=True,
    refetches_blob_cached_elsewhere=True,
    fetches_tagged_manifest_by="tag",
    fills_config_unscheduled=True,
    joins_upstream_requests=False,
    retries_upstream=False,
    upstream_redirects=9,
    takes_redirects_for_success=True,
    upstream_timeouts=False,
    honours_remote_path=False,
    blob_accept_encoding="gzip",
    upstream_user_agent="Go-http-client/1.1",
    keeps_unknown_manifests=False,
    honest_upstream_errors=False,
    marks_stale=False,
    not_modified_skips_caching=True,
    not_modified_before_existence=True,
    upstream_basic_auth=False,
    caches_upstream_tokens=False,
    helper_is_asked_for_realm=True,
    realm_rule="any",
    credentials_only_for_realms_of_start=True,
    broken_htpasswd_is_unavailable=False,
    restricts_targets=False,
    honours_ttl=False,
    expiry_needs_delete_enabled=True,
    expiry_counts_shared_blobs=False,
    expiry_removes_manifest_bytes=False,
    expiry_takes_both_kinds=False,
    expiry_removes_tag_links=False,
    rebuilds_damaged_state=False,
    removes_leftovers=False,
    schedules_what_it_finds=False,
    saves_state="ticker",
    writes_files="in-place",
    serves_what_it_cannot_store=False,
    reports_full_disk=False,
    saves_state_on_drain=False,
    paginates_tags=False,
    proxy_tags_pagination="ignored",
    limits_tags_page=False,
    empty_tags="null",
    catalog_lists="_layers",
    catalog_lists_empty=True,
    catalog_bad_n_is_default=True,
    delete_tag="digest-invalid",
    referrers_api=False,
    converts_to_schema1=True,
    picks_platform_for_old_clients=True,
    oci_manifest_needs_accept=True,
    oci_index_needs_accept=True,
    sha512=False,
    upload_status_needs_state=True,
    wrong_upload_offset="upload-invalid",
    checks_content_range=False,
    monolithic_post=False,
    accepts_schema1=False,
    accepts_untyped_manifest=False,
    oversized_manifest_status=400,
    tags_by_query=False,
    finds_manifests_among_layers=True,
    upload_needs_state=True,
    proxy_warns_of_missing_secret=True,
    keeps_upload_on_mismatch=True,
    keeps_hash_states=True,
    cancel_leaves_hash_state=True,
    checks_chunk_type=True,
    content_range_rules="go",
    reports_upload_offset=False,
    sparse_manifests=False,
    mounts_from_anywhere=False,
    repository_needs_tags=True,
    gc_enumerates="_layers",
    gc_keeps_children_of_tagged_index=False,
    gc_without_tags="fails",
    gc_keeps_referrers=False,
    gc_fails_on_unreadable_manifest=True,
    gc_fails_on_broken_links=True,
    gc_keeps_what_is_leased=False,
    locks_storage=False,
    gc_reports=False,
    gc_reports_damage=False,
    gc_reads_link_targets=False,
    gc_removes_layer_links=False,
    gc_fails_on_empty_storage=True,
    gc_quiet_flag=False,
    has_x_keys=False,
    strict_config=False,
    warns_of_exposure=False,
    config_version_without_dot_panics=True,
    has_tag_sections=False,
    has_maxtags=False,
    has_h2c=False,
    has_clientauth=False,
    has_proxy_exec=False,
    has_cache_write_timeout=False,
    has_blobdescriptorsize=False,
    redis_addresses="addr",
    redis_has_users=False,
    redis_tls="none",
    old_tls=True,
    body_timeout=None,
    drain_timeout_default=None,
    drain_overrun_fails=True,
    drains_on_sigint=False,
    provisions_htpasswd=True,
    hides_unknown_users=False,
    token_parser="libtrust",
    token_key_ids=("libtrust",),
    has_token_options=False,
    health_errors_name_cause=False,
    serving_action="URLFor",
    cache_metrics="by-type",
    measures_upstream=False,
    proxy_metrics="absent",
    counts_proxy_blobs_wrongly=True,
)

DISTRIBUTION_3_0_ALPHA_1 = replace(
    DISTRIBUTION_2_8,
    name="3.0.0-alpha.1",
    json_content_type="application/json",
    error_detail="text",
    blob_miss="tee",
    blob_miss_headers=False,
    blob_accept_encoding="zstd, gzip, deflate",
    asks_for_schema1=False,
    fill_leaves_upload_on_abort=True,
    honours_ttl=True,
    paginates_tags=True,
    tags_skip_when_last_unknown=True,
    proxy_tags_pagination="as-sent",
    checks_page_size_last=True,
    empty_tags="list",
    catalog_lists="_manifests",
    catalog_bad_n_is_default=False,
    delete_tag="even-if-disabled",
    converts_to_schema1=False,
    oci_index_needs_accept=False,
    upload_status_needs_state=False,
    wrong_upload_offset="range-invalid",
    checks_content_range=True,
    finds_manifests_among_layers=False,
    gc_enumerates="_manifests",
    config_version_without_dot_panics=False,
    has_blobdescriptorsize=True,
    redis_has_users=True,
    old_tls=False,
    token_parser="jose",
    token_key_ids=("jwks",),
    names_bad_signature=False,
    health_errors_name_cause=True,
    debug_listens_first=False,
    serving_action="RedirectURL",
    cache_metrics="by-name",
    proxy_metrics="after-use",
    counts_proxy_blobs_wrongly=False,
)

DISTRIBUTION_3_0 = replace(
    DISTRIBUTION_3_0_ALPHA_1,
    name="3.0",
    name_limit_skips_host=True,
    keeps_caching_headers_on_416=False,
    remembers_manifests="as-blobs",
    proxy_signs_with_empty_secret=True,
    proxy_warns_of_missing_secret=False,
    blob_miss_headers=True,
    parses_empty_refusals=False,
    upstream_basic_auth=True,
    saves_state_on_drain=True,
    gc_fails_without_layers=True,
    gc_keeps_children_of_tagged_index=True,
    gc_without_tags="skips",
    gc_removes_layer_links=True,
    gc_lists_layer_links=True,
    gc_untagged_line="struct",
    gc_quiet_flag=True,
    has_tag_sections=True,
    has_h2c=True,
    has_clientauth=True,
    has_proxy_exec=True,
    token_key_ids=("thumbprint", "jwks"),
    has_token_options=True,
    redis_addresses="addrs",
    redis_tls="by-certificate",
    drains_on_sigint=True,
    drain_panics_without_ttl=True,
    proxy_metrics="always",
    debug_vars_break_with_redis=True,
)

DISTRIBUTION_3_1 = replace(
    DISTRIBUTION_3_0,
    name="3.1",
    writes_files="replaced",
    descriptor_cache_forgets="all",
    redis_tls="by-any",
    upload_uuid_version=7,
    page_size_detail="number",
    limits_tags_page=True,
    fill_leaves_upload_on_abort=False,
    realm_rule="same-site",
    realm_allows_loopback=False,
    tags_skip_when_last_unknown=False,
    tags_link_on_exact_page=True,
    proxy_tags_pagination="upstream",
    checks_page_size_last=False,
    tags_after_last_need_no_repository=True,
    empty_tags="null",
    delete_tag="supported",
    has_maxtags=True,
    has_cache_write_timeout=True,
    drain_panics_without_ttl=False,
    hides_unknown_users=True,
    debug_vars_break_with_redis=False,
)

PROFILES = {
    profile.name: profile
    for profile in (
        IDEAL,
        DISTRIBUTION_2_8,
        DISTRIBUTION_3_0_ALPHA_1,
        DISTRIBUTION_3_0,
        DISTRIBUTION_3_1,
    )
}
DEFAULT_PROFILE = IDEAL


def profile_named(name: str) -> Profile:
    """The profile called *name*; ``ValueError`` with the known names where there is none."""
    try:
        return PROFILES[name]
    except KeyError:
        known = ", ".join(PROFILES)
        raise ValueError(f"unknown profile {name!r}; known are {known}") from None
