"""An installed pullproof against a registry that was started by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.system.process import Process
from tests.contract.packaging.conftest import Installed, environment
from tests.real.labs import free_network


@pytest.mark.parametrize("role", ["cache", "registry"])
def test_run_on_a_registry_started_by_hand(installed: Installed, tmp_path: Path, role: str) -> None:
    upstream = f"{free_network([5000])}.11:5000"
    proxy = f"\nproxy: {{remoteurl: 'http://{upstream}'}}" if role == "cache" else ""
    (tmp_path / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/root}}}}\n"
        f"http: {{addr: '127.0.0.1:0'}}{proxy}\n"
    )
    serve = (installed.program("pullproof-registry"), "serve", "config.yml")
    process = Process(serve, environment=environment(), directory=tmp_path)
    try:
        listening = process.await_output(re.compile(r"listening on (127[\d.:]+)"), timeout=30)
        assert listening is not None, process.output()
        options = {
            "cache": (f"--upstream-at={upstream}", "--scenario=blob.range-*"),
            "registry": ("--allow-writes", "--scenario=conformance.push-session*"),
        }[role]
        target = f"--target=url:http://{listening[1]}"
        said = installed.run("pullproof", "run", target, *options, "--workers=0", cwd=tmp_path)
    finally:
        process.stop()
    assert re.search(rf"^{re.escape(listening[1])}: [3-9] holds", said, re.MULTILINE), said
