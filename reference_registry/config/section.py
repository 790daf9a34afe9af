"""Typed reading of one section of the configuration.

A reader asks a :class:`Section` for each key it knows. Asking makes the key known; a key that no
reader asked for is reported as unknown at the end. Mistakes are collected, not raised, so that one
run finds them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from reference_registry.config.problem import Place, Problem
from reference_registry.config.tree import (
    NOTHING,
    Mapping,
    Scalar,
    Sequence,
    Tree,
    TreeEntry,
    unspaced_key,
)
from reference_registry.config.units import from_nanoseconds, parse_duration, suggested_duration
from reference_registry.profiles import Profile

_INHERITED = -1
_TRUE = frozenset({"y", "yes", "on", "true"})
_FALSE = frozenset({"n", "no", "off", "false"})
_VARIABLE = re.compile(r"\$\{\w+\}")
_BARE_VARIABLE = re.compile(r"\$[A-Za-z_]\w*")
Word = TypeVar("Word", bound=str)


class Section:
    """A mapping of the configuration, empty where the file has none.

    A getter returns its default if the key is absent or null, or if its value is wrong; a wrong
    value is recorded. ``released`` is the exit code of distribution for a wrong value in this
    section; None if it accepts the value.
    """

    def __init__(
        self, reading: Reading, name: str, entry: TreeEntry, released: int | None = 1
    ) -> None:
        self.reading = reading
        self.name = name
        self.place = entry.place
        self.released = released
        self._known: set[str] = set()
        self._sections: dict[str, Section] = {}
        mapping = entry.value if isinstance(entry.value, Mapping) else Mapping()
        self.entries = mapping.entries
        for repeat in mapping.repeats:
            what = f"given twice, first on line {repeat.first.line}"
            name = self.full_name(repeat.key)
            reading.refuse(repeat.place, name, what, "keep one of them", released=None)
        reading.sections.append(self)

    def full_name(self, key: str) -> str:
        """``http.addr`` for ``addr``."""
        return f"{self.name}.{key}" if self.name else key

    def __contains__(self, key: str) -> bool:
        """Whether *key*, which is known then, is there and not null."""
        return self._entry(key) is not None

    def names(self) -> list[str]:
        """All keys of the file, including null and unknown ones, but not ``x-`` keys."""
        return [key for key in self.entries if not key.startswith("x-")]

    # -- mistakes -------------------------------------------------------------------------------
    def refuse(
        self, key: str, what: str, fix: str = "", *, released: int | None = _INHERITED
    ) -> None:
        """Record a mistake at *key* (see :meth:`Reading.refuse`)."""
        released = self.released if released == _INHERITED else released
        name = self.full_name(key)
        self.reading.refuse(self.place_of(key), name, what, fix, released=released)

    def warn(self, key: str, what: str, fix: str = "", *, rule: str = "no-effect") -> None:
        """Record a surprising effect of *key* (see :meth:`Reading.warn`)."""
        self.reading.warn(self.place_of(key), self.full_name(key), what, fix, rule=rule)

    def place_of(self, key: str) -> Place:
        """The place of *key*, or of the section if *key* is absent."""
        entry = self.entries.get(key)
        return self.place if entry is None else entry.place

    def known(self, *keys: str) -> None:
        """Accept *keys*, whose values have no effect."""
        self._known.update(keys)

    def unused(self, *keys: str, why: str = "has no effect here") -> None:
        """Accept *keys* of distribution that have no effect here, with a warning."""
        self._known.update(keys)
        for key in keys:
            if key in self:
                self.warn(key, why)

    def refuse_unknown(self, key: str, *, released: int | None) -> None:
        """Record that *key* is unknown, with the key that was probably meant."""
        near = nearest(key, self._known)
        fix = f"did you mean {near}?" if near else f"known here: {', '.join(sorted(self._known))}"
        self._known.add(key)
        if self.place_of(key).line is None:
            # Not an error: Kubernetes sets REGISTRY_PORT beside a service that is called registry.
            what = "no such key, the variable is ignored"
            self.warn(key, what, fix, rule="unknown-variable")
        else:
            self.refuse(key, "unknown key", fix, released=released)

    def report_unknown_keys(self) -> None:
        """Call this once everything was read. An ``x-`` key may belong to another program, unless
        it is a slip of one of ours."""
        ours = [key for key in self._known if key.startswith("x-")]
        for key in [key for key in self.entries if key not in self._known]:
            if not key.startswith("x-") or nearest(key, ours):
                self.refuse_unknown(key, released=None)

    # -- values ---------------------------------------------------------------------------------
    def text(self, key: str, default: str = "", *, secret: bool = False) -> str:
        """A word or line. ``secret`` ones never appear in a message."""
        scalar = self._scalar(key, "text")
        if scalar is None:
            return default
        if _is_variable(scalar.text, anywhere=not secret):
            variable = f"REGISTRY_{self.full_name(key).upper().replace('.', '_')}"
            fix = f"write the value, or set {variable} in the environment"
            self.refuse(key, "variables are not expanded in this file", fix, released=None)
        return scalar.text

    def path(self, key: str) -> Path | None:
        """The path of a file; None if it is absent or empty."""
        text = self.text(key)
        return Path(text) if text else None

    def url_path(self, key: str, default: str) -> str:
        """The path of a URL. Releases do not notice a missing slash."""
        path = self.text(key) or default
        if not path.startswith("/"):
            self.refuse(key, "no slash in front", f"write /{path}", released=None)
        return path

    def flag(self, key: str, default: bool = False) -> bool:
        """``true`` or ``false``, without quotes."""
        scalar = self._scalar(key, "true or false")
        if scalar is None:
            return default
        word = scalar.text.lower()
        if scalar.kind == "bool" or word in {"y", "n"}:
            return word in _TRUE
        if word in _TRUE | _FALSE:
            self.refuse(key, "a text in quotes", f"write {word} without quotes")
        else:
            self.refuse(key, "neither true nor false", "write true or false")
        return default

    def integer(self, key: str, default: int = 0) -> int:
        """A whole number."""
        scalar = self._scalar(key, "a number")
        if scalar is None:
            return default
        if scalar.kind == "int" and re.fullmatch(r"[-+]?[0-9]{1,18}", scalar.text):
            return int(scalar.text)
        self.refuse(key, "not a whole number", "write digits without quotes")
        return default

    def duration(self, key: str) -> timedelta | None:
        """A duration, as Go's yaml reads it: text such as ``48h``, or a number of nanoseconds. A
        strict profile takes no bare number but 0, and nothing negative."""
        scalar = self._scalar(key, "a duration")
        if scalar is None:
            return None
        try:
            if scalar.kind in {"int", "float"}:
                return self._nanoseconds(key, scalar)
            found = parse_duration(scalar.text)
        except ValueError as error:
            meant = suggested_duration(scalar.text) or "48h, 1h30m or 10s"
            self.refuse(key, str(error), f"write {meant}")
            return None
        if found < timedelta(0):
            self.refuse(key, "negative", "write 0 or a positive duration", released=None)
        return found

    def _nanoseconds(self, key: str, scalar: Scalar) -> timedelta:
        number = float(scalar.text.replace("_", ""))
        if abs(number) < 1:
            return timedelta(0)
        if not abs(number) < 1e18:  # infinity and NaN too
            raise ValueError("out of range")
        meant = suggested_duration(scalar.text) or "10s"
        self.refuse(key, "a bare number is nanoseconds", f"write {meant}", released=None)
        return from_nanoseconds(int(number))

    def choice(
        self, key: str, choices: Iterable[Word], default: Word, *, ignore_case: bool = False
    ) -> Word:
        """One of *choices*."""
        text = self.text(key, default)
        known: dict[str, Word] = {choice: choice for choice in choices}
        chosen = known.get(text.lower() if ignore_case else text)
        if chosen is not None or not text:
            return chosen or default
        near = nearest(text, known)
        fix = f"did you mean {near}?" if near else "write one of them"
        self.refuse(key, f"{text!r} is not one of {', '.join(known)}", fix)
        return default

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of words."""
        wanted = "a list of texts, as in [one, two]"
        items = self._items(key, wanted)
        texts = [item.value.text for item in items if isinstance(item.value, Scalar)]
        if len(texts) != len(items):
            self.refuse(key, "a list within the list", f"write {wanted}")
        return tuple(texts)

    # -- sections -------------------------------------------------------------------------------
    def section(self, key: str, *, released: int | None = _INHERITED) -> Section:
        """The mapping below *key*. *released* is for the values in it."""
        if key not in self._sections:
            entry = self._entry(key) or TreeEntry(self.place_of(key), Mapping())
            if not isinstance(entry.value, Mapping):
                self._refuse_as_section(key, entry.value)
            self._add_section(key, entry, released)
        return self._sections[key]

    def shorthand(self, key: str) -> Section:
        """The mapping below *key*, where ``key: word`` is short for ``key: {word: {}}``."""
        entry = self._entry(key)
        if entry is not None and isinstance(entry.value, Scalar):
            mapping = Mapping({entry.value.text: TreeEntry(entry.place, NOTHING)})
            self._add_section(key, TreeEntry(entry.place, mapping), _INHERITED)
        return self.section(key)

    def _add_section(self, key: str, entry: TreeEntry, released: int | None) -> None:
        released = self.released if released == _INHERITED else released
        self._sections[key] = Section(self.reading, self.full_name(key), entry, released)

    def sections(self, key: str) -> list[Section]:
        """The mappings of the list below *key*."""
        return [
            Section(self.reading, f"{self.full_name(key)}[{number}]", item)
            for number, item in enumerate(self._items(key, "a list of sections, each with a dash"))
        ]

    # -- helpers --------------------------------------------------------------------------------
    def _entry(self, key: str) -> TreeEntry | None:
        self._known.add(key)
        entry = self.entries.get(key)
        if entry is None or (isinstance(entry.value, Scalar) and entry.value.kind == "null"):
            return None
        self.reading.places[self.full_name(key)] = entry.place
        return entry

    def _scalar(self, key: str, wanted: str) -> Scalar | None:
        entry = self._entry(key)
        if entry is None:
            return None
        if isinstance(entry.value, Scalar):
            return entry.value
        found = "a section" if isinstance(entry.value, Mapping) else "a list"
        self.refuse(key, f"{found}, where {wanted} is wanted", f"write {key}: VALUE")
        return None

    def _items(self, key: str, wanted: str) -> tuple[TreeEntry, ...]:
        entry = self._entry(key)
        if entry is None:
            return ()
        if isinstance(entry.value, Sequence):
            return entry.value.items
        self.refuse(key, "not a list", f"write {wanted}")
        return ()

    def _refuse_as_section(self, key: str, found: Tree) -> None:
        if isinstance(found, Scalar) and (unspaced := unspaced_key(found.text)):
            what, fix = "no space after the colon below", f'write "{unspaced[0]}: ..."'
        else:
            kind = "a list" if isinstance(found, Sequence) else "a single value"
            what, fix = f"{kind}, where a section is wanted", "put its keys below, indented"
        self.refuse(key, what, fix)


def _is_variable(text: str, *, anywhere: bool) -> bool:
    """Whether *text* expects ``${NAME}`` to be replaced. A secret may contain such characters: only
    a whole one counts."""
    if anywhere:
        return bool(_VARIABLE.search(text) or _BARE_VARIABLE.fullmatch(text))
    return bool(_VARIABLE.fullmatch(text))


@dataclass
class Reading:
    """A configuration being read: the problems found, and the place of each key."""

    profile: Profile
    problems: list[Problem] = field(default_factory=list)
    overlooked: list[Problem] = field(default_factory=list)
    """What a strict profile refuses, and this one accepts silently."""
    places: dict[str, Place] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)

    @property
    def strict(self) -> bool:
        return self.profile.strict_config

    def refuse(
        self, place: Place, key: str, what: str, fix: str = "", *, released: int | None = 1
    ) -> None:
        """Record a mistake. *released* is the exit code of distribution; None if it accepts the
        file, so that only a strict profile refuses it."""
        code = 2 if self.strict else released
        if code is not None:
            self.problems.append(Problem(place, key, what, fix, code))
        else:
            self.overlooked.append(Problem(place, key, what, fix, rule="overlooked"))

    def warn(
        self, place: Place, key: str, what: str, fix: str = "", *, rule: str = "no-effect"
    ) -> None:
        """Record a surprising effect, found by *rule*."""
        self.problems.append(Problem(place, key, what, fix, rule=rule))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The word of *known* that *word* is most likely a slip of."""
    from difflib import get_close_matches  # only where there is a mistake

    by_lower = {name.lower(): name for name in known}
    plain = re.sub(r"[^a-z0-9]", "", word.lower())
    found = get_close_matches(plain, by_lower, n=1, cutoff=0.7)
    return by_lower[found[0]] if found else None
