"""Reading distribution's ``config.yml``.

:func:`load` returns a :class:`Config` or raises; :func:`read` returns every error and warning of a
file. Each message is one line that names file, line, key and fix; none shows a password.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reference_registry.config.environment import overrides_in, with_override
from reference_registry.config.http import read_auth, read_http
from reference_registry.config.model import LOG_FORMATTERS, LOG_LEVELS, Config, LogConfig
from reference_registry.config.problem import ConfigError, Place, Problem
from reference_registry.config.proxy import read_proxy
from reference_registry.config.section import Reading, Section, nearest
from reference_registry.config.storage import read_health, read_redis, read_storage
from reference_registry.config.tree import Entry, SyntaxMistake, Tree, parse_tree, repaired
from reference_registry.config.tree import Mapping as MappingTree
from reference_registry.profiles import IDEAL, Profile

__all__ = ["LARGEST_FILE", "ReadConfig", "load", "read", "read_text"]

LARGEST_FILE = 64 * 1024
"""Bytes. No configuration comes near it, and nothing slower than a second fits in."""

_MOST_REPAIRS = 20
_SECTIONS = ("auth", "catalog", "health", "http", "log", "loglevel", "proxy", "redis", "storage")
_NOT_ACTED_UPON = (
    "middleware",
    "notifications",
    "policy",
    "validation",
    "compatibility",
    "reporting",
)
_TOP_LEVEL = frozenset((*_SECTIONS, *_NOT_ACTED_UPON, "tags", "version"))


@dataclass(frozen=True)
class ReadConfig:
    """What a file says, and what there is to say about it.

    ``config`` is None where the file cannot be used: ``errors`` then says why.
    """

    config: Config | None
    problems: tuple[Problem, ...]
    source: str = ""
    """The file, as it was named."""
    overlooked: tuple[Problem, ...] = ()
    """What ``ideal`` refuses in this file, and the profile takes in silence, as warnings."""
    places: Mapping[str, Place] = field(default_factory=dict)
    """The place of each key that was read, by its full name."""
    attempted: Config | None = None
    """The configuration with defaults where something is wrong; None where there was no reading it.
    For those who look for mistakes, not for those who serve."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.exit_code is not None)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.exit_code is None)


def load(
    path: Path | str, environ: Mapping[str, str] | None = None, profile: Profile = IDEAL
) -> Config:
    """The configuration in the file at *path*, with the ``REGISTRY_*`` variables of *environ*
    (default: those of the process) laid over it. :class:`ConfigError` where it cannot be used."""
    found = read(path, environ, profile)
    if found.config is None:
        raise ConfigError(found.errors)
    return found.config


def read(
    path: Path | str, environ: Mapping[str, str] | None = None, profile: Profile = IDEAL
) -> ReadConfig:
    """As :func:`load`, but errors and warnings come back as values."""
    source = str(path)
    reading = Reading(profile)
    text = _text_of(Path(path), source, reading)
    return _read(text, source, os.environ if environ is None else environ, reading)


def read_text(
    text: str, source: str, profile: Profile = IDEAL, environ: Mapping[str, str] | None = None
) -> ReadConfig:
    """As :func:`read`, for *text* that was read from *source*, without this process's environment:
    only the variables of *environ* are laid over it."""
    return _read(text, source, environ or {}, Reading(profile))


def _read(
    text: str | None, source: str, environ: Mapping[str, str], reading: Reading
) -> ReadConfig:
    tree = None if text is None else _parsed(text, source, reading)
    if tree is None:
        return ReadConfig(None, tuple(reading.problems), source, tuple(reading.overlooked))
    tree = _overridden(tree, environ, reading)
    config = _config(tree, source, reading)
    problems = tuple(sorted(reading.problems, key=_order))
    usable = all(problem.exit_code is None for problem in problems)
    overlooked = tuple(sorted(reading.overlooked, key=_order))
    usable_config = config if usable else None
    return ReadConfig(usable_config, problems, source, overlooked, reading.places, config)


def _order(problem: Problem) -> tuple[bool, int]:
    """Errors first, in the order of the file."""
    return problem.exit_code is None, problem.place.line or 0


# -- from bytes to a tree -----------------------------------------------------------------------
def _text_of(path: Path, source: str, reading: Reading) -> str | None:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            what, fix = f"larger than {LARGEST_FILE} bytes", "is it the right file?"
        else:
            return content.decode("utf-8-sig")
    except FileNotFoundError:
        what, fix = "no such file", "give the path of a config.yml"
    except IsADirectoryError:
        what, fix = "a directory", "give the path of a config.yml"
    except UnicodeDecodeError:
        what, fix = "not UTF-8 text", "save it as UTF-8"
    except OSError as error:
        what, fix = f"cannot be read: {error.strerror}", "check its permissions"
    reading.refuse(Place(source), "configuration", what, fix)
    return None


def _parsed(text: str, source: str, reading: Reading) -> Tree | None:
    """The tree of *text*. Where a mistake can be put right, reading goes on behind it, so that the
    mistakes below it are found in the same run."""
    mistakes: list[SyntaxMistake] = []
    current: str | None = text
    tree: Tree | None = None
    while current is not None and len(mistakes) < _MOST_REPAIRS:
        try:
            tree, second_document = parse_tree(current, source)
        except SyntaxMistake as mistake:
            mistakes.append(mistake)
            current = repaired(current, mistake)
            continue
        if second_document is not None:
            what, fix = "a second document begins", "only the first is read, remove the rest"
            reading.refuse(second_document, "---", what, fix, released=None)
        break
    for found in mistakes:
        reading.refuse(Place(source, found.line), found.key, found.what, found.fix)
    return tree


def _overridden(tree: Tree, environ: Mapping[str, str], reading: Reading) -> Tree:
    for name, value in overrides_in(environ):
        first = name.split("_")[1].lower()
        if first not in _TOP_LEVEL:
            near = nearest(first, _TOP_LEVEL)
            fix = f"did you mean REGISTRY_{near.upper()}?" if near else ""
            what = "no such key, the variable is ignored"
            reading.warn(Place(name), first, what, fix, rule="unknown-variable")
            continue
        try:
            tree = with_override(tree, name, value)
        except SyntaxMistake as mistake:
            reading.refuse(Place(name), mistake.key, mistake.what, mistake.fix)
    return tree


# -- from a tree to a configuration -------------------------------------------------------------
def _config(tree: Tree, source: str, reading: Reading) -> Config:
    top = Place(source, 1)
    if not isinstance(tree, MappingTree):
        reading.refuse(top, "configuration", "no keys at all", 'begin with "version: 0.1"')
        return Config()
    root = Section(reading, "", Entry(top, tree))
    _check_version(root)
    root.unused(*_NOT_ACTED_UPON)
    config = Config(
        log=_log(root),
        storage=read_storage(root),
        redis=read_redis(root),
        proxy=read_proxy(root),
        http=read_http(root),
        auth=read_auth(root),
        health=read_health(root),
        catalog_maxentries=_positive(root.section("catalog").integer("maxentries")),
        tags_maxtags=_maxtags(root),
    )
    _check_together(root, config)
    reading.finish()
    return config


def _log(root: Section) -> LogConfig:
    """``log``, and ``loglevel``, its older form."""
    older = root.choice("loglevel", LOG_LEVELS, "info", ignore_case=True)
    if "loglevel" in root:
        root.warn("loglevel", "an old name", "write it as level below log", rule="old-name")
    log = root.section("log")
    fields = log.section("fields")
    log.known("reportcaller")
    log.unused("hooks", why="no mail is sent from here")
    return LogConfig(
        level=log.choice("level", LOG_LEVELS, older, ignore_case=True),
        formatter=log.choice("formatter", LOG_FORMATTERS, "text"),
        fields={name: fields.text(name) for name in fields.names()},
        accesslog_disabled=log.section("accesslog").flag("disabled"),
    )


def _check_version(root: Section) -> None:
    version = root.text("version")
    if version == "0.1":
        return
    fix = 'write "version: 0.1"'
    panics = root.reading.profile.config_version_without_dot_panics
    if not version:
        root.refuse("version", "missing", fix)
    else:
        released = 2 if version.isdecimal() and panics else 1
        root.refuse("version", f"{version!r} is not supported", fix, released=released)


def _maxtags(root: Section) -> int:
    tags = root.section("tags")
    tags.known("maxtags")
    if not root.reading.profile.has_maxtags:
        tags.unused("maxtags", why="this release has no such limit")
        return _positive(0)
    limit = tags.integer("maxtags")
    if limit < 0:
        tags.refuse("maxtags", "negative", "write a positive number")
    return _positive(limit)


def _positive(limit: int) -> int:
    return limit if limit > 0 else Config().catalog_maxentries


def _check_together(root: Section, config: Config) -> None:
    """What is right by itself and wrong beside something else."""
    storage = root.section("storage")
    cache = storage.section("cache")
    if config.storage.cache.blobdescriptor == "redis" and config.redis is None:
        key = "blobdescriptor" if "blobdescriptor" in cache else "layerinfo"
        address = "addrs" if root.reading.profile.redis_addresses == "addrs" else "addr"
        fix = f"add redis.{address}"
        cache.refuse(key, "no redis section", fix, released=2)
