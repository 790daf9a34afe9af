"""Values and keys as each format writes them, in the quotes that stood there before."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["JSON_STYLE", "TOML_STYLE", "YAML_STYLE", "Style"]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+-]*[A-Za-z0-9_./@%+-]", re.ASCII)


@dataclass(frozen=True)
class Style:
    """``value`` is given the value, the text that it replaces (or nothing), and whether it stands
    in brackets; ``key`` the name and the text that it replaces. ``joint`` joins them."""

    value: Callable[[object, str, bool], str]
    key: Callable[[str, str], str]
    joint: str


def _json(value: object, old: str, bracketed: bool) -> str:
    return json.dumps(value, ensure_ascii=False)


def _json_key(name: str, old: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _yaml(value: object, old: str, bracketed: bool) -> str:
    if isinstance(value, str):
        return _yaml_text(value, old, bracketed)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_yaml(item, '', True) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)  # which is YAML too


def _yaml_text(value: str, old: str, bracketed: bool) -> str:
    import yaml

    if old.startswith("'") and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    plain = _PLAIN.fullmatch(value) and not value.startswith(("-", "@", "%"))
    quoted = old.startswith('"') or (bracketed and ":" in value)
    if plain and not quoted and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _yaml_key(name: str, old: str) -> str:
    return _yaml_text(name, old, True)


def _toml(value: object, old: str, bracketed: bool) -> str:
    import tomlkit

    if isinstance(value, str) and old.startswith("'") and "'" not in value and value.isprintable():
        return f"'{value}'"
    return tomlkit.item(_lists(value)).as_string()


def _lists(value: object) -> object:
    """Tuples as lists: tomlkit knows no tuples."""
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def _toml_key(name: str, old: str) -> str:
    if not old.startswith(("'", '"')) and _BARE_KEY.fullmatch(name):
        return name
    return _toml(name, old, False)


JSON_STYLE = Style(_json, _json_key, ": ")
YAML_STYLE = Style(_yaml, _yaml_key, ": ")
TOML_STYLE = Style(_toml, _toml_key, " = ")
