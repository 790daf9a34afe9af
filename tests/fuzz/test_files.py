"""Configuration files: the model of their reader, and lint with its fixes, on the same text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.nodes.lint.engine import LintOptions, run_rules
from harness.nodes.lint.fix.repair import repaired
from harness.nodes.lint.parsing import parsed
from harness.nodes.lint.project import Project
from harness.nodes.lint.report import LintReport, as_text
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containers.registries_conf import (
    InvalidRegistriesConf,
    read_registries_conf,
)
from harness.nodes.models.dockerd import InvalidDaemonJson, endpoints, read_daemon_json
from harness.nodes.models.kubelet import InvalidSecret, pull_requests
from harness.nodes.models.reference import normalised_reference
from reference_registry.config.file import read_text
from tests.support.fuzzing import Target, contents, examples

_IMAGE = "reg.example/team/app:v1"
_NGINX = normalised_reference("nginx")


def _config(text: str) -> None:
    found = read_text(text, "config.yml")
    assert found.config or found.errors
    assert all("\n" not in str(problem) for problem in found.problems)


def _hosts(text: str) -> None:
    plan = resolve_plan(_IMAGE, {"reg.example/hosts.toml": text})
    assert plan.hosts or plan.refusal


def _containerd(text: str) -> None:
    plan = resolve_plan(_IMAGE, config_toml=text)
    assert plan.hosts or plan.refusal


def _registries(text: str) -> None:
    read_registries_conf(text).registry_for(_IMAGE)


def _daemon(text: str) -> None:
    endpoints(_NGINX, read_daemon_json(text))


def _secret(text: str) -> None:
    pull_requests(_IMAGE, {"secret": text})


def _linted(path: str, read: Callable[[str], None]) -> Callable[[bytes], None]:
    """Lint, repair and report the file at *path*, then *read* its text."""

    def run(content: bytes) -> None:
        document = parsed(path, path, content, named=True)
        assert document is not None
        project = Project((document,))
        run_rules(project, LintOptions())
        result = repaired(project, LintOptions())
        left = run_rules(result.project, LintOptions())
        report = LintReport(result.project.documents, left, result.repairs, result.refusals)
        assert "".join(as_text(report, lambda text, **_: text)).isprintable()
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return
        read(text)

    return run


_FILES: list[tuple[str, Callable[[str], None], list[str], tuple[type[Exception], ...]]] = [
    ("/etc/registry/config.yml", _config, ["config.yml"], ()),
    ("/etc/containerd/certs.d/reg.example/hosts.toml", _hosts, ["hosts.toml"], ()),
    ("/etc/containerd/config.toml", _containerd, ["config.toml"], ()),
    (
        "/etc/containers/registries.conf",
        _registries,
        ["registries.conf", "*.conf"],
        (InvalidRegistriesConf,),
    ),
    ("/etc/docker/daemon.json", _daemon, ["daemon.json"], (InvalidDaemonJson,)),
    (
        "/root/.docker/config.json",
        _secret,
        ["config.json", "*.dockerconfigjson"],
        (InvalidSecret,),
    ),
    ("/srv/pod.yaml", lambda _: None, ["pod.yaml", "secret.yaml", "all.yaml"], ()),
    ("/srv/compose.yaml", lambda _: None, ["compose.yaml"], ()),
]
TARGETS = [
    Target(path.rpartition("/")[2], contents(examples(*names)), _linted(path, read), answers)
    for path, read, names, answers in _FILES
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_files(target: Target, fuzz: Callable[[Target], None]) -> None:
    fuzz(target)
