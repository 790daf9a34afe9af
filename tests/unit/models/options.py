"""Command-line options: files of measured cases, and the real clients to compare with."""

from __future__ import annotations

from pathlib import Path

import pytest

_FIXTURES = Path(__file__).parents[3] / "fixtures"
_FILES = {
    "containerd": "containerd/cases.json",
    "kubelet": "kubelet/keyring-cases.json",
    "registries-conf": "containers/registries-conf-cases.json",
}
_GENERATED = {"containerd": 300, "skopeo": 100, "dockerd": 60}


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--containerd-cases FILE``, ``--containerd BINARY`` and similar options."""
    group = parser.getgroup("client models", "measured cases and real clients of the models")
    add = group.addoption
    for name, file in _FILES.items():
        text = f"measured {name} cases for the model (default: %(default)s)"
        add(f"--{name}-cases", type=Path, default=_FIXTURES / file, metavar="FILE", help=text)
    for name, count in _GENERATED.items():
        text = f"the {name} to compare its model with (default: the one in PATH)"
        add(f"--{name}", type=Path, metavar="BINARY", help=text)
        text = f"number of generated cases for {name} (default: %(default)s)"
        add(f"--{name}-generated", type=int, default=count, metavar="N", help=text)
    text = "run every measured case of the release on containerd, not every fourth"
    add("--containerd-all", action="store_true", help=text)
    add("--seed", type=int, default=1, metavar="S", help="seed of generated cases (default: 1)")
    text = "write the measurements of generated containerd cases to FILE, in the cases' format"
    add("--record", type=Path, metavar="FILE", help=text)
