"""Positions of TOML statements, which decide the order of hosts and are shown to the reader."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.nodes.models.toml_statements import Statement, statements

DOCUMENT = """\
# a comment with [brackets] and "quotes
server = "https://a.example" # [not.a.table]
text = \"\"\"
[neither.is.this]
\\"\"\" = 1
\"\"\"
raw = '''
[nor = this]'''
list = [
  "[x]", # ]
  { a = "}" }, 'b'
]
  [host."https://m.example".header] # here
"X-A" = 'x'
dotted . key."with.dots" = 1
[[array]]
a = 1
[ spaced . table ]\r
"""


def test_positions_of_all_statements() -> None:
    header = ("host", "https://m.example", "header")
    assert list(statements(DOCUMENT)) == [
        Statement("pair", ("server",), 2, 1),
        Statement("pair", ("text",), 3, 1),
        Statement("pair", ("raw",), 7, 1),
        Statement("pair", ("list",), 9, 1),
        Statement("table", header, 13, 3),
        Statement("pair", (*header, "X-A"), 14, 1),
        Statement("pair", (*header, "dotted", "key", "with.dots"), 15, 1),
        Statement("array", ("array",), 16, 1),
        Statement("pair", ("array", "a"), 17, 1),
        Statement("table", ("spaced", "table"), 18, 1),
    ]


def test_keys_are_decoded() -> None:
    (statement,) = statements('"\\u0068ost\\n" = 1')
    assert statement.path == ("host\n",)


_KEYS = st.text("ab-_.\"'# =[]\\é", min_size=1, max_size=6)
_VALUES = st.recursive(
    st.text('ab"\\[]{}#=\n', max_size=8) | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if isinstance(value, list):
        return "[" + ",\n # ]\n".join(map(_quoted, value)) + "\n]"
    return str(value).lower()


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.dictionaries(_KEYS, st.dictionaries(_KEYS, _VALUES, max_size=4), min_size=1, max_size=4))
def test_statements_have_the_keys_that_tomllib_reads(
    tables: dict[str, dict[str, Any]],
) -> None:
    text = "".join(
        f"[{_quoted(table)}]\n"
        + "".join(f"{_quoted(key)} = {_quoted(value)} # end\n" for key, value in pairs.items())
        for table, pairs in tables.items()
    )
    read = tomllib.loads(text)
    expected = [path for t, pairs in read.items() for path in [(t,), *((t, k) for k in pairs)]]
    assert [statement.path for statement in statements(text)] == expected
    for statement in statements(text):
        line = text.split("\n")[statement.line - 1]
        assert line[statement.column - 1 :].startswith(("[", '"'))
