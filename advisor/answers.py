"""The graded answers of a run: kept one by one as they come, and found again by what was asked of which model."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from advisor.records import Question
from advisor.run import Run

Answer = Callable[[Sequence[Question]], Sequence[str]]
Row = Mapping[str, Any]

CHUNK = 16  # answers of a local model between two writes: what a kill can cost
ENDED = ("", "stop", "eos", "eos_token", "stop_sequence", "end_turn")  # as servers say that an answer is whole


@dataclass(frozen=True)
class Asked:
    """A model that is loaded when it is first asked; `name` says all that its answers hang on.

    Two of one name give one question the same answer, sample by sample: within a run it is asked once. `answer` makes
    the `Answer` of a sample.
    """

    name: str
    answer: Callable[[int], Answer]
    samples: int = 1

    def __call__(self, questions: Sequence[Question]) -> Sequence[str]:
        """The first sample, as of any `Answer`."""
        return self.answer(0)(questions)


@runtime_checkable
class Streaming(Protocol):
    """An `Answer` whose answers can be had one by one, as they come."""

    def each(self, questions: Sequence[Question], answers_others: bool = False) -> Iterator[tuple[int, str]]:
        """(place, answer), in any order."""


def as_they_come(
    answer: Answer, questions: Sequence[Question], answers_others: bool
) -> Iterator[Sequence[tuple[int, str]]]:
    """(place, answer) of each question, those together that came together: one by one, or a chunk of a local model."""
    if isinstance(answer, Streaming):
        for one in answer.each(questions, answers_others):
            yield [one]
        return
    for start in range(0, len(questions), CHUNK):
        chunk = questions[start : start + CHUNK]
        yield list(zip(range(start, start + len(chunk)), answer(chunk), strict=True))


def hashed(*parts: Any) -> str:
    """SHA-256 of plain values: the key of a question to a model, without the question."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def answers_file(arm: str) -> str:
    """Where the answers of an arm are kept in the run folder."""
    return f"answers/{arm}.jsonl"


def kept_rows(run: Run, arm: str) -> dict[tuple[str, int], Row]:
    """(id, sample) -> what the run folder holds of an arm."""
    return {(row["id"], row["sample"]): row for row in run.rows(answers_file(arm))}


def rows_by_key(run: Run) -> dict[str, Row]:
    """The key of a question -> its row, over all arms of the run."""
    names = sorted(str(path.relative_to(run.folder)) for path in (run.folder / "answers").rglob("*.jsonl"))
    return {row["key"]: row for name in names for row in run.rows(name) if "key" in row}


def samples_of(kept: Mapping[tuple[str, int], Row], name: str) -> list[Row] | None:
    """The rows of all samples of a case; None where one is missing."""
    first = kept.get((name, 0))
    rows = [kept.get((name, sample)) for sample in range(first.get("samples", 1))] if first else [None]
    return [row for row in rows if row] if all(rows) else None


def unusual(rows: Iterable[Row]) -> str:
    """How many answers are empty or did not end by themselves, by reason; "" where none."""
    odd = [row for row in rows if not row["answer"] or row.get("finish_reason", "") not in ENDED]
    reasons = Counter(row.get("finish_reason") or "empty" for row in odd)
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
