"""The one error that ``pullproof explain`` shows for bad input."""

from __future__ import annotations

__all__ = ["BadInput"]


class BadInput(ValueError):
    """What is wrong with a file or an option, where, and what to do about it."""

    def __init__(
        self, problem: str, file: str | None = None, line: int | None = None, fix: str = ""
    ) -> None:
        self.problem = problem
        self.file = file
        self.line = line
        self.fix = fix
        place = "" if file is None else f"{file}: " if line is None else f"{file}:{line}: "
        super().__init__(f"{place}{problem}{f' ({fix})' if fix else ''}")
