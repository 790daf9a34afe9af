"""What ``pullproof lint`` prints in each format."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import jsonschema
import pytest

from harness.cli import main
from harness.nodes.lint.engine import LintOptions
from harness.nodes.lint.fix.repair import repaired
from harness.nodes.lint.rules import loaded_rules
from tests.unit.lint.cases import project_of

_ROOT = Path(__file__).parents[3]
_MISSION = _ROOT / "fixtures" / "mission"
_SCHEMA = json.loads((_ROOT / "docs" / "lint-schema.json").read_text())


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_ROOT)
    for name in ("NO_COLOR", "FORCE_COLOR", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(["lint", *arguments])
    return capsys.readouterr().out


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


# -- text ---------------------------------------------------------------------------------------
def test_the_documentation_shows_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    page = (_ROOT / "docs" / "lint-usage.md").read_text()
    shown = re.search(r"<!-- lint-wrong-d.txt -->\n```text\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    assert printed(capsys, "fixtures/mission/node/wrong.d") == shown[1]


def test_the_caret_is_below_the_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "config.yml", "version: 0.1\nstorage: {inmemory: {}, 漢: {}, x: 1}\n")
    said = printed(capsys, "--release", "3.1", "--select", "PPC008", file).splitlines()
    rows = [row for row in said if " | " in row]
    assert rows[0] == "    2 | storage: {inmemory: {}, 漢: {}, x: 1}"
    assert [row.index("^") for row in rows if "^" in row] == [32, 40]


def test_quiet_is_a_line_for_each_finding(capsys: pytest.CaptureFixture[str]) -> None:
    path = "fixtures/mission/node/wrong.d/docker.io/hosts.toml"
    lines = printed(capsys, "-q", path).splitlines()
    assert lines[0] == f"{path}:1:1: error: 'https://docker.io' is not a registry [PPH021]"
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours(
    environment: Mapping[str, str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[31m" in printed(capsys, "fixtures/mission")) is coloured


_SECRET = "hunter2"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yml", f"version: 0.1\nproxy:\n  remoteurl: https://u:{_SECRET}@up.example\n"),
        ("config.yml", f"version: 0.1\npassword: {_SECRET}\nproxy: {{password: '{_SECRET}'}}\n"),
        ("config.yml", f"version: 0.1\npassword:{_SECRET}\n"),
        ("hosts.toml", f'[host."https://m".header]\nAuthorization = "Basic {_SECRET}"\n'),
        ("hosts.toml", f'[host."https://m"]\nheader = {{X = "{_SECRET}"}}\nhaeder = "x"\n'),
        ("config.toml", f'[plugins.cri.registry.configs."x"]\nauth={{password="{_SECRET}"}}\n'),
        ("htpasswd", f"u:{_SECRET}\n"),
        ("pod.yaml", f"apiVersion: v1\npassword: [{_SECRET}\n"),
        ("hosts.toml", f'[host]\n"https://m" = {{header = {{X = "{_SECRET}"}}}}\n'),
    ],
)
def test_no_password_is_shown(
    name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / name, text)
    for form in ("text", "json", "sarif", "github"):
        said = printed(capsys, "--format", form, file)
        assert "PP" in said
        assert _SECRET not in said


# -- JSON ---------------------------------------------------------------------------------------
def test_json_is_as_its_schema_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    validator = jsonschema.Draft202012Validator(_SCHEMA)
    ours = write(
        tmp_path / "hosts.toml",
        'server = "https://docker.io"\n[host."https://m"]\nskip_verify = true '
        "# pullproof: ignore[PPH026] a test\n",
    )
    seen: list[str] = []
    for arguments in (["fixtures/mission"], [ours], ["--fix", ours]):
        document = json.loads(printed(capsys, "--format", "json", *arguments))
        validator.validate(document)
        keys = set(document) - {"version"}
        assert keys == set(_SCHEMA["properties"]) - {"version"}
        seen += [key for key in keys if document[key]]
    assert {"findings", "suppressed", "repaired"} <= set(seen)


# -- GitHub -------------------------------------------------------------------------------------
def test_annotations_of_github(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(_MISSION))
    lines = printed(capsys, "--format", "github", "fixtures/mission/node/wrong.d").splitlines()
    assert lines[0].startswith(
        "::error file=node/wrong.d/docker.io/hosts.toml,line=1,col=1,"
        "title=PPH021%3A 'https%3A//docker.io' is not a registry::"
        "'https://docker.io' is not a registry%0Awhy: containerd"
    )
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::warning"]


# -- SARIF --------------------------------------------------------------------------------------
def test_sarif_has_the_keys_that_readers_require(capsys: pytest.CaptureFixture[str]) -> None:
    """SARIF 2.1.0, 3.13 to 3.34."""
    log = json.loads(printed(capsys, "--format", "sarif", "fixtures/mission"))
    assert (log["version"], log["$schema"].rpartition("/")[2]) == ("2.1.0", "sarif-2.1.0.json")
    (run,) = log["runs"]
    assert run["columnKind"] == "unicodeCodePoints"
    rules = run["tool"]["driver"]["rules"]
    titles = {rule.id: rule.title for rule in loaded_rules()}
    assert all(rule["shortDescription"]["text"] == titles[rule["id"]] for rule in rules)
    assert run["results"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        assert result["message"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert (_ROOT / unquote(place["artifactLocation"]["uri"])).exists()
        assert min(place["region"]["startLine"], place["region"]["startColumn"]) >= 1


def test_the_fixes_of_sarif_are_those_of_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        'server = "https://docker.io"\n[host]\n"é" = { capabilities = ["pull"],\tca = "x" } # y\n'
    )
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a b" / "hosts.toml", text)
    select = ["--select", "PPH002", "--select", "PPH021", "--containerd", "2.3"]
    log = json.loads(printed(capsys, "--format", "sarif", *select, "."))
    lines = text.split("\n")
    changes = []
    for result in log["runs"][0]["results"]:
        for fix in result.get("fixes", []):
            change = fix["artifactChanges"][0]
            assert change["artifactLocation"]["uri"] == "a%20b/hosts.toml"
            for one in change["replacements"]:
                region = one["deletedRegion"]
                start, end = (
                    sum(len(line) + 1 for line in lines[: region[f"{word}Line"] - 1])
                    + region[f"{word}Column"] - 1
                    for word in ("start", "end")
                )  # fmt: skip
                changes.append((start, end, one["insertedContent"]["text"]))
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    options = LintOptions(containerd=("2.3",), select=("PPH002", "PPH021"))
    assert text == repaired(project_of(tmp_path), options).repairs[0].after.text


def test_a_file_elsewhere_has_a_full_uri(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "hosts.toml", "server = 1\n")
    log = json.loads(printed(capsys, "--format", "sarif", file))
    location = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"] == {"uri": f"file://{file}"}


@pytest.mark.parametrize(
    ("option", "given", "hint"),
    [
        ("--select", "PPH926", "PPH026"),
        ("--ignore", "PPZ", "PP"),
        ("--explain", "PPC9101", "PPC101"),
        ("--select", "nonsense", "--list"),
    ],
)
def test_an_unknown_rule_is_refused(
    option: str, given: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint", option, given, str(_ROOT / "fixtures/mission")]) == 2
    said = capsys.readouterr().err
    assert f"{option} {given.upper()}: unknown rule; " in said
    assert hint in said
