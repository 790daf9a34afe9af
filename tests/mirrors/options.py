"""Options of the tests of mirrors: which files of measured cases are run."""

from __future__ import annotations

from pathlib import Path

import pytest

_FIXTURES = Path(__file__).parents[2] / "fixtures"
_FILES = {
    "containerd": "containerd/cases.json",
    "kubelet": "kubelet/keyring-cases.json",
    "registries-conf": "containers/registries-conf-cases.json",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--containerd-cases FILE`` and its like."""
    group = parser.getgroup("mirrors", "files of measured cases")
    for name, file in _FILES.items():
        group.addoption(
            f"--{name}-cases",
            type=Path,
            default=_FIXTURES / file,
            metavar="FILE",
            help=f"measured {name} cases to run the model against (default: %(default)s)",
        )
