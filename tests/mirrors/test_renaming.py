"""Names are only names: another host name, port or repository changes nothing else."""

from __future__ import annotations

import string
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mirrors.containerd_cases import differences, pulls, read_cases
from tests.mirrors.worlds import NAMED_HOSTS, World

CASES = read_cases(Path(__file__).parents[2] / "fixtures" / "containerd" / "cases.json")

_LABELS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
# Not names that begin with "http": containerd takes them for URLs with a scheme.
_NAMES = st.lists(
    _LABELS.map(lambda label: f"n-{label}.example"), min_size=5, max_size=5, unique=True
)
_PORTS = st.lists(st.integers(1024, 65535), min_size=5, max_size=5, unique=True)
_REPOSITORIES = st.lists(_LABELS, min_size=1, max_size=4).map("/".join)


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(data=st.data(), names=_NAMES, ports=_PORTS, repository=_REPOSITORIES)
def test_renaming_changes_nothing_but_names(
    data: st.DataObject, names: list[str], ports: list[int], repository: str
) -> None:
    case = data.draw(st.sampled_from(CASES), "case")
    release = data.draw(st.sampled_from(case.releases), "release")
    world = World(
        tuple(zip(NAMED_HOSTS, names, ports, strict=True)), repository, case.world.image_kind
    )
    found = [differences(case, release, pull, world) for pull in pulls(case, release, world)]
    assert [] in found, "\n".join(found[0])
