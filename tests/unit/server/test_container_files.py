"""``docs/docker``: the container files agree with the program and the project."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from reference_registry.__main__ import main
from reference_registry.config import Config
from reference_registry.config.file import load
from reference_registry.config.units import parse_address
from reference_registry.profiles import PROFILES

_TOP = Path(__file__).parents[3]
_FILES = _TOP / "docs" / "docker"
_PROJECT: dict[str, Any] = tomllib.loads((_TOP / "pyproject.toml").read_text())
_CONFIG = "/etc/docker/registry/config.yml"


def _instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile, continued lines joined."""
    text = (_FILES / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def _all(instruction: str) -> list[str]:
    return [rest for name, rest in _instructions() if name == instruction]


def _copies() -> dict[str, str]:
    """Where each path of the project that is copied goes to."""
    copies: dict[str, str] = {}
    for rest in _all("COPY"):
        *sources, target = [word for word in shlex.split(rest) if not word.startswith("--")]
        copies |= dict.fromkeys(sources, target)
    return copies


def _config(profile: str = "ideal") -> Config:
    return load(_FILES / "config.yml", {}, PROFILES[profile])


# -- Dockerfile ---------------------------------------------------------------------------------


def test_all_of_the_wheel_is_copied() -> None:
    packages = set(_PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    described = {_PROJECT["project"]["readme"], *_PROJECT["project"]["license-files"]}
    assert packages | described | {"pyproject.toml", "hatch_build.py"} <= set(_copies())


def test_the_program_has_its_name_and_that_of_registry_2() -> None:
    (install,) = [run for run in _all("RUN") if "ln -s" in run]
    name = re.search(r"command -v ([\w-]+)", install)
    assert name is not None
    assert name[1] in _PROJECT["project"]["scripts"]
    assert _PROJECT["project"]["name"] in install.split()
    assert install.split()[-1] == "/usr/local/bin/registry"


def test_paths_and_ports() -> None:
    """The configuration that is copied is the one that is served; its port and directory are those
    of the image, and of registry:2."""
    copies = _copies()
    assert copies["docs/docker/config.yml"] == _CONFIG
    assert _all("CMD") == [json.dumps(["serve", _CONFIG])]
    assert _all("ENTRYPOINT") == [json.dumps([copies["docs/docker/entrypoint.sh"]])]
    assert _all("EXPOSE") == [str(parse_address(_config().http.addr).port)] == ["5000"]
    assert _all("VOLUME") == [json.dumps([str(_config().storage.rootdirectory)])]
    assert str(_config().storage.rootdirectory) == "/var/lib/registry"


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_takes_the_configuration(
    profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _config(profile)
    assert main(["check-config", "--profile", profile, str(_FILES / "config.yml")]) == 0
    said = capsys.readouterr().out.partition("\n\n")[2]
    # As with registry:2, any client that can connect may push.
    assert re.findall(r"\[([\w-]+)\]", said) == ["everyone-may-push"]


# -- entrypoint.sh ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "run"),
    [
        (["serve", _CONFIG], ["registry", "serve", _CONFIG]),
        (["/my.yml"], ["registry", "serve", "/my.yml"]),
        (["/my.yaml", "--profile", "2.8"], ["registry", "serve", "/my.yaml", "--profile", "2.8"]),
        (["garbage-collect", "-m", "/c.yml"], ["registry", "garbage-collect", "-m", "/c.yml"]),
        (["check-config", "/c.yml"], ["registry", "check-config", "/c.yml"]),
        (["schedule", "--json", "/c.yml"], ["registry", "schedule", "--json", "/c.yml"]),
        (["htpasswd", "-Bbn", "u", "p q"], ["registry", "htpasswd", "-Bbn", "u", "p q"]),
        (["--version"], ["registry", "--version"]),
        (["registry", "serve", "/c.yml"], ["registry", "serve", "/c.yml"]),
        (["other", "a b"], ["other", "a b"]),
    ],
)
def test_entrypoint(arguments: list[str], run: list[str], tmp_path: Path) -> None:
    for program in ("registry", "other"):
        shown = tmp_path / program
        shown.write_text('#!/bin/sh\nprintf "%s\\n" "${0##*/}" "$@"\n')
        shown.chmod(0o755)
    finished = subprocess.run(
        [_FILES / "entrypoint.sh", *arguments],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.splitlines() == run


def test_the_entrypoint_knows_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^    ([a-z-]+)(?: |$)", capsys.readouterr().out, re.MULTILINE))
    script = (_FILES / "entrypoint.sh").read_text()
    known = re.search(r"^ +(serve.*) \| -\*\)", script, re.MULTILINE)
    assert known is not None
    assert commands
    assert set(known[1].split(" | ")) == commands


# -- compose.yml and README.md ------------------------------------------------------------------
def test_compose() -> None:
    document = yaml.safe_load((_FILES / "compose.yml").read_text())
    service = document["services"]["registry"]
    context = (_FILES / service["build"]["context"]).resolve()
    assert context == _TOP
    assert (context / service["build"]["dockerfile"]).samefile(_FILES / "Dockerfile")
    assert service["ports"] == ["5000:5000"]
    (volume,) = service["volumes"]
    name, _, target = volume.partition(":")
    assert name in document["volumes"]
    assert target == str(_config().storage.rootdirectory)
    assert service["environment"]["PULLPROOF_PROFILE"] in PROFILES
    assert int(service["stop_grace_period"].removesuffix("s")) > 10


def test_commented_lines_of_compose_work(tmp_path: Path) -> None:
    """Uncommented, it is still YAML, and makes a cache."""
    text = re.sub(r"# (- \./config|REGISTRY_)", r"\1", (_FILES / "compose.yml").read_text())
    service = yaml.safe_load(text)["services"]["registry"]
    assert service["volumes"][-1] == f"./config.yml:{_CONFIG}:ro"
    environment = {
        name: value
        for name, value in service["environment"].items()
        if name.startswith("REGISTRY_")
    }
    config = load(_FILES / "config.yml", environment, PROFILES["ideal"])
    assert config.proxy is not None
    assert config.proxy.remoteurl == "https://registry-1.docker.io"
