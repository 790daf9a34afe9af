"""Files that cannot be looked into: unreadable, broken, enormous or hostile ones."""

from __future__ import annotations

from collections.abc import Iterator

from harness.nodes.lint.documents import Unread
from harness.nodes.lint.rule import Check, Hit, Kind, RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.INPUT)


def _because_of(cause: str) -> Check:
    def check(file: Unread, looked: RuleContext) -> Iterator[Hit]:
        if file.cause == cause:
            yield Hit(file.spot, file.what, edits=file.edits)

    return check


rules(
    "PPX001",
    "The file is not UTF-8 text",
    severity="error",
    why="YAML, TOML and JSON are UTF-8; programs refuse the file or read it differently",
    fix="save it as UTF-8",
    reference="RFC 8259, 8.1; https://toml.io/en/v1.0.0; YAML 1.2.2, 5.2",
)(_because_of("PPX001"))

rules(
    "PPX002",
    "The file has control characters",
    severity="error",
    why="no format allows them; the file was damaged, or is meant to deceive who looks at it",
    fix="write the file anew without them",
    reference="https://toml.io/en/v1.0.0; YAML 1.2.2, 5.1",
)(_because_of("PPX002"))

rules(
    "PPX003",
    "The file cannot be parsed",
    severity="error",
    why="a half-written or mistyped file is ignored as a whole (hosts.toml) or keeps the program "
    "from starting",
    fix="put the syntax right at that place, or just above it",
    reference="containerd: hosts.toml that is not TOML is logged and treated as absent",
    fixable=True,
)(_because_of("PPX003"))

rules(
    "PPX004",
    "The file is too large",
    severity="error",
    why="no configuration comes near that size; it is not read, so that time and memory stay "
    "bounded",
    fix="is it the right file?",
    reference="limits: 512 KiB of TOML, 256 KiB of YAML, 64 KiB of config.yml, 1 MiB of JSON",
)(_because_of("PPX004"))

rules(
    "PPX005",
    "The file is nested too deeply, or grows when it is read",
    severity="error",
    why="aliases of aliases stand for more than fits into memory (billion laughs)",
    fix="write it out, without aliases",
    reference="YAML 1.2.2, 7.1; CVE-2019-11253 of Kubernetes",
)(_because_of("PPX005"))

rules(
    "PPX006",
    "Not a regular file",
    severity="error",
    why="a pipe, socket or device may never end",
    fix="give a file, or a directory of files",
    reference="inode(7)",
)(_because_of("PPX006"))

rules(
    "PPX007",
    "A link leads out of the tree, to itself, or nowhere",
    severity="warning",
    why="what it stands for is not looked at; containerd would follow it",
    fix="give the file that it stands for as an argument",
    reference="path_resolution(7)",
)(_because_of("PPX007"))

rules(
    "PPX008",
    "The file cannot be read",
    severity="error",
    why="nothing is known of it",
    fix="check its permissions",
    reference="open(2)",
)(_because_of("PPX008"))

rules(
    "PPX009",
    "Not a file that lint knows",
    severity="warning",
    why="it was named, and nothing of it was checked",
    fix="known are config.yml, htpasswd and scheduler-state.json of the registry, hosts.toml and "
    "config.toml of containerd, daemon.json, registries.conf, config.json with logins, Kubernetes "
    "manifests and compose files",
    reference="pullproof lint --help",
)(_because_of("PPX009"))

rules(
    "PPX010",
    "A comma in front of a closing bracket",
    severity="error",
    why="JSON does not allow it: dockerd does not start, and kubelet cannot use the secret",
    fix="remove the comma",
    reference="RFC 8259, 4 and 5",
    fixable=True,
)(_because_of("PPX010"))

rules(
    "PPX011",
    "The directory holds more than is looked through",
    severity="warning",
    why="what lies behind the first 20,000 names, or deeper than 40 directories, is not looked at",
    fix="give the directories that hold configuration",
    reference="limits of pullproof lint",
)(_because_of("PPX011"))

rules(
    "PPX012",
    "A comment that ignores nothing",
    severity="warning",
    why="it names no rule, or one that finds nothing at its line: what it was written for is gone, "
    "or is still being said",
    fix="remove it, or put it behind or right above the line that it is about",
    reference="pullproof docs/lint-usage.md, comments that ignore a finding",
)(_because_of("PPX012"))
