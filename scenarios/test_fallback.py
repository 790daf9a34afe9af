"""containerd's fallback order: which host is asked for what, and when the source after all.

The first half asks the model alone, from files; the second plays the model's requests against the
cache under test, with the source behind it, as a node of a cluster would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from harness.client import RegistryClient
from harness.clients.wire_network import WireNetwork
from harness.content import Image, an_image
from harness.expectation import Expectations, containing
from harness.lab import TargetUnderTest
from harness.mirrors.containerd import (
    Action,
    AuthConfig,
    Challenge,
    Cri,
    Ctr,
    HostBehaviour,
    Login,
    Plan,
    Pull,
    Puller,
    Rule,
    resolve_plan,
    run,
    simulate,
)
from harness.scenario import INFO, SHOULD, Need, scenario
from harness.targets import RunningRegistry
from harness.upstream import MockUpstream

SOURCE = "source.example"
MIRROR = "mirror.example:5000"
IMAGE = f"{SOURCE}/team/app:v1"
MIRRORED = {f"{SOURCE}/hosts.toml": f'server = "http://{SOURCE}"\n[host."http://{MIRROR}"]\n'}
CERTS_D = "/etc/containerd/certs.d"
HOSTS_DOC = "containerd docs/hosts.md"
MEASURED = "measured on containerd 1.6.20, 1.7.24, 2.1.9"


def asked(pull: Pull) -> list[str]:
    """``HOST METHOD what STATUS`` for every try, in order."""
    return [f"{a.host} {a.method} {_what(a.path)} {a.status or 'no answer'}" for a in pull.attempts]


def _what(path: str) -> str:
    return "blob" if "/blobs/" in path else "manifest"


def hosts(plan: Plan) -> list[str]:
    return [host.name for host in plan.resolve]


# -- from files alone ---------------------------------------------------------------------------


@scenario(
    "fallback.file-order",
    "containerd asks the hosts of a hosts.toml in the order of the file, and the source last",
    level=INFO,
    refs=(HOSTS_DOC, MEASURED),
)
def test_file_order(expect: Expectations) -> None:
    """Not alphabetical, and not by any measure of which mirror is near."""
    tree = {
        f"{SOURCE}/hosts.toml": f'server = "https://{SOURCE}"\n'
        '[host."https://zone-b.example"]\n[host."https://zone-a.example"]\n'
    }
    plan = resolve_plan(IMAGE, tree)
    expect.client("hosts", hosts(plan), ["zone-b.example", "zone-a.example", SOURCE])


@scenario(
    "fallback.source-without-server",
    "Without a server line the image's own registry is still asked last",
    level=INFO,
    refs=(HOSTS_DOC, "containerd#3850", MEASURED),
)
def test_source_without_server(expect: Expectations) -> None:
    """A cluster that must never leave the network needs a server line that says so."""
    plan = resolve_plan(IMAGE, {f"{SOURCE}/hosts.toml": f'[host."https://{MIRROR}"]\n'})
    expect.client("hosts", hosts(plan), [MIRROR, SOURCE])
    closed = resolve_plan(
        IMAGE,
        {f"{SOURCE}/hosts.toml": f'server = "https://{MIRROR}"\n[host."https://{MIRROR}"]\n'},
    )
    expect.client("hosts with the mirror as server", hosts(closed), [MIRROR, MIRROR])


@scenario(
    "fallback.directory-of-the-image",
    "A directory named for the mirror is not read; the image's registry names it",
    level=INFO,
    refs=(HOSTS_DOC, MEASURED),
)
def test_directory_of_the_image(expect: Expectations) -> None:
    """The most common reason why a mirror is never asked, and nothing says so."""
    text = f'server = "https://{SOURCE}"\n[host."https://{MIRROR}"]\n'
    misnamed = resolve_plan(IMAGE, {f"{MIRROR}/hosts.toml": text})
    expect.client("named for the mirror", hosts(misnamed), [SOURCE])
    plan = resolve_plan(IMAGE, {f"{SOURCE}/hosts.toml": text})
    expect.client("named for the registry", hosts(plan), [MIRROR, SOURCE])


@scenario(
    "fallback.default-directory",
    "_default serves every registry without a directory of its own, and only those",
    level=INFO,
    refs=(HOSTS_DOC, MEASURED),
)
def test_default_directory(expect: Expectations) -> None:
    """An empty directory of a registry is enough to hide _default, which is easily overlooked."""
    default = {"_default/hosts.toml": f'[host."https://{MIRROR}"]\n'}
    expect.client("no directory", hosts(resolve_plan(IMAGE, default)), [MIRROR, SOURCE])
    hidden = resolve_plan(IMAGE, {**default, f"{SOURCE}/hosts.toml": ""})
    expect.client("an empty file", hosts(hidden), [SOURCE])


@scenario(
    "fallback.docker-hub-names",
    "Docker Hub's directory is docker.io, and its host registry-1.docker.io",
    level=INFO,
    refs=(HOSTS_DOC, MEASURED),
)
def test_docker_hub_names(expect: Expectations) -> None:
    """A server line with docker.io, as in the documentation, asks a host that is no registry."""
    mirror = f'[host."https://{MIRROR}"]\n'
    plan = resolve_plan("nginx", {"docker.io/hosts.toml": mirror})
    expect.client("docker.io", hosts(plan), [MIRROR, "registry-1.docker.io"])
    plan = resolve_plan("nginx", {"registry-1.docker.io/hosts.toml": mirror})
    expect.client("registry-1.docker.io", hosts(plan), ["registry-1.docker.io"])
    plan = resolve_plan(
        "nginx", {"docker.io/hosts.toml": f'server = "https://docker.io"\n{mirror}'}
    )
    expect.client("server docker.io", hosts(plan), [MIRROR, "docker.io"])


@scenario(
    "fallback.only-a-server-line",
    "containerd 1.6 ignores a hosts.toml that has only a server line",
    level=INFO,
    refs=(HOSTS_DOC, "measured on containerd 1.6.20, 1.7.24, 1.7.34, 2.1.9"),
)
def test_only_a_server_line(expect: Expectations) -> None:
    """The same file sends pulls to another registry after an upgrade to 1.7.32 or 2.0."""
    tree = {f"{SOURCE}/hosts.toml": f'server = "https://{MIRROR}"\n'}
    expect.client("1.6.20", hosts(resolve_plan(IMAGE, tree, release="1.6.20")), [SOURCE])
    expect.client("2.1.9", hosts(resolve_plan(IMAGE, tree, release="2.1.9")), [MIRROR])


@scenario(
    "fallback.pull-only-mirror",
    "A mirror without the resolve capability is passed over for tags, not for content",
    level=INFO,
    refs=(HOSTS_DOC, MEASURED),
)
def test_pull_only_mirror(expect: Expectations) -> None:
    """So the source decides what a tag means, and the mirror carries the bytes."""
    tree = {
        f"{SOURCE}/hosts.toml": f'server = "https://{SOURCE}"\n'
        f'[host."https://{MIRROR}"]\ncapabilities = ["pull"]\n'
    }
    pull = simulate(resolve_plan(IMAGE, tree))
    expect.client(
        "requests",
        asked(pull),
        [
            f"{SOURCE} HEAD manifest 200",
            f"{MIRROR} GET manifest 200",
            f"{MIRROR} GET blob 200",
            f"{MIRROR} GET blob 200",
        ],
    )
    by_digest = resolve_plan(f"{SOURCE}/team/app@sha256:{'0' * 64}", tree)
    expect.client("hosts for a digest", hosts(by_digest), [MIRROR, SOURCE])


@scenario(
    "fallback.push-goes-to-the-mirror",
    "A push goes to the mirror, unless the mirror's capabilities leave push out",
    level=INFO,
    refs=(HOSTS_DOC, MEASURED),
)
def test_push_goes_to_the_mirror(expect: Expectations) -> None:
    """A mirror that takes no push then fails every push of the node, without falling back."""
    push = Ctr(command="push", hosts_dir=CERTS_D)
    plan = resolve_plan(IMAGE, MIRRORED, puller=push)
    expect.client("host pushed to", plan.push.name if plan.push else None, MIRROR)
    limited = {
        f"{SOURCE}/hosts.toml": f'server = "http://{SOURCE}"\n'
        f'[host."http://{MIRROR}"]\ncapabilities = ["pull", "resolve"]\n'
    }
    plan = resolve_plan(IMAGE, limited, puller=push)
    expect.client("with capabilities", plan.push.name if plan.push else None, SOURCE)


@scenario(
    "fallback.every-object-from-the-start",
    "Each object is asked from the first host again: a dead mirror is tried for every layer",
    level=INFO,
    refs=("containerd#4861", "spegel#709", MEASURED),
)
def test_every_object_from_the_start(expect: Expectations) -> None:
    """A mirror that swallows packets costs half a minute for each of them."""
    plan = resolve_plan(IMAGE, MIRRORED)
    pull = simulate(
        plan, {MIRROR: HostBehaviour(unreachable=True)}, image=an_image("three", layers=3)
    )
    tries = [a for a in pull.attempts if a.host == MIRROR]
    expect.client("outcome", pull.outcome, "ok")
    expect.client("tries at the mirror", len(tries), 6)
    expect.client("seconds lost", pull.seconds_lost, 180.0)


@scenario(
    "fallback.web-page-ends-the-pull",
    "A mirror that answers 200 with a web page ends the pull; no other host is asked",
    level=INFO,
    refs=(MEASURED,),
)
def test_web_page_ends_the_pull(expect: Expectations) -> None:
    """A login page in front of the mirror is worse than a mirror that is down."""
    portal = HostBehaviour(rules=(Rule(Action(html=True), kind="manifest-tag"),))
    pull = simulate(resolve_plan(IMAGE, MIRRORED), {MIRROR: portal})
    expect.client("outcome", pull.outcome, "error")
    expect.client("error", pull.error.message if pull.error else None, containing("text/html"))


@scenario(
    "fallback.ctr-is-not-cri",
    "ctr reads nothing of the CRI plugin's configuration, so it does not see the mirror",
    level=INFO,
    refs=("containerd docs/cri/config.md", MEASURED),
)
def test_ctr_is_not_cri(expect: Expectations) -> None:
    """A pull that works with crictl proves nothing about ctr, and the reverse."""
    expect.client("CRI", hosts(resolve_plan(IMAGE, MIRRORED)), [MIRROR, SOURCE])
    expect.client("ctr", hosts(resolve_plan(IMAGE, MIRRORED, puller=Ctr())), [SOURCE])
    told = Ctr(hosts_dir=CERTS_D)
    expect.client(
        "ctr --hosts-dir", hosts(resolve_plan(IMAGE, MIRRORED, puller=told)), [MIRROR, SOURCE]
    )


@scenario(
    "fallback.configs-by-contacted-host",
    "registry.configs names the host that is contacted, port included, not the image's registry",
    level=INFO,
    refs=("containerd docs/cri/registry.md", MEASURED),
)
@pytest.mark.parametrize(
    ("key", "opens"),
    [(MIRROR, True), (SOURCE, False), ("mirror.example", False)],
    ids=["mirror", "registry", "without-port"],
)
def test_configs_by_contacted_host(key: str, opens: bool, expect: Expectations) -> None:
    """The directory below certs.d has nothing to do with it."""
    config = (
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n'
        f'  config_path = "{CERTS_D}"\n'
        f'[plugins."io.containerd.grpc.v1.cri".registry.configs."{key}".auth]\n'
        '  username = "user"\n  password = "secret"\n'
    )
    plan = resolve_plan(IMAGE, MIRRORED, config_toml=config)
    guarded = HostBehaviour(challenge=Challenge("basic", "user:secret"))
    pull = simulate(plan, {MIRROR: guarded})
    served = [a.host for a in pull.attempts if a.method == "GET" and a.status == 200]
    expect.client("content from", sorted(set(served)), [MIRROR if opens else SOURCE])


# -- played against the cache under test --------------------------------------------------------


Play = Callable[..., Pull]


@pytest.fixture
def play() -> Iterator[Play]:
    """Pulls ``IMAGE`` as a node does whose containerd uses the first argument as mirror of the
    second, and really asks both."""
    with ExitStack() as stack:

        def pull(
            cache: RunningRegistry, source: MockUpstream, puller: Puller | None = None
        ) -> Pull:
            direct = RegistryClient(source.url)
            stack.callback(direct.close)
            network = WireNetwork({MIRROR: cache.client, SOURCE: direct})
            return run(resolve_plan(IMAGE, MIRRORED, puller=puller or Cri()), network)

        yield pull


def put(upstream: MockUpstream) -> Image:
    return upstream.add("team/app", an_image(layers=1), tags=("v1",))


PLAYED = {Need.CONFIG}
FROM_MIRROR = [
    f"{MIRROR} HEAD manifest 200",
    f"{MIRROR} GET manifest 200",
    f"{MIRROR} GET blob 200",
    f"{MIRROR} GET blob 200",
]
FROM_SOURCE = [line.replace(MIRROR, SOURCE) for line in FROM_MIRROR]


def mirror_says(status: int | str, times: int = 1) -> list[str]:
    """Each request first to the mirror, *times* times, and then to the source."""
    lines = []
    for line in FROM_SOURCE:
        _, method, what, _ = line.split()
        lines += [f"{MIRROR} {method} {what} {status}"] * times + [line]
    return lines


@scenario(
    "fallback.pull-through",
    "A node with the cache as mirror pulls all of an image from it, and nothing from the source",
    level=SHOULD,
    refs=(HOSTS_DOC, "distribution docs: Registry as a pull through cache"),
    needs={Need.CONFIG, Need.STORAGE},
)
def test_pull_through(
    upstream: MockUpstream,
    target: TargetUnderTest,
    play: Play,
    expect: Expectations,
) -> None:
    """What a mirror is for: the source sees the cache, and never the nodes."""
    image = put(upstream)
    cache = target.proxy(upstream)
    upstream.ledger.clear()
    expect.client("requests of the node", asked(play(cache, upstream)), FROM_MIRROR)
    cached = cache.eventually(lambda: cache.disk.has_blob(image.layers[0].digest))
    expect.disk("layer cached", cached, True)
    queries = {entry.query for entry in upstream.ledger.entries}
    expect.upstream("queries that reached the source", queries, {""})


@scenario(
    "fallback.mirror-down",
    "While the cache is down, nodes pull from the source, trying the cache for every object",
    level=SHOULD,
    refs=(HOSTS_DOC, MEASURED),
    needs={Need.CONFIG, Need.RESTART},
)
def test_mirror_down(
    upstream: MockUpstream, target: TargetUnderTest, play: Play, expect: Expectations
) -> None:
    """Nobody notices, except for the source's rate limit and the bill."""
    put(upstream)
    cache = target.proxy(upstream)
    cache.stop()
    pull = play(cache, upstream)
    expect.client("outcome", pull.outcome, "ok")
    expect.client("requests of the node", asked(pull), mirror_says("no answer"))
    expect.upstream("pulls of the source", upstream.ledger.count("GET", kind="blob"), 2)


@scenario(
    "fallback.mirror-lacks-it",
    "What the cache's upstream does not have, nodes ask of the source in silence",
    level=SHOULD,
    refs=(HOSTS_DOC, MEASURED),
    needs=PLAYED,
)
def test_mirror_lacks_it(
    upstream: MockUpstream,
    make_upstream: Callable[..., MockUpstream],
    target: TargetUnderTest,
    play: Play,
    expect: Expectations,
) -> None:
    """A cache of the wrong upstream looks healthy and serves nothing."""
    source = make_upstream()
    put(source)
    cache = target.proxy(upstream)
    pull = play(cache, source)
    expect.client("outcome", pull.outcome, "ok")
    expect.client("requests of the node", asked(pull), mirror_says(404))
    expect.upstream(
        "content sent to the cache",
        [e.status for e in upstream.ledger.entries if e.status == 200 and e.kind != "base"],
        [],
    )


@scenario(
    "fallback.rate-limited",
    "A rate limit at the cache's upstream reaches nodes as 429, not as an image that is missing",
    level=SHOULD,
    refs=("d#3407", "containerd#3850", MEASURED),
    needs=PLAYED,
)
def test_rate_limited(
    upstream: MockUpstream, target: TargetUnderTest, play: Play, expect: Expectations
) -> None:
    """containerd then repeats the request to the cache before it asks the source, which is limited
    for the same account or address."""
    put(upstream)
    cache = target.proxy(upstream)
    upstream.on("HEAD", kind="manifest").status(429, headers={"Retry-After": "7"})
    upstream.on("GET", kind="manifest").status(429, headers={"Retry-After": "7"})
    pull = play(cache, upstream)
    first = [a.status for a in pull.attempts if a.host == MIRROR and a.method == "HEAD"]
    expect.client("answers of the mirror to HEAD", first, [429] * 6)
    expect.client(
        "asked of the source after all", any(a.host == SOURCE for a in pull.attempts), True
    )
    expect.client("outcome", pull.outcome, "error")


@scenario(
    "fallback.pull-secret-for-the-mirror",
    "Nodes use a cache with htpasswd if the pull secret of the image's registry fits it",
    level=INFO,
    refs=("kubernetes docs: Pull an Image from a Private Registry", MEASURED),
    needs=PLAYED,
)
@pytest.mark.parametrize("secret", ["fits", "differs", "none"])
def test_pull_secret(
    upstream: MockUpstream, target: TargetUnderTest, play: Play, expect: Expectations, secret: str
) -> None:
    """kubelet matches secrets by the image; containerd sends the match to whoever challenges. The
    secret of a mirror must therefore stand under the name of the image's registry."""
    put(upstream)
    cache = target.proxy(upstream, htpasswd={"user": "secret"})
    passwords = {"fits": "secret", "differs": "other"}
    auth = AuthConfig(username="user", password=passwords[secret]) if secret in passwords else None
    pull = play(cache, upstream, Cri(auth=auth))
    content_from = {a.host for a in pull.attempts if a.method == "GET" and a.status == 200}
    expect.client("content from", content_from, {MIRROR if secret == "fits" else SOURCE})
    sent = {str(a.credential) for a in pull.attempts if a.host == MIRROR}
    expect.client(
        "credentials seen by the mirror",
        sent,
        {"none"} if secret == "none" else {"none", "basic:user"},
    )
    expect.upstream(
        "credentials seen by the source", {e.credential for e in upstream.ledger.entries}, {"none"}
    )


@scenario(
    "fallback.layer-cut-short",
    "A layer that the cache has to cut short is continued by the node and ends up whole",
    level=SHOULD,
    refs=(MEASURED,),
    needs=PLAYED,
)
def test_layer_cut_short(
    upstream: MockUpstream, target: TargetUnderTest, play: Play, expect: Expectations
) -> None:
    """containerd asks again with Range, from the first host; a body with something else at its end
    would fail its checksum instead."""
    image = put(upstream)
    cache = target.proxy(upstream)
    layer = image.layers[0]
    upstream.on("GET", layer.digest).truncate(after=1000)
    pull = play(cache, upstream)
    expect.client("outcome", pull.outcome, "ok")
    expect.client("content from", {a.host for a in pull.attempts}, {MIRROR})
    upstream.clear_faults()
    path = f"/v2/team/app/blobs/{layer.digest}"
    # The last attempt may still be under way, and those who ask meanwhile share its fate.
    whole = cache.eventually(lambda: cache.get(path).body == layer.content)
    expect.client("layer afterwards is whole", whole, True)


@scenario(
    "fallback.login-is-not-forwarded",
    "A user and password given to ctr for the source are not passed on by the cache",
    level=SHOULD,
    refs=("moby#30880", MEASURED),
    needs=PLAYED,
)
def test_login_is_not_forwarded(
    upstream: MockUpstream, target: TargetUnderTest, play: Play, expect: Expectations
) -> None:
    """A cache has its own account upstream; what clients say to it stays there."""
    put(upstream)
    cache = target.proxy(upstream, htpasswd={"user": "secret"})
    login = Login("user", "secret", "ctr -u")
    pull = play(cache, upstream, Ctr(hosts_dir=CERTS_D, login=login))
    expect.client("outcome", pull.outcome, "ok")
    expect.client("hosts", {a.host for a in pull.attempts}, {MIRROR})
    expect.upstream(
        "credentials seen by the source", {e.credential for e in upstream.ledger.entries}, {"none"}
    )
