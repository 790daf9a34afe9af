"""The command line: arguments, exit codes, one line for each mistake."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest

import reference_registry
from harness.system.process import clean_environment
from reference_registry.__main__ import main
from reference_registry.digest import digest_of
from tests.unit.server.config_cases import GOOD


def _run(
    *arguments: str | Path, environ: dict[str, str] | None = None, stdin: str = ""
) -> tuple[int, str, str]:
    finished = subprocess.run(
        [sys.executable, "-m", "reference_registry", *map(str, arguments)],
        env=clean_environment(environ),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return finished.returncode, finished.stdout, finished.stderr


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(GOOD.replace("/data", str(tmp_path / "data")))
    return path


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PULLPROOF_PROFILE", "REGISTRY_CONFIGURATION_PATH"):
        monkeypatch.delenv(name, raising=False)


# -- misuse -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["serv"], "argument COMMAND: invalid choice: 'serv'"),
        (["serve", "--fast", "x"], "unrecognized arguments: --fast"),
        (["serve", "a", "b"], "unrecognized arguments: b"),
        (["serve", "--prof", "2.8", "x"], "unrecognized arguments: --prof"),
        (["garbage-collect", "-x", "c"], "unrecognized arguments: -x"),
        (["serve", "--profile"], "argument --profile: expected one argument"),
        (["serve"], "configuration path unspecified; name a config.yml"),
        (["garbage-collect"], "configuration path unspecified; name a config.yml"),
        (["htpasswd", "a:b", "c"], "a user's name has neither colon"),
        (["htpasswd", "", "c"], "a user's name has neither colon"),
        (["htpasswd", "-b", "a"], "-b wants the password as an argument"),
        (["htpasswd", "a", "x" * 73], "bcrypt takes at most 72 bytes"),
    ],
)
def test_misuse(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"pullproof-registry: {message}")


@pytest.mark.parametrize("arguments", [["serv"], ["garbage-collect", "--quiet", "c"], []])
def test_a_release_takes_misuse_lightly(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--profile", "2.8", *arguments]) == 0
    assert "pullproof-registry: " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "garbage-collect"])
def test_a_release_without_a_configuration(command: str) -> None:
    assert main([command, "--profile", "2.8"]) == 1


@pytest.mark.parametrize("before", [True, False])
def test_an_unknown_profile(before: bool, capsys: pytest.CaptureFixture[str]) -> None:
    profile = ["--profile", "2.9"]
    assert main([*profile, "serve", "x"] if before else ["serve", "x", *profile]) == 2
    assert capsys.readouterr().err == (
        "pullproof-registry: unknown profile '2.9'; known are ideal, 2.8, 3.0.0-alpha.1, 3.0, 3.1\n"
    )


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"pullproof-registry {reference_registry.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [(["help"], "check-config"), (["help", "garbage-collect"], "--dry-run"), (["-h"], "serve")],
)
def test_help(arguments: list[str], shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "stays"), [("--dry-run=true", True), ("-d=1", True), ("--dry-run=false", False)]
)
def test_flags_with_values_as_in_go(flag: str, stays: bool, tmp_path: Path) -> None:
    content = b"an orphan"
    digest = digest_of(content).removeprefix("sha256:")
    blob = tmp_path / f"data/docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(content)
    config = tmp_path / "config.yml"
    config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}")
    assert main(["garbage-collect", flag, str(config)]) == 0
    assert blob.exists() == stays


def test_it_runs_as_a_module_of_the_package(tmp_path: Path) -> None:
    """By the name that it has in a wheel, from a clone too."""
    command = [sys.executable, "-m", "pullproof.reference_registry", "--version"]
    assert subprocess.check_output(command, cwd=tmp_path, text=True).startswith(
        "pullproof-registry "
    )


def test_the_version_is_that_of_the_package() -> None:
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert f'\nversion = "{reference_registry.__version__}"\n' in project


# -- configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "environ", "code"),
    [
        ([], {}, 2),
        (["--profile", "2.8"], {}, 1),
        ([], {"PULLPROOF_PROFILE": "2.8"}, 1),
        (["--profile", "ideal"], {"PULLPROOF_PROFILE": "2.8"}, 2),
    ],
)
def test_the_exit_code_is_that_of_the_profile(
    arguments: list[str],
    environ: dict[str, str],
    code: int,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config.write_text("version: 0.1\n")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["serve", str(config), *arguments]) == code
    assert main([*arguments, "garbage-collect", str(config)]) == code


def test_the_path_of_the_configuration_from_the_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("version: 0.2\n")
    monkeypatch.setenv("REGISTRY_CONFIGURATION_PATH", str(config))
    assert main(["serve"]) == 2
    assert f"{config}:1: version: '0.2' is not supported" in capsys.readouterr().err


# -- garbage-collect ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "flags", [["--dry-run"], ["-d", "-m"], ["-dm", "-q"], ["--delete-untagged", "--quiet"]]
)
def test_garbage_collect(flags: list[str], config: Path) -> None:
    code, out, err = _run("garbage-collect", *flags, config)
    assert (code, err) == (0, "")
    quiet = "-q" in flags or "--quiet" in flags
    summary = "0 blobs marked, 0 blobs and 0 manifests eligible for deletion"
    assert out.strip() == ("" if quiet else summary)


def test_a_reader_that_leaves_causes_no_traceback(config: Path) -> None:
    command = f"{sys.executable} -m reference_registry garbage-collect {config} | true"
    finished = subprocess.run(
        ["sh", "-c", command], env=clean_environment(), capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert "Traceback" not in finished.stderr
    assert "Exception" not in finished.stderr


# -- htpasswd -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "arguments", [["-Bbn", "u", "pass"], ["u", "pass"], ["-n", "-B", "u", "pass"]]
)
def test_htpasswd(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["htpasswd", *arguments]) == 0
    line = capsys.readouterr().out
    assert re.fullmatch(r"u:\$2y\$10\$[./A-Za-z0-9]{53}\n", line)
    assert bcrypt.checkpw(b"pass", line.strip().partition(":")[2].encode())


def test_the_password_by_pipe() -> None:
    code, out, err = _run("htpasswd", "-Bn", "u", stdin="pass word\nmore\n")
    assert (code, err) == (0, "")
    assert bcrypt.checkpw(b"pass word", out.strip().partition(":")[2].encode())
