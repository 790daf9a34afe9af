"""config.yml: problems that ``reference_registry.config`` reports while reading."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from harness.nodes.lint.documents import TextFile, spot_of
from harness.nodes.lint.finding import Edit
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules, entries
from harness.nodes.lint.rules import config_edits as fix
from reference_registry.config.problem import Problem

__all__ = ["rules"]

rules = Rules(Kind.REGISTRY, source="measured on 2.8.2, 2.8.3, 3.0.0, 3.1.1")

_EDITS: Mapping[str, Callable[[Problem, TextFile], tuple[Edit, ...]]] = {
    "PPC001": fix.with_space,
    "PPC002": fix.with_colon,
    "PPC004": fix.with_unit,
    "PPC005": fix.as_duration,
    "PPC006": fix.renamed,
    "PPC008": fix.renamed,
    "PPC009": fix.redis_address,
    "PPC010": fix.unquoted,
    "PPC021": fix.with_slash,
    "PPC027": fix.below_log,
}

_TABLE = r"""
PPC001 error  No space after a colon
    says: ^no space after the colon
    why: YAML takes it for one long word; the registry exits with 1 and names another line
    fix: write "version: 0.1"
PPC002 error  A listener's address without a colon
    key: http\.(debug\.)?addr
    says: is no address
    why: the registry exits with 1: missing port in address
    fix: write ":80"
PPC003 warning  ttl on a release that does not know it
    key: proxy\.ttl
    says: 2.8 does not know
    why: 2.8 ignores the key without a word and keeps everything for 168 hours
    fix: use 3.0 or later, or remove ttl
    source: measured on 2.8.3; distribution#3880
PPC004 error  A bare number as a duration
    says: a bare number is nanoseconds
    why: the number is nanoseconds: ttl: 10 expires everything at once
    fix: write it with a unit, 48h
PPC005 error  Not a duration
    says: ^(not a duration|out of range|longer than)
    why: Go knows no days and no spaces: the registry exits with 1
    fix: write 24h for 1d
PPC006 error  remoteurl misspelt
    key: (?i:proxy\.remote_?-?url)
    says: unknown key
    why: without remoteurl, in lower case, this is a registry that can be pushed to, and no cache
    fix: write remoteurl
PPC007 error  proxy without remoteurl
    key: proxy\.remoteurl
    says: ^missing, which makes
    why: this is a registry that can be pushed to, and no cache
    fix: set proxy.remoteurl
PPC008 warning  An unknown key
    key: (?!(?:(?i:proxy\.remote_?-?url)|redis\.addrs?)$).*
    says: ^unknown key
    why: the registry ignores it without a word
    fix: look up the key's name
PPC009 error  redis addr under 3.x, or addrs under 2.8
    key: redis\.addrs?
    says: ^(unknown key|missing)
    why: 3.x reads addrs, a list, and 2.8 reads addr; without an address a redis cache panics at the
        start
    fix: write addrs: ["HOST:PORT"] for 3.x, addr: HOST:PORT for 2.8
PPC010 error  true or false in quotes
    says: ^a text in quotes
    why: a quoted 'true' counts as false for storage.delete, so that nothing is ever deleted
    fix: write true without quotes
PPC011 error  version missing or unsupported
    key: version
    says: missing|is not supported
    why: the registry exits with 1 or panics
    fix: write "version: 0.1"
PPC012 error  No storage driver, or two
    key: storage
    says: no storage driver|more than one driver
    why: the registry exits with 1
    fix: name exactly one driver, such as filesystem
PPC013 error  remoteurl is no URL
    key: proxy\.remoteurl
    says: ^not a URL
    why: the registry panics at the start, exit code 2
    fix: write https://HOST
PPC014 error  Credentials within remoteurl
    key: proxy\.remoteurl
    says: credentials within
    why: they are shown in logs and in error messages
    fix: set username and password
PPC015 error  A redis cache without redis
    key: storage\.cache\.\w+
    says: there is no redis section
    why: the registry panics at the start, exit code 2
    fix: add the redis section
PPC016 warning  A descriptor cache that does not exist
    key: storage\.cache\.\w+
    says: is no cache
    why: the registry warns in its log and goes on without one
    fix: write inmemory or redis
PPC017 info  blobdescriptorsize on a release that does not know it
    key: storage\.cache\.blobdescriptorsize
    says: only inmemory has a size
    why: 2.8 ignores the key: its memory grows without bound
    fix: use 3.0 or later
PPC018 error  An incomplete uploadpurging section
    key: storage\.maintenance\.uploadpurging\.\w+
    says: ^missing
    why: once the section is there, age, interval and dryrun are all required, or the registry
        panics
    fix: set all of them, or remove the section
PPC019 error  A TLS key without a certificate
    key: http\.tls\.key
    says: no certificate
    why: the registry serves plain HTTP and says nothing
    fix: set certificate
PPC020 warning  http.host without a scheme
    key: http\.host
    says: a URL is wanted
    why: it is ignored without a word, and the client's Host is used
    fix: write https://NAME
PPC021 error  A path without a slash in front
    key: http\..*|auth\.token\.\w+
    says: no slash in front
    why: every request is answered 404
    fix: write a slash in front
PPC022 error  A key given twice
    says: ^given twice
    why: the first value is dropped in silence
    fix: keep one of them
PPC023 error  A user without a password, or the other way round
    key: proxy\.(username|password)
    says: the other of the two is given
    why: upstream is asked with half a credential, or with none
    fix: set both
PPC024 error  A variable in the file
    says: variables are not expanded
    why: ${NAME} is taken literally, as a host name or a password
    fix: set REGISTRY_SECTION_KEY instead
PPC025 warning  A health check that is off
    key: health\.storagedriver\.\w+
    says: the check is off
    why: interval and threshold do nothing unless enabled is true
    fix: set enabled: true
PPC026 warning  A second YAML document
    key: ---
    says: second document
    why: only the first document is read
    fix: remove the rest
PPC027 info  loglevel, an old name
    key: loglevel
    says: an old name
    why: it goes on working, for now
    fix: write it as level below log
PPC028 warning  username beside exec
    key: proxy\.(username|password)
    says: no effect beside exec
    why: the helper decides alone
    fix: remove username and password
PPC029 error  Several kinds of auth, or half of one
    key: auth(\..*)?
    says: ^(more than one type|missing)
    why: the registry exits with 1 or panics
    fix: keep one, with all of its keys
PPC030 warning  Metrics without an address
    key: http\.debug\.prometheus
    says: no address to be asked
    why: there is no debug listener, and so no metrics
    fix: set http.debug.addr
PPC031 error  Not true, false, a number or a section
    says: ^(neither true nor false|not a whole number|a single value, where|a section, where|a list,
        where|not a list)
    why: the registry exits with 1 or panics
    fix: write the value that the key wants
PPC032 error  Not YAML
    key: YAML|configuration
    says: ^(?!no space after)
    why: the registry exits with 1
    fix: put the syntax right
"""
"""A rule hits where the problem's key matches the pattern ``key`` (default: any) and its text
matches ``says``."""


def _has_rule_of_its_own(rule_id: str, problem: Problem, file: TextFile) -> bool:
    """Whether another rule reports the same mistake better."""
    redis = file.root.get("redis") if file.root else None
    if rule_id == "PPC015":
        return redis is not None
    address = redis is not None and (redis.get("addr") or redis.get("addrs"))
    return rule_id == "PPC009" and bool(address) and problem.what == "missing"


def _check(
    rule_id: str, fields: Mapping[str, str], file: TextFile, context: RuleContext
) -> Iterator[Hit]:
    found = file.reading(context.profile)
    for problem in (*found.problems, *found.overlooked):
        key, says = fields.get("key", ".*"), fields["says"]
        if not re.fullmatch(key, problem.key) or not re.search(says, problem.what):
            continue
        if not _has_rule_of_its_own(rule_id, problem, file):
            edits = _EDITS[rule_id](problem, file) if rule_id in _EDITS else ()
            what = f"{problem.key}: {problem.what}"
            yield Hit(spot_of(problem.place), what, problem.fix, edits)


for _id, _severity, _fields in entries(_TABLE):
    _run = partial(_check, _id, _fields)
    rules.add(_id, _severity, _fields, _run, by="registry", fixable=_id in _EDITS)
