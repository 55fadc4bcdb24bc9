"""Graders that a user names: of the table in eval, a file of checks, or a model as judge with its measured error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from advisor.cases import own_checks
from advisor.errors import AdvisorError, UnreadableLog, WrongUsage
from advisor.records import Failure
from advisor.versus import AFTER, BEFORE, Grader, Pair, Versus
from eval.checks import CHECKS, CrashedCheck, check_from
from eval.grade import grade
from eval.graders.similar import use_encoder
from eval.judge_error import Measured
from eval.trusted import load_checks

SIDES = {"before": BEFORE, "after": AFTER}
JUDGE_TOKENS = 200  # a verdict, a nonce and at most twenty words
OWN = "checks"  # the checks that a row brings along


def grader(named: Sequence[str], own: Path | None = None) -> Grader:
    """A grader of `TYPE` or `TYPE=VALUE` each, and of the functions in the file `own`, all of which must pass.

    The types are those of `eval.checks.CHECKS`. Without a value a type of content is held against the row's reference,
    one of form against nothing; `checks` are the row's own. A row without what a grader needs cannot be graded. Raises
    WrongUsage (exit code 2) for a type that is not there, a value that it cannot take, or a function that crashes.
    """
    wanted = [_parsed(name) for name in named]
    with redirect_stdout(sys.stderr):
        rulings = load_checks(own) if own else {}
    called = ", ".join((*named, *rulings))
    if any(kind == "similar" for kind, _ in wanted):
        _similarity()

    def graded(row: Failure, partner: Failure) -> Mapping[str, Any] | None:
        checks: list[Mapping[str, Any]] = []
        for kind, value in wanted:
            found = _made(kind, value, partner, row)
            if found is None:
                return None
            checks += found
        try:
            result = grade(row.output, checks) if checks else None
        except CrashedCheck as crashed:
            raise WrongUsage("--grader", str(crashed), fix="see docs/graders.md") from None
        try:
            with redirect_stdout(sys.stderr):  # what a check prints is not what we say
                said = [check(row.output, _as_case(row, partner)).passed for check in rulings.values()]
        except CrashedCheck as crashed:
            raise AdvisorError("--checks", str(crashed), fix=f"mend the function in {own}") from None
        ruled = [one for one in said if one is not None]
        if result is None:
            return {"passed": all(ruled), "grader": called} if ruled else None
        return {"passed": result.passed and all(ruled), "form": result.form, "content": result.content,
                "grader": called}  # fmt: skip

    return lambda pairs: [graded(row, partner) for row, partner in pairs]


def judging(url: str, model: str = "") -> Grader:
    """A model behind an OpenAI-compatible endpoint as the grader; what it cannot be trusted on is not graded."""
    from eval.judged import Case, judge
    from rag.endpoint import endpoint

    ask = endpoint(url, model, max_tokens=JUDGE_TOKENS)

    def graded(pairs: Sequence[Pair]) -> list[Mapping[str, Any] | None]:
        cases = [
            Case(str(at), row.prompt, "\n".join(partner.reference or row.reference), row.output)
            for at, (row, partner) in enumerate(pairs)
        ]
        named = f"judge {model or url}"
        return [
            None if one.verdict == "unreadable" else {"passed": one.verdict == "pass", "grader": named}
            for one in judge(cases, ask)
        ]

    return graded


def measured(joined: Versus, labels: Path) -> Measured:
    """How a judge's grades agree with people's: `labels` holds JSON lines {id, passed, side: before | after}.

    Raises UnreadableLog (exit code 1) with file:line for a row that is none, and where no label meets a grade.
    """
    said = {(str(row["arm"]), str(row["id"])): bool(row["passed"]) for row in joined.rows}
    pairs = []
    for number, line in enumerate(_lines(labels), start=1):
        try:
            row = json.loads(line)
            side, name, right = SIDES[row.get("side", "after")], str(row["id"]), row["passed"]
        except (ValueError, KeyError, TypeError, AttributeError):
            right = None
        if not isinstance(right, bool):
            allowed = "id, passed (true or false) and side (before or after)"
            raise UnreadableLog(f"{labels}:{number}", "is no label", allowed)
        if (side, name) in said:
            pairs.append((said[side, name], right))
    if not pairs:
        raise UnreadableLog(str(labels), "labels no answer that the judge graded", "ids of the two logs")
    right_ones, wrong_ones = [said for said, right in pairs if right], [said for said, right in pairs if not right]
    return Measured(sum(right_ones), len(right_ones), sum(not said for said in wrong_ones), len(wrong_ones))


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableLog(str(path), f"cannot be read ({error})", "JSON lines") from None


def _as_case(row: Failure, partner: Failure) -> dict[str, Any]:
    """What a user's own check is shown of a case."""
    return {
        "id": row.id,
        "prompt": row.prompt,
        "messages": [dict(message) for message in row.messages],
        "reference": list(partner.reference or row.reference),
        "context": list(partner.context or row.context),
        "metadata": dict(partner.metadata),
    }


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


def _made(kind: str, value: Any, partner: Failure, row: Failure) -> list[Mapping[str, Any]] | None:
    """The checks of one grader for one row; None where the row lacks what it needs."""
    if kind == OWN:
        return list(own_checks(partner) or own_checks(row)) or None
    if value is not None or CHECKS[kind].of == "form":
        return [{"type": kind, "value": value}]
    try:
        made = check_from(kind, partner.reference or row.reference)
    except CrashedCheck as crashed:
        raise WrongUsage("--grader", str(crashed), fix=f"give it a value: --grader {kind}=VALUE") from None
    return [made] if made else None


def _similarity() -> None:
    """Give the grader `similar` the default sentence vectors."""
    from advisor.diagnose import default_embedder

    embedder = default_embedder()
    if not embedder:
        raise WrongUsage("--grader", "similar needs sentence vectors", fix="pip install 'formfacts[rag]'")
    use_encoder(embedder.encode)
