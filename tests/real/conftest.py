"""Real programs beside the reference: a registry binary, skopeo, Apache's htpasswd."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.system.real_parts import real_part
from harness.targets import Target, parse_target


@pytest.fixture
def docker_registry() -> Target:
    """Debian's registry 2.8.2."""
    return parse_target(f"binary:{real_part('docker-registry')}")


@pytest.fixture
def reference() -> Target:
    """The reference registry as ``ideal``."""
    return parse_target("reference")


@pytest.fixture
def skopeo(tmp_path: Path) -> Callable[..., str]:
    """Runs skopeo without a policy or the user's credentials. Fails with its output."""
    program = real_part("skopeo")
    auth = tmp_path / "no-auth.json"
    auth.write_text("{}")

    def run(*arguments: str) -> str:
        command = [str(program), "--insecure-policy", *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"REGISTRY_AUTH_FILE": str(auth), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
        return done.stdout

    return run
