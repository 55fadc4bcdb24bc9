"""Grade an answer by checks, and make checks for a logged case that has none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from eval.asked import form_checks
from eval.checks import CHECKS, CrashedCheck, axis_of, passes
from eval.fold import words
from eval.graders.numbers import lone_number
from eval.graders.sql import looks_like_sql
from eval.structure import scalars, whole_json

__all__ = ["CrashedCheck", "Grade", "default_checks", "grade"]

Check = Mapping[str, Any]
SHOWN_CHARS = 60
ARTICLES = {"The", "A", "An", "In", "On", "At"}
TERM_WORDS = 3  # a reference up to this long is a term, not a sentence; ours
SHORT_WORDS = 8  # a reference up to this long is looked for as a whole; ours
# Half of the words shared: SQuAD's F1 (arXiv:1606.05250) has no threshold of its own; this one is ours.
OVERLAP_AT_LEAST = 0.5


class Grade(NamedTuple):
    """What came of grading one answer."""

    passed: bool
    form: bool
    content: bool
    score: float
    says: str


def grade(answer: str, checks: Sequence[Check]) -> Grade:
    """Grade one answer: passed = every check; form, content = every check of that axis; score = share of checks.

    A check of both counts in passed only. An axis without a check of its own is read from the checks of both:
    form is right when these pass, content when their lenient reading passes (a fenced JSON object with the right
    values fails json-equal, yet its content is right). An axis that nothing speaks of is True: nothing was asked.
    Raises CrashedCheck where a check cannot be run, or where there is none.
    """
    if not checks:
        raise CrashedCheck("(none)", "an answer cannot be graded by no checks")
    axes = [axis_of(check) for check in checks]
    results = [passes(answer, check) for check in checks]

    def axis(name: str) -> bool:
        own = [ok for ok, of in zip(results, axes, strict=True) if of == name]
        if own:
            return all(own)
        both = [check for check, of in zip(checks, axes, strict=True) if of == "both"]
        return all(passes(answer, check, content_only=name == "content") for check in both)

    failed = [check for check, ok in zip(checks, results, strict=True) if not ok]
    says = "fails " + "; ".join(map(_named, failed)) if failed else "all checks pass"
    return Grade(not failed, axis("form"), axis("content"), sum(results) / len(results), says)


def _named(check: Check) -> str:
    """A check for a reader: its type, its value cut short, what it means."""
    value = "" if check.get("value") is None else " " + json.dumps(check["value"], ensure_ascii=False, default=str)
    short = value if len(value) <= SHOWN_CHARS else value[: SHOWN_CHARS - 3] + "..."
    return f"{check['type']}{short}: {CHECKS[check['type']].means}"


def default_checks(prompt: str, references: Sequence[str], output: str) -> list[dict[str, Any]]:
    """Checks for a logged case that brings none, from its references and what its prompt asks of the form.

    Of several graders the most lenient is taken under which the logged output still fails; where it fails under
    none, the case cannot be measured and the list is empty. A check that no reference passes is not used.
    """
    references = [reference for reference in references if reference.strip()]
    form = [
        check
        for check in form_checks(prompt)
        if not references or any(passes(reference, check) for reference in references)
    ]
    for content in _content_candidates(prompt, references):
        checks = content + [check for check in form if check["type"] not in {c["type"] for c in content}]
        if checks and not grade(output, checks).passed:
            return checks
    return []


def _content_candidates(prompt: str, references: list[str]) -> list[list[dict[str, Any]]]:
    """Sets of checks for what the references say, from lenient to strict; [[]] where there is no reference."""
    if not references:
        return [[]]
    first = whole_json(references[0])
    if isinstance(first, dict | list) and first:
        return _json_candidates(first, any(check["type"] == "is-json" for check in form_checks(prompt)))
    if all(looks_like_sql(reference) for reference in references):
        return [[{"type": "sql-equal", "value": references}], [{"type": "equals", "value": references}]]
    exact = {"type": "equals", "value": references}
    if len(references) == 1 and re.fullmatch(r"\(?[A-Z][.)]?", references[0].strip()):
        letter = re.sub(r"\W", "", references[0])
        pattern = rf"(?<![A-Za-z']){letter}(?![A-Za-z'])"
        return [[{"type": "regex", "value": pattern, "of": "content"}], [exact]]
    if len(references) == 1 and (number := lone_number(references[0])) is not None:
        return [[{"type": "number", "value": number}], [exact]]
    named = _figures_and_names(references[0]) if len(references) == 1 else ([], [])
    short = [reference for reference in references if len(words(reference)) <= SHORT_WORDS]
    if short:
        # Another wording of a short sentence still has its figures and names.
        told = [*named[0], *named[1]] if len(words(references[0])) > TERM_WORDS else []
        parts = [[{"type": "contains-all", "value": told}]] if told else []
        return [*parts, [{"type": "contains-any", "value": references}], [exact]]
    overlap = {"type": "overlap", "value": {"text": references, "at_least": OVERLAP_AT_LEAST}}
    # Half of the words are shared by an answer whose one figure or name is wrong, too.
    stricter = [kind for kind in (named[0], [*named[0], *named[1]]) if kind]
    sets: list[list[dict[str, Any]]] = [[overlap]]
    sets += [[overlap, {"type": "contains-all", "value": kind}] for kind in stricter]
    return sets


def _figures_and_names(text: str) -> tuple[list[str], list[str]]:
    """The figures of a text, and its names: words with a capital; one that opens a sentence only before another."""
    figures = re.findall(r"\d+(?:[.,:]\d+)*", text)
    names = re.findall(r"(?<![.!?:]\s)(?<!^)\b[A-Z][\w'-]+|\b[A-Z][\w'-]+(?=\s+[A-Z][\w'-])", text)
    return list(dict.fromkeys(figures)), [name for name in dict.fromkeys(names) if name not in ARTICLES]


def _json_candidates(wanted: Any, asked: bool) -> list[list[dict[str, Any]]]:
    said = scalars(wanted)
    content = [{"type": "contains-all", "value": said}] if said else []
    shape: list[dict[str, Any]] = [{"type": "is-json"}]
    rows = wanted if isinstance(wanted, list) else [wanted]
    if all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows) and rows[0]:
        shape.append({"type": "json-keys", "value": list(rows[0])})
    shaped = [*content, *shape]
    equal = [*shape, {"type": "json-equal", "value": wanted}, *content]
    return [shaped, equal] if asked else [content, shaped, equal]
