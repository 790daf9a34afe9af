"""config.yml: mistakes that can be made with any key."""

from __future__ import annotations

from harness.nodes.lint.rule import Kind, Rules
from harness.nodes.lint.rules.config_mending import (
    as_duration,
    renamed,
    unquoted,
    with_space,
    with_unit,
)
from harness.nodes.lint.rules.config_selection import problem_rule

__all__ = ["rules"]

rules = Rules(Kind.REGISTRY)

_SAID_ELSEWHERE = r"(?i:proxy\.remote_?-?url)|redis\.addrs?"
"""Unknown keys that have rules of their own."""

problem_rule(
    rules,
    "PPC001",
    "No space after a colon",
    "error",
    r".*",
    "^no space after the colon",
    "YAML takes it for one long word; the registry exits with 1 and names another line",
    'write "version: 0.1"',
    mend=with_space,
)
problem_rule(
    rules,
    "PPC004",
    "A bare number as a duration",
    "error",
    r".*",
    "a bare number is nanoseconds",
    "the number is nanoseconds: ttl: 10 expires everything at once",
    "write it with a unit, 48h",
    mend=with_unit,
)
problem_rule(
    rules,
    "PPC005",
    "Not a duration",
    "error",
    r".*",
    "^(not a duration|out of range|longer than)",
    "Go knows no days and no spaces: the registry exits with 1",
    "write 24h for 1d",
    mend=as_duration,
)
problem_rule(
    rules,
    "PPC008",
    "An unknown key",
    "warning",
    rf"(?!(?:{_SAID_ELSEWHERE})$).*",
    "^unknown key",
    "the registry ignores it without a word",
    "look up the key's name",
    mend=renamed,
)
problem_rule(
    rules,
    "PPC010",
    "true or false in quotes",
    "error",
    r".*",
    "^a text in quotes",
    "a quoted 'true' counts as false for storage.delete, so that nothing is ever deleted",
    "write true without quotes",
    mend=unquoted,
)
problem_rule(
    rules,
    "PPC011",
    "version missing or unsupported",
    "error",
    r"version",
    "missing|is not supported",
    "the registry exits with 1 or panics",
    'write "version: 0.1"',
)
problem_rule(
    rules,
    "PPC022",
    "A key given twice",
    "error",
    r".*",
    "^given twice",
    "the first value is dropped in silence",
    "keep one of them",
)
problem_rule(
    rules,
    "PPC024",
    "A variable in the file",
    "error",
    r".*",
    "variables are not expanded",
    "${NAME} is taken literally, as a host name or a password",
    "set REGISTRY_SECTION_KEY instead",
)
problem_rule(
    rules,
    "PPC026",
    "A second YAML document",
    "warning",
    r"---",
    "second document",
    "only the first document is read",
    "remove the rest",
)
problem_rule(
    rules,
    "PPC031",
    "Not true, false, a number or a section",
    "error",
    r".*",
    "^(neither true nor false|not a whole number|a single value, where|a section, where|a list, "
    "where|not a list)",
    "the registry exits with 1 or panics",
    "write the value that the key wants",
)
problem_rule(
    rules,
    "PPC032",
    "Not YAML",
    "error",
    r"YAML|configuration",
    "^(?!no space after)",
    "the registry exits with 1",
    "put the syntax right",
)
