"""Where values stand in YAML: what PyYAML composes, with the marks that it keeps."""

from __future__ import annotations

import re
from typing import Any

import yaml

from harness.nodes.lint.fix.pieces import Member, Piece

__all__ = ["yaml_pieces"]

_MERGE = "tag:yaml.org,2002:merge"
_ALIAS = re.compile(r"[ \t]*:?[ \t]*\*[^\s,\]}]+")


def yaml_pieces(text: str) -> list[Piece]:
    """The value of each document of *text* that has one. Raises ``yaml.YAMLError``."""
    found = []
    loader = yaml.SafeLoader(text)
    while loader.check_node():
        node = loader.get_node()
        assert node is not None
        if not (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
            found.append(_Pieces(text).piece(node))
    return found


class _Pieces:
    def __init__(self, text: str) -> None:
        self.text = text
        self.seen: set[int] = set()

    def piece(self, node: Any, behind: int = 0) -> Piece:
        """*node*, which stands behind the position *behind*."""
        if id(node) in self.seen:  # an alias is the very node that it stands for
            alias = _ALIAS.match(self.text, behind)
            return Piece("alias", behind, alias.end() if alias else behind)
        self.seen.add(id(node))
        start, end = node.start_mark.index, node.end_mark.index
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, Piece("mapping", start, end, bool(node.flow_style)))
        if isinstance(node, yaml.SequenceNode):
            return self.sequence(node, Piece("sequence", start, end, bool(node.flow_style)))
        if node.style in ("|", ">"):  # its mark stands behind the blank lines that follow
            end = start + len(self.text[start:end].rstrip())
        return Piece("scalar", start, end)

    def mapping(self, node: yaml.MappingNode, found: Piece) -> Piece:
        end = found.start
        for key, value in node.value:
            start, stop = key.start_mark.index, key.end_mark.index
            below = self.piece(value, stop)
            end = max(below.end, stop)
            found.entries.append((start, end))
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                found.keys[key.value] = Member(start, start, stop, below)
        found.end = found.end if found.bracketed else end
        return found

    def sequence(self, node: yaml.SequenceNode, found: Piece) -> Piece:
        end = found.start
        for item in node.value:
            below = self.piece(item, end)
            end = max(below.end, end)
            found.items.append(below)
            found.entries.append((below.start, below.end))
        found.end = found.end if found.bracketed else end
        return found
