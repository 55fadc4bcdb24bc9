"""Other phrasings of questions, to train the answers on: given, found in the log, or reworded; none that will be asked.

Ovadia et al. 2023 (arXiv 2312.05934, section 5.2) found that a fact is learned from many wordings of it, not from one.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from advisor.cases import Case, answer_cases
from advisor.errors import AdvisorError
from advisor.records import Failure
from advisor.stage import Stage
from eval.fold import words
from eval.leaks import leaked

LEAST = 3  # phrasings from which a fact can be said to have been taught; ours
REWORD = (
    "Reword this question. Keep every name and every number. Write only the new question.\n\n{question}",
    "Ask for the same in other words, beginning with 'Tell me'. Write only that sentence.\n\n{question}",
    "Ask for the same in other words, beginning with 'Could you say'. Write only that sentence.\n\n{question}",
    "Write a shorter question that has the same answer. Write only the question.\n\n{question}",
)
LONGER = 12  # words by which a rewording may outgrow its question; more is an answer, or talk


@dataclass(frozen=True)
class Phrasing:
    """Another wording of the question of a case, and where it comes from: file, log or model."""

    id: str
    prompt: str
    source: str


@dataclass(frozen=True)
class Found:
    """What there is to train on, and how many were left out because they are what will be asked."""

    phrasings: tuple[Phrasing, ...]
    leaks: int

    def sources(self) -> dict[str, int]:
        """How many different ones came from where; two cases of one fact can share theirs."""
        return dict(Counter(source for source, _ in {(p.source, tuple(words(p.prompt))) for p in self.phrasings}))

    def taught(self) -> set[str]:
        """The cases with enough phrasings."""
        counts = Counter(phrasing.id for phrasing in self.phrasings)
        return {name for name, count in counts.items() if count >= LEAST}


def phrasings_for(held: Sequence[str], judged: Mapping[str, str], stage: Stage) -> Found:
    """Other phrasings of the held-out questions; `judged` (id -> question) are all that will be asked, and taught none.

    From the file of --phrasings; without one from the log's own twins, and where these are fewer than LEAST, reworded
    by the model that answers.
    """
    path = stage.request.phrasings
    if path is not None:
        wanted = set(held)
        found = [phrasing for phrasing in read_phrasings(path) if phrasing.id in wanted]
        return without_leaks(found, judged)
    found = twins(held, list(stage.failures.values()), judged)
    enough = without_leaks(found, judged).taught()
    found += _reworded([name for name in held if name not in enough], stage)
    return without_leaks(found, judged)


def without_leaks(found: Sequence[Phrasing], judged: Mapping[str, str]) -> Found:
    """The phrasings that are no question of `judged`, near copies and wrappings of one included; each once a case."""
    kept: dict[tuple[str, tuple[str, ...]], Phrasing] = {}
    leaks, known = 0, {}
    for phrasing in found:
        said = tuple(words(phrasing.prompt))
        if said not in known:
            known[said] = bool(leaked(judged, [phrasing.prompt]))
        if known[said]:
            leaks += 1
        elif said:
            kept.setdefault((phrasing.id, said), phrasing)
    return Found(tuple(kept.values()), leaks)


def read_phrasings(path: Path) -> list[Phrasing]:
    """Phrasings from JSON lines of `id` (of a case in the log) and `prompt`; the first bad line is named."""
    found = []
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                name, prompt = row["id"], row["prompt"]
            except (ValueError, KeyError, TypeError):
                name = prompt = None
            if not (isinstance(name, str) and isinstance(prompt, str) and prompt.strip()):
                given, allowed = "no phrasing", 'an object with "id" (of a case in the log) and "prompt"'
                raise AdvisorError(f"{path}:{number}", given, allowed, "correct the line after --phrasings")
            found.append(Phrasing(name, prompt.strip(), "file"))
    return found


def twins(held: Sequence[str], log: Sequence[Failure], judged: Mapping[str, str]) -> list[Phrasing]:
    """Questions of the log with the same reference and the same names and figures, of cases that judge nothing."""
    by_reference: dict[tuple[str, ...], list[Failure]] = defaultdict(list)
    for failure in log:
        if failure.id not in judged and failure.reference:
            by_reference[tuple(words(failure.reference[0]))].append(failure)
    known = {failure.id: failure for failure in log}
    found = []
    for name in held:
        failure = known[name]
        for other in by_reference[tuple(words(failure.reference[0]))] if failure.reference else ():
            told = names_and_figures(failure.asked)
            if told and set(told) == set(names_and_figures(other.asked)):
                found.append(Phrasing(name, other.asked, "log"))
    return found


def names_and_figures(question: str) -> list[str]:
    """What another wording must keep: numbers, codes, and words with a capital that do not open a sentence."""
    opening = r"(?:^|[.!?:]\s+|\n\s*)[\"'(]*"
    plain = re.sub(rf"({opening})([A-Z][a-z]*\b)", lambda m: m.group(1) + m.group(2).lower(), question)
    return list(dict.fromkeys(re.findall(r"\b(?:[A-Z]\w|\w*\d)[\w-]*(?:[.,:]\d+)*", plain)))


def _reworded(names: Sequence[str], stage: Stage) -> list[Phrasing]:
    """The questions as the answering model rewords them, where names and figures are kept and no talk is added."""
    cases = []
    for name in names:
        question = stage.failures[name].asked
        checks: list[dict[str, object]] = [{"type": "max-words", "value": len(question.split()) + LONGER}]
        if told := names_and_figures(question):
            checks.append({"type": "contains-all", "value": told})
        for number, prompt in enumerate(REWORD):
            messages = ({"role": "user", "content": prompt.replace("{question}", question)},)
            cases.append(Case(f"{name}#{number}", messages, tuple(checks)))
    rows = answer_cases(stage.run, "rewording", cases, stage.models.answering, stage.tell)
    kept = [(row["id"].rpartition("#")[0], str(row["answer"]).strip()) for row in rows if row["passed"]]
    return [Phrasing(name, text, "model") for name, text in kept if text and "\n" not in text]
