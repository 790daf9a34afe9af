"""config.yml: mistakes that can be made in one section."""

from __future__ import annotations

from harness.nodes.lint.rule import Kind, Rules
from harness.nodes.lint.rules.config_mending import (
    below_log,
    is_first_word_on_redis,
    redis_address,
    renamed,
    with_colon,
    with_slash,
)
from harness.nodes.lint.rules.config_selection import problem_rule

__all__ = ["rules"]

rules = Rules(Kind.REGISTRY)


problem_rule(
    rules,
    "PPC002",
    "A listener's address without a colon",
    "error",
    r"http\.(debug\.)?addr",
    "is no address",
    "the registry exits with 1: missing port in address",
    'write ":80"',
    mend=with_colon,
)
problem_rule(
    rules,
    "PPC003",
    "ttl on a release that does not know it",
    "warning",
    r"proxy\.ttl",
    "2.8 does not know",
    "2.8 ignores the key without a word and keeps everything for 168 hours",
    "use 3.0 or later, or remove ttl",
    "measured on 2.8.3; distribution#3880",
)
problem_rule(
    rules,
    "PPC006",
    "remoteurl misspelt",
    "error",
    r"(?i:proxy\.remote_?-?url)",
    "unknown key",
    "without remoteurl, in lower case, this is a registry that can be pushed to, and no cache",
    "write remoteurl",
    mend=renamed,
)
problem_rule(
    rules,
    "PPC007",
    "proxy without remoteurl",
    "error",
    r"proxy\.remoteurl",
    "^missing, which makes",
    "this is a registry that can be pushed to, and no cache",
    "set proxy.remoteurl",
)
problem_rule(
    rules,
    "PPC009",
    "redis addr under 3.x, or addrs under 2.8",
    "error",
    r"redis\.addrs?",
    "^(unknown key|missing)",
    "3.x reads addrs, a list, and 2.8 reads addr; without an address a redis cache panics at "
    "the start",
    'write addrs: ["HOST:PORT"] for 3.x, addr: HOST:PORT for 2.8',
    mend=redis_address,
    where=is_first_word_on_redis,
)
problem_rule(
    rules,
    "PPC012",
    "No storage driver, or two",
    "error",
    r"storage",
    "no storage driver|more than one driver",
    "the registry exits with 1",
    "name exactly one driver, such as filesystem",
)
problem_rule(
    rules,
    "PPC013",
    "remoteurl is no URL",
    "error",
    r"proxy\.remoteurl",
    "^not a URL",
    "the registry panics at the start, exit code 2",
    "write https://HOST",
)
problem_rule(
    rules,
    "PPC014",
    "Credentials within remoteurl",
    "error",
    r"proxy\.remoteurl",
    "credentials within",
    "they are shown in logs and in error messages",
    "set username and password",
)
problem_rule(
    rules,
    "PPC015",
    "A redis cache without redis",
    "error",
    r"storage\.cache\.\w+",
    "there is no redis section",
    "the registry panics at the start, exit code 2",
    "add the redis section",
    where=lambda problem, file: file.root is None or file.root.get("redis") is None,
)
problem_rule(
    rules,
    "PPC016",
    "A descriptor cache that does not exist",
    "warning",
    r"storage\.cache\.\w+",
    "is no cache",
    "the registry warns in its log and goes on without one",
    "write inmemory or redis",
)
problem_rule(
    rules,
    "PPC017",
    "blobdescriptorsize on a release that does not know it",
    "info",
    r"storage\.cache\.blobdescriptorsize",
    "only inmemory has a size",
    "2.8 ignores the key: its memory grows without bound",
    "use 3.0 or later",
)
problem_rule(
    rules,
    "PPC018",
    "An incomplete uploadpurging section",
    "error",
    r"storage\.maintenance\.uploadpurging\.\w+",
    "^missing",
    "once the section is there, age, interval and dryrun are all required, or the registry panics",
    "set all of them, or remove the section",
)
problem_rule(
    rules,
    "PPC019",
    "A TLS key without a certificate",
    "error",
    r"http\.tls\.key",
    "no certificate",
    "the registry serves plain HTTP and says nothing",
    "set certificate",
)
problem_rule(
    rules,
    "PPC020",
    "http.host without a scheme",
    "warning",
    r"http\.host",
    "a URL is wanted",
    "it is ignored without a word, and the client's Host is used",
    "write https://NAME",
)
problem_rule(
    rules,
    "PPC021",
    "A path without a slash in front",
    "error",
    r"http\..*|auth\.token\.\w+",
    "no slash in front",
    "every request is answered 404",
    "write a slash in front",
    mend=with_slash,
)
problem_rule(
    rules,
    "PPC023",
    "A user without a password, or the other way round",
    "error",
    r"proxy\.(username|password)",
    "the other of the two is given",
    "upstream is asked with half a credential, or with none",
    "set both",
)
problem_rule(
    rules,
    "PPC025",
    "A health check that is off",
    "warning",
    r"health\.storagedriver\.\w+",
    "the check is off",
    "interval and threshold do nothing unless enabled is true",
    "set enabled: true",
)
problem_rule(
    rules,
    "PPC027",
    "loglevel, an old name",
    "info",
    r"loglevel",
    "an old name",
    "it goes on working, for now",
    "write it as level below log",
    mend=below_log,
)
problem_rule(
    rules,
    "PPC028",
    "username beside exec",
    "warning",
    r"proxy\.(username|password)",
    "no effect beside exec",
    "the helper decides alone",
    "remove username and password",
)
problem_rule(
    rules,
    "PPC029",
    "Several kinds of auth, or half of one",
    "error",
    r"auth(\..*)?",
    "^(more than one type|missing)",
    "the registry exits with 1 or panics",
    "keep one, with all of its keys",
)
problem_rule(
    rules,
    "PPC030",
    "Metrics without an address",
    "warning",
    r"http\.debug\.prometheus",
    "no address to be asked",
    "there is no debug listener, and so no metrics",
    "set http.debug.addr",
)
