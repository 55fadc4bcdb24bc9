"""The checks that an answer can be put to: the tables of all graders in one, and how one of them is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eval.graders import (
    abstention,
    as_json,
    choice,
    citation,
    code,
    ifeval,
    language,
    likeness,
    numbers,
    patterns,
    shape,
    similar,
    sql,
    texts,
)
from eval.graders.row import Check, CrashedCheck, Wrong
from eval.regexes import BadPattern

__all__ = ["AXES", "CHECKS", "CONTENT_OF", "Check", "CrashedCheck", "axis_of", "check_from", "passes"]

AXES = ("form", "content", "both")
MAX_DEPTH = 4  # of checks inside `not` and `all`


def _not(answer: str, value: Any) -> bool:
    return not passes(answer, value)


def _all(answer: str, value: Any) -> bool:
    return all([passes(answer, check) for check in value])  # each is run: one that crashes must not hide


_COMBINED = {
    "not": Check(
        _not,
        "both",
        "fails this check",
        "a check",
        True,
        "every check; its axis is that of the check inside",
        "an empty answer fails most checks and so passes this; a check that cannot run inside cannot run here",
    ),
    "all": Check(
        _all,
        "both",
        "passes each of these checks",
        "checks",
        True,
        "every check; its axis is theirs where they have one in common",
        "a share of them",
    ),
}
_FAMILIES = [as_json, patterns, texts, shape, numbers, choice, likeness, similar, sql, code, language, ifeval]
_FAMILIES += [abstention, citation]

CHECKS: dict[str, Check] = {kind: row for family in _FAMILIES for kind, row in family.CHECKS.items()} | _COMBINED

# What a check of both axes says of the content alone, where no content check is given.
CONTENT_OF: dict[str, Callable[[str, Any], bool]] = {kind: row.content for kind, row in CHECKS.items() if row.content}


def axis_of(check: Any, depth: int = 0) -> str:
    """The axis that a check speaks for: its own `of`, else the default of its type. Raises CrashedCheck."""
    kind = check.get("type") if hasattr(check, "get") else None
    if not isinstance(kind, str) or kind not in CHECKS:
        raise CrashedCheck(str(kind), f"unknown type; allowed: {', '.join(CHECKS)}")
    axis = check.get("of") or (_axis_inside(check, depth) if kind in _COMBINED else CHECKS[kind].of)
    if axis not in AXES:
        raise CrashedCheck(kind, f"`of` is {axis!r:.40}; allowed: {', '.join(AXES)}")
    return str(axis)


def _axis_inside(check: Any, depth: int) -> str:
    """The axis that all checks inside a `not` or `all` have in common, else both. Raises CrashedCheck."""
    kind, value = check["type"], check.get("value")
    inside = value if kind == "all" and isinstance(value, list) else [value] if kind == "not" else []
    if not inside or depth >= MAX_DEPTH:
        raise CrashedCheck(kind, f"needs {CHECKS[kind].value}, not deeper than {MAX_DEPTH}, not {value!r:.60}")
    axes = {axis_of(one, depth + 1) for one in inside}
    return axes.pop() if len(axes) == 1 else "both"


def passes(answer: str, check: Any, *, content_only: bool = False) -> bool:
    """Whether the answer passes one check {type, value, of}; `content_only` reads a check of both for its content.

    Raises CrashedCheck for an unknown type, a value of the wrong kind, a pattern that cannot be run.
    """
    axis_of(check)
    kind, value = check["type"], check.get("value")
    run = CONTENT_OF.get(kind, CHECKS[kind].run) if content_only else CHECKS[kind].run
    try:
        return bool(run(answer, value))
    except CrashedCheck:
        raise
    except (Wrong, BadPattern) as error:
        raise CrashedCheck(kind, str(error)) from error
    except Exception as error:
        # The value comes from a log: whatever it makes a check raise is the check's fault, never the answer's.
        raise CrashedCheck(kind, f"{type(error).__name__}: {error}"[:200]) from error


def check_from(kind: str, references: Sequence[str]) -> dict[str, Any] | None:
    """The check of this type that the references call for; None where they are not of its kind (no number, no SQL).

    Raises CrashedCheck for a type that is unknown or cannot be made from references alone.
    """
    made = CHECKS[kind].made if kind in CHECKS else None
    if made is None:
        known = ", ".join(name for name, row in CHECKS.items() if row.made)
        raise CrashedCheck(kind, f"is not made from a reference; allowed: {known}")
    given = [reference for reference in references if reference.strip()]
    value = made(given) if given else None
    return None if value is None else {"type": kind, "value": value}
