"""JSON and SQL in an answer: read strictly (form) or picked out leniently (content)."""

from __future__ import annotations

import json
import math
import re
import time
from functools import cache
from typing import Any

from eval.fold import numbers, same

# Repair and parsing are slow on long nonsense, about 1 s at these lengths; what lies beyond is not read.
MAX_REPAIR_CHARS = 10_000
MAX_SQL_CHARS = 10_000
MAX_SQL_S = 0.4  # of the processor, for parsing one text
_FENCE = re.compile(r"```[\w+-]*\s*\n?(.*?)(?:```|\Z)", re.S)
_SQL_START = re.compile(r"\b(?:SELECT|WITH|INSERT\s+INTO|UPDATE|DELETE\s+FROM|CREATE|ALTER|DROP)\b", re.I)
NOTHING = object()


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON (RFC 8259)")


def whole_json(answer: str) -> Any:
    """The value when the whole answer is one JSON value (RFC 8259: no NaN), else NOTHING."""
    try:
        return json.loads(answer.strip(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return NOTHING


def found_json(answer: str) -> Any:
    """The first object or array found anywhere in the answer, repaired if broken, else NOTHING."""
    value = whole_json(answer)
    if isinstance(value, dict | list):
        return value
    import json_repair

    fenced = _FENCE.search(answer)
    text = fenced.group(1) if fenced and re.search(r"[{\[]", fenced.group(1)) else answer
    start = re.search(r"\{", text) or re.search(r"\[", text)
    if start is None:
        return NOTHING
    text = text[start.start() :]
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        try:
            value = json_repair.loads(text[:MAX_REPAIR_CHARS], skip_json_loads=True)
        except (ValueError, RecursionError):
            return NOTHING
        # Prose after a broken object makes the repair return a list of pieces: the first is the object.
        if isinstance(value, list) and text.startswith("{"):
            value = next((piece for piece in value if isinstance(piece, dict)), NOTHING)
    return value if isinstance(value, dict | list) and value else NOTHING


def equal_json(left: Any, right: Any) -> bool:
    """Equal as JSON: 1 equals 1.0, but neither "1" nor true; the order of keys is free, that of arrays is not."""
    if isinstance(left, bool) or isinstance(right, bool) or left is None or right is None:
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal_json, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal_json(left[key], right[key]) for key in left)
    return False


def like_json(given: Any, wanted: Any) -> bool:
    """Whether `given` holds what `wanted` says, leniently: extra keys, key case, number as text, text folded."""
    if isinstance(wanted, dict):
        if not isinstance(given, dict):
            return False
        keys = {key.casefold().strip(): key for key in given}
        return all(
            key.casefold().strip() in keys and like_json(given[keys[key.casefold().strip()]], value)
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(given, list) and len(given) == len(wanted) and all(map(like_json, given, wanted))
    if isinstance(given, dict | list):
        return False
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        found = [float(given)] if isinstance(given, int | float) else numbers(str(given))
        return len(found) == 1 and math.isclose(found[0], wanted, rel_tol=1e-6)
    return same(scalar_text(given), scalar_text(wanted))


def scalar_text(value: Any) -> str:
    """A JSON scalar as one would write it in prose: true, null, 3, 3.5, text."""
    if isinstance(value, str):
        return value
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


def scalars(value: Any) -> list[str]:
    """The texts and numbers of a JSON value (no booleans, nulls, empty texts), in order, each once."""
    if isinstance(value, dict):
        found = [text for part in value.values() for text in scalars(part)]
    elif isinstance(value, list):
        found = [text for part in value for text in scalars(part)]
    elif value is None or isinstance(value, bool) or not str(value).strip():
        found = []
    else:
        found = [scalar_text(value)]
    return list(dict.fromkeys(found))


def parsed_sql(text: str, dialect: str | None = None) -> Any:
    """The syntax tree when the text is exactly one SQL statement, else None.

    None too for what takes more than 0.4 s of the processor: long chains of calls take sqlglot minutes.
    """
    from sqlglot import Dialect, expressions
    from sqlglot.errors import SqlglotError

    kinds = (expressions.Query, expressions.DML, expressions.DDL, expressions.Alter, expressions.Drop)
    spoken, text = Dialect.get_or_raise(dialect), text[:MAX_SQL_CHARS]
    try:
        parsed = _timed(spoken.parser_class)(dialect=spoken).parse(spoken.tokenize(text), text)
    except (SqlglotError, RecursionError, TimeoutError):
        return None
    trees = [tree for tree in parsed if tree is not None]
    return trees[0] if len(trees) == 1 and isinstance(trees[0], kinds) else None


@cache
def _timed(parser: type) -> type:
    """sqlglot's parser with a look at the clock at every token."""

    class Timed(parser):  # type: ignore[misc]
        ends_s = 0.0

        def parse(self, *given: Any, **named: Any) -> Any:
            self.ends_s = time.process_time() + MAX_SQL_S
            return super().parse(*given, **named)

        def _advance(self, times: int = 1) -> None:
            if self.ends_s and time.process_time() > self.ends_s:
                raise TimeoutError
            super()._advance(times)

    return Timed


def sql_candidates(answer: str) -> list[str]:
    """Where the first SQL statement of an answer may end: at its end, the first semicolon, the first blank line.

    Fences and prose before it are dropped; empty where no statement begins.
    """
    fenced = _FENCE.search(answer)
    text = fenced.group(1) if fenced else answer
    start = _SQL_START.search(text)
    if start is None:
        return []
    rest = text[start.start() :]
    return list(dict.fromkeys((rest, rest.split(";")[0], re.split(r"\n\s*\n", rest)[0])))


def found_sql(answer: str, dialect: str | None = None) -> Any:
    """The tree of the first SQL statement found in the answer (fences and prose around it dropped), else None."""
    for candidate in sql_candidates(answer):
        tree = parsed_sql(candidate, dialect)
        if tree is not None:
            return tree
    return None


def equal_sql(left: Any, right: Any) -> bool:
    """Whether two trees are the same query, apart from case and quoting of names and comments.

    A name in double quotes that belongs to no table is read as text, as SQLite and MySQL do.
    """
    return bool(_plain_sql(left) == _plain_sql(right))


def _plain_sql(tree: Any) -> Any:
    from sqlglot import expressions

    def plain(node: Any) -> Any:
        node.comments = None
        if isinstance(node, expressions.Column) and not node.table and getattr(node.this, "quoted", False):
            return expressions.Literal.string(node.name)
        if isinstance(node, expressions.Identifier):
            return expressions.to_identifier(node.name.lower(), quoted=False)
        return node

    return tree.copy().transform(plain)
