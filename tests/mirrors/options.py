"""Options of the tests of mirrors: which files of measured cases are run."""

from __future__ import annotations

from pathlib import Path

import pytest

_FIXTURES = Path(__file__).parents[2] / "fixtures"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--containerd-cases FILE`` and its like."""
    group = parser.getgroup("mirrors", "files of measured cases")
    group.addoption(
        "--containerd-cases",
        type=Path,
        default=_FIXTURES / "containerd" / "cases.json",
        metavar="FILE",
        help="measured containerd cases to run the model against (default: %(default)s)",
    )
