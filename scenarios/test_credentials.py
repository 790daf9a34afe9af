"""Credentials on both sides of a cache: what it asks of clients, what it sends upstream, and
where neither may appear."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from pathlib import Path
from urllib.parse import unquote

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import Image, an_image
from harness.http.client import Answer
from harness.suite.expectation import Expectations, any_of, at_least
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, MUST, Need, theme
from harness.targets.registry import RunningRegistry
from harness.upstream import Basic, Bearer, MockUpstream
from scenarios.pulling import blob_path, manifest_path, pull_blob, pull_image, pull_manifest
from scenarios.steps import OBSERVED, MakeUpstream, credentials, settle

HTPASSWD = "distribution docs: Configuring a registry, htpasswd"
TOKENS = "distribution docs: Token Authentication Specification"
BASIC = "RFC 7617: The 'Basic' HTTP Authentication Scheme"
ERRORS = "OCI distribution-spec: Error Codes"
MEASURED = "measured on 2.8.2 to 3.1.1"


ALICE = ("alice", "wonderland")
ROBOT = ("robot", "upstream-secret")
# "wonderland" as Apache's htpasswd -m and -s write it.
MD5_LINE = "mallory:$apr1$cqat/NZ.$RsYtYXmuA5UWS5p3UVSBp0"
SHA1_LINE = "trudy:{SHA}tiY7sUhYKUwI5L3866kDY+ENcrQ="
scenario = theme("credentials", refs=(HTPASSWD, MEASURED))


# -- asked of clients --------------------------------------------------------------------------
@scenario(
    "challenge",
    "Without credentials every API path is 401 with a challenge, and nothing is sent upstream",
    level=MUST,
    refs=(ERRORS, "RFC 9110, 11.6.1: WWW-Authenticate", HTPASSWD),
)
def test_challenge(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """docker login and the kubelet depend on the challenge. A cache that asks upstream first spends
    its rate limit on strangers and reveals what exists."""
    cache = target.proxy(upstream, htpasswd=dict([ALICE]))
    upstream.ledger.clear()
    paths = {
        "/v2/": "/v2/",
        "a manifest": manifest_path("team/app", "v1"),
        "a blob": blob_path("team/app", image.layers[0]),
        "tags": "/v2/team/app/tags/list",
        "the catalog": "/v2/_catalog",
    }

    answers = {name: cache.get(path, headers=ACCEPT) for name, path in paths.items()}

    for name, answer in answers.items():
        expect.client(f"status of {name}", answer.status, 401)
        challenge = answer.headers.get("WWW-Authenticate")
        expect.client(f"challenge of {name}", challenge, 'Basic realm="pullproof"')
        expect.client(f"error code of {name}", answer.error_code, "UNAUTHORIZED")
    expect.client("detail of a manifest", _scopes(answers["a manifest"]), ["team/app:pull"])
    expect.client("detail of a blob", _scopes(answers["a blob"]), ["team/app:pull"])
    expect.upstream("requests", upstream.ledger.lines(), [])
    expect.disk("stored", cache.disk.blobs(), set())


@scenario(
    "password-decides",
    "The right password opens the cache; a wrong password or unknown user does not",
    level=MUST,
    refs=(BASIC, HTPASSWD),
)
def test_password_decides(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A refused client costs upstream nothing, even for uncached content."""
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, htpasswd=dict([ALICE]))
    upstream.ledger.clear()
    path = manifest_path("team/app", "v1")

    wrong = cache.get(path, headers=ACCEPT, auth=("alice", "looking-glass"))
    empty = cache.get(path, headers=ACCEPT, auth=("alice", ""))
    unknown = cache.get(path, headers=ACCEPT, auth=("bob", "wonderland"))
    garbage = cache.get(path, headers=ACCEPT | {"Authorization": "Basic !!!"})
    bearer = cache.get(path, headers=ACCEPT | {"Authorization": "Bearer wonderland"})
    expect.upstream("requests before the right password", upstream.ledger.lines(), [])
    right = cache.get(path, headers=ACCEPT, auth=ALICE)

    expect.client("status, wrong password", wrong.status, 401)
    expect.client("status, empty password", empty.status, 401)
    expect.client("status, unknown user", unknown.status, 401)
    expect.client("status, broken header", garbage.status, 401)
    expect.client("status, another scheme", bearer.status, 401)
    expect.client("status, right password", right.status, 200)


@scenario(
    "cached-content-is-guarded",
    "Cached content needs the password too",
    refs=("d#1899", HTPASSWD),
    needs=OBSERVED,
)
def test_cached_content_is_guarded(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Also for conditional and range requests, which a cache may be tempted to answer early."""
    layer = image.layers[0]
    cache = target.proxy(upstream, htpasswd=dict([ALICE]))
    cache.get(manifest_path("team/app", "v1"), headers=ACCEPT, auth=ALICE)
    cache.get(blob_path("team/app", layer), auth=ALICE)
    cache.eventually(lambda: layer.digest in cache.disk.layer_links("team/app"))
    upstream.ledger.clear()
    manifest, blob = manifest_path("team/app", image.digest), blob_path("team/app", layer)

    whole = cache.get(manifest, headers=ACCEPT)
    head = cache.head(manifest, headers=ACCEPT)
    condition = cache.get(manifest, headers=ACCEPT | {"If-None-Match": f'"{image.digest}"'})
    part = cache.get(blob, headers={"Range": "bytes=0-9"})

    expect.client("status of the manifest", whole.status, 401)
    expect.client("status of HEAD", head.status, 401)
    expect.client("digest in the answer to HEAD", head.digest, None)
    expect.client("status of a conditional request", condition.status, 401)
    expect.client("status of a partial request", part.status, 401)
    expect.upstream("requests", upstream.ledger.lines(), [])


@scenario(
    "clients-stay-here",
    "A client's credentials never reach upstream",
    refs=("d#1899", "d#3153", "RFC 9110, 11.7"),
)
def test_clients_stay_here(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Users give this password to the cache only."""
    cache = target.proxy(upstream, htpasswd=dict([ALICE]))

    manifest = cache.get(manifest_path("team/app", "v1"), headers=ACCEPT, auth=ALICE)
    blob = cache.get(blob_path("team/app", image.layers[0]), auth=ALICE)
    tags = cache.get("/v2/team/app/tags/list", auth=ALICE)
    upstream.ledger.wait_idle()

    statuses = [answer.status for answer in (manifest, blob, tags)]
    expect.client("statuses", statuses, [200, 200, 200])
    expect.upstream("credentials seen", credentials(upstream), {"none"})


@scenario("weak-hashes-refused", "Only bcrypt hashes in an htpasswd file are accepted", level=INFO)
def test_weak_hashes_refused(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The htpasswd tool writes MD5 without -B: the file looks right and the login fails."""
    cache = target.proxy(upstream, htpasswd=dict([ALICE]))
    file = _htpasswd(cache)
    _rewrite(file, f"{file.read_text()}{MD5_LINE}\n{SHA1_LINE}\nplain:wonderland\n")

    statuses = {
        user: cache.get("/v2/", auth=(user, "wonderland")).status
        for user in ("alice", "mallory", "trudy", "plain")
    }

    expect.client("bcrypt", statuses["alice"], 200)
    expect.client("md5", statuses["mallory"], 401)
    expect.client("sha1", statuses["trudy"], 401)
    expect.client("plain text", statuses["plain"], 401)


@scenario(
    "password-file-is-live",
    "A change of the htpasswd file takes effect at the next request",
    level=INFO,
)
def test_password_file_is_live(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An employee who leaves loses access at once, and no restart discards a warm cache."""
    users = {"alice": "wonderland", "bob": "builder"}
    cache = target.proxy(upstream, htpasswd=users)
    file = _htpasswd(cache)
    before = [cache.get("/v2/", auth=login).status for login in users.items()]

    lines = file.read_text().splitlines(keepends=True)
    _rewrite(file, "".join(line for line in lines if not line.startswith("bob:")))
    after = [cache.get("/v2/", auth=login).status for login in users.items()]

    expect.client("alice and bob before", before, [200, 200])
    expect.client("alice and bob after", after, [200, 401])


@scenario(
    "broken-password-file",
    "With a broken htpasswd file no user gets in, and the error is a 5xx",
    refs=(MEASURED, "RFC 9110, 15.6.1"),
)
def test_broken_password_file(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The mistake is the server's. A 400 with an empty body sends users to their clients."""
    cache = target.proxy(upstream, htpasswd=dict([ALICE]))
    _rewrite(_htpasswd(cache), "this is no password file\n")

    answer = cache.get("/v2/", auth=ALICE)

    expect.client("status", answer.status, any_of(500, 503))
    expect.client("JSON error", answer.error_code is not None, True)


# -- given to upstream -------------------------------------------------------------------------
@scenario(
    "basic-upstream",
    "The configured credentials answer an upstream's Basic challenge",
    refs=("d#3153", "d#3256", BASIC),
)
def test_basic_upstream(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Nexus, Artifactory and registries behind nginx use Basic."""
    upstream = make_upstream(auth=Basic(*ROBOT))
    image = upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, upstream_login=ROBOT)

    pull = pull_image(cache, "team/app", image, "v1")

    expect.client("pull is complete", pull.complete, True)
    served = {entry.credential for entry in upstream.ledger.select(status=200)}
    expect.upstream("credentials of what was answered", served, {"basic:robot"})


@scenario(
    "bearer-upstream",
    "The cache gets a token from upstream's token server, for pull only",
    refs=(TOKENS, "d#1508"),
)
@pytest.mark.parametrize("account", ["anonymous", "with-account"])
def test_bearer_upstream(
    account: str, make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Docker Hub, GHCR, Quay and most others use tokens, also for public images. A cache needs no
    permission to push and should not hold one."""
    known = account == "with-account"
    upstream = make_upstream(auth=Bearer(*ROBOT) if known else Bearer())
    image = upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, upstream_login=ROBOT if known else None)

    pull = pull_image(cache, "team/app", image, "v1")
    tags = cache.get("/v2/team/app/tags/list")

    expect.client("pull is complete", pull.complete, True)
    expect.client("tags", tags.json().get("tags"), ["v1"])
    asks = upstream.ledger.select(kind="token")
    expect.upstream(
        "credentials at the token server",
        {entry.credential for entry in asks},
        {"basic:robot" if known else "none"},
    )
    scopes = {unquote(scope) for e in asks for scope in re.findall(r"scope=([^&]*)", e.query)}
    expect.upstream("scopes asked for", scopes, {"repository:team/app:pull"})
    answered = {
        entry.credential for entry in upstream.ledger.select(status=200) if entry not in asks
    }
    expect.upstream("credentials of what was answered", answered, {"bearer"})


@scenario(
    "token-is-reused", "A token is reused for its lifetime", refs=(TOKENS, "d#4050", MEASURED)
)
def test_token_is_reused(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A token per request doubles the round trips, and token servers have rate limits."""
    upstream = make_upstream(auth=Bearer(*ROBOT))
    image = upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, upstream_login=ROBOT)

    pull_image(cache, "team/app", image, "v1")
    settle(cache, upstream)
    for _ in range(3):
        cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)

    expect.client("status", cache.get(manifest_path("team/app", "v1"), headers=ACCEPT).status, 200)
    expect.upstream("tokens asked for", upstream.ledger.count(kind="token"), 1)


@scenario(
    "token-is-renewed",
    "An expired token is replaced without a failure for clients",
    refs=(TOKENS, "d#4438", "d#4263"),
)
def test_token_is_renewed(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Tokens live for minutes, caches for months, and a token server may revoke one early."""
    upstream = make_upstream(auth=Bearer(*ROBOT))
    image = upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, upstream_login=ROBOT)
    pull_manifest(cache, "team/app", image, "v1")
    settle(cache, upstream)

    upstream.token_server.revoke_all()
    upstream.ledger.clear()
    tag = cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)
    upstream.token_server.revoke_all()
    blob = pull_blob(cache, "team/app", image.layers[0])

    expect.client("status by tag", tag.status, 200)
    expect.client("marked as stale", tag.headers.get("Warning"), None)
    expect.client("status of a blob", blob.status, 200)
    expect.upstream("tokens asked for", upstream.ledger.count(kind="token"), at_least(2))
    expect.disk("blob is cached", cache.disk.has_blob(image.layers[0].digest), True)


@scenario(
    "whole-pull",
    "A whole image is pulled, and a moved tag noticed, with every kind of upstream authentication",
    refs=("d#3153", "d#1508", "d#4438", TOKENS, BASIC),
    needs=OBSERVED,
)
@pytest.mark.parametrize("asks", ["nothing", "basic", "token", "token-withdrawn"])
def test_whole_pull(
    asks: str, make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Each registry differs. Some tokens expire or are revoked in the middle of a pull."""
    auth = {
        "basic": Basic(*ROBOT),
        "token": Bearer(*ROBOT),
        "token-withdrawn": Bearer(*ROBOT),
    }.get(asks)
    upstream = make_upstream(auth=auth) if auth else make_upstream()
    image = upstream.add("team/app", an_image(layers=3), tags=("v1",))
    cache = target.proxy(upstream, upstream_login=ROBOT if auth else None)
    pull_manifest(cache, "team/app", image, "v1")
    settle(cache, upstream)
    if asks == "token-withdrawn":
        upstream.token_server.revoke_all()
    pull = pull_image(cache, "team/app", image, "v1")
    settle(cache, upstream)
    moved = upstream.add("team/app", an_image("moved"), tags=("v1",))
    tag = cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)

    expect.client("pull is complete", pull.complete, True)
    expect.client("the tag as it is now", tag.body == moved.content, True)
    stored = {blob.digest for blob in image.blobs} <= cache.disk.blobs()
    expect.disk("all of it is cached", stored, True)


@scenario(
    "token-server-on-another-port",
    "A token server on another port of upstream's host gets the credentials",
    level=INFO,
    refs=(TOKENS, "CVE-2026-33540", MEASURED),
)
def test_token_server_on_another_port(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Self-hosted registries on one machine are set up this way. A stricter rule breaks them."""
    upstream = make_upstream(auth=Bearer(*ROBOT, own_port=True))
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, upstream_login=ROBOT)

    answer = cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)

    expect.client("status", answer.status, 200)
    tokens = {entry.credential for entry in upstream.ledger.select(kind="token")}
    expect.upstream("credentials at the token server", tokens, {"basic:robot"})


@scenario(
    "hostile-realm",
    "A challenge that names a token server on a foreign host gets no password",
    refs=("CVE-2026-33540", "GHSA-3p65-76g6-3w7r", TOKENS),
)
def test_hostile_realm(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The challenge arrives before any authentication. An attacker who can write it, through a
    hijacked mirror or a plain-text hop, could collect the account."""
    foreign = make_upstream(auth=Bearer(*ROBOT), host="127.0.0.2")
    upstream = make_upstream(auth=Bearer(*ROBOT, realm=foreign.token_url))
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, upstream_login=ROBOT)

    answer = cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)

    expect.client("served", answer.status == 200, False)
    expect.upstream("passwords seen by the foreign host", _passwords(foreign), set())
    expect.disk("stored", cache.disk.blobs(), set())


@scenario(
    "redirect-elsewhere",
    "A redirect to another host gets no credentials, and the blob is served",
    level=MUST,
    refs=("RFC 9110, 15.4", "d#4599", "CVE-2026-33540"),
)
@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_redirect_elsewhere(
    scheme: str, make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Layers usually come from a CDN or a third party's bucket. A bucket with a signed URL even
    refuses requests with a second credential."""
    upstream = make_upstream(auth=Basic(*ROBOT) if scheme == "basic" else Bearer(*ROBOT))
    network = make_upstream()
    layer = upstream.add("team/app", an_image(), tags=("v1",)).layers[0]
    network.add("team/app", layer)
    upstream.on(kind="blob", where=lambda call: call.header("authorization") is not None).redirect(
        network.url
    )
    cache = target.proxy(upstream, upstream_login=ROBOT)

    answer = cache.get(blob_path("team/app", layer))
    settle(cache, upstream)

    expect.client("status", answer.status, 200)
    expect.client("bytes are right", answer.body == layer.content, True)
    expect.upstream("credentials at the content network", credentials(network), {"none"})


@scenario(
    "wrong-at-upstream",
    "When upstream refuses the cache's password, clients see that and not a 404",
    refs=("d#3842", "harbor#20764", MEASURED),
)
def test_wrong_at_upstream(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """After a password rotation the cache serves what it has and everything new fails. A 404 points
    to the wrong place; a 401 with a challenge asks clients for a password that would not help."""
    upstream = make_upstream(auth=Bearer(*ROBOT))
    image = upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, upstream_login=("robot", "rotated-away"))

    by_tag = cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)
    by_digest = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    blob = cache.get(blob_path("team/app", image.layers[0]))

    expected = any_of(401, 403, 502)
    expect.client("status by tag", by_tag.status, expected)
    expect.client("status by digest", by_digest.status, expected)
    expect.client("status of a blob", blob.status, expected)
    challenges = [answer.headers.get("WWW-Authenticate") for answer in (by_tag, by_digest, blob)]
    expect.client("challenges", [challenge for challenge in challenges if challenge], [])
    bodies = by_tag.body + by_digest.body + blob.body
    expect.client("password in an error", b"rotated-away" in bodies, False)
    expect.disk("stored", cache.disk.blobs(), set())


@scenario(
    "revoked-account-keeps-cache",
    "Cached content is served after upstream revokes the cache's account",
    level=INFO,
    refs=("d#1899", MEASURED),
)
def test_revoked_account_keeps_cache(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Useful in an outage, and important to know where access is revoked on purpose: it lasts until
    the entries expire."""
    upstream = make_upstream(auth=Bearer(*ROBOT))
    image = upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, upstream_login=ROBOT)
    pull_image(cache, "team/app", image, "v1")
    upstream.token_server.refuse(401)
    upstream.token_server.revoke_all()

    by_tag = containerd_pull(cache.client, "team/app", "v1")
    by_digest = containerd_pull(cache.client, "team/app", image.digest)

    expect.client("pull by tag", by_tag.complete, True)
    expect.client("pull by digest", by_digest.complete, True)
    expect.disk("image is kept", image.digest in cache.disk.revisions("team/app"), True)


@scenario(
    "cache-opens-private-images",
    "Clients of a cache without a password can read all that its upstream account can",
    level=INFO,
    refs=("d#1899", "harbor#18133", "distribution docs: Registry as a pull through cache"),
)
def test_cache_opens_private_images(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The documentation has one sentence on it. Private images need htpasswd, a network policy, or
    an account with access to public images only."""
    upstream = make_upstream(auth=Bearer(*ROBOT))
    image = upstream.add("private/app", an_image(), tags=("v1",))
    path = manifest_path("private/app", "v1")
    without = target.proxy(upstream)
    cache = target.proxy(upstream, upstream_login=ROBOT)

    refused = without.get(path, headers=ACCEPT)
    answer = cache.get(path, headers=ACCEPT)

    expect.client("served by a cache without an account", refused.status == 200, False)
    expect.client("status at a cache with one", answer.status, 200)
    expect.client("bytes are right", answer.body == image.content, True)


# -- written down ------------------------------------------------------------------------------
@scenario(
    "not-in-the-log",
    "No password and no token is in the log, at the highest log level",
    refs=("d#4045", "CWE-532"),
    needs=OBSERVED | {Need.LOGS},
)
@pytest.mark.parametrize("formatter", ["text", "json"])
def test_not_in_the_log(
    formatter: str, make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Logs are shipped, kept and read by people who must not have the account."""
    upstream = make_upstream(auth=Bearer(*ROBOT))
    image = upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(
        upstream,
        upstream_login=ROBOT,
        htpasswd=dict([ALICE]),
        log_level="debug",
        log_formatter=formatter,
    )

    pulled = cache.get(manifest_path("team/app", "v1"), headers=ACCEPT, auth=ALICE)
    cache.get(blob_path("team/app", image.layers[0]), auth=ALICE)
    cache.get(manifest_path("team/app", "v1"), auth=("alice", "wrong-password"))
    upstream.token_server.refuse(401)
    cache.get(manifest_path("team/app", "v9"), headers=ACCEPT, auth=ALICE)
    upstream.down()
    cache.get(manifest_path("team/app", "v9"), headers=ACCEPT, auth=ALICE)
    settle(cache, upstream)
    cache.stop()
    log = cache.logs(redacted=False)

    expect.client("status of the pull", pulled.status, 200)
    expect.upstream("a token was issued", len(upstream.token_server.tokens) > 0, True)
    secrets = {
        "the client's password": ALICE[1],
        "the client's header": _basic(*ALICE),
        "a wrong password": "wrong-password",
        "upstream's password": ROBOT[1],
        "upstream's header": _basic(*ROBOT),
        **{f"token {n}": token for n, token in enumerate(upstream.token_server.tokens)},
    }
    expect.disk("the log has the pull", manifest_path("team/app", "v1") in log, True)
    expect.disk("secrets found", [name for name, secret in secrets.items() if secret in log], [])


def _scopes(answer: Answer) -> list[str]:
    """What the error's detail says is missing, as ``repository:action``."""
    detail = answer.json()["errors"][0].get("detail") or []
    return [f"{entry['Name']}:{entry['Action']}" for entry in detail]


def _passwords(upstream: MockUpstream) -> set[str]:
    return {seen for seen in credentials(upstream) if seen.startswith("basic")}


def _basic(user: str, password: str) -> str:
    return b64encode(f"{user}:{password}".encode()).decode()


def _htpasswd(registry: RunningRegistry) -> Path:
    return registry.config_path.with_name("htpasswd")


def _rewrite(file: Path, content: str) -> None:
    """Write *file* so that its modification time differs whatever the clock's resolution."""
    changed = file.stat().st_mtime + 2
    file.write_text(content)
    os.utime(file, (changed, changed))
