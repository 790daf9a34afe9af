"""Pages of referrers: OCI distribution-spec, "Content Discovery"."""

from __future__ import annotations

import re

from harness.content import an_artifact, an_image
from reference_registry.digest import Digest
from tests.unit.registry.in_process import InProcess


def _next(link: str) -> str:
    match = re.fullmatch(r'<(.*)>; rel="next"', link)
    assert match is not None
    return match[1]


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
