"""hosts.toml: keys and values that containerd does not take, or not in every release."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harness.nodes.lint.documents import TomlFile
from harness.nodes.lint.finding import RenameKey, SetValue, nearest, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules
from harness.nodes.lint.rules.hosts_file import tables

__all__ = ["rules"]

rules = Rules(Kind.HOSTS)

_HOSTS_MD = "containerd docs/hosts.md"
_KEYS = ("server", "host")
_TABLE_KEYS = (
    "capabilities",
    "skip_verify",
    "ca",
    "client",
    "header",
    "override_path",
    "dial_timeout",
)
_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)


@rules("PPH003", "error", by="containerd", fixable=True)
def unknown_capability(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Unknown capability.

    why: containerd ignores the whole file, with only a log line
    fix: use pull, resolve or push
    source: measured on 1.6.20 to 2.3.4; containerd core/remotes/docker/config/hosts.go
    """
    known = context.containerd.capabilities
    for path, values in tables(file):
        given: Any = values.get("capabilities")
        if not isinstance(given, list):
            continue
        for name in given:
            if isinstance(name, str) and name.lower() not in known and name.lower() != "referrers":
                near = nearest(name, known)
                meant = tuple(near if item == name else item for item in given)
                where = (*path, "capabilities")
                fix = f"did you mean {near}?" if near else ""
                edits = (SetValue(where, meant),) if near else ()
                yield Hit(file.at(*where), f"unknown capability {quoted(name)}", fix, edits)


@rules("PPH004", "error", by="containerd", fixable=True)
def referrers_too_early(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Capability referrers on a release that does not support it.

    why: before 2.2 it is an unknown capability, so the whole file is ignored
    fix: remove referrers
    source: measured: 2.1.9 ignores the file, 2.3.4 accepts it
    """
    if "referrers" in context.containerd.capabilities:
        return
    for path, values in tables(file):
        given = values.get("capabilities")
        if isinstance(given, list) and "referrers" in [str(name).lower() for name in given]:
            kept = tuple(name for name in given if str(name).lower() != "referrers")
            where = (*path, "capabilities")
            yield Hit(file.at(*where), "referrers is not supported", edits=(SetValue(where, kept),))


@rules("PPH005", "error", by="containerd", fixable=True)
def wrong_type(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Value of the wrong type.

    why: containerd ignores the whole file, with only a log line
    fix: write the type that containerd's documentation gives
    source: measured on 1.6.20 to 2.3.4
    """
    hosts = file.get("host")
    if hosts is not None and not isinstance(hosts, dict):
        yield Hit(file.at("host"), "host must be a table")
        return
    for url, values in (hosts or {}).items():
        if not isinstance(values, dict):
            yield Hit(file.at("host", url), f"[host] {quoted(url)} must be a table")
    server = file.get("server")
    if server is not None and not isinstance(server, str):
        yield Hit(file.at("server"), "server must be a string")
    for path, values in tables(file):
        for key, problem, meant in _wrong_values(values):
            where = (*path, key)
            edits = () if meant is None else (SetValue(where, meant),)
            yield Hit(file.at(*where), f"{key} must be {problem}", edits=edits)


def _wrong_values(values: dict[str, Any]) -> Iterator[tuple[str, str, object]]:
    """Key, what it must be, and what was probably meant."""
    for key in ("skip_verify", "override_path"):
        value = values.get(key)
        if value is not None and not isinstance(value, bool):
            meant = {"true": True, "false": False}.get(str(value).lower())
            yield key, "true or false, without quotes", meant
    value = values.get("capabilities")
    if value is not None and not _is_strings(value):
        yield "capabilities", "a list of strings", (value,) if isinstance(value, str) else None
    value = values.get("ca")
    if value is not None and not isinstance(value, str) and not _is_strings(value):
        yield "ca", "a file name or a list of file names", None
    value = values.get("client")
    if value is not None and not isinstance(value, str) and not _is_client(value):
        yield "client", "file names or pairs [certificate, key]", None
    value = values.get("header")
    if value is not None and not isinstance(value, dict):
        yield "header", "a table", None
    elif value and not all(isinstance(v, str) or _is_strings(v) for v in value.values()):
        yield "header", "a table of strings or lists of strings", None


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_client(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, str) or (_is_strings(item) and len(item) == 2) for item in value
    )


@rules("PPH006", "warning", by="containerd", fixable=True)
def unknown_key(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Unknown key.

    why: unknown keys are silently ignored
    fix: valid keys are server, host, capabilities, skip_verify, ca, client, header, override_path,
        dial_timeout
    source: containerd docs/hosts.md
    """
    any_case = context.containerd.key_case == "any"
    for path, values in tables(file):
        known = _TABLE_KEYS if path else (*_KEYS, *_TABLE_KEYS)
        for key in values:
            if key in known or (any_case and key.lower() in known) or key.lower().upper() == key:
                continue
            near = nearest(key, known)
            fix = f"did you mean {near}?" if near else ""
            edits = (RenameKey((*path, key), near),) if near else ()
            yield Hit(file.at(*path, key), f"unknown key {quoted(key)}", fix, edits)


@rules("PPH007", "warning", by="containerd")
def dial_timeout_too_early(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """dial_timeout on a release that does not support it.

    why: before 2.0.7 it is ignored, and an unreachable host costs 30 s for each object of an image
    fix: remove hosts that may be unreachable, or upgrade containerd
    source: measured on 1.6.20, 1.7.24, 2.1.9; containerd#11106
    """
    if not context.containerd.reads_dial_timeout:
        for path, values in tables(file):
            if "dial_timeout" in values:
                yield Hit(file.at(*path, "dial_timeout"), "dial_timeout is ignored")


@rules("PPH008", "error", by="containerd", fixable=True)
def bad_dial_timeout(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Invalid dial_timeout.

    why: containerd ignores the whole file
    fix: write it as a string with a unit, such as "3s"
    source: measured on 2.1.9
    """
    if context.containerd.reads_dial_timeout:
        for path, values in tables(file):
            value = values.get("dial_timeout", "")
            good = isinstance(value, str) and (not value or _DURATION.fullmatch(value[:64]))
            if not good:
                from reference_registry.config.units import suggested_duration

                what = f"invalid duration {quoted(value)}"
                where = (*path, "dial_timeout")
                plain = isinstance(value, str | int) and not isinstance(value, bool)
                meant = suggested_duration(str(value)[:64]) if plain else None
                edits = (SetValue(where, meant),) if meant else ()
                yield Hit(file.at(*where), what, f"write {meant}" if meant else "", edits)
