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
    why: YAML reads the line as one word; the registry exits with 1 and reports another line
    fix: write "version: 0.1"
PPC002 error  Listener address without a colon
    key: http\.(debug\.)?addr
    says: is no address
    why: the registry exits with 1: missing port in address
    fix: write ":80"
PPC003 warning  ttl on a release that does not support it
    key: proxy\.ttl
    says: 2.8 does not know
    why: 2.8 silently ignores the key and keeps everything for 168 hours
    fix: use 3.0 or later, or remove ttl
    source: measured on 2.8.3; distribution#3880
PPC004 error  Duration without a unit
    says: a bare number is nanoseconds
    why: the number is in nanoseconds: with ttl: 10 everything expires at once
    fix: add a unit, such as 48h
PPC005 error  Invalid duration
    says: ^(not a duration|out of range|longer than)
    why: Go has no unit for days and allows no spaces: the registry exits with 1
    fix: write 24h instead of 1d
PPC006 error  remoteurl misspelled
    key: (?i:proxy\.remote_?-?url)
    says: unknown key
    why: without remoteurl (in lower case) this is a registry that accepts pushes, not a cache
    fix: write remoteurl
PPC007 error  proxy without remoteurl
    key: proxy\.remoteurl
    says: ^missing, which makes
    why: this is a registry that accepts pushes, not a cache
    fix: set proxy.remoteurl
PPC008 warning  Unknown key
    key: (?!(?:(?i:proxy\.remote_?-?url)|redis\.addrs?)$).*
    says: ^unknown key
    why: the registry silently ignores it
    fix: check the key's name
PPC009 error  redis.addr on 3.x, or redis.addrs on 2.8
    key: redis\.addrs?
    says: ^(unknown key|missing)
    why: 3.x reads addrs (a list) and 2.8 reads addr; without an address a redis cache panics at
        startup
    fix: write addrs: ["HOST:PORT"] for 3.x, addr: HOST:PORT for 2.8
PPC010 error  true or false in quotes
    says: ^a text in quotes
    why: storage.delete treats a quoted 'true' as false, so nothing is ever deleted
    fix: write true without quotes
PPC011 error  version missing or unsupported
    key: version
    says: missing|is not supported
    why: the registry exits with 1 or panics
    fix: write "version: 0.1"
PPC012 error  No storage driver, or more than one
    key: storage
    says: no storage driver|more than one driver
    why: the registry exits with 1
    fix: configure exactly one driver, such as filesystem
PPC013 error  remoteurl is not a URL
    key: proxy\.remoteurl
    says: ^not a URL
    why: the registry panics at startup, exit code 2
    fix: write https://HOST
PPC014 error  Credentials in remoteurl
    key: proxy\.remoteurl
    says: credentials within
    why: they appear in logs and error messages
    fix: set username and password
PPC015 error  Redis cache without a redis section
    key: storage\.cache\.\w+
    says: there is no redis section
    why: the registry panics at startup, exit code 2
    fix: add a redis section
PPC016 warning  Unknown descriptor cache
    key: storage\.cache\.\w+
    says: is no cache
    why: the registry logs a warning and runs without a cache
    fix: write inmemory or redis
PPC017 info  blobdescriptorsize on a release that does not support it
    key: storage\.cache\.blobdescriptorsize
    says: only inmemory has a size
    why: 2.8 ignores the key, and its memory grows without limit
    fix: use 3.0 or later
PPC018 error  Incomplete uploadpurging section
    key: storage\.maintenance\.uploadpurging\.\w+
    says: ^missing
    why: if the section is present, age, interval and dryrun are all required, or the registry
        panics
    fix: set all of them, or remove the section
PPC019 error  TLS key without a certificate
    key: http\.tls\.key
    says: no certificate
    why: the registry silently serves plain HTTP
    fix: set certificate
PPC020 warning  http.host without a scheme
    key: http\.host
    says: a URL is wanted
    why: it is silently ignored, and the Host header of the client is used
    fix: write https://NAME
PPC021 error  Path without a leading slash
    key: http\..*|auth\.token\.\w+
    says: no slash in front
    why: every request returns 404
    fix: add the leading slash
PPC022 error  Duplicate key
    says: ^given twice
    why: the first value is silently dropped
    fix: keep one of them
PPC023 error  Username without a password, or password without a username
    key: proxy\.(username|password)
    says: the other of the two is given
    why: upstream gets half a credential, or none
    fix: set both
PPC024 error  Variable in the file
    says: variables are not expanded
    why: variables are not expanded: ${NAME} is used literally, as a host name or a password
    fix: set REGISTRY_SECTION_KEY instead
PPC025 warning  Disabled health check
    key: health\.storagedriver\.\w+
    says: the check is off
    why: interval and threshold have no effect unless enabled is true
    fix: set enabled: true
PPC026 warning  More than one YAML document
    key: ---
    says: second document
    why: the registry reads only the first document
    fix: remove the rest
PPC027 info  loglevel is deprecated
    key: loglevel
    says: an old name
    why: it still works, for now
    fix: write log.level
PPC028 warning  username together with exec
    key: proxy\.(username|password)
    says: no effect beside exec
    why: only the credential helper is used
    fix: remove username and password
PPC029 error  Several auth types, or an incomplete one
    key: auth(\..*)?
    says: ^(more than one type|missing)
    why: the registry exits with 1 or panics
    fix: keep one type, with all of its keys
PPC030 warning  Metrics without a listener
    key: http\.debug\.prometheus
    says: no address to be asked
    why: without http.debug.addr there is no debug listener, and no metrics
    fix: set http.debug.addr
PPC031 error  Value of the wrong type
    says: ^(neither true nor false|not a whole number|a single value, where|a section, where|a list,
        where|not a list)
    why: the registry exits with 1 or panics
    fix: write a value of the expected type
PPC032 error  Invalid YAML
    key: YAML|configuration
    says: ^(?!no space after)
    why: the registry exits with 1
    fix: fix the syntax
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
