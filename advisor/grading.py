"""Graders that a user names: of the table in eval, with values of their own or the reference, or a file of checks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from advisor.errors import WrongUsage
from advisor.records import Failure
from advisor.versus import Grader
from eval.checks import CHECKS, CrashedCheck
from eval.grade import grade

OWN = "checks"  # the checks that a row brings along
OVERLAP_AT_LEAST = 0.5  # of a token F1 that is asked for without a number


def grader(named: Sequence[str]) -> Grader:
    """A grader of `TYPE` or `TYPE=VALUE` each, all of which must pass; see `eval.checks.CHECKS` for the types.

    Without a value a type of content is held against the row's reference, one of form against nothing. `checks` are the
    row's own. A row without what a grader needs cannot be graded. Raises WrongUsage (exit code 2) for a type that is
    not there, or a value that it cannot take.
    """
    wanted = [_parsed(name) for name in named]

    def graded(row: Failure, partner: Failure) -> Mapping[str, Any] | None:
        if row.error:
            return {"passed": False, "grader": "an error came instead of an answer"}
        checks: list[Mapping[str, Any]] = []
        for kind, value in wanted:
            found = _made(kind, value, row.output, partner, row)
            if found is None:
                return None
            checks += found
        try:
            result = grade(row.output, checks)
        except CrashedCheck as crashed:
            raise WrongUsage("--grader", str(crashed), "see docs/graders.md") from None
        return {"passed": result.passed, "form": result.form, "content": result.content, "grader": ", ".join(named)}

    return graded


def _parsed(name: str) -> tuple[str, Any]:
    kind, marked, text = name.partition("=")
    if kind != OWN and kind not in CHECKS:
        raise WrongUsage("--grader", repr(kind), ", ".join((OWN, *CHECKS)))
    if not marked:
        return kind, None
    try:
        return kind, json.loads(text)
    except ValueError:
        return kind, text


def _made(kind: str, value: Any, answer: str, partner: Failure, row: Failure) -> list[Mapping[str, Any]] | None:
    """The checks of one grader for one row; None where the row lacks what it needs."""
    if kind == OWN:
        return list(partner.checks or row.checks) or None
    if value is not None or CHECKS[kind].of == "form":
        return [{"type": kind, "value": value}]
    references = [text for text in partner.reference or row.reference if text.strip()]
    if not references:
        return None
    forms: list[Any] = [references, references[0], {"text": references, "at_least": OVERLAP_AT_LEAST}]
    for given in forms:  # a type takes all references, one, or an object with them
        check = {"type": kind, "value": given}
        try:
            grade(answer, [check])
        except CrashedCheck:
            continue
        return [check]
    return None
