"""Cases: what the models are asked and by what they are graded; their answers, graded at once and kept."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from advisor.answers import (
    Answer,
    Asked,
    answers_file,
    as_they_come,
    hashed,
    kept_rows,
    rows_by_key,
    samples_of,
    unusual,
)
from advisor.errors import AdvisorError, WrongUsage
from advisor.records import Failure, Question
from advisor.redact import redact
from advisor.run import Run
from advisor.tell import Tell
from eval.assertions import logged
from eval.checks import CrashedCheck
from eval.general import GENERAL
from eval.grade import default_checks, grade
from rag.errors import RagError

Score = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One question that can be graded, and the part of the proof that it belongs to."""

    id: str
    messages: Question
    checks: tuple[Mapping[str, Any], ...]
    split: str = "gain"  # gain | guard | general
    group: str = ""


def own_checks(failure: Failure) -> tuple[Mapping[str, Any], ...]:
    """The checks that a row brings along: its own, else those of the log's assertions that can run here."""
    return failure.checks or tuple(logged(failure.metadata)[0])


def case_of(failure: Failure, split: str = "gain") -> Case | None:
    """The case of a logged failure; None where nothing tells a right answer from the one that came.

    A log's assertions grade it where the logged answer fails them; where those that failed cannot run here (a script, a
    rubric), the reference has to.
    """
    try:
        checks = own_checks(failure)
        if not failure.checks and (not checks or grade(failure.output, checks).passed):
            checks = tuple(default_checks(failure.prompt, failure.reference, failure.output))
        if not checks:
            return None
        grade(failure.output, checks)
    except CrashedCheck:
        return None
    return Case(failure.id, failure.messages, checks, split)


def guard_of(failure: Failure) -> Case | None:
    """The case of a logged pass, guarded by its own checks or by what its reference says; None without either."""
    checks = own_checks(failure)
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
    """The graded answers of one arm to these cases, in the form of scores.jsonl, all samples of a case together.

    Answers that the run folder holds are not asked for again, nor is what another arm has asked of the same model;
    `ask` is only called when one is missing. Grading sees the answer as it came; what is kept has secrets and personal
    data removed. Raises AdvisorError where an endpoint stops answering; what came until then is kept.
    """
    kept = kept_rows(run, arm)
    missing = [case for case in cases if samples_of(kept, case.id) is None]
    if missing:
        fresh = _asked_for(run, arm, missing, kept, ask(), tell)
        kept.update(((row["id"], row["sample"]), row) for row in fresh)
        if odd := unusual(fresh):
            tell.say(f"  {arm}: graded as they came, though empty or cut: {odd}")
    return [_placed(row, case) for case in cases for row in samples_of(kept, case.id) or ()]


def kept_answers(run: Run, arm: str, cases: Sequence[Case]) -> list[Score] | None:
    """The kept answers of an arm to these cases; None where one is missing."""
    kept = kept_rows(run, arm)
    rows = [(case, samples_of(kept, case.id)) for case in cases]
    if any(found is None for _, found in rows):
        return None
    return [_placed(row, case) for case, found in rows for row in found or ()]


def keep_answers(run: Run, arm: str, rows: Sequence[Score]) -> None:
    """Keep answers that need not be asked for; those that are there stay."""
    kept = kept_rows(run, arm)
    run.append_rows(answers_file(arm), [row for row in rows if (row["id"], row["sample"]) not in kept])


def _asked_for(
    run: Run, arm: str, cases: Sequence[Case], kept: Mapping[tuple[str, int], Score], model: Answer, tell: Tell
) -> list[Score]:
    """The missing rows of an arm, each on disk as soon as it is graded."""
    asked = model if isinstance(model, Asked) else Asked(f"the model of {arm} alone", lambda _: model)
    known = rows_by_key(run)
    by_length = sorted(cases, key=lambda case: _length(case.messages))
    todo = [(case, sample) for sample in range(asked.samples) for case in by_length if (case.id, sample) not in kept]
    rows: list[Score] = []
    with tell.bar(f"{arm}: answers", len(todo)) as advance:

        def keep(sample: int, graded: Sequence[tuple[Case, Score]]) -> None:
            part = {"arm": arm, "sample": sample, "samples": asked.samples}
            fresh = [{**score, **part, "id": case.id} for case, score in graded]
            run.append_rows(answers_file(arm), fresh)
            rows.extend(fresh)
            advance(len(fresh))

        try:
            for sample in range(asked.samples):
                again: list[tuple[Case, Score]] = []
                unknown: dict[str, list[Case]] = {}
                for case in [case for case, number in todo if number == sample]:
                    key = hashed(asked.name, sample, case.messages)
                    if score := _again(known.get(key), case):
                        again.append((case, score))
                    else:
                        unknown.setdefault(key, []).append(case)
                if again:
                    keep(sample, again)
                if not unknown:
                    continue
                keys = list(unknown)
                questions = [unknown[key][0].messages for key in keys]
                for came in as_they_come(asked.answer(sample), questions, bool(kept or rows)):
                    keyed = [(keys[place], text) for place, text in came]
                    keep(sample, [(c, {**_graded(c, text), "key": key}) for key, text in keyed for c in unknown[key]])
        except RagError as dead:
            if dead.exit_code == WrongUsage.exit_code:
                raise
            have = f"{len(rows):,} of the {len(todo):,} answers asked for came and are kept"
            fix = f"{dead.fix}; the same command carries on".removeprefix("; ")
            raise AdvisorError(arm, f"{dead.where}: {dead.given}; {have}", fix=fix) from None
    return rows


def _again(row: Score | None, case: Case) -> Score | None:
    """What is kept of the same question to the same model, graded for this case; None where it must be asked again."""
    if row is None:
        return None
    if not row["redacted"]:
        return {**_graded(case, row["answer"]), "finish_reason": row["finish_reason"], "key": row["key"]}
    return row if row["checks"] == hashed(case.checks) else None


def _placed(row: Score, case: Case) -> Score:
    shown = {name: value for name, value in row.items() if name not in ("key", "checks", "redacted")}
    return {**shown, "split": case.split, "group": case.group}


def _length(messages: Question) -> int:
    return sum(len(message["content"]) for message in messages)


def _graded(case: Case, text: str) -> dict[str, Any]:
    found = grade(text, case.checks)
    # A half surrogate, which no file holds, counts as removed too.
    clean = redact(text, personal=True)[0].encode(errors="replace").decode()
    return {
        "passed": found.passed,
        "form": found.form,
        "content": found.content,
        "score": round(found.score, 4),
        "grader": redact(found.says, personal=True)[0],  # it quotes what was wanted
        "answer": clean,
        "finish_reason": getattr(text, "finish_reason", ""),
        "redacted": clean != text,
        "checks": hashed(case.checks),
    }
