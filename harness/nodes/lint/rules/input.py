"""Files that cannot be read: broken, too large or hostile ones."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from harness.nodes.lint.documents import Unread
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules, rule_texts

__all__ = ["rules"]

rules = Rules(Kind.INPUT)
_FIXABLE = {"PPX003", "PPX010"}


def _check(rule_id: str, file: Unread, context: RuleContext) -> Iterator[Hit]:
    if file.cause == rule_id:
        yield Hit(file.spot, file.what, edits=file.edits)


for _id in rule_texts():
    if _id.startswith("PPX"):
        rules(_id, fixable=_id in _FIXABLE)(partial(_check, _id))
