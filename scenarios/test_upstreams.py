"""Several upstreams behind one endpoint: how a request selects one, and how their content stays
separate."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from urllib.parse import parse_qs

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.clients.wire_network import WireNetwork
from harness.content import Image, a_layer, an_image
from harness.http.client import Answer, RegistryClient
from harness.nodes.models.containerd.execution import run
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.pullers import Cri
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, MUST, Need, theme
from harness.targets.registry import RunningRegistry
from harness.upstream import Basic, Bearer, MockUpstream
from scenarios.pulling import blob_path, manifest_path, pull_blob, pull_image, pull_manifest
from scenarios.steps import OBSERVED, MakeUpstream, asked, credentials, settle

PROXYING = "OCI distribution-spec: Registry Proxying"
ONE_EACH = ("d#3253", "d#3725", "d#3423", "d#4505")
"""Who asked for more than one upstream in a process."""
SEVERAL = OBSERVED | {Need.X_KEYS}


OTHER = "other.example"
"""The prefix of the further upstream."""
KEPT = f"{OTHER}/team/app"
"""What ``team/app`` of the further upstream is kept as."""
V1 = manifest_path("team/app", "v1")


@pytest.fixture
def other(make_upstream: MakeUpstream) -> MockUpstream:
    """The further upstream."""
    return make_upstream()


def both(
    target: TargetUnderTest, upstream: MockUpstream, other: MockUpstream, **settings: object
) -> RunningRegistry:
    """A cache of the two."""
    return target.proxy(upstream, upstreams={OTHER: {"remoteurl": other.url}}, **settings)


def put_in_both(upstream: MockUpstream, other: MockUpstream) -> tuple[Image, Image]:
    """Different images under the same name and tag."""
    return (
        upstream.add("team/app", an_image("first"), tags=("v1",)),
        other.add("team/app", an_image("second"), tags=("v1",)),
    )


def clear(*upstreams: MockUpstream) -> None:
    for one in upstreams:
        one.ledger.clear()


def status_and_code(answer: Answer) -> list[object]:
    return [answer.status, answer.error_code]


scenario = theme("upstreams", needs=SEVERAL)


# -- which one is meant ------------------------------------------------------------------------
@scenario(
    "by-prefix",
    "A name below an upstream's prefix is pulled from that upstream, any other name from the "
    "first one",
    refs=ONE_EACH,
)
def test_by_prefix(
    upstream: MockUpstream, other: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """One cache, one port and one disk for Docker Hub and every other registry of a cluster."""
    first, second = put_in_both(upstream, other)
    cache = both(target, upstream, other)
    clear(upstream, other)

    plain = pull_image(cache, "team/app", first, "v1")
    prefixed = pull_image(cache, KEPT, second, "v1")

    expect.client("whole images", [plain.complete, prefixed.complete], [True, True])
    expect.client("digests", [plain.digest, prefixed.digest], [first.digest, second.digest])
    names = {entry.repository for one in (upstream, other) for entry in one.ledger.entries}
    expect.upstream("names asked", names - {None, ""}, {"team/app"})
    expect.upstream("blob bodies of the first", upstream.ledger.count("GET", kind="blob"), 3)
    expect.upstream("blob bodies of the other", other.ledger.count("GET", kind="blob"), 3)
    expect.disk("repositories", cache.disk.repositories(), [KEPT, "team/app"])


@scenario(
    "by-ns",
    "The ns parameter selects the upstream it names, with the same content as its prefix, and "
    "the response confirms it",
    refs=(PROXYING, "d#3864", "containerd#3734"),
)
def test_by_ns(
    upstream: MockUpstream, other: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A node needs no renamed images: its hosts.toml sends every registry to one cache, and
    containerd adds ns."""
    _, second = put_in_both(upstream, other)
    cache = both(target, upstream, other)
    clear(upstream, other)

    answer = cache.get(f"{V1}?ns={OTHER}", headers=ACCEPT)
    layer = cache.get(f"{blob_path('team/app', second.layers[0])}?ns={OTHER}")
    cache.eventually(lambda: second.layers[0].digest in cache.disk.layer_links(KEPT))
    expect.client("statuses", [answer.status, layer.status], [200, 200])
    expect.client("digest", answer.digest, second.digest)
    expect.client("bytes", layer.body == second.layers[0].content, True)
    expect.client("OCI-Namespace", answer.headers.get("OCI-Namespace"), OTHER)
    queries = {entry.query for entry in other.ledger.entries}
    expect.upstream("queries", queries, {""})
    expect.upstream("requests at the first upstream", asked(upstream), [])
    expect.disk("repositories", cache.disk.repositories(), [KEPT])

    clear(other)
    spellings = {
        "the prefix": manifest_path(KEPT, second.digest),
        "the host": f"{manifest_path('team/app', second.digest)}?ns={other.address}",
        "both, as with override_path": f"{manifest_path(KEPT, second.digest)}?ns={OTHER}",
    }
    for what, path in spellings.items():
        expect.client(f"by {what}", cache.get(path, headers=ACCEPT).status, 200)
    expect.upstream("requests for what is cached", asked(other), [])


@scenario(
    "ns-of-the-first",
    "ns selects the first upstream by its host, even for a name that starts like a prefix",
    refs=(PROXYING, "containerd docs/hosts.md"),
)
def test_ns_of_the_first(
    upstream: MockUpstream, other: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A repository of the first upstream may start like the prefix of another; the two must not
    share storage."""
    first, _ = put_in_both(upstream, other)
    upstream.add(KEPT, an_image("pretender"), tags=("v1",))
    cache = both(target, upstream, other)
    clear(upstream, other)

    answer = cache.get(f"{V1}?ns={upstream.address}", headers=ACCEPT)
    pretender = cache.get(f"{manifest_path(KEPT, 'v1')}?ns={upstream.address}", headers=ACCEPT)

    expect.client("digest", answer.digest, first.digest)
    expect.client(
        "a name that begins as the prefix", status_and_code(pretender), [404, "NAME_UNKNOWN"]
    )
    expect.upstream("requests at the other", asked(other), [])
    expect.disk("repositories", cache.disk.repositories(), ["team/app"])


UNKNOWN = {
    "an unnamed registry": "registry.example.net",
    "the metadata service": "169.254.169.254",
    "a user": "robot@other.example",
    "a URL": "http://other.example",
    "a path": "other.example/team",
    "dots": "../other.example",
}


@scenario(
    "unknown-ns",
    "An unknown ns is 404 without a connection",
    refs=(PROXYING, "containerd#4413", "OCI distribution-spec: Error Codes"),
    needs=OBSERVED,
)
def test_unknown_ns(
    upstream: MockUpstream,
    other: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Clients send ns. Used as an address it makes the cache fetch from anywhere, inside its own
    network; ignored, it serves one registry's image for another's."""
    put_in_both(upstream, other)
    stranger = make_upstream()
    image = stranger.add("team/app", an_image("stranger"), tags=("v1",))
    cache = both(target, upstream, other)
    clear(upstream, other, stranger)
    before = cache.disk.files()

    for what, ns in {**UNKNOWN, "a registry that is there": stranger.address}.items():
        answer = cache.get(f"{V1}?ns={ns}", headers=ACCEPT)
        expect.client(what, status_and_code(answer), [404, "NAME_UNKNOWN"])
    others = {
        "blob": blob_path("team/app", image.layers[0]),
        "tags": "/v2/team/app/tags/list",
        "referrers": f"/v2/team/app/referrers/{image.digest}",
        "catalog": "/v2/_catalog",
    }
    for what, path in others.items():
        answer = cache.get(f"{path}?ns={stranger.address}")
        expect.client(what, status_and_code(answer), [404, "NAME_UNKNOWN"])
    head = cache.head(f"{V1}?ns={stranger.address}", headers=ACCEPT)
    expect.client("HEAD", head.status, 404)

    settle(cache, stranger)
    everybody = {"the first": upstream, "the other": other, "a stranger": stranger}
    connected = [who for who, one in everybody.items() if one.ledger.entries]
    expect.upstream("connected to", connected, [])
    expect.disk("files", cache.disk.files() == before, True)


@scenario(
    "nodes-mirror-everything",
    "A node that mirrors every registry to the cache gets each image from its own upstream, and "
    "unknown ones from the source",
    refs=(PROXYING, "containerd docs/hosts.md", "measured on containerd 1.6.20, 1.7.24, 2.1.9"),
    needs=OBSERVED,
)
def test_nodes_mirror_everything(
    upstream: MockUpstream,
    other: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """One hosts.toml for all registries must never return one registry's image under another's
    name."""
    stranger = make_upstream()
    sources = {"one.example": upstream, OTHER: other, "stranger.example": stranger}
    images = {
        host: source.add("team/app", an_image(host), tags=("v1",))
        for host, source in sources.items()
    }
    cache = both(target, upstream, other, namespaces=["one.example"])
    clear(*sources.values())

    with ExitStack() as stack:
        clients = {host: RegistryClient(source.url) for host, source in sources.items()}
        for client in clients.values():
            stack.callback(client.close)
        network = WireNetwork({"mirror.example": cache.client, **clients})
        for host, image in images.items():
            hosts = f'server = "http://{host}"\n[host."http://mirror.example"]\n'
            plan = resolve_plan(f"{host}/team/app:v1", {f"{host}/hosts.toml": hosts}, puller=Cri())
            pull = run(plan, network)
            expect.client(f"outcome, {host}", pull.outcome, "ok")
            gave = {attempt.host for attempt in pull.attempts if attempt.status == 200}
            giver = host if host == "stranger.example" else "mirror.example"
            expect.client(f"who gave it, {host}", gave, {giver})
            paths = {a.path for a in pull.attempts if a.method == "GET" and a.status == 200}
            wanted = manifest_path("team/app", image.digest)
            expect.client(f"its own manifest, {host}", wanted in paths, True)
    expect.disk("repositories", cache.disk.repositories(), [KEPT, "team/app"])


@scenario(
    "keys-are-skipped",
    "A configuration with x- keys starts on every registry, and plain names use the common "
    "upstream",
    level=INFO,
    refs=("distribution docs: Configuring a registry", "measured on 2.8.2 to 3.1.1"),
    needs=OBSERVED,
)
def test_keys_are_skipped(
    upstream: MockUpstream, other: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """One file serves both, so that a return to a release stays possible."""
    first, _ = put_in_both(upstream, other)
    cache = both(target, upstream, other)
    pull = pull_image(cache, "team/app", first, "v1")
    expect.client("whole image", pull.complete, True)
    expect.client("digest", pull.digest, first.digest)
    expect.upstream("requests at the other", asked(other), [])
    expect.disk("repositories", cache.disk.repositories(), ["team/app"])


@scenario(
    "docker-hub-names",
    "Docker Hub is one upstream under all its names, and official images work without library/",
    refs=("d#3856", "d#4477", "containerd docs/hosts.md", "distribution/reference: familiar names"),
)
def test_docker_hub_names(
    upstream: MockUpstream, other: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """docker pull nginx means docker.io/library/nginx, which only clients of Docker Hub spell out.
    Through a cache the image must be neither missing nor stored three times."""
    image = other.add("library/nginx", an_image("nginx"), tags=("v1",))
    hub = {"remoteurl": other.url, "namespaces": ["docker.io"], "library": True}
    cache = target.proxy(upstream, upstreams={"hub": hub})
    pull_image(cache, "hub/library/nginx", image, "v1")
    clear(upstream, other)

    paths = {
        "short, below the prefix": manifest_path("hub/nginx", image.digest),
        "docker.io": f"{manifest_path('library/nginx', image.digest)}?ns=docker.io",
        "docker.io, short": f"{manifest_path('nginx', image.digest)}?ns=docker.io",
        "index.docker.io": f"{manifest_path('nginx', image.digest)}?ns=index.docker.io",
        "registry-1.docker.io": f"{manifest_path('nginx', image.digest)}?ns=registry-1.docker.io",
    }
    for what, path in paths.items():
        expect.client(what, cache.get(path, headers=ACCEPT).status, 200)
    tags = cache.get("/v2/nginx/tags/list?ns=docker.io")
    expect.client("tags", tags.json(), {"name": "nginx", "tags": ["v1"]})
    expect.upstream("asked of Hub", asked(other), ["GET /v2/library/nginx/tags/list"])
    expect.upstream("asked of the first", asked(upstream), [])
    expect.disk("repositories", cache.disk.repositories(), ["hub/library/nginx"])


# -- nothing of one is another's ---------------------------------------------------------------
@scenario(
    "same-name",
    "Repositories of the same name at two upstreams have separate tags and manifests",
    level=MUST,
    refs=(*ONE_EACH, "OCI distribution-spec: Pulling manifests"),
)
def test_same_name(
    upstream: MockUpstream, other: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """library/redis at one registry is not library/redis at the next. Otherwise a client that can
    push there replaces what others pull from here."""
    first, second = put_in_both(upstream, other)
    other.add("team/app", an_image("third"), tags=("v2",))
    cache = both(target, upstream, other)
    pull_image(cache, "team/app", first, "v1")
    pull_image(cache, KEPT, second, "v1")

    expect.disk("tags of the first", cache.disk.tags("team/app"), {"v1": first.digest})
    expect.disk("tags of the other", cache.disk.tags(KEPT), {"v1": second.digest})
    lists = [
        cache.get(path).json()
        for path in ("/v2/team/app/tags/list", f"/v2/team/app/tags/list?ns={OTHER}")
    ]
    expect.client("tags", [sorted(one["tags"]) for one in lists], [["v1"], ["v1", "v2"]])
    expect.client("names revealed", [one["name"] for one in lists], ["team/app", "team/app"])

    strange = {
        "manifest of the other": manifest_path("team/app", second.digest),
        "manifest of the first": manifest_path(KEPT, first.digest),
    }
    for what, path in strange.items():
        answer = cache.get(path, headers=ACCEPT)
        expect.client(what, status_and_code(answer), [404, "MANIFEST_UNKNOWN"])


@scenario(
    "blob-of-another",
    "A blob from one upstream is served for another's repository only after that upstream "
    "confirms it",
    level=MUST,
    refs=("d#1899", "d#2367", "OCI distribution-spec: Pulling blobs"),
)
def test_blob_of_another(
    upstream: MockUpstream, other: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Bytes are stored once, and a digest is not secret: every manifest contains some. Each
    registry decides about its own repositories."""
    image, _ = put_in_both(upstream, other)
    cache = both(target, upstream, other)
    layer = image.layers[0]
    pull_blob(cache, "team/app", layer)
    clear(upstream, other)

    unknown = cache.get(blob_path(KEPT, layer))
    by_ns = cache.get(f"{blob_path('team/app', layer)}?ns={OTHER}")
    expect.client("the other does not have it", status_and_code(unknown), [404, "BLOB_UNKNOWN"])
    expect.client("the same by ns", status_and_code(by_ns), [404, "BLOB_UNKNOWN"])

    other.add("team/app", image)
    allowed = pull_blob(cache, KEPT, layer)
    expect.client("the other has it", [allowed.status, len(allowed.body)], [200, layer.size])
    expect.upstream("blob bodies", other.ledger.count("GET", kind="blob"), 0)
    expect.upstream("requests at the first", asked(upstream), [])


@scenario(
    "one-is-down",
    "Pulls continue while another upstream is down or drops a blob, even for the same blob",
    refs=("d#3705", "zot#4357"),
)
def test_one_is_down(
    upstream: MockUpstream, other: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Sharing an endpoint must not mean sharing outages."""
    layer = a_layer("shared", 1 << 20)
    image = an_image("shared", layers=[layer])
    upstream.add("team/app", image, tags=("v1",))
    other.add("team/app", image, tags=("v1",))
    cache = both(target, upstream, other)
    gate = upstream.on("GET", layer).hang(after=100_000)

    with cache.client.open(blob_path("team/app", layer)) as broken:
        broken.read(1000)
        with cache.client.open(blob_path(KEPT, layer)) as whole:
            whole.read(1000)
            gate.release()
            upstream.down()
            body = bytes(whole.received) + whole.read()
    expect.client("blob from the other", len(body), layer.size)

    pull = pull_image(cache, KEPT, image, "v1")
    expect.client("image from the other", pull.complete, True)
    missing = cache.get(manifest_path("team/app", "v2"), headers=ACCEPT)
    expect.client("what is not cached of the one that is down", missing.status, 502)


@scenario(
    "credentials",
    "Each upstream gets its own configured credentials and no others",
    level=MUST,
    refs=("CVE-2026-33540", "RFC 7617, 2.2: Reusing Credentials", "d#1899"),
)
def test_credentials(
    upstream: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """One upstream needs nothing, one Basic, one tokens. Credentials at the wrong upstream would
    let it pull in the cache's name."""
    basic = make_upstream(auth=Basic("alice", "wonderland"))
    bearer = make_upstream(auth=Bearer("bob", "builder-of-things"))
    for number, one in enumerate((upstream, basic, bearer)):
        one.add("team/app", an_image(str(number)), tags=("v1",))
    alice = {"username": "alice", "password": "wonderland"}
    bob = {"username": "bob", "password": "builder-of-things"}
    cache = target.proxy(
        upstream,
        upstreams={
            "basic": {"remoteurl": basic.url, **alice},
            "bearer": {"remoteurl": bearer.url, **bob},
        },
    )
    clear(upstream, basic, bearer)

    paths = ["team/app", "basic/team/app", "bearer/team/app"]
    statuses = [cache.get(manifest_path(name, "v1"), headers=ACCEPT).status for name in paths]

    expect.client("statuses", statuses, [200, 200, 200])
    expect.upstream("credentials at the first upstream", credentials(upstream), {"none"})
    expect.upstream(
        "credentials at the second upstream", credentials(basic), {"none", "basic:alice"}
    )
    tokens = [entry for entry in bearer.ledger.entries if entry.kind == "token"]
    expect.upstream("users of tokens", {entry.credential for entry in tokens}, {"basic:bob"})
    scopes = {scope for entry in tokens for scope in parse_qs(entry.query)["scope"]}
    expect.upstream("scopes of tokens", scopes, {"repository:team/app:pull"})


@scenario(
    "client-authentication",
    "Clients authenticate before they learn the upstreams, and their credentials reach none of "
    "them",
    level=MUST,
    refs=("d#1899", "distribution docs: Registry as a pull through cache", PROXYING),
)
def test_client_authentication(
    upstream: MockUpstream, other: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """With a password nothing is readable without it, by any name."""
    _, second = put_in_both(upstream, other)
    cache = both(target, upstream, other, htpasswd={"alice": "wonderland"})
    login = ("alice", "wonderland")
    cache.get(manifest_path(KEPT, "v1"), headers=ACCEPT, auth=login)
    clear(upstream, other)

    asks = {
        "prefix": manifest_path(KEPT, second.digest),
        "ns": f"{manifest_path('team/app', second.digest)}?ns={OTHER}",
        "unknown ns": f"{V1}?ns=registry.example.net",
        "catalog": f"/v2/_catalog?ns={OTHER}",
    }
    for what, path in asks.items():
        answer = cache.get(path, headers=ACCEPT)
        expect.client(f"{what}, without a login", status_and_code(answer), [401, "UNAUTHORIZED"])
    expect.upstream("requests without a login", asked(upstream) + asked(other), [])

    known = cache.get(f"{V1}?ns={OTHER}", headers=ACCEPT, auth=login)
    expect.client("status for a user", known.status, 200)
    sent = {entry.header("authorization") for entry in other.ledger.entries}
    expect.upstream("credentials", sent, {None})


# -- listing, expiry, the tree -----------------------------------------------------------------
@scenario(
    "pages-keep-ns",
    "The pages of a list requested with ns all belong to that upstream",
    level=MUST,
    refs=(PROXYING, "OCI distribution-spec: Listing Tags"),
)
def test_pages_keep_ns(
    upstream: MockUpstream, other: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A client follows the Link unchanged. Without ns in it the second page would belong to another
    repository."""
    upstream.add("team/app", an_image(), tags=("a", "b", "c", "d", "e"))
    other.add("team/app", an_image(), tags=("v1", "v2", "v3"))
    cache = both(target, upstream, other)

    pages: list[list[str]] = []
    path = f"/v2/team/app/tags/list?n=2&ns={OTHER}"
    while path and len(pages) < 5:
        answer = cache.get(path)
        pages.append(answer.json()["tags"])
        path = str(answer.headers.get("Link") or "").partition(">")[0].removeprefix("<")
    expect.client("pages", pages, [["v1", "v2"], ["v3"]])
    expect.upstream("requests at the first", asked(upstream), [])


@scenario(
    "catalog",
    "The catalog lists cached repositories by their local names, and with ns by the upstream's "
    "names",
    level=INFO,
    refs=(PROXYING, "distribution docs: HTTP API V2, Listing Repositories"),
)
def test_catalog(
    upstream: MockUpstream, other: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Each entry can be pulled by the listed name."""
    first, second = put_in_both(upstream, other)
    cache = both(target, upstream, other)
    pull_manifest(cache, "team/app", first)
    pull_manifest(cache, KEPT, second)

    listed = cache.get("/v2/_catalog").json()["repositories"]
    expect.client("all", listed, [KEPT, "team/app"])
    for what, ns in {"of the other": OTHER, "of the first": upstream.address}.items():
        named = cache.get(f"/v2/_catalog?ns={ns}").json()["repositories"]
        expect.client(what, named, ["team/app"])


@scenario(
    "own-ttl",
    "Content of an upstream expires after its own ttl, without affecting other upstreams",
    refs=("d#2367", "d#3880", "d#4352"),
    needs=SEVERAL | {Need.CLOCK, Need.STATE_FILE},
)
def test_own_ttl(
    image: Image,
    upstream: MockUpstream,
    other: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Nightly builds from one registry for a day, releases from another for a month; a shared layer
    stays as long as one of them needs it."""
    other.add("team/app", image, tags=("v1",))
    cache = target.proxy(
        upstream, ttl="720h", upstreams={OTHER: {"remoteurl": other.url, "ttl": "24h"}}
    )
    pull_image(cache, "team/app", image, "v1")
    pull_image(cache, KEPT, image, "v1")
    digests = {image.digest, *(blob.digest for blob in image.blobs)}
    wanted = {f"{name}@{digest}" for name in ("team/app", KEPT) for digest in digests}
    expect.disk("scheduled", set(cache.await_state(lambda state: wanted <= set(state))), wanted)

    cache.pass_time(timedelta(hours=25))
    cache.eventually(lambda: not cache.disk.revisions(KEPT) | cache.disk.layer_links(KEPT))
    expect.disk(
        "left of the other", cache.disk.revisions(KEPT) | cache.disk.layer_links(KEPT), set()
    )
    links = cache.disk.revisions("team/app") | cache.disk.layer_links("team/app")
    expect.disk("left of the first", links, digests)
    clear(upstream, other)
    layer = cache.get(blob_path("team/app", image.layers[0]))
    expect.client("shared layer", [layer.status, len(layer.body)], [200, image.layers[0].size])
    expect.upstream("requests", asked(upstream), [])


@scenario(
    "plain-tree",
    "Any registry can open the storage of a cache with several upstreams",
    refs=("d#4505", "distribution docs: storage layout"),
    needs=SEVERAL | {Need.RESTART},
)
def test_plain_tree(
    upstream: MockUpstream, other: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Moving away has to be possible: cached content is a registry of its own, under the names by
    which it was pulled."""
    first, second = put_in_both(upstream, other)
    cache = both(target, upstream, other)
    pull_image(cache, "team/app", first, "v1")
    pull_image(cache, KEPT, second, "v1")

    cache.restart(upstream_url=None, upstreams={})
    clear(upstream, other)
    for name, image in (("team/app", first), (KEPT, second)):
        manifest = cache.get(manifest_path(name, "v1"), headers=ACCEPT)
        layer = cache.get(blob_path(name, image.layers[0]))
        expect.client(f"statuses, {name}", [manifest.status, layer.status], [200, 200])
        expect.client(f"digest, {name}", manifest.digest, image.digest)
    expect.upstream("requests", asked(upstream) + asked(other), [])


@scenario(
    "path-in-remoteurl",
    "A path in proxy.remoteurl is used for every request, not only the first",
    refs=("d#3856", "distribution docs: Registry as a pull through cache", "measured on 2.8.2"),
    needs={Need.CONFIG},
)
def test_path_in_remoteurl(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Artifactory and Nexus have registries below a path. A path that is used halfway pulls another
    registry's images."""
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.standard(upstream_url=f"{upstream.url}/virtual")
    cache.get(V1, headers=ACCEPT)
    cache.get("/v2/team/app/tags/list")
    prefixes = {entry.path.partition("/v2/")[0] for entry in upstream.ledger.entries}
    expect.upstream("paths before /v2/", prefixes, {"/virtual"})
