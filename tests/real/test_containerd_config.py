"""The model of config.toml against ``containerd config dump``: files of any version with imports.

``--containerd BINARY`` tests another release, ``--seed S`` generates other files.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from harness.clients.containerd import version_of
from harness.nodes.models.containerd.config_files import GRPC_CRI, IMAGES, InvalidConfig
from harness.nodes.models.containerd.config_toml import (
    WELL_KNOWN_DIRECTORIES,
    RegistryConfig,
    parse_config_toml,
)
from harness.nodes.models.containerd.releases import Release, release_named
from harness.system.process import clean_environment
from harness.system.real_parts import real_part
from tests.real.labs import run_generated

_COUNT = 150
_SECTIONS = ("cri", f'"{GRPC_CRI}"', f'"{IMAGES}"')
_FILES = ("config.toml", "a.toml", "conf.d/b.toml", "conf.d/c.toml")
_IMPORTS = (
    *("a.toml", "./a.toml", "b.toml", "conf.d/b.toml", "../config.toml", "{here}/a.toml"),
    *("*.toml", "*/c.toml", "conf.d/*.toml", "conf.d/[bc]*.toml", "nothing/*.toml"),
    *("{here}/conf.d/*.toml", "{here}/config.toml"),
)


def _texts() -> st.SearchStrategy[str]:
    """A file with or without a version, with imports and registry settings in any section."""
    imports = st.lists(st.sampled_from(_IMPORTS), max_size=3)
    setting = st.one_of(
        st.sampled_from(["/one", "/two", ""]).map(lambda path: f'config_path = "{path}"\n'),
        st.sampled_from(["m1", "m2"]).map(
            lambda host: f'[plugins.SECTION.registry.configs."{host}:5000".auth]\nusername = "u"\n'
        ),
        st.sampled_from(["x", "y"]).flatmap(
            lambda name: st.lists(st.sampled_from(["https://m1", "https://m2"]), max_size=2).map(
                lambda ends: f"[plugins.SECTION.registry.mirrors.{name}]\nendpoint = {ends}\n"
            )
        ),
        st.just('[plugins.SECTION.registry.headers]\nX-Node = ["1", "2"]\n'),
    )
    sections = st.lists(
        st.tuples(st.sampled_from(_SECTIONS), st.lists(setting, max_size=2, unique=True)),
        max_size=2,
        unique_by=lambda one: one[0],
    )
    version = st.sampled_from([None, None, 1, 2, 2, 2, 3, 4])
    return st.builds(_text, version, imports, sections)


def _text(version: int | None, imports: list[str], sections: list[tuple[str, list[str]]]) -> str:
    head = "" if version is None else f"version = {version}\n"
    body = "".join(
        f"[plugins.{name}.registry]\n{''.join(settings).replace('SECTION', name)}"
        for name, settings in sections
    )
    return f"{head}imports = {json.dumps(imports)}\n{body}"


def _cases() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"config.toml": _texts()}, optional=dict.fromkeys(_FILES[1:], _texts())
    )


def _of(registry: RegistryConfig, release: Release) -> dict[str, Any]:
    later = release.default_config_path == "without mirrors"
    by_default = later and registry.config_path == WELL_KNOWN_DIRECTORIES
    return {
        # Set when the plugin starts; the command does not show it.
        "config_path": "" if by_default else registry.config_path,
        "mirrors": {name: list(ends) for name, ends in registry.mirrors.items()},
        "auths": {host: auth.username for host, auth in registry.auths.items()},
        "headers": {name: list(values) for name, values in registry.headers.items()},
    }


def _modelled(here: Path, files: dict[str, str], release: Release) -> dict[str, Any] | str:
    tree = {f"{here}/{name}": text for name, text in files.items()}
    main = files["config.toml"]
    try:
        return _of(parse_config_toml(main, release, tree, f"{here}/config.toml"), release)
    except InvalidConfig as error:
        if release.migrates_config != "never" and "no such file" in error.reason:
            return "not shown"  # From 2.0 on the command ignores it, the daemon does not.
        return "does not start" if error.stops_containerd else "not shown"


def _dumped(program: Path, here: Path, files: dict[str, str], release: Release) -> Any:
    for name, text in files.items():
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(text)
    # In 2.0 another command shows sections of older versions after migration.
    command = "dump" if release.migrates_config == "never" else "migrate"
    ran = subprocess.run(
        [program, "--config", here / "config.toml", "config", command],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd="/",
        env=clean_environment({}),
    )
    if ran.returncode != 0:
        return "does not start"
    plugins = tomllib.loads(ran.stdout)["plugins"]
    name = IMAGES if release.migrates_config != "never" else GRPC_CRI
    found = plugins[name]["registry"]
    return {
        "config_path": found["config_path"],
        "mirrors": {k: v.get("endpoint") or [] for k, v in found.get("mirrors", {}).items()},
        "auths": {
            host: (entry.get("auth") or {}).get("username", "")
            for host, entry in found.get("configs", {}).items()
        },
        "headers": found.get("headers", {}),
    }


def test_imports_are_merged_as_the_daemon_does(
    request: pytest.FixtureRequest, tmp_path: Path, record_property: Any
) -> None:
    """Versions, patterns, circular imports, sections of three names: the result is the same."""
    program = request.config.getoption("containerd") or real_part("containerd")
    release = release_named(version_of(program))
    record_property("containerd", release.version)
    here = tmp_path / "etc"
    outcomes: list[str] = []

    def check(case: dict[str, Any]) -> None:
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        files = {name: text.replace("{here}", str(here)) for name, text in case.items()}
        modelled = _modelled(here, files, release)
        measured = _dumped(program, here, files, release)
        outcomes.append(modelled if isinstance(modelled, str) else "starts")
        assert modelled in ("not shown", measured), json.dumps(files, indent=1)

    run_generated(_cases(), check, count=_COUNT, seed=request.config.getoption("seed"))
    assert outcomes.count("starts") > _COUNT // 4
