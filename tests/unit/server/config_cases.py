"""The cases of ``config_cases.txt``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GOOD = """\
version: 0.1
storage:
  filesystem:
    rootdirectory: /data
http:
  addr: 127.0.0.1:0
"""


@dataclass(frozen=True)
class ConfigCase:
    """``said`` is what ``ideal`` reports; None if it accepts the file. ``exit_codes`` are those
    of 2.8 and 3.1, empty for cases of ``ideal`` only."""

    name: str
    said: str | None
    exit_codes: dict[str, int]
    text: str


def _read() -> tuple[ConfigCase, ...]:
    blocks = Path(__file__).with_suffix(".txt").read_text().split("\n## ")[1:]
    return tuple(map(_case, blocks))


def _case(block: str) -> ConfigCase:
    name, said, codes, *lines = block.rstrip("\n").split("\n")
    old, *new = codes.removeprefix("> ").split()
    exit_codes = {} if old == "ideal" else {"2.8": int(old), "3.1": int(new[0] if new else old)}
    text = "".join(f"{line}\n" for line in lines).replace("@good\n", GOOD)
    said = said.removeprefix("> ")
    return ConfigCase(name, None if said == "-" else said, exit_codes, text)


CASES = _read()
