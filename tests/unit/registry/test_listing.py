"""Tags, catalog and referrers: OCI distribution-spec, "Content Discovery"."""

from __future__ import annotations

import re

import pytest

from harness.content import Manifest, an_artifact, an_image, an_index
from reference_registry.digest import Digest
from tests.unit.registry.conftest import MakeRegistry
from tests.unit.registry.in_process import InProcess


def _tag(registry: InProcess, *tags: str) -> None:
    image = an_image()
    registry.local("a").put_cached_manifest(Digest(image.digest), image.content)
    for tag in tags:
        registry.local("a").link_tag(tag, Digest(image.digest))


def _next(link: str) -> str:
    match = re.fullmatch(r'<(.*)>; rel="next"', link)
    assert match is not None
    return match[1]


# -- tags --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", ["-1", "x", "1.5"])
def test_bad_page_size(n: str, registry: InProcess) -> None:
    _tag(registry, "a")

    answer = registry.get(f"/v2/a/tags/list?n={n}")

    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {
            "code": "PAGINATION_NUMBER_INVALID",
            "message": "invalid number of results requested",
            "detail": {"n": n},
        }
    ]


def test_bad_page_size_of_3_1(make_registry: MakeRegistry) -> None:
    registry = make_registry("3.1")

    details = [
        registry.get(f"/v2/a/tags/list?n={n}").json()["errors"][0]["detail"] for n in ("-1", "abc")
    ]

    assert details == [{"n": -1}, {"n": 0}]


def test_larger_pages_than_the_limit(make_registry: MakeRegistry) -> None:
    for profile, sizes in (("ideal", [2, 3]), ("3.1", [2, 3]), ("3.0", [3, 3])):
        registry = make_registry(profile, tags_maxtags=2)
        _tag(registry, *"abc")
        answers = [registry.get(f"/v2/a/tags/list{query}") for query in ("?n=99", "")]
        assert [len(answer.json()["tags"]) for answer in answers] == sizes
        assert ("link" in answers[0].headers) == (sizes[0] == 2)


@pytest.mark.parametrize(("profile", "status"), [("ideal", 200), ("2.8", 404), ("3.1", 404)])
def test_repository_without_tags(profile: str, status: int, make_registry: MakeRegistry) -> None:
    registry = make_registry(profile)
    registry.push("a", an_image())

    answer = registry.get("/v2/a/tags/list")

    assert answer.status_code == status
    if status == 200:
        assert answer.json()["tags"] == []


# -- catalog -----------------------------------------------------------------------------------
def _repositories(registry: InProcess, *names: str) -> None:
    for name in names:
        registry.push_blob(name, b"hello")


@pytest.mark.parametrize(("n", "detail"), [("-1", {"n": "-1"}), ("x", {"n": "x"}), ("6", {"n": 6})])
def test_catalog_page_sizes(n: str, detail: dict[str, object], make_registry: MakeRegistry) -> None:
    registry = make_registry(catalog_maxentries=5)

    answer = registry.get(f"/v2/_catalog?n={n}")

    assert (answer.status_code, answer.json()["errors"][0]["detail"]) == (400, detail)
    assert registry.get("/v2/_catalog?n=5").json() == {"repositories": []}


def test_catalog_without_n(make_registry: MakeRegistry) -> None:
    registry = make_registry(catalog_maxentries=2)
    _repositories(registry, "a", "b", "c")

    answer = registry.get("/v2/_catalog")

    assert answer.json() == {"repositories": ["a", "b"]}
    assert answer.headers["link"] == '</v2/_catalog?last=b&n=2>; rel="next"'


@pytest.mark.parametrize(
    ("profile", "names"),
    [("ideal", ["blobs", "manifests"]), ("2.8", ["blobs"]), ("3.1", ["manifests"])],
)
def test_catalog_membership(profile: str, names: list[str], make_registry: MakeRegistry) -> None:
    registry = make_registry(profile)
    registry.push_blob("blobs", b"hello")
    image = an_image()
    registry.local("manifests").put_cached_manifest(Digest(image.digest), image.content)

    assert registry.get("/v2/_catalog").json() == {"repositories": names}


# -- referrers ---------------------------------------------------------------------------------
def _push_referrers(registry: InProcess, subject: Manifest) -> dict[str, Manifest]:
    manifests: dict[str, Manifest] = {
        "sbom": an_artifact("sbom", artifact_type="x/sbom", subject=subject),
        "signed": an_artifact(
            "signed", artifact_type="x/sig", subject=subject, annotations={"by": "me"}
        ),
        "index": an_index(an_image("child"), subject=subject),
    }
    for manifest in (*manifests.values(), an_artifact("stranger", subject=an_image("stranger"))):
        registry.push("a", manifest)
    return manifests


def test_referrers_of_no_digest(registry: InProcess) -> None:
    answer = registry.get("/v2/a/referrers/sha256:abc")

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")


def test_many_referrers_come_in_pages(registry: InProcess) -> None:
    subject = an_image("subject")
    pushed = set()
    for n in range(5):
        artifact = an_artifact(
            str(n), artifact_type="x/big", subject=subject, annotations={"a": "x" * (1 << 20)}
        )
        registry.local("a").put_cached_manifest(Digest(artifact.digest), artifact.content)
        pushed.add(artifact.digest)

    first = registry.get(f"/v2/a/referrers/{subject.digest}?artifactType=x/big")
    path = _next(first.headers["link"])
    second = registry.get(path)

    assert len(first.content) <= 4 << 20
    assert "link" not in second.headers
    assert "artifactType=x%2Fbig" in path
    pages = [answer.json()["manifests"] for answer in (first, second)]
    assert [len(page) for page in pages] == [3, 2]
    assert {entry["digest"] for page in pages for entry in page} == pushed
