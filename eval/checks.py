"""The checks that an answer can be put to: a table from type to function, axis and meaning."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from eval.fold import holds, numbers, overlap_f1, same
from eval.regexes import BadPattern, matches
from eval.structure import (
    NOTHING,
    equal_json,
    equal_sql,
    found_json,
    found_sql,
    like_json,
    parsed_sql,
    whole_json,
)

AXES = ("form", "content", "both")
NUMBER_TOLERANCE = 1e-6  # relative; ours: room for decimal rounding, none for another value


class CrashedCheck(Exception):
    """A check that cannot be run: the fault lies in the check, not in the answer."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(f"check `{check}` cannot be run: {reason}")
        self.check = check
        self.reason = reason


class Check(NamedTuple):
    """How a type of check is run, which axis it speaks for unless the row says otherwise, what it means."""

    run: Callable[[str, Any], bool]
    of: str
    means: str


class _Wrong(ValueError):
    """The value of a check is of the wrong kind."""


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise _Wrong(f"needs a text that is not empty, not {value!r:.60}")
    return str(value)


def _texts(value: Any) -> list[str]:
    """One text or a list of them."""
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        raise _Wrong("needs at least one text, not an empty list")
    return [_text(item) for item in items]


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
        raise _Wrong(f"needs a whole number from 0 up, not {value!r:.60}")
    return int(value)


def _fields(value: Any, *names: str) -> list[Any]:
    if not isinstance(value, dict) or any(name not in value for name in names):
        raise _Wrong(f"needs an object with {', '.join(names)}, not {value!r:.60}")
    return [value[name] for name in names]


def _lines(text: str) -> list[str]:
    """Lines that are not blank, spaces inside folded."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def _is_json(answer: str, value: Any) -> bool:
    parsed = whole_json(answer)
    return parsed is not NOTHING if value == "any" else isinstance(parsed, dict | list)


def _json_keys(answer: str, value: Any) -> bool:
    parsed, keys = whole_json(answer), set(_texts(value))
    rows = parsed if isinstance(parsed, list) and parsed else [parsed]
    return all(isinstance(row, dict) and set(row) == keys for row in rows)


def _json_value(value: Any) -> Any:
    if isinstance(value, str):  # a log often holds JSON inside a string
        parsed = whole_json(value)
        value = parsed if isinstance(parsed, dict | list) else value
    if not isinstance(value, dict | list):
        raise _Wrong(f"needs an object or array, not {value!r:.60}")
    return value


def _json_schema(answer: str, value: Any) -> bool:
    from jsonschema import ValidationError, exceptions, validators
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    if not isinstance(value, dict):
        raise _Wrong(f"needs a JSON schema, not {value!r:.60}")

    def pattern(_: Any, wanted: str, given: Any, __: Any) -> Iterator[ValidationError]:
        if isinstance(given, str) and not matches(wanted, given):
            yield ValidationError("the pattern is not found")

    kind = validators.extend(validators.validator_for(value), {"pattern": pattern})  # type: ignore[no-untyped-call]
    try:
        kind.check_schema(value)
        parsed = whole_json(answer)
        # An empty registry: a schema from a log must never make this program fetch an address.
        return parsed is not NOTHING and bool(kind(value, registry=Registry()).is_valid(parsed))
    except exceptions.SchemaError as error:
        raise _Wrong(f"the schema is not valid: {error.message:.120}") from error
    except Unresolvable as error:
        raise _Wrong(f"the schema refers to something outside itself: {error}") from error


def _number(answer: str, value: Any) -> bool:
    which, tolerance = "first or last", NUMBER_TOLERANCE
    if isinstance(value, dict):
        which, tolerance = value.get("which", which), value.get("tolerance", tolerance)
        (value,) = _fields(value, "value")
    wanted = numbers(value) if isinstance(value, str) else [value]
    if len(wanted) != 1 or isinstance(wanted[0], bool) or not isinstance(wanted[0], int | float):
        raise _Wrong(f"needs one number, not {value!r:.60}")
    found = numbers(answer)
    picks = {"first": found[:1], "last": found[-1:], "first or last": found[:1] + found[-1:], "any": found}
    if which not in picks:
        raise _Wrong(f"which: {which!r:.40}, allowed: {', '.join(picks)}")
    return any(math.isclose(number, wanted[0], rel_tol=tolerance, abs_tol=1e-12) for number in picks[which])


def _row(answer: str, value: Any) -> bool:
    separator, cells = _fields(value, "separator", "cells")
    lines = answer.strip().splitlines()
    return len(lines) == 1 and _cells(lines[0], _text(separator)) == [cell.strip() for cell in map(str, cells)]


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for cell in line.strip().split(separator)]


def _row_content(answer: str, value: Any) -> bool:
    separator, cells = _fields(value, "separator", "cells")
    # Spaces around the separator: "12,345" is two cells here, not a number with a thousands separator.
    spaced = answer.replace(_text(separator), f" {separator} ")
    return all(holds(spaced, str(cell)) for cell in cells if str(cell).strip())


def _row_cells(answer: str, value: Any) -> bool:
    separator, count = _fields(value, "separator", "count")
    lines = answer.strip().splitlines()
    return len(lines) == 1 and len(_cells(lines[0], _text(separator))) == _count(count)


def _overlap(answer: str, value: Any) -> bool:
    text, at_least = _fields(value, "text", "at_least")
    if isinstance(at_least, bool) or not isinstance(at_least, int | float) or not 0 < at_least <= 1:
        raise _Wrong(f"at_least needs a number above 0, at most 1, not {at_least!r:.60}")
    return overlap_f1(answer, _texts(text)) >= at_least


def _is_sql(answer: str, value: Any) -> bool:
    return "```" not in answer and parsed_sql(answer, _dialect(value)) is not None


def _dialect(value: Any) -> str | None:
    if value in (None, True, ""):
        return None
    from sqlglot import Dialect

    if Dialect.get(str(value).lower()) is None:
        raise _Wrong(f"dialect {value!r:.40} is not known to sqlglot")
    return str(value).lower()


def _sql_equal(answer: str, value: Any) -> bool:
    wanted = [parsed_sql(text) for text in _texts(value)]
    if None in wanted:
        raise _Wrong("needs one SQL statement that parses")
    given = found_sql(answer)
    return given is not None and any(equal_sql(given, tree) for tree in wanted)


_BULLET = re.compile(r"^\s*(?:[-*\u2022\u2013+]|\d{1,3}[.)])\s+\S")


def _bullets(answer: str, value: Any) -> bool:
    marked = sum(bool(_BULLET.match(line)) for line in answer.splitlines())
    return marked > 0 if value is None else marked == _count(value)


def _sentences(text: str) -> int:
    return len([part for part in re.split(r"(?<=[.!?\u3002\uff01\uff1f])[\"')\]]*(?:\s+|$)|\n+", text) if part.strip()])


def _word_count(text: str) -> int:
    """Words between spaces; signs of scripts without spaces count one each."""
    rest, signs = re.subn(r"[\u3040-\u30ff\u3400-\u9fff]", " ", text)
    return signs + sum(1 for part in rest.split() if re.search(r"\w", part))


CHECKS: dict[str, Check] = {
    "is-json": Check(_is_json, "form", "the whole answer is one JSON object or array (value `any`: or a scalar)"),
    "json-keys": Check(_json_keys, "form", "the whole answer is JSON with exactly these keys"),
    "json-schema": Check(_json_schema, "form", "the whole answer is JSON that this schema accepts"),
    "json-equal": Check(
        lambda a, v: equal_json(whole_json(a), _json_value(v)), "both", "the whole answer is JSON equal to this"
    ),
    "json-values": Check(
        lambda a, v: like_json(found_json(a), _json_value(v)), "content", "the JSON found in the answer says this"
    ),
    "regex": Check(lambda a, v: matches(_text(v), a), "form", "the pattern is found in the answer"),
    "full-match": Check(lambda a, v: matches(_text(v), a.strip(), full=True), "form", "the pattern matches it all"),
    "starts-with": Check(
        lambda a, v: a.strip().startswith(tuple(_texts(v))), "form", "begins with this, to the letter"
    ),
    "ends-with": Check(lambda a, v: a.strip().endswith(tuple(_texts(v))), "form", "ends with this, to the letter"),
    "max-words": Check(lambda a, v: _word_count(a) <= _count(v), "form", "at most so many words"),
    "min-words": Check(lambda a, v: _word_count(a) >= _count(v), "form", "at least so many words"),
    "max-chars": Check(lambda a, v: len(a.strip()) <= _count(v), "form", "at most so many characters"),
    "max-lines": Check(lambda a, v: len(_lines(a)) <= _count(v), "form", "at most so many lines that are not blank"),
    "max-sentences": Check(lambda a, v: _sentences(a) <= _count(v), "form", "at most so many sentences"),
    "bullets": Check(_bullets, "form", "a list of exactly so many points (no value: of any length)"),
    "lower-case": Check(lambda a, v: a == a.lower(), "form", "no capital letter"),
    "upper-case": Check(lambda a, v: a == a.upper(), "form", "no small letter"),
    "cells": Check(_row_cells, "form", "one line of `count` cells between `separator`"),
    "is-sql": Check(_is_sql, "form", "the whole answer is one SQL statement (value: a dialect)"),
    "row": Check(_row, "both", "one line with exactly these cells between `separator`"),
    "lines-equal": Check(
        lambda a, v: _lines(a) == [line for text in _texts(v) for line in _lines(text)], "both", "exactly these lines"
    ),
    "equals": Check(
        lambda a, v: any(same(a, text) for text in _texts(v)),
        "both",
        "this and no more (case, punctuation, spaces free)",
    ),
    "contains": Check(lambda a, v: holds(a, _text(v)), "content", "says this"),
    "contains-all": Check(lambda a, v: all(holds(a, text) for text in _texts(v)), "content", "says all of these"),
    "contains-any": Check(lambda a, v: any(holds(a, text) for text in _texts(v)), "content", "says one of these"),
    "not-contains": Check(lambda a, v: not any(holds(a, text) for text in _texts(v)), "content", "says none of these"),
    "number": Check(_number, "content", "its first or last number is this one"),
    "overlap": Check(_overlap, "content", "shares enough words with `text` (SQuAD F1 of `at_least`)"),
    "sql-equal": Check(_sql_equal, "content", "the SQL found in the answer is this query"),
}

# What a check of both axes says of the content alone, where no content check is given.
CONTENT_OF: dict[str, Callable[[str, Any], bool]] = {
    "json-equal": CHECKS["json-values"].run,
    "row": _row_content,
    "lines-equal": lambda a, v: all(holds(a, line) for text in _texts(v) for line in _lines(text)),
    "equals": CHECKS["contains-any"].run,
}


def axis_of(check: Any) -> str:
    """The axis that a check speaks for: its own `of`, else the default of its type. Raises CrashedCheck."""
    kind = check.get("type") if hasattr(check, "get") else None
    if not isinstance(kind, str) or kind not in CHECKS:
        raise CrashedCheck(str(kind), f"unknown type; allowed: {', '.join(CHECKS)}")
    axis = check.get("of") or CHECKS[kind].of
    if axis not in AXES:
        raise CrashedCheck(kind, f"`of` is {axis!r:.40}; allowed: {', '.join(AXES)}")
    return str(axis)


def passes(answer: str, check: Any, *, content_only: bool = False) -> bool:
    """Whether the answer passes one check {type, value, of}; `content_only` reads a check of both for its content.

    Raises CrashedCheck for an unknown type, a value of the wrong kind, a pattern that cannot be run.
    """
    axis_of(check)
    kind, value = check["type"], check.get("value")
    run = CONTENT_OF.get(kind, CHECKS[kind].run) if content_only else CHECKS[kind].run
    try:
        return run(answer, value)
    except (_Wrong, BadPattern) as error:
        raise CrashedCheck(kind, str(error)) from error
    except Exception as error:
        # The value comes from a log: whatever it makes a check raise is the check's fault, never the answer's.
        raise CrashedCheck(kind, f"{type(error).__name__}: {error}"[:200]) from error
