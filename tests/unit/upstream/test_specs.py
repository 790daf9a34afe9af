"""Images, faults and addresses in the words of the command line."""

from __future__ import annotations

import pytest

from harness.content import DOCKER_MANIFEST, Image, Index
from harness.upstream.calls import Match
from harness.upstream.faults import Fault
from harness.upstream.specs import (
    parse_address,
    parse_count,
    parse_fault,
    parse_image,
    parse_login,
    parse_size,
)

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("1B", 1), ("2kB", 2000), ("64KiB", 65536), ("1MiB", 2**20)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1mib", "MiB"])
def test_invalid_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size such as"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5555", ("127.0.0.1", 5555)),
        (":0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "5555", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", ":70000"])
def test_invalid_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address such as"):
        parse_address(text)


def test_logins_and_counts() -> None:
    assert parse_login("user:pass:word") == ("user", "pass:word")
    assert parse_count("12") == 12
    for text in ("user", ":pass"):
        with pytest.raises(ValueError, match="user:password"):
            parse_login(text)
    for text in ("0", "-1", "x", ""):
        with pytest.raises(ValueError, match="from 1 up"):
            parse_count(text)


def test_images() -> None:
    spec = parse_image("team/app:v1,layers=3,size=4KiB,docker")
    assert (spec.repository, spec.tag) == ("team/app", "v1")
    image = spec.build()
    assert isinstance(image, Image)
    assert [layer.size for layer in image.layers] == [4096] * 3
    assert image.media_type == DOCKER_MANIFEST
    assert image == parse_image("team/app:v1,layers=3,size=4KiB,docker").build()
    assert parse_image("app").tag == "latest"


def test_indexes() -> None:
    index = parse_image("app:v1,index=amd64+windows/amd64+arm/v7,layers=1").build()
    assert isinstance(index, Index)
    platforms = [str(child.platform) for child in index.manifests if isinstance(child, Image)]
    assert platforms == ["linux/amd64", "windows/amd64", "arm/v7"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not a repository name"),
        ("Team:v1", "'Team' is not a repository name"),
        ("app:v 1", "'v 1' is not a tag"),
        ("app:v1,layers=x", "'layers=x' is not one of layers=N"),
        ("app:v1,size=1KiB", "a layer has from 2048 bytes"),
        ("app:v1,size=2GiB", "to 1GiB"),
        ("app:v1,size=", "'' is not a size"),
        ("app:v1,index=", "is not a platform"),
        ("app:v1,docker=yes", "'docker=yes' is not one of"),
        ("app:v1,unknown", "'unknown' is not one of"),
    ],
)
def test_invalid_images(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_image(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "GET blob 429 times=2 retry-after=7",
            Fault(Match("GET", None, "blob"), times=2).status(429).headers({"Retry-After": "7"}),
        ),
        ("500", Fault(Match()).status(500)),
        ("* hang", Fault(Match()).hang()),
        ("GET /v2/team/* hang=10", Fault(Match("GET", "/v2/team/*")).hang(10)),
        (f"HEAD {DIGEST} reset", Fault(Match("HEAD", DIGEST)).reset()),
        ("manifest */v1 reset=0", Fault(Match(None, "*/v1", "manifest")).reset(0)),
        ("blob truncate=5 times=1", Fault(Match(None, None, "blob"), times=1).truncate(5)),
        ("blob delay=0.5 corrupt", Fault(Match(None, None, "blob")).delay(0.5).corrupt()),
        ("chunked throttle=64KiB", Fault(Match()).chunked().throttle(65536)),
        (
            "GET blob redirect=http://127.0.0.1:5556",
            Fault(Match("GET", None, "blob")).redirect("http://127.0.0.1:5556"),
        ),
        (
            "manifest Docker-Content-Digest: 'Content-Type:text/plain; a=b'",
            Fault(Match(None, None, "manifest"))
            .headers({"Docker-Content-Digest": None})
            .headers({"Content-Type": "text/plain; a=b"}),
        ),
    ],
)
def test_faults(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not say what happens"),
        ("GET blob", "does not say what happens"),
        ("GET blob times=2", "does not say what happens"),
        ("GET blob 42", "unknown action '42'"),
        ("GET blobs 429", "unknown action 'blobs'"),
        ("429 times=x", "times takes a number"),
        ("delay", "delay takes a number"),
        ("truncate=x", "truncate takes a number"),
        ("throttle", "'' is not a size"),
        ("throttle=0", "more than 0 bytes per second"),
        ("redirect=elsewhere", "redirect takes a URL"),
        ("'429", "No closing quotation"),
    ],
)
def test_invalid_faults(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_fault(text)
