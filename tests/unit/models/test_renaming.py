"""Names are only names: another host name, port or repository changes nothing else."""

from __future__ import annotations

import string
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.unit.models.containerd_cases import differences, pulls, read_cases
from tests.unit.models.worlds import NAMED_HOSTS, World

_FIXTURES = Path(__file__).parents[3] / "fixtures" / "containerd"
# Errors with the URL of a token hold the repository encoded, for which there is no placeholder.
CASES = [
    case
    for file in ("cases.json", "proven-cases.json")
    for case in read_cases(_FIXTURES / file)
    if "team%2Fapp" not in str(case.document)
]

_LABELS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
# Not names that begin with "http": containerd takes them for URLs with a scheme.
_NAMES = st.lists(
    _LABELS.map(lambda label: f"n-{label}.example"), min_size=5, max_size=5, unique=True
)
_PORTS = st.lists(st.integers(1024, 65535), min_size=5, max_size=5, unique=True)
# Behind "any", the repository in the scope of a challenge: containerd sends scopes sorted.
_REPOSITORIES = st.lists(_LABELS, min_size=1, max_size=4).map(lambda parts: f"r{'/'.join(parts)}")


@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    names=_NAMES,
    ports=_PORTS,
    repository=_REPOSITORIES,
    turn=st.integers(0, 5),
)
def test_renaming_changes_nothing_but_names(
    names: list[str], ports: list[int], repository: str, turn: int
) -> None:
    """Every measured case, each on one of its releases, in a world of other names."""
    for number, case in enumerate(CASES):
        release = case.releases[(number + turn) % len(case.releases)]
        world = World(
            tuple(zip(NAMED_HOSTS, names, ports, strict=True)), repository, case.world.image_kind
        )
        found = [differences(case, release, pull, world) for pull in pulls(case, release, world)]
        assert [] in found, "\n".join([case.id, *found[0]])
