"""config.yml: problems that ``reference_registry.config`` reports while reading, and valid
configurations with a surprising effect, which it reviews.

A rule whose text has ``says`` hits where the problem's message matches that pattern, and its key
matches ``key`` (default: any key). ``review`` names a warning of
``reference_registry.config.rules``; ``when`` is how its advice begins, if that rule has several.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from harness.nodes.lint.documents import TextFile, spot_of
from harness.nodes.lint.finding import AddKey, Edit, RemoveKey, RenameKey, ReplaceText, SetValue
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules, rule_texts
from reference_registry.config.problem import Problem

__all__ = ["rules"]

rules = Rules(Kind.REGISTRY)


def _line(file: TextFile, problem: Problem) -> str:
    return file.text.splitlines()[(problem.place.line or 1) - 1]


def _with_space(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """The line with a space after its first colon."""
    from reference_registry.config.tree import unspaced_key

    old = _line(file, problem)
    code, mark, comment = old.partition(" #")
    found = unspaced_key(code)
    if found is None:
        return ()
    gap = " " * (len(code) - len(code.rstrip()))
    return (ReplaceText(problem.place.line or 1, old, f"{found[1]}{gap}{mark}{comment}"),)


def _with_colon(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """``80`` becomes ``:80``."""
    match = re.search(r"'(\d+)' is not an address", problem.what)
    return (SetValue(tuple(problem.key.split(".")), f":{match[1]}"),) if match else ()


def _unquoted(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """``'true'`` becomes ``true``."""
    match = re.match(r"write (true|yes|on|false|no|off) ", problem.fix)
    if match is None:
        return ()
    return (SetValue(tuple(problem.key.split(".")), match[1] in {"true", "yes", "on"}),)


def _as_duration(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """``1d`` becomes ``24h``."""
    match = re.fullmatch(r"write (\d+[a-z]+)", problem.fix)
    return (SetValue(tuple(problem.key.split(".")), match[1]),) if match else ()


def _with_unit(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """A number below a second was probably meant as seconds, as the reader suggests; a larger one
    may be meant as nanoseconds, and only its notation changes."""
    from reference_registry.config.units import from_nanoseconds, short_duration

    match = re.fullmatch(r"write (\d+)s", problem.fix)
    if match is None:
        return ()
    number = int(match[1])
    meant = f"{number}s" if number < 10**9 else short_duration(from_nanoseconds(number))
    return (SetValue(tuple(problem.key.split(".")), meant),)


def _with_slash(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """``registry/`` becomes ``/registry/``."""
    path = tuple(problem.key.split("."))
    value = file.root.string(*path) if file.root else ""
    return (SetValue(path, f"/{value}"),) if value else ()


def _redis_address(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """``addr`` becomes ``addrs`` or the reverse; a list of several is left alone."""
    redis = file.root.get("redis") if file.root else None
    single, several = (redis.get("addr"), redis.get("addrs")) if redis else (None, None)
    if single is not None and several is None and single.text:
        path = ("redis", "addr")
        return (SetValue(path, (single.text,)), RenameKey(path, "addrs"))
    items = [item.text for item in several.list()] if several is not None else []
    if single is None and len(items) == 1:
        path = ("redis", "addrs")
        return (SetValue(path, items[0]), RenameKey(path, "addr"))
    return ()


def _below_log(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """``loglevel`` becomes ``log.level``."""
    level = file.root.string("loglevel") if file.root else ""
    if not level or (file.root and file.root.get("log", "level")):
        return ()
    return (RemoveKey(("loglevel",)), AddKey(("log", "level"), level))


def _renamed(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """The key that the reader suggests."""
    match = re.fullmatch(r"did you mean ([\w-]+)\?", problem.fix)
    return (RenameKey(tuple(problem.key.split(".")), match[1]),) if match else ()


_PROBLEM_EDITS: Mapping[str, Callable[[Problem, TextFile], tuple[Edit, ...]]] = {
    "PPC001": _with_space,
    "PPC002": _with_colon,
    "PPC004": _with_unit,
    "PPC005": _as_duration,
    "PPC006": _renamed,
    "PPC008": _renamed,
    "PPC009": _redis_address,
    "PPC010": _unquoted,
    "PPC021": _with_slash,
    "PPC027": _below_log,
}


def _has_rule_of_its_own(rule_id: str, problem: Problem, file: TextFile) -> bool:
    """Whether another rule reports the same mistake."""
    redis = file.root.get("redis") if file.root else None
    if rule_id == "PPC015":
        return redis is not None
    address = redis is not None and (redis.get("addr") or redis.get("addrs"))
    return rule_id == "PPC009" and bool(address) and problem.what == "missing"


def _check_problem(
    rule_id: str, text: Mapping[str, str], file: TextFile, context: RuleContext
) -> Iterator[Hit]:
    found = file.reading(context.profile)
    for problem in (*found.problems, *found.overlooked):
        key, says = text.get("key", ".*"), text["says"]
        if not re.fullmatch(key, problem.key) or not re.search(says, problem.what):
            continue
        if not _has_rule_of_its_own(rule_id, problem, file):
            edits = _PROBLEM_EDITS[rule_id](problem, file) if rule_id in _PROBLEM_EDITS else ()
            what = f"{problem.key}: {problem.what}"
            yield Hit(spot_of(problem.place), what, problem.fix, edits)


for _id, _text in rule_texts().items():
    if "says" in _text:
        rules(_id, by="registry", fixable=_id in _PROBLEM_EDITS)(
            partial(_check_problem, _id, _text)
        )


_REVIEW_EDITS: Mapping[str, Edit] = {
    "PPC101": AddKey(("storage", "delete", "enabled"), True),
    "PPC102": RemoveKey(("storage", "cache")),
    "PPC103": AddKey(("http", "draintimeout"), "30s"),
    "PPC113": RemoveKey(("redis",)),
    "PPC114": RemoveKey(("storage", "maintenance", "readonly")),
    "PPC116": RemoveKey(("http", "relativeurls")),
}


def _check_review(
    rule_id: str, text: Mapping[str, str], file: TextFile, context: RuleContext
) -> Iterator[Hit]:
    from reference_registry.config.rules import Reviewed, review

    found = file.reading(context.profile)
    if found.attempted is None:
        return
    given = Reviewed(found.attempted, context.profile, file.path, found.places)
    remark = next((r for r in review(given) if r.rule == text["review"]), None)
    if remark is None or not remark.fix.startswith(text.get("when", "")):
        return
    # A wrong value was replaced by its default: what follows from that is not worth a finding.
    for problem in (*found.problems, *found.overlooked):
        if problem.key == remark.key and problem.rule not in {"no-effect", "half-a-credential"}:
            return
    edits = (_REVIEW_EDITS[rule_id],) if rule_id in _REVIEW_EDITS else ()
    what = f"{remark.key}: {remark.what}"
    yield Hit(spot_of(remark.place), what, remark.fix, edits)


for _id, _text in rule_texts().items():
    if "review" in _text:
        rules(_id, by="registry", fixable=_id in _REVIEW_EDITS)(partial(_check_review, _id, _text))
