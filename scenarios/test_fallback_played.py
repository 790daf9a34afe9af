"""containerd's fallback order over real sockets: the client model sends its requests to the
cache under test, with the source behind it, as a cluster node would."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from harness.clients.wire_network import WireNetwork
from harness.content import Image, an_image
from harness.http.client import RegistryClient
from harness.nodes.models.containerd.execution import run
from harness.nodes.models.containerd.plan import ContainerdPull as Pull
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.pullers import AuthConfig, Cri, Ctr, Puller
from harness.nodes.models.kubelet import pull_requests
from harness.nodes.models.network import Login
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, Need, theme
from harness.targets import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.mirroring import (
    CERTS_D,
    HOSTS_DOC,
    IMAGE,
    MEASURED,
    MIRROR,
    MIRRORED,
    SOURCE,
    asked,
    config_toml,
    pull_secret,
)
from scenarios.steps import credentials

Play = Callable[..., Pull]


@pytest.fixture
def play() -> Iterator[Play]:
    """Pulls ``IMAGE`` as a node does whose containerd uses the first argument as mirror of the
    second, and really asks both."""
    with ExitStack() as stack:

        def pull(
            cache: RunningRegistry,
            source: MockUpstream,
            puller: Puller | None = None,
            *,
            certs_d: Mapping[str, str] = MIRRORED,
            config: str | None = None,
        ) -> Pull:
            direct = RegistryClient(source.url)
            stack.callback(direct.close)
            network = WireNetwork({MIRROR: cache.client, SOURCE: direct})
            plan = resolve_plan(IMAGE, certs_d, config_toml=config, puller=puller or Cri())
            return run(plan, network)

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


scenario = theme("fallback", refs=(HOSTS_DOC, MEASURED), needs=PLAYED)


@scenario(
    "pull-through",
    "A node with the cache as mirror pulls everything from it and nothing from the source",
    refs=(HOSTS_DOC, "distribution docs: Registry as a pull through cache"),
    needs={Need.CONFIG, Need.STORAGE},
)
def test_pull_through(
    upstream: MockUpstream,
    target: TargetUnderTest,
    play: Play,
    expect: Expectations,
) -> None:
    """The source sees the cache and never the nodes."""
    image = put(upstream)
    cache = target.proxy(upstream)
    upstream.ledger.clear()
    expect.client("requests of the node", asked(play(cache, upstream)), FROM_MIRROR)
    cached = cache.eventually(lambda: cache.disk.has_blob(image.layers[0].digest))
    expect.disk("layer cached", cached, True)
    queries = {entry.query for entry in upstream.ledger.entries}
    expect.upstream("queries that reached the source", queries, {""})


@scenario(
    "mirror-down",
    "While the cache is down nodes pull from the source, and try the cache for every object",
    needs={Need.CONFIG, Need.RESTART},
)
def test_mirror_down(
    upstream: MockUpstream, target: TargetUnderTest, play: Play, expect: Expectations
) -> None:
    """Only the source's rate limit and the bill show it."""
    put(upstream)
    cache = target.proxy(upstream)
    cache.stop()
    pull = play(cache, upstream)
    expect.client("outcome", pull.outcome, "ok")
    expect.client("requests of the node", asked(pull), mirror_says("no answer"))
    expect.upstream("pulls of the source", upstream.ledger.count("GET", kind="blob"), 2)


@scenario(
    "mirror-lacks-it", "Nodes silently pull from the source what the cache's upstream does not have"
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
    "rate-limited",
    "A rate limit at the cache's upstream reaches nodes as 429, not as a missing image",
    refs=("d#3407", "containerd#3850", MEASURED),
)
def test_rate_limited(
    upstream: MockUpstream, target: TargetUnderTest, play: Play, expect: Expectations
) -> None:
    """containerd then retries the cache before it asks the source, which is limited for the same
    account or address."""
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
    "pull-secret-for-the-mirror",
    "A node can use a cache with htpasswd if the pull secret of the image's registry has its "
    "password",
    level=INFO,
    refs=("kubernetes docs: Pull an Image from a Private Registry", MEASURED),
)
@pytest.mark.parametrize("secret", ["fits", "differs", "none"])
def test_pull_secret(
    upstream: MockUpstream, target: TargetUnderTest, play: Play, expect: Expectations, secret: str
) -> None:
    """kubelet matches secrets by the image's name and containerd sends the match to any host that
    challenges. So the mirror's login has to be stored under the name of the image's registry."""
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
    expect.upstream("credentials seen by the source", credentials(upstream), {"none"})


@scenario(
    "secret-for-the-wrong-registry",
    "A pull secret named after the mirror is not used; one named after the image's registry works",
    level=INFO,
    refs=("kubernetes docs: Images, Interpretation of config.json", MEASURED),
)
@pytest.mark.parametrize("key", [MIRROR, SOURCE], ids=["mirror", "registry"])
def test_secret_for_the_wrong_registry(
    key: str, upstream: MockUpstream, target: TargetUnderTest, play: Play, expect: Expectations
) -> None:
    """kubelet does not know which hosts containerd will contact and compares the key with the
    image's name. People write the mirror's name, since the mirror answers 401."""
    put(upstream)
    cache = target.proxy(upstream, htpasswd={"user": "secret"})
    upstream.ledger.clear()
    (request,) = pull_requests(IMAGE, {"regcred": pull_secret(key)})
    expect.client("the pull carries a login", request.auth is not None, key == SOURCE)
    pull = play(cache, upstream, request)
    content_from = {a.host for a in pull.attempts if a.method == "GET" and a.status == 200}
    expect.client("content from", content_from, {MIRROR if key == SOURCE else SOURCE})
    expect.upstream("credentials seen by the source", credentials(upstream), {"none"})


@scenario(
    "edits-while-running",
    "A mirror in certs.d takes effect at the next pull, its login in config.toml after a restart",
    level=INFO,
    refs=(HOSTS_DOC, "containerd docs/cri/registry.md", MEASURED),
)
def test_edits_while_running(
    upstream: MockUpstream, target: TargetUnderTest, play: Play, expect: Expectations
) -> None:
    """Both are edited together, pulls continue from the source, and no message says that a restart
    is needed."""
    put(upstream)
    cache = target.proxy(upstream, htpasswd={"user": "secret"})
    loaded, edited = config_toml("another.example"), config_toml(MIRROR)
    before = play(cache, upstream, certs_d={}, config=loaded)
    running = play(cache, upstream, config=loaded)
    restarted = play(cache, upstream, config=edited)
    expect.client("before", asked(before), FROM_SOURCE)
    expect.client("after the edit", asked(running), mirror_says(401))
    hosts = {a.host for a in restarted.attempts}
    expect.client("hosts after the restart", hosts, {MIRROR})


@scenario(
    "layer-cut-short",
    "A node resumes a layer that the cache truncates and gets the whole layer",
    refs=(MEASURED,),
)
def test_layer_cut_short(
    upstream: MockUpstream, target: TargetUnderTest, play: Play, expect: Expectations
) -> None:
    """containerd retries with Range from the first host. A body with an error text at its end would
    fail the checksum instead."""
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
    "login-is-not-forwarded",
    "A login given to ctr for the source is not forwarded by the cache",
    refs=("moby#30880", MEASURED),
)
def test_login_is_not_forwarded(
    upstream: MockUpstream, target: TargetUnderTest, play: Play, expect: Expectations
) -> None:
    """A cache has its own upstream account; what clients send stays at the cache."""
    put(upstream)
    cache = target.proxy(upstream, htpasswd={"user": "secret"})
    login = Login("user", "secret", "ctr -u")
    pull = play(cache, upstream, Ctr(hosts_dir=CERTS_D, login=login))
    expect.client("outcome", pull.outcome, "ok")
    expect.client("hosts", {a.host for a in pull.attempts}, {MIRROR})
    expect.upstream("credentials seen by the source", credentials(upstream), {"none"})
