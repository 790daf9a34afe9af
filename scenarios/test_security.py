"""Hostile upstreams and hostile clients: what they can make a cache reveal, send, read or hold."""

from __future__ import annotations

from base64 import b64encode

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import Image, an_image
from harness.http.client import Answer
from harness.suite.expectation import Expectations, any_of
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need, theme
from harness.targets.registry import RunningRegistry
from harness.upstream import Basic, MockUpstream
from harness.upstream.calls import RegistryCall
from scenarios.pulling import blob_path, manifest_path, pull_image
from scenarios.steps import OBSERVED, MakeUpstream, credentials, settle

MEASURED = "measured on 2.8.2 to 3.1.1"
REPOSITORY = "team/app"
ROBOT = ("robot", "upstream-secret")
ECHO = b64encode(":".join(ROBOT).encode()).decode()
scenario = theme("security")


@scenario(
    "echoed-password",
    "A password that upstream repeats in its errors reaches neither clients nor the log",
    refs=("CWE-209", "CWE-532", "d#3842", MEASURED),
    needs=OBSERVED | {Need.LOGS},
)
@pytest.mark.parametrize("reference", ["tag", "digest", "blob"])
def test_echoed_password(
    reference: str, make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Debugging gateways and some error pages show the failed request with its headers. A client
    that can provoke an error then reads the cache's account."""
    upstream = make_upstream(auth=Basic(*ROBOT))
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    cache = target.proxy(upstream, upstream_login=ROBOT, log_level="debug")
    text = f"failed: Authorization: Basic {ECHO} ({ROBOT[1]})"
    upstream.on(where=_with_password).status(500, {"X-Debug": text, "Content-Type": "text/x"}, text)
    paths = {
        "tag": manifest_path(REPOSITORY, "v1"),
        "digest": manifest_path(REPOSITORY, image.digest),
        "blob": blob_path(REPOSITORY, image.layers[0]),
    }

    answer = cache.get(paths[reference], headers=ACCEPT)
    settle(cache, upstream)
    cache.stop()
    log = cache.logs(redacted=False)

    expect.client("served", answer.status == 200, False)
    reported = str(answer.headers) + answer.body.decode()
    expect.client("password revealed", ECHO in reported or ROBOT[1] in reported, False)
    expect.disk("password in the log", ECHO in log or ROBOT[1] in log, False)


@scenario(
    "redirect-with-a-user",
    "Credentials inside a redirect's URL are not used",
    refs=("RFC 9110, 4.2.4", "RFC 3986, 7.5", MEASURED),
)
def test_redirect_with_a_user(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """RFC 9110 says to treat such URLs with suspicion: they disguise the destination, and let
    upstream use the cache to log in to a server inside its network."""
    upstream, other = make_upstream(), make_upstream()
    layer = upstream.add(REPOSITORY, an_image(), tags=("v1",)).layers[0]
    other.add(REPOSITORY, layer)
    path = blob_path(REPOSITORY, layer)
    upstream.on("GET", kind="blob").redirect(f"http://admin:admin@{other.address}{path}")
    cache = target.proxy(upstream)

    cache.get(path)
    settle(cache, upstream)

    expect.upstream("users at the other host", credentials(other) - {"none"}, set())


@scenario(
    "headers-stay",
    "Cookies and policies from upstream are not passed on to clients",
    refs=("RFC 6265, 8.6", "RFC 9110, 7.6", MEASURED),
)
def test_headers_stay(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """They would apply another site's policy under the cache's name."""
    foreign = {
        "Set-Cookie": "session=upstream",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "Access-Control-Allow-Origin": "*",
        "Clear-Site-Data": '"*"',
    }
    upstream.on().headers(foreign)
    cache = target.proxy(upstream)

    answers = [
        cache.get(manifest_path(REPOSITORY, "v1"), headers=ACCEPT),
        cache.get(blob_path(REPOSITORY, image.layers[0])),
        cache.get(f"/v2/{REPOSITORY}/tags/list"),
    ]

    expect.client("statuses", [answer.status for answer in answers], [200, 200, 200])
    passed = {name for name in foreign for answer in answers if name in answer.headers}
    expect.client("passed on", passed, set())


@scenario(
    "path-tricks",
    "A path with .., an encoded slash or a null byte reads no file and sends nothing upstream",
    refs=("CWE-22: Path Traversal", "OCI distribution-spec: Pulling manifests", MEASURED),
    needs=OBSERVED,
)
@pytest.mark.parametrize(
    "path",
    [
        "/v2/../../../etc/passwd",
        "/v2/team/../../../../etc/passwd/manifests/v1",
        "/v2/team/%2e%2e/%2e%2e/manifests/v1",
        "/v2/team%2f..%2fapp/manifests/v1",
        "/v2/team/app/manifests/..%2f..%2f_layers",
        "/v2/team/app/blobs/sha256:..%2f..%2f..%2fpasswd",
        "/v2/team/app/manifests/v1%00.json",
        "/v2/_uploads/manifests/v1",
        "/v2/team/app/_manifests/tags/manifests/v1",
    ],
)
def test_path_tricks(
    path: str, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Names become directories in the storage, and paths upstream."""
    cache = target.proxy(upstream)
    pull_image(cache, REPOSITORY, image, "v1")
    settle(cache, upstream)
    before = _tree(cache)
    upstream.ledger.clear()

    answer = cache.get(path, headers=ACCEPT)
    settle(cache, upstream)

    expect.client("status", answer.status, any_of(301, 400, 404))
    expect.client("a file's content", b"root:" in answer.body, False)
    asked = [line for line in upstream.ledger.lines() if not line.startswith("GET /v2/ ")]
    expect.upstream("requests", asked, [])
    expect.disk("changed", sorted(before ^ _tree(cache)), [])


@scenario(
    "huge-head",
    "A request with megabytes of headers is refused, and the next one is served",
    refs=("RFC 6585, 5: 431", "CWE-770", MEASURED),
)
@pytest.mark.parametrize("what", ["one-header", "many-headers"])
def test_huge_head(
    what: str, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Otherwise any client can fill the memory without a password."""
    cache = target.proxy(upstream)
    pull_image(cache, REPOSITORY, image, "v1")
    path = manifest_path(REPOSITORY, image.digest)
    if what == "one-header":
        headers = {"X-Huge": "x" * (4 << 20)}
    else:
        headers = {f"X-{number}": "y" * 1000 for number in range(4000)}
    refused = cache.get(path, headers=ACCEPT | headers)
    served = cache.get(path, headers=ACCEPT)

    expect.client("refused", _is_refused(refused), True)
    expect.client("status of the next request", served.status, 200)


def _with_password(call: RegistryCall) -> bool:
    return call.header("authorization") is not None


def _tree(cache: RunningRegistry) -> set[str]:
    """The files of repositories and blobs; the schedule is saved whenever it suits."""
    return {path for path in cache.disk.files() if path.startswith("docker/")}


def _is_refused(answer: Answer) -> bool:
    """By a status, or by hanging up while the head was still being sent."""
    return answer.status is None or 400 <= answer.status < 500


@scenario(
    "redirect-to-the-machine",
    "A redirect to a link-local address, where clouds keep credentials, is not followed",
    refs=("CWE-918", "CVE-2026-32591", "RFC 3927", "RFC 4291, 2.5.6"),
    needs=OBSERVED | {Need.LOGS, Need.X_KEYS},
)
@pytest.mark.parametrize(
    "address", ["169.254.1.2", "[fe80::1]", "[::ffff:169.254.1.2]"], ids=["ipv4", "ipv6", "mapped"]
)
def test_redirect_to_the_machine(
    address: str,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """A hostile upstream would read what only the machine may read. Releases follow it into
    whatever network they are in, so they are not tested here."""
    layer = image.layers[0]
    upstream.on("GET", layer).redirect(f"http://{address}/latest/meta-data")
    cache = target.proxy(upstream)
    answer = cache.get(blob_path(REPOSITORY, layer))
    expect.client("status", answer.status, 502)
    expect.client("it reveals the address", address.strip("[]") in answer.body.decode(), False)
    refusals = [line for line in cache.logs().splitlines() if "refused to go there" in line]
    expect.disk("the log says why", bool(refusals), True)
    upstream.clear_faults()
    again = cache.get(blob_path(REPOSITORY, layer))
    expect.client("without the redirect", again.body == layer.content, True)
