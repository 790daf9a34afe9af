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
    why: YAML, TOML and JSON are UTF-8; programs refuse the file or read it differently
    fix: save it as UTF-8
    source: RFC 8259, 8.1; https://toml.io/en/v1.0.0; YAML 1.2.2, 5.2
PPX002 error  The file has control characters
    why: no format allows them; the file was damaged, or is meant to deceive who looks at it
    fix: write the file anew without them
    source: https://toml.io/en/v1.0.0; YAML 1.2.2, 5.1
PPX003 error  The file cannot be parsed
    why: a half-written or mistyped file is ignored as a whole (hosts.toml) or keeps the program
        from starting
    fix: put the syntax right at that place, or just above it
    source: containerd: hosts.toml that is not TOML is logged and treated as absent
PPX004 error  The file is too large
    why: no configuration comes near that size; it is not read, so that time and memory stay bounded
    fix: is it the right file?
    source: limits: 512 KiB of TOML, 256 KiB of YAML, 64 KiB of config.yml, 1 MiB of JSON
PPX005 error  The file is nested too deeply, or grows when it is read
    why: aliases of aliases stand for more than fits into memory (billion laughs)
    fix: write it out, without aliases
    source: YAML 1.2.2, 7.1; CVE-2019-11253 of Kubernetes
PPX006 error  Not a regular file
    why: a pipe, socket or device may never end
    fix: give a file, or a directory of files
    source: inode(7)
PPX007 warning  A link leads out of the tree, to itself, or nowhere
    why: what it stands for is not looked at; containerd would follow it
    fix: give the file that it stands for as an argument
    source: path_resolution(7)
PPX008 error  The file cannot be read
    why: nothing is known of it
    fix: check its permissions
    source: open(2)
PPX009 warning  Not a file that lint knows
    why: it was named, and nothing of it was checked
    fix: known are config.yml, htpasswd and scheduler-state.json of the registry, hosts.toml and
        config.toml of containerd, daemon.json, registries.conf, config.json with logins, Kubernetes
        manifests and compose files
    source: pullproof lint --help
PPX010 error  A comma in front of a closing bracket
    why: JSON does not allow it: dockerd does not start, and kubelet cannot use the secret
    fix: remove the comma
    source: RFC 8259, 4 and 5
PPX011 warning  The directory holds more than is looked through
    why: what lies behind the first 20,000 names, or deeper than 40 directories, is not looked at
    fix: give the directories that hold configuration
    source: limits of pullproof lint
PPX012 warning  A comment that ignores nothing
    why: it names no rule, or one that finds nothing at its line: what it was written for is gone,
        or is still being said
    fix: remove it, or put it behind or right above the line that it is about
    source: pullproof docs/lint-usage.md, comments that ignore a finding
"""


def _check(rule_id: str, file: Unread, context: RuleContext) -> Iterator[Hit]:
    if file.cause == rule_id:
        yield Hit(file.spot, file.what, edits=file.edits)


for _id, _severity, _fields in entries(_TABLE):
    rules.add(_id, _severity, _fields, partial(_check, _id), fixable=_id in _FIXABLE)
