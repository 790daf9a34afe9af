"""``pullproof explain`` as a command: bad input, files found without options, import time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.nodes.explain import files, questions

IMAGE = "up.example/team/app:v1"
GOOD = 'server = "https://up.example"\n[host."https://m1"]\n'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    directory = tmp_path / "certs.d" / "up.example"
    directory.mkdir(parents=True)
    (directory / "hosts.toml").write_text(GOOD)
    return tmp_path / "certs.d"


def explain(*arguments: str | Path) -> int:
    return main(["explain", IMAGE, "--containerd", "1.7.24", *map(str, arguments)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert explain(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_good(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("--certs-d", tree) == 0
    assert f"{tree}/up.example/hosts.toml:2" in capsys.readouterr().out
    assert explain("--certs-d", tree, "--when", "m1=404", "--when", "up.example=404") == 1


# -- bad input ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a = 1\n# \x1b[2J\n", "hosts.toml:2: contains the control character '\\x1b' (remove it)"),
        (b"a = 1\n# \xff\n", "hosts.toml:2: not UTF-8"),
        (b"# " + b"x" * 10_000_000, "hosts.toml: larger than 1 MiB"),
    ],
)
def test_unusable_content(
    tree: Path, capsys: pytest.CaptureFixture[str], content: bytes, says: str
) -> None:
    (tree / "up.example/hosts.toml").write_bytes(content)
    assert says in refused(capsys, "--certs-d", tree)


def test_links_that_lead_out(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("user:secret-of-the-machine\n")
    file = tree / "up.example/hosts.toml"
    file.unlink()
    file.symlink_to(outside)
    said = refused(capsys, "--certs-d", tree)
    assert "is a link to a file outside" in said
    assert "secret-of" not in said


def test_named_pipe_does_not_block(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tree / "up.example/hosts.toml"
    file.unlink()
    os.mkfifo(file)
    assert "not a regular file" in refused(capsys, "--certs-d", tree)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "up.example/hosts.toml").chmod(0)
    assert "run as a user who can read it" in refused(capsys, "--certs-d", tree)


@pytest.mark.parametrize("name", ["--config", "--pull-secret", "--node-secret"])
def test_missing_file(
    tree: Path, capsys: pytest.CaptureFixture[str], name: str, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    said = refused(capsys, "--certs-d", tree, name, missing)
    assert f"{missing}: no such file" in said


@pytest.mark.parametrize(
    "text", ["{", '{"auths": 1}', '{"auths": {"a": {"auth": "%"}}}', "[" * 9999]
)
def test_an_invalid_pull_secret_is_refused(
    tree: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    (tmp_path / "secret.json").write_text(text)
    said = refused(capsys, "--certs-d", tree, "--pull-secret", tmp_path / "secret.json")
    assert "secret.json: " in said
    assert "kubelet pulls nothing" in said


def test_an_invalid_hosts_toml_is_ignored_with_a_warning(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """containerd ignores the file silently; the warning has the line."""
    (tree / "up.example/hosts.toml").write_text('server = "https://up.example"\n[host."https:')
    assert explain("--certs-d", tree) == 0
    said = capsys.readouterr().out
    assert "warning: the whole file is ignored: invalid TOML" in said
    assert "hosts.toml:2" in said


def test_an_invalid_config_toml_fails_every_pull(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("version = 2\n[plugins\n")
    assert explain("--certs-d", tree, "--config", config) == 1
    said = capsys.readouterr().out
    assert "containerd does not start: invalid TOML" in said
    assert f"{config}:2" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["--containerd", "1.5.0"],
        ["--containerd", "newest"],
        ["--puller", "ctr", "--ctr", "--frobnicate"],
        ["--puller", "ctr", "--ctr", "'"],
        ["--puller", "ctr", "--pull-secret", "x"],
        ["--puller", "skopeo"],
        ["--registries-conf", "x"],
        ["--probe-with-credentials"],
        ["--output", "x"],
        ["--certs-d", "/dev/null"],
    ],
)
def test_misuse(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    refused(capsys, *arguments)


def test_bad_registries_conf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = tmp_path / "registries.conf"
    conf.write_text("[[registry]]\nlocation = 'a'\n[[registry.mirror]]\n")
    code = main(["explain", IMAGE, "--puller", "skopeo", "--registries-conf", str(conf)])
    assert code == 2
    assert f"{conf}:3: invalid condition: mirror location is unset" in capsys.readouterr().err


def test_control_characters_of_arguments_are_shown_as_escapes(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "--certs-d", tree, "--when", "m1\x1b[2J=down")
    assert "\x1b" not in said


# -- files found without options -------------------------------------------------------------------


def test_imports_of_config_toml_are_read_and_listed(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Up to 1.7 a section of a drop-in replaces the whole section: the login is lost."""
    config, drop_in = tmp_path / "config.toml", tmp_path / "conf.d/mirrors.toml"
    drop_in.parent.mkdir()
    cri = 'plugins."io.containerd.grpc.v1.cri".registry'
    config.write_text(
        f'version = 2\nimports = ["conf.d/*.toml", "{tmp_path}/nothing/*.toml"]\n'
        f'[{cri}.configs."up.example".auth]\nusername = "me"\npassword = "secret"\n'
    )
    drop_in.write_text(f'version = 2\n[{cri}]\nconfig_path = "{tree}"\n')
    assert explain("--config", config) == 0
    said = capsys.readouterr().out
    assert str(drop_in) in said.partition("client: ")[2].partition("hosts, in the order")[0]
    assert f"{drop_in} is imported after it and replaces the whole section  {config}:3" in said
    assert "configs.up.example.auth" not in said
    assert explain("--config", config, "--containerd", "2.1.9") == 0
    assert "me, from registry.configs.up.example.auth" in capsys.readouterr().out
    drop_in.write_text("version =")
    assert explain("--config", config) == 1
    assert f"containerd does not start: invalid TOML: Invalid value  {drop_in}:1" in (
        capsys.readouterr().out
    )


def test_a_pattern_that_searches_too_many_directories_is_refused(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(101):
        (tmp_path / "many" / str(number)).mkdir(parents=True)
    (config := tmp_path / "config.toml").write_text('version = 2\nimports = ["many/*/*.toml"]\n')
    said = refused(capsys, "--certs-d", tree, "--config", config)
    assert "100 directories" in said
    assert str(config) in said


def test_etc_is_read_when_nothing_is_given(
    tree: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "{tree}"\n'
    )
    monkeypatch.setattr(files, "_ETC_CONFIG", config)
    assert explain() == 0
    said = capsys.readouterr().out
    assert f"{config}\n" in said
    assert "https://m1/v2" in said


def test_no_files_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_ETC_CONFIG", tmp_path / "missing")
    assert explain() == 0
    said = capsys.readouterr().out
    assert "showing containerd's defaults" in said
    assert "files read: none" in said


def test_release_of_the_installed_containerd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "containerd"
    program.write_text("#!/bin/sh\necho containerd example.com/x v2.1.9+ds1 abc\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert questions._release(None)[0] == "2.1.9"
    program.write_text("#!/bin/sh\nexit 1\n")
    version, remarks = questions._release(None)
    assert "no containerd installed here" in remarks[0].text
    assert version == "2.3.3"


# -- import time --------------------------------------------------------------------------------
def test_slow_modules_are_not_imported(tree: Path) -> None:
    program = (
        "import sys; from harness.cli import main; code = main(sys.argv[1:]);"
        "slow = {'httpx', 'pytest', 'aiohttp', 'cryptography'} & sys.modules.keys();"
        "sys.exit(code or ', '.join(slow) or None)"
    )
    arguments = ["explain", IMAGE, "--certs-d", str(tree), "--containerd", "2.1.9"]
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--puller", "dokcer"], "unknown value 'dokcer' (did you mean docker?)"),
        (["--format", "svg"], "unknown value 'svg' (known: tree, json, markdown, mermaid)"),
        (["--when", "m1=dwon"], "unknown behaviour 'dwon' (did you mean down?)"),
        (["--when", "m2=down"], "never contacts (known: m1, up.example)"),
        (["--ctr", "-u", "--puller", "cri"], "--ctr does not apply to --puller cri"),
    ],
)
def test_unknown_values_get_a_suggestion(
    tree: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert explain("--certs-d", tree, *arguments) == 2
    assert says in capsys.readouterr().err
