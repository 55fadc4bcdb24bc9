"""Cases: what the models are asked and by what they are graded; their answers, graded at once and kept."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from advisor.records import Failure, Question
from advisor.redact import redact
from advisor.run import Run
from advisor.tell import Tell
from eval.checks import CrashedCheck
from eval.general import GENERAL
from eval.grade import default_checks, grade

Answer = Callable[[Sequence[Question]], Sequence[str]]
Score = Mapping[str, Any]

CHUNK = 16  # answers between two writes: what a kill can cost


@dataclass(frozen=True)
class Case:
    """One question that can be graded, and the part of the proof that it belongs to."""

    id: str
    messages: Question
    checks: tuple[Mapping[str, Any], ...]
    split: str = "gain"  # gain | guard | general
    group: str = ""


def case_of(failure: Failure, split: str = "gain") -> Case | None:
    """The case of a logged failure; None where nothing tells a right answer from the one that came."""
    checks = failure.checks or tuple(default_checks(failure.prompt, failure.reference, failure.output))
    if not checks:
        return None
    try:
        grade(failure.output, checks)
    except CrashedCheck:
        return None
    return Case(failure.id, failure.messages, checks, split)


def guard_of(failure: Failure) -> Case | None:
    """The case of a logged pass, guarded by its own checks or by what its reference says; None without either."""
    checks = failure.checks
    if not checks and failure.reference:
        checks = ({"type": "contains-any", "value": list(failure.reference)},)
    guarded = case_of(replace(failure, checks=checks), "guard") if checks else None
    # A pass that its own checks call a failure guards nothing.
    return guarded if guarded and grade(failure.output, checks).passed else None


def guard_cases(passed: Sequence[Failure], limit: int, seed: int) -> list[Case]:
    """The logged passes that can be graded, at most `limit`, drawn with the seed."""
    found = sorted((case for failure in passed if (case := guard_of(failure))), key=lambda case: case.id)
    random.Random(seed).shuffle(found)
    return found[:limit]


def general_cases() -> list[Case]:
    """The general questions of `eval`, asked before and after to see what was forgotten."""
    return [Case(row["id"], row["messages"], tuple(row["checks"]), "general") for row in GENERAL]


def answer_cases(run: Run, arm: str, cases: Sequence[Case], ask: Callable[[], Answer], tell: Tell) -> list[Score]:
    """The graded answers of one arm to these cases, in the form of scores.jsonl.

    Answers that the run folder holds are not asked for again, and `ask` is only called when one is missing. Grading
    sees the answer as it came; what is kept has secrets and personal data removed.
    """
    name = answers_file(arm)
    kept = {row["id"]: row for row in run.rows(name)}
    missing = sorted((case for case in cases if case.id not in kept), key=lambda case: _length(case.messages))
    if missing:
        answer = ask()
        with tell.bar(f"{arm}: answers", len(missing)) as advance:
            for start in range(0, len(missing), CHUNK):
                chunk = missing[start : start + CHUNK]
                answers = answer([case.messages for case in chunk])
                rows = [_score(arm, case, text) for case, text in zip(chunk, answers, strict=True)]
                run.append_rows(name, rows)
                kept.update((row["id"], row) for row in rows)
                advance(len(chunk))
    return [_placed(kept[case.id], case) for case in cases]


def answers_file(arm: str) -> str:
    """Where the answers of an arm are kept in the run folder."""
    return f"answers/{arm}.jsonl"


def kept_answers(run: Run, arm: str, cases: Sequence[Case]) -> list[Score] | None:
    """The kept answers of an arm to these cases; None where one is missing."""
    kept = {row["id"]: row for row in run.rows(answers_file(arm))}
    if any(case.id not in kept for case in cases):
        return None
    return [_placed(kept[case.id], case) for case in cases]


def keep_answers(run: Run, arm: str, rows: Sequence[Score]) -> None:
    """Keep answers that need not be asked for; those that are there stay."""
    kept = {row["id"] for row in run.rows(answers_file(arm))}
    run.append_rows(answers_file(arm), [row for row in rows if row["id"] not in kept])


def _placed(row: Score, case: Case) -> Score:
    return {**row, "split": case.split, "group": case.group}


def _length(messages: Question) -> int:
    return sum(len(message["content"]) for message in messages)


def _score(arm: str, case: Case, text: str) -> dict[str, Any]:
    found = grade(text, case.checks)
    return {
        "id": case.id,
        "arm": arm,
        "sample": 0,
        "passed": found.passed,
        "form": found.form,
        "content": found.content,
        "score": round(found.score, 4),
        "grader": redact(found.says, personal=True)[0],  # it quotes what was wanted
        "answer": redact(text, personal=True)[0],
    }
