"""How many passages to show, and from which nearness on: chosen by questions whose answers are known."""

from collections.abc import Sequence
from typing import NamedTuple

from rag.answer import MIN_SIMILARITY
from rag.index import Index
from rag.search import Hit, search_many

CHOICES = (1, 2, 3, 5)
NEARLY_ALL = 0.95  # fewer passages serve as well where they still hold this share of what the most hold; ours
DEFAULT_PASSAGES = 2


class Settings(NamedTuple):
    """What was chosen, and on what: rates lie between 0 and 1, None where nothing could be measured."""

    passages: int
    min_similarity: float
    found_rate: float | None  # of the questions with a known answer, those whose passages hold it
    kept_rate: float | None  # of the questions that want passages, those that get some
    refused_rate: float | None  # of the questions that want none, those that get none


def tune(index: Index, wanted: Sequence[tuple[str, Sequence[str]]], unwanted: Sequence[str]) -> Settings:
    """Settings for an index from questions that want passages, with their known answers, and questions that do not.

    Passages: the fewest that hold nearly all known answers that the most hold; each one more is read for nothing, and
    small readers take the wrong one. Nearness: the cosine that best parts the two kinds of questions (the largest
    Youden index, Youden 1950, Cancer 3:32), in the middle of the gap.
    """
    found = search_many(index, [question for question, _ in wanted], max(CHOICES))
    rates = {k: _held(found, [answers for _, answers in wanted], k) for k in CHOICES}
    most = rates[max(CHOICES)]
    passages = DEFAULT_PASSAGES if not most else min(k for k in CHOICES if (rates[k] or 0) >= NEARLY_ALL * most)
    near = [_nearness(hits) for hits in found]
    far = [_nearness(hits) for hits in search_many(index, list(unwanted), max(CHOICES))]
    least = _parting(near, far) if near and far else MIN_SIMILARITY
    return Settings(
        passages,
        round(least, 4),
        rates[passages] if most else None,
        sum(value >= least for value in near) / len(near) if near else None,
        sum(value < least for value in far) / len(far) if far else None,
    )


def _held(found: Sequence[Sequence[Hit]], answers: Sequence[Sequence[str]], k: int) -> float | None:
    """Share of the questions with a known answer whose first k passages hold one of its wordings."""
    known = [(hits[:k], wordings) for hits, wordings in zip(found, answers, strict=True) if any(wordings)]
    if not known:
        return None
    held = [
        any(" ".join(w.lower().split()) in " ".join(hit.text.lower().split()) for hit in hits for w in wordings if w)
        for hits, wordings in known
    ]
    return sum(held) / len(held)


def _nearness(hits: Sequence[Hit]) -> float:
    return max((hit.similarity for hit in hits if hit.similarity is not None), default=0.0)


def _parting(near: Sequence[float], far: Sequence[float]) -> float:
    """The threshold of the largest Youden index, in the middle of the gap between the values around it."""
    values = sorted({*near, *far})
    cuts = [values[0] - 1e-6, *((low + high) / 2 for low, high in zip(values, values[1:], strict=False))]

    def youden(cut: float) -> float:
        return sum(v >= cut for v in near) / len(near) + sum(v < cut for v in far) / len(far)

    best = max(map(youden, cuts))
    # Of cuts that part equally well the middle one.
    same = [cut for cut in cuts if youden(cut) >= best - 1e-12]
    return (same[0] + same[-1]) / 2
