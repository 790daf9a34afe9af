"""Typed reading of one section of the configuration.

The readers ask a :class:`Section` for each key they know; asking is what makes a key known, so the
code that uses a key is also the list of keys there are. What was never asked for is unknown once
the reading is over. Mistakes are collected, not raised: one look at a file finds them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from reference_registry.config.problem import Place, Problem
from reference_registry.config.tree import (
    NOTHING,
    Entry,
    Mapping,
    Scalar,
    Sequence,
    Tree,
    unspaced_key,
)
from reference_registry.config.units import from_nanoseconds, parse_duration, suggested_duration
from reference_registry.profiles import Profile

__all__ = ["Reading", "Section", "nearest"]

_TRUE = frozenset({"y", "yes", "on", "true"})
_FALSE = frozenset({"n", "no", "off", "false"})
_VARIABLE = re.compile(r"\$\{\w+\}")
_BARE_VARIABLE = re.compile(r"\$[A-Za-z_]\w*")
Word = TypeVar("Word", bound=str)


class Section:
    """A mapping of the configuration, empty where the file has none.

    A getter returns its default where the key is absent or null, and where its value is wrong,
    having noted the mistake. ``released`` is what distribution exits with because of a wrong value;
    None where it overlooks it.
    """

    def __init__(self, reading: Reading, name: str, entry: Entry) -> None:
        self.reading = reading
        self.name = name
        self.place = entry.place
        self._known: set[str] = set()
        self._sections: dict[str, Section] = {}
        mapping = entry.value if isinstance(entry.value, Mapping) else Mapping()
        self._entries = mapping.entries
        for repeat in mapping.repeats:
            reading.refuse(
                repeat.place,
                self.full_name(repeat.key),
                f"given twice, first on line {repeat.first.line}",
                "keep one of them",
                released=None,
            )
        reading.sections.append(self)

    def full_name(self, key: str) -> str:
        """``http.addr`` for ``addr``."""
        return f"{self.name}.{key}" if self.name else key

    def __contains__(self, key: str) -> bool:
        """Whether *key* is there and not null."""
        return self._entry(key) is not None

    def names(self) -> list[str]:
        """All keys of the file, null ones and unknown ones too; ``x-`` keys are left out."""
        return [key for key in self._entries if not key.startswith("x-")]

    def extensions(self) -> list[str]:
        """The ``x-`` keys of the file."""
        return [key for key in self._entries if key.startswith("x-")]

    # -- mistakes -------------------------------------------------------------------------------
    def refuse(self, key: str, what: str, fix: str = "", *, released: int | None = 1) -> None:
        """Note a mistake at *key* (see :meth:`Reading.refuse`)."""
        name = self.full_name(key)
        self.reading.refuse(self.place_of(key), name, what, fix, released=released)

    def warn(self, key: str, what: str, fix: str = "", *, rule: str = "no-effect") -> None:
        """Note that *key* does not do what one may think (see :meth:`Reading.warn`)."""
        self.reading.warn(self.place_of(key), self.full_name(key), what, fix, rule=rule)

    def place_of(self, key: str) -> Place:
        """The place of *key*, or of the section if *key* is absent."""
        entry = self._entries.get(key)
        return self.place if entry is None else entry.place

    def known(self, *keys: str) -> None:
        """Keys that are fine, although their value makes no difference."""
        self._known.update(keys)

    def unused(self, *keys: str, why: str = "has no effect here") -> None:
        """Keys of distribution that this program does not act upon."""
        self._known.update(keys)
        for key in keys:
            if key in self:
                self.warn(key, why)

    def refuse_unknown(self, key: str, *, released: int | None) -> None:
        """Note that *key* is none of the known ones, with the one that was probably meant."""
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
        """To be called once everything was read. An ``x-`` key may be anybody's, unless it is a
        slip of one of ours."""
        for key in self.names():
            if key not in self._known:
                self.refuse_unknown(key, released=None)
        ours = [key for key in self._known if key.startswith("x-")]
        for key in self.extensions():
            if key not in self._known and nearest(key, ours):
                self.refuse_unknown(key, released=None)

    # -- values ---------------------------------------------------------------------------------
    def text(
        self, key: str, default: str = "", *, secret: bool = False, released: int | None = 1
    ) -> str:
        """A word or line. ``secret`` ones never appear in a message."""
        scalar = self._scalar(key, "text", released)
        if scalar is None:
            return default
        if _is_variable(scalar.text, anywhere=not secret):
            variable = f"REGISTRY_{self.full_name(key).upper().replace('.', '_')}"
            self.refuse(
                key,
                "variables are not expanded in this file",
                f"write the value, or set {variable} in the environment",
                released=None,
            )
        return scalar.text

    def flag(self, key: str, default: bool = False, *, released: int | None = 1) -> bool:
        """``true`` or ``false``, without quotes."""
        scalar = self._scalar(key, "true or false", released)
        if scalar is None:
            return default
        word = scalar.text.lower()
        if scalar.kind == "bool" or word in {"y", "n"}:
            return word in _TRUE
        if word in _TRUE | _FALSE:
            what, fix = "a text in quotes", f"write {word} without quotes"
        else:
            what, fix = "neither true nor false", "write true or false"
        self.refuse(key, what, fix, released=released)
        return default

    def integer(self, key: str, default: int = 0, *, released: int | None = 1) -> int:
        """A whole number."""
        scalar = self._scalar(key, "a number", released)
        if scalar is None:
            return default
        if scalar.kind == "int" and re.fullmatch(r"[-+]?[0-9]{1,18}", scalar.text):
            return int(scalar.text)
        self.refuse(key, "not a whole number", "write digits without quotes", released=released)
        return default

    def duration(self, key: str, *, released: int | None = 1) -> timedelta | None:
        """A duration, as Go's yaml reads it: text such as ``48h``, or a number of nanoseconds. A
        strict profile takes no bare number but 0, and nothing negative."""
        scalar = self._scalar(key, "a duration", released)
        if scalar is None:
            return None
        try:
            if scalar.kind in {"int", "float"}:
                return self._nanoseconds(key, scalar)
            found = parse_duration(scalar.text)
        except ValueError as error:
            meant = suggested_duration(scalar.text) or "48h, 1h30m or 10s"
            self.refuse(key, str(error), f"write {meant}", released=released)
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
        self,
        key: str,
        choices: Iterable[Word],
        default: Word,
        *,
        ignore_case: bool = False,
        released: int | None = 1,
    ) -> Word:
        """One of *choices*."""
        text = self.text(key, default, released=released)
        known: dict[str, Word] = {choice: choice for choice in choices}
        chosen = known.get(text.lower() if ignore_case else text)
        if chosen is not None or not text:
            return chosen or default
        near = nearest(text, known)
        fix = f"did you mean {near}?" if near else "write one of them"
        self.refuse(key, f"{text!r} is not one of {', '.join(known)}", fix, released=released)
        return default

    def texts(self, key: str, *, released: int | None = 1) -> tuple[str, ...]:
        """A list of words."""
        items = self._items(key, "a list of texts, as in [one, two]", released)
        texts = [item.value.text for item in items if isinstance(item.value, Scalar)]
        if len(texts) != len(items):
            fix = "write a list of texts, as in [one, two]"
            self.refuse(key, "a list within the list", fix, released=released)
        return tuple(texts)

    def mapped_texts(self, key: str) -> dict[str, str]:
        """A mapping of any names to single values."""
        section = self.section(key)
        return {name: section.text(name) for name in section.names()}

    # -- sections -------------------------------------------------------------------------------
    def section(self, key: str, *, released: int | None = 1) -> Section:
        """The mapping below *key*."""
        self._known.add(key)
        if key not in self._sections:
            entry = self._entry(key) or Entry(self.place_of(key), Mapping())
            if not isinstance(entry.value, Mapping):
                self._refuse_as_section(key, entry.value, released)
            self._sections[key] = Section(self.reading, self.full_name(key), entry)
        return self._sections[key]

    def shorthand(self, key: str) -> Section:
        """The mapping below *key*, where ``key: word`` is short for ``key: {word: {}}``."""
        entry = self._entry(key)
        if entry is not None and isinstance(entry.value, Scalar):
            self._known.add(key)
            mapping = Mapping({entry.value.text: Entry(entry.place, NOTHING)})
            self._sections[key] = Section(
                self.reading, self.full_name(key), Entry(entry.place, mapping)
            )
        return self.section(key)

    def sections(self, key: str) -> list[Section]:
        """The mappings of the list below *key*."""
        return [
            Section(self.reading, f"{self.full_name(key)}[{number}]", item)
            for number, item in enumerate(self._items(key, "a list of sections, each with a dash"))
        ]

    # -- helpers --------------------------------------------------------------------------------
    def _entry(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        if entry is None or (isinstance(entry.value, Scalar) and entry.value.kind == "null"):
            return None
        self.reading.places[self.full_name(key)] = entry.place
        return entry

    def _scalar(self, key: str, wanted: str, released: int | None) -> Scalar | None:
        self._known.add(key)
        entry = self._entry(key)
        if entry is None:
            return None
        if isinstance(entry.value, Scalar):
            return entry.value
        found = "a section" if isinstance(entry.value, Mapping) else "a list"
        what = f"{found}, where {wanted} is wanted"
        self.refuse(key, what, f"write {key}: VALUE", released=released)
        return None

    def _items(self, key: str, wanted: str, released: int | None = 1) -> tuple[Entry, ...]:
        self._known.add(key)
        entry = self._entry(key)
        if entry is None:
            return ()
        if isinstance(entry.value, Sequence):
            return entry.value.items
        self.refuse(key, "not a list", f"write {wanted}", released=released)
        return ()

    def _refuse_as_section(self, key: str, found: Tree, released: int | None) -> None:
        if isinstance(found, Scalar) and (unspaced := unspaced_key(found.text)):
            what, fix = "no space after the colon below", f'write "{unspaced[0]}: ..."'
        else:
            kind = "a list" if isinstance(found, Sequence) else "a single value"
            what, fix = f"{kind}, where a section is wanted", "put its keys below, indented"
        self.refuse(key, what, fix, released=released)


def _is_variable(text: str, *, anywhere: bool) -> bool:
    """Whether *text* counts on ``${NAME}`` being replaced. A secret may well contain such
    characters, so that only a whole one is taken for a variable."""
    if anywhere:
        return bool(_VARIABLE.search(text) or _BARE_VARIABLE.fullmatch(text))
    return bool(_VARIABLE.fullmatch(text))


_EXIT_CODE = 2  # of a strict profile, for every bad configuration


@dataclass
class Reading:
    """A configuration being read: the problems found, and the place of each key."""

    profile: Profile
    problems: list[Problem] = field(default_factory=list)
    overlooked: list[Problem] = field(default_factory=list)
    """What a strict profile refuses, and this one takes in silence."""
    places: dict[str, Place] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)

    @property
    def strict(self) -> bool:
        return self.profile.strict_config

    def refuse(
        self, place: Place, key: str, what: str, fix: str = "", *, released: int | None = 1
    ) -> None:
        """A mistake. *released* is what distribution exits with because of it; None where it
        takes the file, so that only a strict profile complains."""
        code = _EXIT_CODE if self.strict else released
        if code is not None:
            self.problems.append(Problem(place, key, what, fix, code))
        else:
            self.overlooked.append(Problem(place, key, what, fix, rule="overlooked"))

    def warn(
        self, place: Place, key: str, what: str, fix: str = "", *, rule: str = "no-effect"
    ) -> None:
        """Something that does not do what one may think, a case of *rule*."""
        self.problems.append(Problem(place, key, what, fix, rule=rule))

    def finish(self) -> None:
        """Report the keys that no reader asked for."""
        for section in self.sections:
            section.report_unknown_keys()


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of *known* that *word* is most likely a slip of."""
    from difflib import get_close_matches  # only where there is a mistake

    by_lower = {name.lower(): name for name in known}
    plain = re.sub(r"[^a-z0-9]", "", word.lower())
    found = get_close_matches(plain, by_lower, n=1, cutoff=0.7)
    return by_lower[found[0]] if found else None
