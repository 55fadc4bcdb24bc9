"""JSON: the whole answer as JSON, its keys, its schema, its values; or JSON found in the prose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from eval.graders.row import Check, Wrong, texts_of
from eval.regexes import matches
from eval.structure import NOTHING, equal_json, found_json, like_json, whole_json

MOST_STARTS = 100  # braces and brackets at which JSON is tried: what bounds the work on an answer full of them


def _is_json(answer: str, value: Any) -> bool:
    parsed = whole_json(answer)
    return parsed is not NOTHING if value == "any" else isinstance(parsed, dict | list)


def _json_keys(answer: str, value: Any) -> bool:
    parsed, keys = whole_json(answer), set(texts_of(value))
    rows = parsed if isinstance(parsed, list) and parsed else [parsed]
    return all(isinstance(row, dict) and set(row) == keys for row in rows)


def _json_value(value: Any) -> Any:
    if isinstance(value, str):  # a log often holds JSON inside a string
        parsed = whole_json(value)
        value = parsed if isinstance(parsed, dict | list) else value
    if not isinstance(value, dict | list):
        raise Wrong(f"needs an object or array, not {value!r:.60}")
    return value


def _valid(parsed: Any, schema: Any) -> bool:
    """Whether a JSON value is valid under the schema (jsonschema; formats are not checked)."""
    from jsonschema import ValidationError, exceptions, validators
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    if not isinstance(schema, dict):
        raise Wrong(f"needs a JSON schema, not {schema!r:.60}")

    def pattern(_: Any, wanted: str, given: Any, __: Any) -> Iterator[ValidationError]:
        if isinstance(given, str) and not matches(wanted, given):
            yield ValidationError("the pattern is not found")

    kind = validators.extend(validators.validator_for(schema), {"pattern": pattern})  # type: ignore[no-untyped-call]
    try:
        kind.check_schema(schema)
        # An empty registry: a schema from a log must never make this program fetch an address.
        return parsed is not NOTHING and bool(kind(schema, registry=Registry()).is_valid(parsed))
    except exceptions.SchemaError as error:
        raise Wrong(f"the schema is not valid: {error.message:.120}") from error
    except Unresolvable as error:
        raise Wrong(f"the schema refers to something outside itself: {error}") from error


def _contains_json(answer: str, value: Any) -> bool:
    """Whether an object or array parses as it stands, and fits the schema where one is given."""
    end = 0
    for start in islice(re.finditer(r"[{\[]", answer), MOST_STARTS):
        if start.start() < end:
            continue  # inside one that was read
        try:
            parsed, end = json.JSONDecoder().raw_decode(answer, start.start())
        except (ValueError, RecursionError):
            continue
        if value is None or _valid(parsed, value):
            return True
    return False


def _made(references: Sequence[str]) -> Any:
    parsed = whole_json(references[0]) if len(references) == 1 else None
    return parsed if isinstance(parsed, dict | list) and parsed else None


def _keys(references: Sequence[str]) -> list[str] | None:
    parsed = _made(references)
    rows = parsed if isinstance(parsed, list) else [parsed]
    same = all(isinstance(row, dict) and row and row.keys() == rows[0].keys() for row in rows)
    return list(rows[0]) if same else None


def _values(answer: str, value: Any) -> bool:
    return like_json(found_json(answer), _json_value(value))


FENCE = "a fence or a word around the JSON"

CHECKS: dict[str, Check] = {
    "is-json": Check(
        _is_json,
        "form",
        "the whole answer is one JSON object or array (value `any`: or a scalar)",
        "nothing, or `any`",
        True,
        "RFC 8259; spaces around it",
        f"{FENCE}, NaN, comments, what the JSON says",
    ),
    "json-keys": Check(
        _json_keys,
        "form",
        "the whole answer is JSON with exactly these keys",
        "keys",
        True,
        "an object, or an array of such objects; any order",
        f"{FENCE}, keys of objects inside, what the values are",
        made=_keys,
    ),
    "json-schema": Check(
        lambda a, v: _valid(whole_json(a), v),
        "form",
        "the whole answer is JSON that this schema accepts",
        "a JSON schema",
        True,
        "every draft that jsonschema knows; patterns run under the limits of `regex`",
        f"{FENCE}, `format`, a $ref to another file or address",
    ),
    "json-equal": Check(
        lambda a, v: equal_json(whole_json(a), _json_value(v)),
        "both",
        "the whole answer is JSON equal to this",
        "an object or array",
        True,
        "any order of keys; 1 and 1.0",
        f"{FENCE}, another case, a number as text",
        content=_values,
        made=_made,
    ),
    "json-values": Check(
        _values,
        "content",
        "the JSON found in the answer says this",
        "an object or array",
        False,
        "a fence, prose, broken JSON that can be repaired, more keys, other case, a number as text",
        "a second object in the answer, another order of an array",
        made=_made,
    ),
    "contains-json": Check(
        _contains_json,
        "form",
        "holds JSON that parses as it stands (value: a schema that it must fit)",
        "nothing, or a JSON schema",
        True,
        "prose and a fence around it",
        "broken JSON, JSON after the first 100 braces",
    ),
}
