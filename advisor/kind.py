"""What a form failure asks to be learned: a tone, a shape that the base knows the pieces of, or a new syntax."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from advisor.records import Diagnosis, Evidence, Failure
from advisor.splits import instructions
from advisor.wanted_format import WRONG, skeleton
from eval.asked import form_checks
from eval.checks import CrashedCheck, axis_of, passes
from finetune.defaults import KINDS

Check = Mapping[str, Any]
TONE, SHAPE, SYNTAX = KINDS  # from the least that is to be learned to the most
SAID = {TONE: "tone and style", SHAPE: "a shape of known pieces", SYNTAX: "a syntax of its own"}

# What a failed check asks to be learned, where it is not SHAPE: lengths, case, words and language are choices among
# what the base writes anyway; SQL and code have grammars, of dialects that the base may not write.
OF_CHECK = {
    **dict.fromkeys(
        ("max-words", "min-words", "words", "max-chars", "max-sentences", "lower-case", "upper-case", "not-contains",
         "contains-any", "similar", "overlap", "rouge-l", "rouge-n", "language", "abstains"),
        TONE,
    ),
    **dict.fromkeys(("is-sql", "sql-equal", "sql-result", "code"), SYNTAX),
}  # fmt: skip
PATTERNS = ("full-match", "regex")
# A pattern that fixes as many marks which prose does not use is a notation of its own; a date or a path has fewer.
LEAST_MARKS, MARKS = 3, re.compile(r"[|\[\]{}<>=#@$%^&*~/\\_+`]")
# Without a check: by the rung of the heaviest evidence for form, where it is not SHAPE.
OF_RUNG = {"sql": SYNTAX, "constraints": TONE}
_TONE_WORDS = re.compile(
    r"\b(?:ton(?:e|al)|style|register|(?:in)?formal|casual|polite|rude|friendly|curt|stiff|wordy|verbose|terse|concise"
    r"|(?:too |more |less )(?:long|short)(?:er)?|long-?winded)\b",
    re.I,
)
LEAST_SHARE = 0.1  # of the cases: a format with fewer does not decide what all are trained with


class Kind(NamedTuple):
    """A kind of DEFAULTS, and how many cases call for which, for a plan to say."""

    name: str
    counts: Mapping[str, int]

    @property
    def says(self) -> str:
        """The counts in words, the most frequent first."""
        ranked = sorted(self.counts.items(), key=lambda pair: -pair[1])
        return ", ".join(f"{count} {SAID[kind]}" for kind, count in ranked)


def kind_of(failure: Failure, evidence: Iterable[Evidence] = ()) -> str:
    """The kind of one form failure: of the checks of form that its output fails the most demanding.

    The row's own checks come first, then what its prompt plainly asks for, then the rung of the heaviest evidence.
    """
    for checks in (failure.checks, form_checks(failure.prompt)):
        kinds = [kind for check in checks for kind in _of_failed(failure.output, check)]
        if kinds:
            return max(kinds, key=KINDS.index)
    shown = max((e for e in evidence if e.cause == "form" and e.weight > 0), key=lambda e: e.weight, default=None)
    if shown is None:
        return SHAPE
    if shown.rung == "feedback":
        return TONE if _TONE_WORDS.search(failure.feedback) else SHAPE
    return OF_RUNG.get(shown.rung, SHAPE)


def kind_for(failures: Sequence[Failure], diagnosed: Mapping[str, Diagnosis] | None = None) -> Kind:
    """The kind that an adapter for these form failures is made for.

    Cases with the same standing instructions share a format, whose kind is that of most of its cases (of as many, the
    more demanding). One adapter has to learn all formats: the most demanding that LEAST_SHARE of the cases ask for.
    """
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for failure in failures:
        known = (diagnosed or {}).get(failure.id)
        groups[instructions(failure.messages)][kind_of(failure, known.evidence if known else ())] += 1
    counts: Counter[str] = Counter()
    for found in groups.values():
        counts[max(KINDS, key=lambda kind: (found[kind], KINDS.index(kind)))] += found.total()
    least = LEAST_SHARE * counts.total()
    name = max((kind for kind, count in counts.items() if count >= least), key=KINDS.index, default=SHAPE)
    return Kind(name, dict(counts))


def _of_failed(output: str, check: Check) -> list[str]:
    """The kind of a check of form that the output fails, as a list of one; nothing for other checks."""
    try:
        failed = axis_of(check) == "form" and not passes(output, check)
    except CrashedCheck:
        return []
    return [_of_check(check)] if failed else []


def _of_check(check: Check) -> str:
    kind, value = check["type"], check.get("value")
    if kind == "not" and isinstance(value, Mapping):
        return _of_check(value)
    if kind == "all" and isinstance(value, Sequence):
        return max((_of_check(inner) for inner in value), key=KINDS.index, default=SHAPE)
    if kind in PATTERNS:
        return SYNTAX if _is_notation(value) else SHAPE
    return OF_CHECK.get(kind, SHAPE)


def _is_notation(pattern: Any) -> bool:
    try:
        return len(MARKS.findall(skeleton(pattern).replace("<...>", ""))) >= LEAST_MARKS
    except WRONG:
        return False
