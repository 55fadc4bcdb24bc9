"""A log's own assertions (promptfoo, OpenAI evals, IFEval) as checks, and why others cannot run here."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Check = dict[str, Any]
# What no text of an answer can tell, or what would run a stranger's code: promptfoo's types by why they are not run.
NEEDS: dict[str, str] = {
    kind: why
    for why, kinds in {
        "it is code of the log, which is never run; name a file of your own with --checks": "javascript python ruby",
        "it calls an address on the net": "webhook",
        "it asks a judge model": "llm-rubric agent-rubric search-rubric g-eval factuality model-graded-closedqa "
        "model-graded-factuality answer-relevance context-faithfulness context-recall context-relevance "
        "conversation-relevance select-best max-score pi classifier moderation guardrails human",
        "it speaks of the call, not of the answer": "cost latency perplexity perplexity-score finish-reason "
        "tokens-used tool-call-f1 skill-used trace-span-count trace-span-duration trace-error-spans "
        "is-valid-function-call is-valid-openai-function-call is-valid-openai-tools-call",
        "there is no grader for it": "bleu gleu meteor bertscore is-html contains-html contains-xml f-score",
    }.items()
    for kind in kinds.split()
}
# promptfoo's names of databases (site/docs/configuration/expected-outputs/deterministic.md) as sqlglot knows them.
DIALECTS = {"mysql": "mysql", "mariadb": "mysql", "postgresql": "postgres", "transactsql": "tsql"}
DIALECTS |= {name: name for name in ("athena", "bigquery", "hive", "redshift", "snowflake", "sqlite")}
# Defaults of promptfoo's thresholds: src/assertions/levenshtein.ts, rouge.ts, similar.ts.
EDITS, ROUGE, SIMILAR = 5, 0.75, 0.75


class _NotRun(ValueError):
    """Why an assertion is not run."""


def checks_from(assertions: Any, variables: Mapping[str, Any] | None = None) -> tuple[list[Check], list[str]]:
    """(checks, why others are not run) from a log's assertions; each one is in exactly one of the two lists.

    Taken are a list of promptfoo's `assert` entries ({type, value, threshold, ...}, type perhaps with `not-` before
    it) or of OpenAI evals' {type: match or includes, ideal}, an object that holds such a list under `assert`, and a
    row of IFEval ({instruction_id_list, kwargs}). `{{name}}` in a value is filled from `variables`. Sources: promptfoo
    src/assertions, openai/evals elsuite/basic, google-research instruction_following_eval.
    """
    if isinstance(assertions, Mapping):
        if "instruction_id_list" in assertions:
            return _ifeval(assertions)
        assertions = assertions.get("assert", assertions if "type" in assertions else [])
    listed = assertions if isinstance(assertions, list | tuple) else [assertions]
    checks: list[Check] = []
    not_run: list[str] = []
    for number, assertion in enumerate(listed, start=1):
        kind = assertion.get("type") if isinstance(assertion, Mapping) else None
        try:
            checks.append(_check(assertion, variables or {}))
        except _NotRun as reason:
            not_run.append(f"assertion {number} ({str(kind)[:40]}): {reason}")
        except RecursionError:
            not_run.append(f"assertion {number} ({str(kind)[:40]}): nested too deeply")
    return checks, not_run


def logged(metadata: Mapping[str, Any]) -> tuple[list[Check], list[str]]:
    """`checks_from` on the assertions that a reader kept in a row's metadata, wherever the tool writes them.

    promptfoo: testCase.assert, else gradingResult.componentResults (and `vars`); IFEval: instruction_id_list in the
    row, or in `doc` as lm-eval writes it. Two empty lists where there are none.
    """
    for row in (metadata, metadata.get("doc")):
        if isinstance(row, Mapping) and "instruction_id_list" in row:
            return checks_from(row)
    case, grading = metadata.get("testCase"), metadata.get("gradingResult")
    variables = metadata.get("vars") or (case.get("vars") if isinstance(case, Mapping) else None)
    variables = variables if isinstance(variables, Mapping) else {}
    if isinstance(case, Mapping) and isinstance(case.get("assert"), list) and case["assert"]:
        return checks_from(case["assert"], variables)
    parts = grading.get("componentResults") if isinstance(grading, Mapping) else None
    found = [part["assertion"] for part in parts or [] if isinstance(part, Mapping) and part.get("assertion")]
    return checks_from(found, variables)


def _ifeval(row: Mapping[str, Any]) -> tuple[list[Check], list[str]]:
    from eval.graders.ifeval import INSTRUCTIONS

    names, given = row["instruction_id_list"], row.get("kwargs")
    names = names if isinstance(names, list) else [names]
    given = given if isinstance(given, list) else [{}] * len(names)
    checks: list[Check] = []
    not_run: list[str] = []
    for number, name in enumerate(names):
        arguments = given[number] if number < len(given) and isinstance(given[number], Mapping) else None
        if name not in INSTRUCTIONS:
            not_run.append(f"instruction {str(name)[:60]}: is none of IFEval's 25")
        elif arguments is None:
            not_run.append(f"instruction {name}: has no arguments")
        else:
            kept = {key: value for key, value in arguments.items() if value is not None}
            checks.append({"type": "instruction", "value": {"id": name, "kwargs": kept}})
    return checks, not_run


def _check(assertion: Any, variables: Mapping[str, Any], depth: int = 0) -> Check:
    if not isinstance(assertion, Mapping) or not isinstance(assertion.get("type"), str):
        raise _NotRun("is no object with a type")
    kind = assertion["type"]
    if assertion.get("weight") == 0:
        raise _NotRun("has the weight 0: it is measured and never fails")
    if assertion.get("transform") or assertion.get("contextTransform"):
        raise _NotRun("is put to an answer that code of the log changes first")
    if kind.startswith("not-") and kind not in _TURNED:
        inner = _check({**assertion, "type": kind.removeprefix("not-")}, variables, depth)
        return {"type": "not", "value": inner}
    if kind == "assert-set":
        return _set(assertion, variables, depth)
    if kind not in _TURNED:
        raise _NotRun(
            NEEDS.get("latency" if kind.startswith("trajectory:") else kind, "is of a type that is not known")
        )
    value = _filled(assertion.get("value", assertion.get("ideal", assertion.get("expected"))), variables)
    return _TURNED[kind](value, assertion)


def _set(assertion: Mapping[str, Any], variables: Mapping[str, Any], depth: int) -> Check:
    inside = assertion.get("assert")
    if not isinstance(inside, list) or not inside or depth >= 2:
        raise _NotRun("is an empty or too deep set")
    if assertion.get("threshold") not in (None, 1, 1.0):
        raise _NotRun("needs only a share of its assertions")
    return {"type": "all", "value": [_check(one, variables, depth + 1) for one in inside]}


def _filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """The value with its {{names}} filled; anything else of a template, and files, cannot be read here."""
    if isinstance(value, list):
        return [_filled(item, variables) for item in value]
    if not isinstance(value, str):
        return value
    if re.match(r"(?:file|package)://", value):
        raise _NotRun("its value stands in another file, which is not opened")

    def fill(name: re.Match[str]) -> str:
        given = variables.get(name[1])
        if not isinstance(given, str | int | float) or isinstance(given, bool):
            raise _NotRun(f"its variable {name[1]:.40} is not in the log")
        return str(given)

    filled = re.sub(r"\{\{\s*(\w+)\s*\}\}", fill, value)
    if re.search(r"\{\{.*?\}\}|\{%.*?%\}", filled, re.S):
        raise _NotRun("its value is a template that cannot be filled")
    return filled


def _texts(value: Any) -> list[str]:
    """What `contains-all` and its kin accept: a list, or a text with commas, as a line of CSV."""
    if isinstance(value, str):
        value = [item.strip() for item in next(csv.reader([value], skipinitialspace=True), [])]
    items = [str(item) for item in value] if isinstance(value, list) else []
    if not items or not all(items):
        raise _NotRun("has no texts")
    return items


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise _NotRun("has no text")
    return str(value)


def _held(how: str, ignore_case: bool, several: bool) -> Callable[[Any, Mapping[str, Any]], Check]:
    def turned(value: Any, _: Mapping[str, Any]) -> Check:
        texts = _texts(value) if several else [_text(value)]
        return {"type": "substring", "value": {"texts": texts, "how": how, "ignore_case": ignore_case}}

    return turned


def _any_of(kind: str) -> Callable[[Any, Mapping[str, Any]], Check]:
    def turned(value: Any, _: Mapping[str, Any]) -> Check:
        return {"type": kind, "value": [_text(item) for item in value] if isinstance(value, list) else _text(value)}

    return turned


def _equals(value: Any, _: Mapping[str, Any]) -> Check:
    if isinstance(value, dict | list):
        return {"type": "json-equal", "value": value}
    return {"type": "exact", "value": _text(value)}


def _schema(value: Any, whole: bool) -> Check:
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise _NotRun("its schema is no JSON") from None
    if value is not None and value != "" and not isinstance(value, dict):
        raise _NotRun("its schema is no object")
    if not value:
        return {"type": "is-json", "value": "any"} if whole else {"type": "contains-json"}
    return {"type": "json-schema" if whole else "contains-json", "value": value}


def _sql(value: Any, _: Mapping[str, Any]) -> Check:
    options = value if isinstance(value, Mapping) else {"databaseType": value} if value else {}
    if options.keys() - {"databaseType"}:
        raise _NotRun("asks which tables or columns the query may touch")
    name = str(options.get("databaseType", "mysql")).lower()
    if name not in DIALECTS:
        raise _NotRun(f"its database {name:.40} is not known")
    return {"type": "is-sql", "value": DIALECTS[name]}


def _near(kind: str, least: float) -> Callable[[Any, Mapping[str, Any]], Check]:
    def turned(value: Any, assertion: Mapping[str, Any]) -> Check:
        threshold = assertion.get("threshold")
        if not isinstance(threshold, int | float) or isinstance(threshold, bool):
            threshold = least
        if kind == "edits":
            return {"type": kind, "value": {"text": _text(value), "at_most": int(threshold) or EDITS}}
        if not 0 < threshold <= 1:
            raise _NotRun(f"its threshold {threshold} is no share above 0")
        texts = [_text(item) for item in value] if isinstance(value, list) else _text(value)
        return {"type": kind, "value": {"text": texts, "at_least": threshold}}

    return turned


def _xml(value: Any, _: Mapping[str, Any]) -> Check:
    if value:
        raise _NotRun("asks for elements inside the XML")
    return {"type": "code", "value": {"language": "xml", "whole": True}}


def _words(value: Any, _: Mapping[str, Any]) -> Check:
    given = value if isinstance(value, Mapping) else {"min": value, "max": value}
    limits = {ours: given[theirs] for ours, theirs in (("least", "min"), ("most", "max")) if theirs in given}
    if not limits or not all(str(limit).isdigit() for limit in limits.values()):
        raise _NotRun("has no whole number of words")
    return {"type": "words", "value": {name: int(limit) for name, limit in limits.items()}}


def _includes(value: Any, assertion: Mapping[str, Any]) -> Check:
    texts = [_text(item) for item in value] if isinstance(value, list) else [_text(value)]
    ignore = assertion.get("ignore_case") is True
    return {"type": "substring", "value": {"texts": texts, "how": "any", "ignore_case": ignore}}


_TURNED: dict[str, Callable[[Any, Mapping[str, Any]], Check]] = {
    "equals": _equals,
    "contains": _held("any", False, False),
    "icontains": _held("any", True, False),
    "contains-all": _held("all", False, True),
    "contains-any": _held("any", False, True),
    "icontains-all": _held("all", True, True),
    "icontains-any": _held("any", True, True),
    "starts-with": _any_of("starts-with"),
    "ends-with": _any_of("ends-with"),
    "regex": lambda value, _: {"type": "regex", "value": _text(value)},
    "is-json": lambda value, _: _schema(value, True),
    "contains-json": lambda value, _: _schema(value, False),
    "is-sql": _sql,
    "is-xml": _xml,
    "is-refusal": lambda _, __: {"type": "abstains"},
    "levenshtein": _near("edits", EDITS),
    "rouge-n": _near("rouge-n", ROUGE),
    "similar": _near("similar", SIMILAR),
    "similar:cosine": _near("similar", SIMILAR),
    "word-count": _words,
    # OpenAI evals, elsuite/basic: Match is `sampled.startswith(ideal)`, Includes is `ideal in sampled`.
    "match": _any_of("starts-with"),
    "includes": _includes,
}
