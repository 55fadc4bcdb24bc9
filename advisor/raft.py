"""What was ignored in its context, asked again among other documents (RAFT): so it is trained, and judged."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from advisor.cases import Case, case_of
from advisor.experiments import Experiment
from advisor.records import Diagnosis, Failure, Question
from advisor.splits import HELD_OUT
from advisor.targets import target_of
from eval.fold import holds, words

if TYPE_CHECKING:
    from rag.search import Hit

ROUTE, ON_CONTEXT = "context-ignored", "lora-context"
# One document that holds the answer among four that do not (Zhang et al. 2024, RAFT, arXiv 2403.10131, section 4), as
# far as RAG's prompt has room for them.
DISTRACTORS = 4
MOST_PAGES = 200  # among which distractors are looked for: each question is compared with each
# RAFT's P, the share of examples that have the document with the answer: 0.8 in the paper, which wants the rest to be
# learned by heart. Here an answer that stands in no document is not trained in: it raises invention (2405.05904).
GOLD_RATE = 1.0


def reading_cases(failures: Sequence[Failure], diagnoses: Sequence[Diagnosis]) -> dict[str, Case]:
    """id -> the case of each context-ignored failure that can teach or judge reading, asked among other documents.

    It needs a context that holds the answer, and a correction or a reference that passes its checks.
    """
    ignored = [f for f, d in zip(failures, diagnoses, strict=True) if d.verdict == ROUTE and f.context]
    pages = pages_of(failures) if ignored else []
    found = {}
    for failure in ignored:
        case = case_of(failure) if target_of(failure) else None
        question = among_others(failure, pages) if case else None
        if case is not None and question is not None:
            found[failure.id] = replace(case, messages=tuple(question))
    return found


def missing(able: int, least: int) -> int:
    """How many more failures there must be, so that `least` teach reading once a part is held out; 0: enough."""
    return max(0, math.ceil(least / (1 - HELD_OUT[ROUTE])) - able)


def pages_of(failures: Iterable[Failure]) -> list[str]:
    """The first MOST_PAGES contexts of a log, each once."""
    return list(dict.fromkeys(text for failure in failures for text in failure.context if text.strip()))[:MOST_PAGES]


def among_others(failure: Failure, pages: Sequence[str], gold_rate: float = GOLD_RATE) -> Question | None:
    """The failure's question as RAG asks it: its own passages among `pages` that do not hold the answer.

    A prompt that shows its context already is left as it is. The distractors share most of the question's words, as
    those that a search brings; their order is by lot. At a `gold_rate` below 1 the rest has no passage of its own. None
    where the answer does not stand in what is shown.
    """
    from rag.answer import BUDGET_CHARS, passage, with_passages, within

    answers = [text for text in (target_of(failure), *failure.reference) if text]
    own = [text for text in failure.context if any(holds(text, answer) for answer in answers)]
    flat = " ".join(failure.prompt.split())
    if own and all(" ".join(text.split()) in flat for text in failure.context):
        return failure.messages
    kept = within([_hit(text) for text in own], BUDGET_CHARS)
    if not any(holds(hit.text, answer) for hit in kept for answer in answers):
        return None
    chance = random.Random(failure.id)
    if chance.random() >= gold_rate:
        kept = []
    room = BUDGET_CHARS - sum(len(passage(1, hit)) + 1 for hit in kept)
    wrong = (page for page in _nearest(failure.asked, pages) if page not in failure.context)
    for page in islice((page for page in wrong if not any(holds(page, answer) for answer in answers)), DISTRACTORS):
        if len(passage(1, _hit(page))) < room:
            kept.append(_hit(page))
            room -= len(passage(1, _hit(page))) + 1
    chance.shuffle(kept)
    return with_passages(failure.messages, kept)


def _nearest(asked: str, pages: Sequence[str]) -> list[str]:
    """The pages by the rarer words that they share with the question, most first."""
    wanted = set(words(asked))
    held = [wanted & set(words(page)) for page in pages]
    spread = Counter(word for shared in held for word in shared)
    ranked = sorted(range(len(pages)), key=lambda i: -sum(1 / spread[word] for word in held[i]))
    return [pages[i] for i in ranked]


def _hit(text: str) -> Hit:
    from rag.search import Hit

    return Hit("", "", "", text, 0.0, None, None, 0, len(text), "")


def reading(whole: Experiment) -> Experiment:
    """An adapter's experiment as that of one which learns to read."""
    return replace(
        whole,
        id=ON_CONTEXT,
        route=ROUTE,
        recipe={**whole.recipe, "does": f"train an adapter to read: {len(whole.train)} cases among other documents"},
        because="the right context was there and not used: to answer from it among others can be taught (2403.10131)",
        instead_of="RAG: retrieval found what was needed",
    )


def advice_for(able: int, ignored: int, least: int) -> str:
    """How many context-ignored failures could teach reading, and how many are missing."""
    lacking = missing(able, least)
    return (
        f"{able} of {ignored} {ROUTE} could teach an adapter to answer from documents (RAFT): they have a `context` "
        "that holds the answer, and a `reference` or `correction` that passes their checks; "
        + (f"{lacking} more are missing" if lacking else f"too few of them are left to learn from; it takes {least}")
    )
