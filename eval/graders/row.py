"""A row of the table of graders, and how the value of a check is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class CrashedCheck(Exception):
    """A check that cannot be run: the fault lies in the check, not in the answer."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(f"check `{check}` cannot be run: {reason}")
        self.check = check
        self.reason = reason


class Check(NamedTuple):
    """One grader: how it is run and what it means; `of` is the axis it speaks for unless the check says otherwise."""

    run: Callable[[str, Any], bool]
    of: str
    means: str
    value: str  # what the check's `value` holds, for a reader
    strict: bool  # to the letter, or with room for another wording
    covers: str
    does_not_cover: str
    content: Callable[[str, Any], bool] | None = None  # for `both`: what is read of the content alone
    made: Callable[[Sequence[str]], Any] | None = None  # the value from references; None where they are not of its kind


class Wrong(ValueError):
    """The value of a check is of the wrong kind."""


def text_of(value: Any) -> str:
    """A text that is not empty (numbers are written out); raises Wrong."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise Wrong(f"needs a text that is not empty, not {value!r:.60}")
    return str(value)


def texts_of(value: Any) -> list[str]:
    """One text or a list of them; raises Wrong."""
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        raise Wrong("needs at least one text, not an empty list")
    return [text_of(item) for item in items]


def count_of(value: Any) -> int:
    """A whole number from 0 up; raises Wrong."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
        raise Wrong(f"needs a whole number from 0 up, not {value!r:.60}")
    return int(value)


def share_of(value: Any, name: str = "at_least") -> float:
    """A number above 0, at most 1; raises Wrong."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise Wrong(f"{name} needs a number above 0, at most 1, not {value!r:.60}")
    return float(value)


def fields_of(value: Any, *names: str) -> list[Any]:
    """These fields of an object, in this order; raises Wrong."""
    if not isinstance(value, dict) or any(name not in value for name in names):
        raise Wrong(f"needs an object with {', '.join(names)}, not {value!r:.60}")
    return [value[name] for name in names]


def only(value: Any, *names: str) -> None:
    """Raise Wrong for a field that is not among these: a misspelt option must not be passed over."""
    unknown = [str(name) for name in value if name not in names]
    if unknown:
        raise Wrong(f"does not know {', '.join(unknown):.60}; allowed: {', '.join(names)}")


def each(references: Sequence[str]) -> list[str] | None:
    """The references themselves as a value."""
    return list(references) or None
