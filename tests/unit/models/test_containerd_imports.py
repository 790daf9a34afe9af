"""``imports`` of config.toml: files read, their order and precedence, by release.

Every row was measured with ``containerd config dump`` of that release;
tests/real/test_containerd_config.py compares random files with a real containerd.
"""

from __future__ import annotations

import pytest

from harness.nodes.models.containerd.config_files import (
    CONFIG_FILE,
    InvalidConfig,
    read_configuration,
)
from harness.nodes.models.containerd.config_toml import RegistryConfig, registry_config
from harness.nodes.models.containerd.releases import release_named
from harness.nodes.models.files import FileTree

ALL = ("1.6.20", "1.7.24", "2.1.9", "2.3.4")


def section(version: int, body: str) -> str:
    """The registry section of a file of *version*, holding *body*."""
    name = {
        1: "cri",
        2: '"io.containerd.grpc.v1.cri"',
        3: '"io.containerd.cri.v1.images"',
        4: '"io.containerd.cri.v1.images"',
    }[version]
    return f"[plugins.{name}.registry]\n{body}\n"


def path_in(version: int, config_path: str, *imports: str) -> str:
    """A file of *version* that sets ``config_path``."""
    head = f"version = {version}\nimports = [{', '.join(map(repr, imports))}]\n"
    return head + section(version, f'config_path = "{config_path}"')


def read(release: str, main: str, **files: str) -> RegistryConfig:
    """*main* in /etc/containerd, *files* in conf.d beside it."""
    tree = {f"/etc/containerd/conf.d/{name}.toml": text for name, text in files.items()}
    configuration = read_configuration(
        FileTree({CONFIG_FILE: main, **tree}), release_named(release)
    )
    return registry_config(configuration, release_named(release))


@pytest.mark.parametrize("release", ALL)
def test_imports_are_merged_after_the_file_and_the_last_wins(release: str) -> None:
    main = path_in(2, "/main", "conf.d/b.toml", "conf.d/a.toml")
    config = read(release, main, a=path_in(2, "/a"), b=path_in(2, "/b"))
    assert config.config_path == "/a"
    assert config.configuration.place("registry", "config_path") == (
        "/etc/containerd/conf.d/a.toml",
        4,
    )


@pytest.mark.parametrize("release", ALL)
def test_nested_imports_come_after_all_imports_of_the_file(release: str) -> None:
    main = path_in(2, "/main", "conf.d/a.toml", "conf.d/b.toml")
    config = read(
        release, main, a=path_in(2, "/a", "c.toml"), b=path_in(2, "/b"), c=path_in(2, "/c")
    )
    assert config.config_path == "/c"


@pytest.mark.parametrize("release", ALL)
def test_circular_imports_are_read_once(release: str) -> None:
    main = path_in(2, "/main", "conf.d/a.toml")
    config = read(release, main, a=path_in(2, "/a", "../config.toml", "a.toml"))
    assert config.config_path == "/a"


@pytest.mark.parametrize("release", ALL)
def test_a_pattern_matches_files_in_order_of_their_names(release: str) -> None:
    main = path_in(2, "/main", "/etc/containerd/conf.d/*.toml", "/nowhere/*.toml")
    config = read(release, main, z=path_in(2, "/z"), a=path_in(2, "/a"))
    assert config.config_path == "/z"


@pytest.mark.parametrize(
    ("release", "config_path"),
    [("1.6.28", "/main"), ("1.6.29", "/a"), ("1.7.15", "/main"), ("1.7.16", "/a"), ("2.0.0", "/a")],
)
def test_older_releases_start_relative_patterns_at_the_working_directory(
    release: str, config_path: str
) -> None:
    config = read(release, path_in(2, "/main", "conf.d/*.toml"), a=path_in(2, "/a"))
    assert config.config_path == config_path


@pytest.mark.parametrize(
    ("release", "kept"), [("1.6.20", False), ("1.7.24", False), ("2.1.9", True), ("2.3.4", True)]
)
def test_up_to_1_7_an_import_replaces_a_whole_section(release: str, kept: bool) -> None:
    """The login in config.toml has no effect because a drop-in sets ``config_path``."""
    login = section(2, "").replace("registry]", 'registry.configs."m:5000".auth]')
    main = f'version = 2\nimports = ["conf.d/a.toml"]\n{login}username = "u"\npassword = "p"\n'
    config = read(release, main, a=path_in(2, "/a"))
    assert config.config_path == "/a"
    assert ("m:5000" in config.auths) is kept


@pytest.mark.parametrize(
    ("release", "main", "drop_in", "config_path"),
    [
        ("1.6.20", 1, None, "/main"),
        ("2.1.9", 1, None, ""),
        ("2.3.4", 1, None, "/main"),
        ("1.6.20", 3, None, ""),
        ("2.1.9", 2, 3, "/a"),
        ("2.1.9", 3, 2, "/a"),
        ("2.1.9", 2, 1, "/a"),
        ("2.1.9", 3, 1, "/main"),
        ("2.3.4", 3, 1, "/a"),
        ("2.3.4", 4, 2, "/a"),
    ],
)
def test_files_of_different_versions(
    release: str, main: int, drop_in: int | None, config_path: str
) -> None:
    files = {} if drop_in is None else {"a": path_in(drop_in, "/a")}
    text = path_in(main, "/main", *(f"conf.d/{name}.toml" for name in files))
    found = read(release, text, **files).config_path
    assert found.removeprefix("/etc/containerd/certs.d:/etc/docker/certs.d") == config_path


def test_a_newer_version_in_an_import_disables_older_sections() -> None:
    """In 2.0 to 2.2 the version of the last file applies to all files."""
    main = path_in(2, "/main", "conf.d/a.toml")
    assert read("2.1.9", main, a='version = 3\n[metrics]\naddress = ""\n').config_path == ""


@pytest.mark.parametrize(
    ("release", "main", "drop_in", "reason", "file"),
    [
        ("1.7.24", path_in(2, "/m", "none.toml"), "", "no such file", CONFIG_FILE),
        ("1.7.24", path_in(2, "/m", "conf.d"), "", "is a directory", CONFIG_FILE),
        ("1.7.24", 'imports = "conf.d/a.toml"', "", "`imports` must be a list", CONFIG_FILE),
        ("1.7.24", path_in(2, "/m", "[a*"), "", "syntax error in pattern", CONFIG_FILE),
        ("2.3.4", path_in(2, "/m", "conf.d/a.toml"), "version = 3", "drop-in config", "a"),
        ("2.1.9", path_in(2, "/m", "conf.d/a.toml"), "version = 4", "4 is not known", "a"),
        ("1.7.24", path_in(2, "/m", "conf.d/a.toml"), "x =", "invalid TOML", "a"),
        ("1.7.24", path_in(2, "/m", "conf.d/a.toml"), "[plugins.cri]", 'URI "cri"', "a"),
        ("1.7.24", path_in(1, "/m", "conf.d/a.toml"), path_in(2, "/a"), 'URI "cri"', CONFIG_FILE),
    ],
)
def test_an_error_that_stops_containerd_has_its_file(
    release: str, main: str, drop_in: str, reason: str, file: str
) -> None:
    with pytest.raises(InvalidConfig, match=reason) as caught:
        read(release, main, a=drop_in)
    assert caught.value.stops_containerd
    wanted = file if file == CONFIG_FILE else f"/etc/containerd/conf.d/{file}.toml"
    assert (caught.value.file, caught.value.line is not None) == (wanted, True)
