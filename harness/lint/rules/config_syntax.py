"""config.yml: what releases refuse, and what they overlook in silence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.lint.documents import TextFile
from harness.lint.finding import AddKey, Edit, RemoveKey, RenameKey, ReplaceText, SetValue
from harness.lint.rule import Kind, Level, Rules
from harness.lint.rules.config_selection import Mend, Where, problem_rule

if TYPE_CHECKING:
    from reference_registry.config.problem import Problem

__all__ = ["rules"]

rules = Rules(Kind.REGISTRY)

_CLOSED = "measured on 2.8.2, 2.8.3, 3.0.0, 3.1.1"
_SLIP = r"(?i:proxy\.remote_?-?url)"


def _line(file: TextFile, problem: Problem) -> str:
    return file.text.splitlines()[(problem.place.line or 1) - 1]


def _with_space(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    from reference_registry.config.syntax import unspaced_key

    old = _line(file, problem)
    code, mark, comment = old.partition(" #")
    found = unspaced_key(code)
    if found is None:
        return ()
    gap = " " * (len(code) - len(code.rstrip()))
    return (ReplaceText(problem.place.line or 1, old, f"{found[1]}{gap}{mark}{comment}"),)


def _with_colon(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    match = re.search(r"'(\d+)' is no address", problem.what)
    return (SetValue(tuple(problem.key.split(".")), f":{match[1]}"),) if match else ()


def _unquoted(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    match = re.match(r"write (true|yes|on|false|no|off) ", problem.fix)
    if match is None:
        return ()
    return (SetValue(tuple(problem.key.split(".")), match[1] in {"true", "yes", "on"}),)


def _as_duration(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    match = re.fullmatch(r"write (\d+[a-z]+)", problem.fix)
    return (SetValue(tuple(problem.key.split(".")), match[1]),) if match else ()


def _with_unit(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """Less than a second of nanoseconds were meant as seconds, which is what the reader says; from
    there on a number may well be meant as it is, so that only its writing changes."""
    from reference_registry.config.durations import from_nanoseconds, short_duration

    match = re.fullmatch(r"write (\d+)s", problem.fix)
    if match is None:
        return ()
    number = int(match[1])
    meant = f"{number}s" if number < 10**9 else short_duration(from_nanoseconds(number))
    return (SetValue(tuple(problem.key.split(".")), meant),)


def _with_slash(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    path = tuple(problem.key.split("."))
    value = file.root.string(*path) if file.root else ""
    return (SetValue(path, f"/{value}"),) if value else ()


def _redis_address(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    """``addr`` and ``addrs`` into each other; a list of several stays as it is."""
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


def _is_first_word_on_redis(problem: Problem, file: TextFile) -> bool:
    """The address is missing because it stands under the other name, of which that much is said."""
    redis = file.root.get("redis") if file.root else None
    given = redis is not None and (redis.get("addr") or redis.get("addrs"))
    return not given or problem.what != "missing"


def _below_log(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    level = file.root.string("loglevel") if file.root else ""
    if not level or (file.root and file.root.get("log", "level")):
        return ()
    return (RemoveKey(("loglevel",)), AddKey(("log", "level"), level))


def _renamed(problem: Problem, file: TextFile) -> tuple[Edit, ...]:
    match = re.fullmatch(r"did you mean ([\w-]+)\?", problem.fix)
    return (RenameKey(tuple(problem.key.split(".")), match[1]),) if match else ()


def _rule(
    rule_id: str,
    title: str,
    severity: Level,
    key: str,
    what: str,
    why: str,
    fix: str,
    reference: str = _CLOSED,
    mend: Mend | None = None,
    where: Where | None = None,
) -> None:
    rules(
        rule_id,
        title,
        severity=severity,
        why=why,
        fix=fix,
        reference=reference,
        by="registry",
        fixable=mend is not None,
    )(problem_rule(key, what, mend=mend, where=where))


_rule(
    "PPC001",
    "No space after a colon",
    "error",
    r".*",
    "^no space after the colon",
    "YAML takes it for one long word; the registry exits with 1 and names another line",
    'write "version: 0.1"',
    mend=_with_space,
)
_rule(
    "PPC002",
    "A listener's address without a colon",
    "error",
    r"http\.(debug\.)?addr",
    "is no address",
    "the registry exits with 1: missing port in address",
    'write ":80"',
    mend=_with_colon,
)
_rule(
    "PPC003",
    "ttl on a release that does not know it",
    "warning",
    r"proxy\.ttl",
    "2.8 does not know",
    "2.8 ignores the key without a word and keeps everything for 168 hours",
    "use 3.0 or later, or remove ttl",
    "measured on 2.8.3; distribution#3880",
)
_rule(
    "PPC004",
    "A bare number as a duration",
    "error",
    r".*",
    "a bare number is nanoseconds",
    "the number is nanoseconds: ttl: 10 expires everything at once",
    "write it with a unit, 48h",
    mend=_with_unit,
)
_rule(
    "PPC005",
    "Not a duration",
    "error",
    r".*",
    "^(not a duration|out of range|longer than)",
    "Go knows no days and no spaces: the registry exits with 1",
    "write 24h for 1d",
    mend=_as_duration,
)
_rule(
    "PPC006",
    "remoteurl misspelt",
    "error",
    _SLIP,
    "unknown key",
    "without remoteurl, in lower case, this is a registry that can be pushed to, and no cache",
    "write remoteurl",
    mend=_renamed,
)
_rule(
    "PPC007",
    "proxy without remoteurl",
    "error",
    r"proxy\.remoteurl",
    "^missing, which makes",
    "this is a registry that can be pushed to, and no cache",
    "set proxy.remoteurl",
)
_rule(
    "PPC008",
    "An unknown key",
    "warning",
    rf"(?!{_SLIP}$)(?!redis\.addrs?$).*",
    "^unknown key",
    "the registry ignores it without a word",
    "look up the key's name",
    mend=_renamed,
)
_rule(
    "PPC009",
    "redis addr under 3.x, or addrs under 2.8",
    "error",
    r"redis\.addrs?",
    "^(unknown key|missing)",
    "3.x reads addrs, a list, and 2.8 reads addr; without an address a redis cache panics at "
    "the start",
    'write addrs: ["HOST:PORT"] for 3.x, addr: HOST:PORT for 2.8',
    mend=_redis_address,
    where=_is_first_word_on_redis,
)
_rule(
    "PPC010",
    "true or false in quotes",
    "error",
    r".*",
    "^a text in quotes",
    "a quoted 'true' counts as false for storage.delete, so that nothing is ever deleted",
    "write true without quotes",
    mend=_unquoted,
)
_rule(
    "PPC011",
    "version missing or unsupported",
    "error",
    r"version",
    "missing|is not supported",
    "the registry exits with 1 or panics",
    'write "version: 0.1"',
)
_rule(
    "PPC012",
    "No storage driver, or two",
    "error",
    r"storage",
    "no storage driver|more than one driver",
    "the registry exits with 1",
    "name exactly one driver, such as filesystem",
)
_rule(
    "PPC013",
    "remoteurl is no URL",
    "error",
    r"proxy\.remoteurl",
    "^not a URL",
    "the registry panics at the start, exit code 2",
    "write https://HOST",
)
_rule(
    "PPC014",
    "Credentials within remoteurl",
    "error",
    r"proxy\.remoteurl",
    "credentials within",
    "they are shown in logs and in error messages",
    "set username and password",
)
_rule(
    "PPC015",
    "A redis cache without redis",
    "error",
    r"storage\.cache\.\w+",
    "there is no redis section",
    "the registry panics at the start, exit code 2",
    "add the redis section",
    where=lambda problem, file: file.root is None or file.root.get("redis") is None,
)
_rule(
    "PPC016",
    "A descriptor cache that does not exist",
    "warning",
    r"storage\.cache\.\w+",
    "is no cache",
    "the registry warns in its log and goes on without one",
    "write inmemory or redis",
)
_rule(
    "PPC017",
    "blobdescriptorsize on a release that does not know it",
    "info",
    r"storage\.cache\.blobdescriptorsize",
    "only inmemory has a size",
    "2.8 ignores the key: its memory grows without bound",
    "use 3.0 or later",
)
_rule(
    "PPC018",
    "An incomplete uploadpurging section",
    "error",
    r"storage\.maintenance\.uploadpurging\.\w+",
    "^missing",
    "once the section is there, age, interval and dryrun are all required, or the registry panics",
    "set all of them, or remove the section",
)
_rule(
    "PPC019",
    "A TLS key without a certificate",
    "error",
    r"http\.tls\.key",
    "no certificate",
    "the registry serves plain HTTP and says nothing",
    "set certificate",
)
_rule(
    "PPC020",
    "http.host without a scheme",
    "warning",
    r"http\.host",
    "a URL is wanted",
    "it is ignored without a word, and the client's Host is used",
    "write https://NAME",
)
_rule(
    "PPC021",
    "A path without a slash in front",
    "error",
    r"http\..*|auth\.token\.\w+",
    "no slash in front",
    "every request is answered 404",
    "write a slash in front",
    mend=_with_slash,
)
_rule(
    "PPC022",
    "A key given twice",
    "error",
    r".*",
    "^given twice",
    "the first value is dropped in silence",
    "keep one of them",
)
_rule(
    "PPC023",
    "A user without a password, or the other way round",
    "error",
    r"proxy\.(username|password)",
    "the other of the two is given",
    "upstream is asked with half a credential, or with none",
    "set both",
)
_rule(
    "PPC024",
    "A variable in the file",
    "error",
    r".*",
    "variables are not expanded",
    "${NAME} is taken literally, as a host name or a password",
    "set REGISTRY_SECTION_KEY instead",
)
_rule(
    "PPC025",
    "A health check that is off",
    "warning",
    r"health\.storagedriver\.\w+",
    "the check is off",
    "interval and threshold do nothing unless enabled is true",
    "set enabled: true",
)
_rule(
    "PPC026",
    "A second YAML document",
    "warning",
    r"---",
    "second document",
    "only the first document is read",
    "remove the rest",
)
_rule(
    "PPC027",
    "loglevel, an old name",
    "info",
    r"loglevel",
    "an old name",
    "it goes on working, for now",
    "write it as level below log",
    mend=_below_log,
)
_rule(
    "PPC028",
    "username beside exec",
    "warning",
    r"proxy\.(username|password)",
    "no effect beside exec",
    "the helper decides alone",
    "remove username and password",
)
_rule(
    "PPC029",
    "Several kinds of auth, or half of one",
    "error",
    r"auth(\..*)?",
    "^(more than one type|missing)",
    "the registry exits with 1 or panics",
    "keep one, with all of its keys",
)
_rule(
    "PPC030",
    "Metrics without an address",
    "warning",
    r"http\.debug\.prometheus",
    "no address to be asked",
    "there is no debug listener, and so no metrics",
    "set http.debug.addr",
)
_rule(
    "PPC031",
    "Not true, false, a number or a section",
    "error",
    r".*",
    "^(neither true nor false|not a whole number|a single value, where|a section, where|a list, "
    "where|not a list)",
    "the registry exits with 1 or panics",
    "write the value that the key wants",
)
_rule(
    "PPC032",
    "Not YAML",
    "error",
    r"YAML|configuration",
    "^(?!no space after)",
    "the registry exits with 1",
    "put the syntax right",
)
