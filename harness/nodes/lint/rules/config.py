"""config.yml: problems that ``reference_registry.config`` reports while reading, and valid
configurations with a surprising effect, which it reviews.

A rule whose text has ``says`` hits where the problem's message matches that pattern, and its key
matches ``key`` (default: any key). ``review`` names a warning of
``reference_registry.config.rules``; ``when`` is how its advice begins, if that warning has several.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from harness.nodes.lint.documents import TextFile, spot_of
from harness.nodes.lint.finding import Edit, Hit, KeyEdit, ReplaceText, Spot
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import RuleContext, Rules, rule_texts
from reference_registry.config.problem import Problem

rules = Rules(Kind.REGISTRY)


def _with_space(problem: Problem, file: TextFile) -> Iterator[Edit]:
    """The line with a space after its first colon."""
    from reference_registry.config.tree import unspaced_key

    number = problem.place.line or 1
    old = file.text.splitlines()[number - 1]
    code, mark, comment = old.partition(" #")
    if found := unspaced_key(code):
        gap = " " * (len(code) - len(code.rstrip()))
        yield ReplaceText(number, old, f"{found[1]}{gap}{mark}{comment}")


def _with_unit(problem: Problem, file: TextFile) -> Iterator[Edit]:
    """A number below a second was probably meant as seconds, as the reader suggests; a larger one
    may be meant as nanoseconds, and only its notation changes."""
    from reference_registry.config.units import from_nanoseconds, short_duration

    if match := re.fullmatch(r"write (\d+)s", problem.fix):
        number = int(match[1])
        meant = f"{number}s" if number < 10**9 else short_duration(from_nanoseconds(number))
        yield KeyEdit("set", _path(problem), meant)


def _with_slash(problem: Problem, file: TextFile) -> Iterator[Edit]:
    """``registry/`` becomes ``/registry/``."""
    if value := file.root.string(*_path(problem)) if file.root else "":
        yield KeyEdit("set", _path(problem), f"/{value}")


def _redis_address(problem: Problem, file: TextFile) -> Iterator[Edit]:
    """``addr`` becomes ``addrs`` or the reverse; a list of several is left alone."""
    redis = file.root.get("redis") if file.root else None
    single, several = (redis.get("addr"), redis.get("addrs")) if redis else (None, None)
    items = [item.text for item in several.list()] if several else []
    if single and not several and single.text:
        path = ("redis", "addr")
        yield from (KeyEdit("set", path, (single.text,)), KeyEdit("rename", path, "addrs"))
    elif not single and len(items) == 1:
        path = ("redis", "addrs")
        yield from (KeyEdit("set", path, items[0]), KeyEdit("rename", path, "addr"))


def _below_log(problem: Problem, file: TextFile) -> Iterator[Edit]:
    """``loglevel`` becomes ``log.level``."""
    level = file.root.string("loglevel") if file.root else ""
    if level and file.root and not file.root.get("log", "level"):
        yield from (KeyEdit("remove", ("loglevel",)), KeyEdit("add", ("log", "level"), level))


def _path(problem: Problem) -> tuple[str, ...]:
    return tuple(problem.key.split("."))


def _matching(
    field: str, pattern: str, verb: Literal["set", "rename"], meant: Callable[[str], Any] = str
) -> Callable[[Problem, TextFile], Iterator[Edit]]:
    """The edit of the problem's key if *field* of the problem matches *pattern*; *meant* makes the
    value of the first group."""

    def found(problem: Problem, file: TextFile) -> Iterator[Edit]:
        if match := re.search(pattern, getattr(problem, field)):
            yield KeyEdit(verb, _path(problem), meant(match[1]))

    return found


_RENAMED = _matching("fix", r"^did you mean ([\w-]+)\?$", "rename")
_ON = {"true", "yes", "on"}
_FLAG = r"^write (true|yes|on|false|no|off) "
_PROBLEM_EDITS: Mapping[str, Callable[[Problem, TextFile], Iterable[Edit]]] = {
    "PPC001": _with_space,
    "PPC002": _matching("what", r"'(\d+)' is not an address", "set", ":{}".format),
    "PPC004": _with_unit,
    "PPC005": _matching("fix", r"^write (\d+[a-z]+)$", "set"),
    "PPC006": _RENAMED,
    "PPC008": _RENAMED,
    "PPC009": _redis_address,
    "PPC010": _matching("fix", _FLAG, "set", _ON.__contains__),
    "PPC021": _with_slash,
    "PPC027": _below_log,
}
_REVIEW_EDITS: Mapping[str, Edit] = {
    "PPC101": KeyEdit("add", ("storage", "delete", "enabled"), True),
    "PPC102": KeyEdit("remove", ("storage", "cache")),
    "PPC103": KeyEdit("add", ("http", "draintimeout"), "30s"),
    "PPC113": KeyEdit("remove", ("redis",)),
    "PPC114": KeyEdit("remove", ("storage", "maintenance", "readonly")),
    "PPC116": KeyEdit("remove", ("http", "relativeurls")),
}
_PROBLEMS = {rule_id: text for rule_id, text in rule_texts().items() if "says" in text}
_REVIEWS = {rule_id: text for rule_id, text in rule_texts().items() if "review" in text}


@rules(*_PROBLEMS, by="registry")
def problems(file: TextFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    found = file.reading(context.profile)
    for problem in (*found.problems, *found.overlooked):
        for rule_id, text in _PROBLEMS.items():
            of_key = re.fullmatch(text.get("key", ".*"), problem.key)
            if not of_key or not re.search(text["says"], problem.what):
                continue
            if not _has_rule_of_its_own(rule_id, problem, file):
                find = _PROBLEM_EDITS.get(rule_id)
                edits = tuple(find(problem, file)) if find else ()
                what = f"{problem.key}: {problem.what}"
                yield rule_id, Hit(spot_of(problem.place), what, problem.fix, edits)


def _has_rule_of_its_own(rule_id: str, problem: Problem, file: TextFile) -> bool:
    """Whether another rule reports the same mistake."""
    redis = file.root.get("redis") if file.root else None
    if rule_id == "PPC015":
        return redis is not None
    address = redis is not None and (redis.get("addr") or redis.get("addrs"))
    return rule_id == "PPC009" and bool(address) and problem.what == "missing"


@rules(*_REVIEWS, by="registry")
def reviews(file: TextFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    from reference_registry.config.rules import Reviewed, review

    found = file.reading(context.profile)
    if found.attempted is None:
        return
    given = Reviewed(found.attempted, context.profile, file.path, found.places)
    # A wrong value was replaced by its default: what follows from that is not worth a finding.
    minor = {"no-effect", "half-a-credential"}
    wrong = {p.key for p in (*found.problems, *found.overlooked) if p.rule not in minor}
    first = {remark.rule: remark for remark in reversed(list(review(given)))}
    for rule_id, text in _REVIEWS.items():
        remark = first.get(text["review"])
        if remark and remark.key not in wrong and remark.fix.startswith(text.get("when", "")):
            edits = (_REVIEW_EDITS[rule_id],) if rule_id in _REVIEW_EDITS else ()
            what = f"{remark.key}: {remark.what}"
            yield rule_id, Hit(spot_of(remark.place), what, remark.fix, edits)


@rules("PPC201", by="registry")
def htpasswd_is_a_directory(file: TextFile, context: RuleContext) -> Iterator[Hit]:
    found = file.reading(context.profile)
    auth = found.attempted.auth.htpasswd if found.attempted else None
    if auth is not None and context.project.kind_at(str(auth.path)) == "directory":
        place = found.places.get("auth.htpasswd.path")
        yield Hit(spot_of(place) if place else Spot(), f"{str(auth.path)!r} is a directory")
