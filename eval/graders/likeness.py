"""How alike two texts are by their words and signs: token F1, ROUGE, edit distance."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

from eval.fold import holds, overlap_f1
from eval.graders.row import Check, Wrong, count_of, each, fields_of, only, share_of, texts_of

# Ours: SQuAD's F1 and ROUGE have no threshold of their own.
AT_LEAST = 0.5
MAX_TEXT_CHARS = 20_000  # of a reference; the answer may be longer
_TOKEN = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u0e00-\u0e7f\u3040-\u9fff\uac00-\ud7af]+"
)


def rouge_tokens(text: str) -> list[str]:
    """Lower-case runs of letters and digits, as rouge-score cuts English; signs of scripts without spaces alone."""
    return _TOKEN.findall(text.lower())


def lcs_length(left: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence.

    Bit-parallel (Hyyro 2004, "Bit-parallel LCS-length computation revisited"): a row of the table is one integer.
    """
    places: dict[Hashable, int] = {}
    for at, item in enumerate(left):
        places[item] = places.get(item, 0) | 1 << at
    full = (1 << len(left)) - 1
    row = full
    for item in right:
        met = row & places.get(item, 0)
        if met:
            row = ((row + met) | (row - met)) & full
    return len(left) - row.bit_count()


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L F1, 0 to 1: longest common subsequence of words over both lengths.

    Lin 2004 (https://aclanthology.org/W04-1013/, section 3.1) with beta = 1, as rouge-score's `rougeL` without its
    stemmer: P = LCS / words of the text, R = LCS / words of the reference, F = 2PR / (P + R).
    """
    given, gold = rouge_tokens(text), rouge_tokens(reference)
    return 2 * lcs_length(gold, given) / (len(given) + len(gold)) if given and gold else 0.0


def rouge_n(text: str, reference: str, n: int) -> float:
    """ROUGE-N, 0 to 1: the share of the reference's n-grams that the text has (Lin 2004, equation 1)."""
    given, gold = (_ngrams(rouge_tokens(one), n) for one in (text, reference))
    return (given & gold).total() / gold.total() if gold else 0.0


def _ngrams(tokens: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1))


def edit_distance(left: str, right: str) -> int:
    """Levenshtein distance: signs put in, taken out or changed.

    Bit-parallel (Myers 1999 in the form of Hyyro 2003, "A bit-vector algorithm for computing Levenshtein and Damerau
    edit distances"): a column of the table is two integers, what rises and what falls.
    """
    if not left:
        return len(right)
    places: dict[str, int] = {}
    for at, sign in enumerate(left):
        places[sign] = places.get(sign, 0) | 1 << at
    full, top, distance = (1 << len(left)) - 1, 1 << (len(left) - 1), len(left)
    rises, falls = full, 0
    for sign in right:
        equal = places.get(sign, 0)
        diagonal = (((equal & rises) + rises) ^ rises) | equal | falls
        up = falls | ~(diagonal | rises) & full
        down = rises & diagonal
        distance += bool(up & top) - bool(down & top)
        up = up << 1 | 1
        rises = (down << 1 | ~(diagonal | up)) & full
        falls = up & diagonal & full
    return distance


def _overlap(answer: str, value: Any) -> bool:
    text, at_least = fields_of(value, "text", "at_least")
    return overlap_f1(answer, texts_of(text)) >= share_of(at_least)


def _references(value: Any) -> list[str]:
    texts = texts_of(fields_of(value, "text")[0])
    if max(map(len, texts)) > MAX_TEXT_CHARS:
        raise Wrong(f"the text has more than {MAX_TEXT_CHARS:,} characters")
    return texts


def _rouge_l(answer: str, value: Any) -> bool:
    at_least = share_of(fields_of(value, "text", "at_least")[1])
    return any(rouge_l(answer, text) >= at_least for text in _references(value))


def _rouge_n(answer: str, value: Any) -> bool:
    at_least = share_of(fields_of(value, "text", "at_least")[1])
    only(value, "text", "at_least", "n")
    n = count_of(value.get("n", 1))
    if not 1 <= n <= 9:
        raise Wrong(f"n needs a number from 1 to 9, not {n}")
    return any(rouge_n(answer, text, n) >= at_least for text in _references(value))


def _edits(answer: str, value: Any) -> bool:
    most = count_of(fields_of(value, "text", "at_most")[1])
    if most > MAX_TEXT_CHARS:
        raise Wrong(f"at_most is more than {MAX_TEXT_CHARS:,}")
    # The distance is never less than the difference of the lengths.
    near = [one for one in _references(value) if abs(len(one) - len(answer)) <= most]
    return any(edit_distance(one, answer) <= most for one in near)


def _made(references: Sequence[str]) -> dict[str, Any] | None:
    texts = each([reference for reference in references if rouge_tokens(reference)])
    return {"text": texts, "at_least": AT_LEAST} if texts else None


def _made_edits(references: Sequence[str]) -> dict[str, Any] | None:
    # A tenth of the signs and at most three, ours: a slip of the pen, not another word.
    return {"text": references[0], "at_most": min(3, len(references[0]) // 10)} if len(references) == 1 else None


WORDS = "any order of the words and half of them"
SENSE = "what is said: `not`, one wrong figure or name among many right words passes"

CHECKS: dict[str, Check] = {
    "overlap": Check(
        _overlap,
        "content",
        "shares enough words with `text` (SQuAD F1 of `at_least`)",
        "{text: one or several, at_least: 0 to 1}",
        False,
        f"{WORDS}; articles, case and punctuation are not counted",
        SENSE,
        made=_made,
    ),
    "rouge-l": Check(
        _rouge_l,
        "content",
        "shares enough words in the same order with `text` (ROUGE-L F1 of `at_least`)",
        "{text: one or several, at_least: 0 to 1}",
        False,
        "words left out or put between",
        f"{SENSE}; a right answer in other words or another order fails",
        made=_made,
    ),
    "rouge-n": Check(
        _rouge_n,
        "content",
        "has enough of the runs of n words of `text` (ROUGE-N recall of `at_least`)",
        "{text: one or several, at_least: 0 to 1, n: 1 to 9}",
        False,
        "anything said beside them",
        f"{SENSE}; a long answer that says everything passes",
        made=_made,
    ),
    "edits": Check(
        _edits,
        "both",
        "differs from `text` by at most so many signs (Levenshtein)",
        "{text, at_most: a whole number}",
        False,
        "slips of the pen",
        "which sign: 1982 and 1928 differ by two; any word around the answer counts in full",
        content=lambda a, v: any(holds(a, text) for text in _references(v)),
        made=_made_edits,
    ),
}
