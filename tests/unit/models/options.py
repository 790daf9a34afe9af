"""Options of the tests of mirrors: which measured cases are run, and on which real clients."""

from __future__ import annotations

from pathlib import Path

import pytest

_FIXTURES = Path(__file__).parents[3] / "fixtures"
_FILES = {
    "containerd": "containerd/cases.json",
    "kubelet": "kubelet/keyring-cases.json",
    "registries-conf": "containers/registries-conf-cases.json",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--containerd-cases FILE``, ``--containerd BINARY`` and their like."""
    group = parser.getgroup("mirrors", "files of measured cases")
    for name, file in _FILES.items():
        group.addoption(
            f"--{name}-cases",
            type=Path,
            default=_FIXTURES / file,
            metavar="FILE",
            help=f"measured {name} cases to run the model against (default: %(default)s)",
        )
    real = parser.getgroup("real clients", "models compared with real clients")
    for name in ("containerd", "skopeo", "dockerd"):
        real.addoption(
            f"--{name}",
            type=Path,
            metavar="BINARY",
            help=f"the {name} that its model is compared with (default: the one in PATH)",
        )
    real.addoption(
        "--containerd-all",
        action="store_true",
        help="play every measured case of the release to containerd, not every fourth",
    )
    real.addoption(
        "--containerd-generated",
        type=int,
        default=300,
        metavar="N",
        help="how many cases to make up for containerd (default: %(default)s)",
    )
    real.addoption(
        "--skopeo-generated",
        type=int,
        default=100,
        metavar="N",
        help="how many cases to make up for skopeo (default: %(default)s)",
    )
    real.addoption(
        "--dockerd-generated",
        type=int,
        default=60,
        metavar="N",
        help="how many cases to make up for dockerd (default: %(default)s)",
    )
    real.addoption(
        "--seed",
        type=int,
        default=1,
        metavar="S",
        help="what generated cases are made from (default: %(default)s)",
    )
    real.addoption(
        "--record",
        type=Path,
        metavar="FILE",
        help="write what generated containerd cases measured to FILE, in the data's format",
    )
