"""Files that cannot be read: broken, too large or hostile ones."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from harness.nodes.lint.documents import Unread
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules, entries

__all__ = ["rules"]

rules = Rules(Kind.INPUT)
_FIXABLE = {"PPX003", "PPX010"}

_TABLE = """
PPX001 error  The file is not UTF-8 text
    why: YAML, TOML and JSON are UTF-8; programs reject the file or read it differently
    fix: save it as UTF-8
    source: RFC 8259, 8.1; https://toml.io/en/v1.0.0; YAML 1.2.2, 5.2
PPX002 error  Control characters in the file
    why: no format allows them; the file is damaged, or tries to deceive readers
    fix: rewrite the file without them
    source: https://toml.io/en/v1.0.0; YAML 1.2.2, 5.1
PPX003 error  The file cannot be parsed
    why: a half-written or mistyped file is ignored (hosts.toml) or prevents startup
    fix: fix the syntax at that line, or just above it
    source: containerd: hosts.toml that is not TOML is logged and treated as absent
PPX004 error  The file is too large
    why: no configuration is that large; lint does not read it, to limit time and memory
    fix: check that it is the right file
    source: limits: 512 KiB of TOML, 256 KiB of YAML, 64 KiB of config.yml, 1 MiB of JSON
PPX005 error  File nested too deeply, or too large once aliases are expanded
    why: aliases of aliases expand to more than fits into memory (billion laughs)
    fix: expand the aliases
    source: YAML 1.2.2, 7.1; CVE-2019-11253 of Kubernetes
PPX006 error  Not a regular file
    why: reading a pipe, socket or device may never end
    fix: give a file, or a directory of files
    source: inode(7)
PPX007 warning  Link out of the tree, to itself, or to nothing
    why: lint does not follow it; containerd would
    fix: give the target of the link as an argument
    source: path_resolution(7)
PPX008 error  The file cannot be read
    why: lint cannot check it
    fix: check its permissions
    source: open(2)
PPX009 warning  Unknown kind of file
    why: it was given by name, and lint checked nothing in it
    fix: supported are config.yml, htpasswd and scheduler-state.json of the registry, hosts.toml and
        config.toml of containerd, daemon.json, registries.conf, config.json with logins, Kubernetes
        manifests and compose files
    source: pullproof lint --help
PPX010 error  Trailing comma
    why: JSON does not allow it: dockerd does not start, and kubelet cannot use the secret
    fix: remove the comma
    source: RFC 8259, 4 and 5
PPX011 warning  Directory too large
    why: lint skips everything after the first 20,000 names, or deeper than 40 directories
    fix: give the directories that contain configuration
    source: limits of pullproof lint
PPX012 warning  Suppression comment without effect
    why: it names no rule, or a rule that finds nothing on its line: the finding is gone, or is
        still reported
    fix: remove it, or put it at the end of the line or on the line above
    source: pullproof docs/lint-usage.md, comments that ignore a finding
"""


def _check(rule_id: str, file: Unread, context: RuleContext) -> Iterator[Hit]:
    if file.cause == rule_id:
        yield Hit(file.spot, file.what, edits=file.edits)


for _id, _severity, _fields in entries(_TABLE):
    rules.add(_id, _severity, _fields, partial(_check, _id), fixable=_id in _FIXABLE)
