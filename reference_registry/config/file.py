"""Reading distribution's ``config.yml``, and ``REGISTRY_*`` variables over it.

:func:`load` returns a :class:`Config` or raises; :func:`read` returns every error and warning of a
file. Each message is one line that names file, line, key and fix; none shows a password.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reference_registry.config import LOG_FORMATTERS, LOG_LEVELS, Config, LogConfig
from reference_registry.config.http import read_auth, read_http
from reference_registry.config.problem import ConfigError, Place, Problem
from reference_registry.config.proxy import read_proxy
from reference_registry.config.section import Reading, Section, nearest
from reference_registry.config.storage import read_health, read_redis, read_storage
from reference_registry.config.tree import (
    NOTHING,
    Scalar,
    Sequence,
    SyntaxMistake,
    Tree,
    TreeEntry,
    parse_tree,
    repaired,
)
from reference_registry.config.tree import Mapping as MappingTree
from reference_registry.profiles import IDEAL, Profile

LARGEST_FILE = 64 * 1024
"""Bytes. No configuration comes near it, and a file of this size is read within a second."""

_MOST_REPAIRS = 20
_NOT_ACTED_UPON = frozenset(
    {"middleware", "notifications", "policy", "validation", "compatibility", "reporting"}
)
_TOP_LEVEL = _NOT_ACTED_UPON | {
    *("auth", "catalog", "health", "http", "log", "loglevel", "proxy", "redis", "storage"),
    *("tags", "version"),
}
_NOT_KEYS = frozenset({"REGISTRY_CONFIGURATION_PATH", "REGISTRY_VERSION"})


@dataclass(frozen=True)
class ReadConfig:
    """A configuration that was read, with what is wrong in it."""

    source: str
    """The file, as it was named."""
    attempted: Config | None
    """The configuration with defaults where something is wrong, for those who look for mistakes;
    None if the text is not YAML."""
    problems: tuple[Problem, ...]
    """Errors first, in the order of the file."""
    overlooked: tuple[Problem, ...] = ()
    """What ``ideal`` refuses in this file and the profile accepts silently, as warnings."""
    places: Mapping[str, Place] = field(default_factory=dict)
    """The place of each key that was read, by its full name."""

    @property
    def config(self) -> Config | None:
        """The configuration; None if there are errors."""
        return None if self.errors else self.attempted

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
    (default: those of the process) laid over it. :class:`ConfigError` if it cannot be used."""
    found = read(path, environ, profile)
    if found.config is None:
        raise ConfigError(found.errors)
    return found.config


def read(
    path: Path | str, environ: Mapping[str, str] | None = None, profile: Profile = IDEAL
) -> ReadConfig:
    """As :func:`load`, but errors and warnings are returned as values."""
    source = str(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) <= LARGEST_FILE:
            text = content.decode("utf-8-sig")
            return read_text(text, source, profile, os.environ if environ is None else environ)
        what, fix = f"larger than {LARGEST_FILE} bytes", "is it the right file?"
    except FileNotFoundError:
        what, fix = "no such file", "give the path of a config.yml"
    except IsADirectoryError:
        what, fix = "a directory", "give the path of a config.yml"
    except UnicodeDecodeError:
        what, fix = "not UTF-8 text", "save it as UTF-8"
    except OSError as error:
        what, fix = f"cannot be read: {error.strerror}", "check its permissions"
    reading = Reading(profile)
    reading.refuse(Place(source), "configuration", what, fix)
    return ReadConfig(source, None, tuple(reading.problems))


def read_text(
    text: str, source: str, profile: Profile = IDEAL, environ: Mapping[str, str] | None = None
) -> ReadConfig:
    """As :func:`read`, for *text* that was read from *source*, without this process's environment:
    only the variables of *environ* are laid over it."""
    reading = Reading(profile)
    tree, config = _parsed(text, source, reading), None
    if tree is not None:
        config = _config(_overridden(tree, environ or {}, reading), source, reading)
    problems = tuple(sorted(reading.problems, key=_order))
    overlooked = tuple(sorted(reading.overlooked, key=_order))
    return ReadConfig(source, config, problems, overlooked, reading.places)


def _order(problem: Problem) -> tuple[bool, int]:
    return problem.exit_code is None, problem.place.line or 0


def _parsed(text: str, source: str, reading: Reading) -> Tree | None:
    """The tree of *text*. If a mistake can be repaired, reading goes on behind it, so that one run
    finds the mistakes below it too."""
    for _ in range(_MOST_REPAIRS):
        try:
            tree, second_document = parse_tree(text, source)
        except SyntaxMistake as mistake:
            place = Place(source, mistake.line)
            reading.refuse(place, mistake.key, mistake.what, mistake.fix)
            if mistake.repair is None:
                break
            text = repaired(text, mistake)
            continue
        if second_document is not None:
            what, fix = "a second document begins", "only the first is read, remove the rest"
            reading.refuse(second_document, "---", what, fix, released=None)
        return tree
    return None


# -- REGISTRY_* variables -----------------------------------------------------------------------
def _overridden(tree: Tree, environ: Mapping[str, str], reading: Reading) -> Tree:
    """*tree* with the variables of *environ* laid over it.

    ``REGISTRY_HTTP_DEBUG_ADDR=:5001`` sets ``http.debug.addr``: each underscore goes one level
    down, names are upper case, values are YAML. Variables are applied in the order of their names,
    so that ``REGISTRY_STORAGE`` comes before ``REGISTRY_STORAGE_DELETE_ENABLED``.
    ``REGISTRY_VERSION`` has no effect, as in distribution.
    """
    for name, value in sorted(environ.items()):
        prefix, _, rest = name.partition("_")
        if prefix != "REGISTRY" or not rest or name in _NOT_KEYS:
            continue
        path = rest.split("_")
        first = path[0].lower()
        if first not in _TOP_LEVEL:
            near = nearest(first, _TOP_LEVEL)
            fix = f"did you mean REGISTRY_{near.upper()}?" if near else ""
            what = "no such key, the variable is ignored"
            reading.warn(Place(name), first, what, fix, rule="unknown-variable")
            continue
        try:
            tree = _replaced(tree, path, TreeEntry(Place(name), parse_tree(value, name)[0]))
        except SyntaxMistake as mistake:
            reading.refuse(Place(name), mistake.key, mistake.what, mistake.fix)
    return tree


def _replaced(tree: Tree, path: list[str], new: TreeEntry) -> Tree:
    """*tree* with *new* at *path*. A missing level is created, and a level that is not a mapping
    replaced."""
    if not path:
        return new.value
    if isinstance(tree, Sequence):
        return _replaced_item(tree, path, new)
    if isinstance(tree, Scalar) and tree.kind != "null":
        # ``storage: filesystem`` is short for ``storage: {filesystem: {}}``.
        tree = MappingTree({tree.text: TreeEntry(new.place, MappingTree())})
    entries = tree.entries if isinstance(tree, MappingTree) else {}
    key = next((known for known in entries if known.upper() == path[0]), path[0].lower())
    entry = _below(entries.get(key), path[1:], new)
    return MappingTree(
        {**entries, key: entry}, tree.repeats if isinstance(tree, MappingTree) else ()
    )


def _replaced_item(tree: Sequence, path: list[str], new: TreeEntry) -> Sequence:
    count = len(tree.items)
    if not path[0].isdecimal() or len(path[0]) > 4 or int(path[0]) > count:
        what = f"{path[0]} is not a position in a list of {count}"
        raise SyntaxMistake(1, new.place.source, what, "count from 0")
    index = int(path[0])
    entry = _below(tree.items[index] if index < count else None, path[1:], new)
    return Sequence((*tree.items[:index], entry, *tree.items[index + 1 :]))


def _below(old: TreeEntry | None, path: list[str], new: TreeEntry) -> TreeEntry:
    place = new.place if old is None or not path else old.place
    return TreeEntry(place, _replaced(NOTHING if old is None else old.value, path, new))


# -- from a tree to a configuration -------------------------------------------------------------
def _config(tree: Tree, source: str, reading: Reading) -> Config:
    top = Place(source, 1)
    if not isinstance(tree, MappingTree):
        reading.refuse(top, "configuration", "no keys at all", 'begin with "version: 0.1"')
        return Config()
    root = Section(reading, "", TreeEntry(top, tree))
    profile = reading.profile
    version = root.text("version")
    if not version:
        root.refuse("version", "missing", 'write "version: 0.1"')
    elif version != "0.1":
        panics = version.isdecimal() and profile.config_version_without_dot_panics
        what = f"{version!r} is not supported"
        root.refuse("version", what, 'write "version: 0.1"', released=2 if panics else 1)
    root.unused(*sorted(_NOT_ACTED_UPON))
    config = Config(
        log=_log(root),
        storage=read_storage(root),
        redis=read_redis(root),
        proxy=read_proxy(root),
        http=read_http(root),
        auth=read_auth(root),
        health=read_health(root),
        catalog_maxentries=_limit(root.section("catalog").integer("maxentries")),
        tags_maxtags=_limit(_maxtags(root.section("tags"))),
    )
    if config.storage.cache.blobdescriptor == "redis" and config.redis is None:
        cache = root.section("storage").section("cache")
        key = "blobdescriptor" if "blobdescriptor" in cache else "layerinfo"
        address = "addrs" if profile.redis_addresses == "addrs" else "addr"
        cache.refuse(key, "no redis section", f"add redis.{address}", released=2)
    for section in reading.sections:
        section.report_unknown_keys()
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


def _maxtags(tags: Section) -> int:
    tags.known("maxtags")
    if not tags.reading.profile.has_keys_of_3_1:
        tags.unused("maxtags", why="this release has no such limit")
        return 0
    limit = tags.integer("maxtags")
    if limit < 0:
        tags.refuse("maxtags", "negative", "write a positive number")
    return limit


def _limit(number: int) -> int:
    return number if number > 0 else Config().catalog_maxentries
