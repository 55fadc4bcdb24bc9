"""Which of the passages shown supports an answer, by the words and numbers that they share."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from rag.lexical import words
from rag.search import Hit

SENTENCE = re.compile(r"[^.!?。！？\n]*(?:[.!?。！？](?![\s\"'”’)\]]|$)[^.!?。！？\n]*)*[.!?。！？]*[\"'”’)\]]*")
# Half of what the answer adds to the question must stand in a passage: below that, shared words are chance.
SUPPORT = 0.5


class Citation(NamedTuple):
    """A passage that supports an answer: `quote` is the document's text from start to end; `number` as it was shown."""

    number: int
    document_id: str
    title: str
    start: int
    end: int
    quote: str
    support: float


class Cited(NamedTuple):
    """An answer, the passages that support it (best first), and every passage that was shown."""

    answer: str
    citations: list[Citation]
    shown: list[Hit]


def cited(answer: str, shown: Sequence[Hit], question: str = "") -> Cited:
    """The answer with those of the shown passages that support it.

    Counted are the words of the answer that the question does not hold already (all of them if it adds none). A passage
    supports the answer if it holds at least half of them and, where the answer has numbers, one of its numbers. No
    citation therefore means: nothing shown bears this answer out.
    """
    said = set(words(answer))
    new = said - set(words(question)) or said
    numbers = {word for word in new if word[0].isdigit()}
    citations = []
    for number, hit in enumerate(shown, start=1):
        inside = new & set(words(f"{hit.header or hit.title} {hit.text}"))
        if not new or (numbers and not numbers & inside) or len(inside) < SUPPORT * len(new):
            continue
        start, end = _best_sentence(hit.text, new, said)
        quote = hit.text[start:end]
        support = len(inside) / len(new)
        citations.append(
            Citation(number, hit.document_id, hit.title, hit.start + start, hit.start + end, quote, support)
        )
    citations.sort(key=lambda citation: (-citation.support, citation.number))
    return Cited(answer, citations, list(shown))


def _best_sentence(text: str, new: set[str], said: set[str]) -> tuple[int, int]:
    """Span of the sentence that shares most with the answer, the first among equals."""
    spans = [m.span() for m in SENTENCE.finditer(text) if m.group().strip()]

    def shared(span: tuple[int, int]) -> tuple[int, int, int]:
        inside = set(words(text[slice(*span)]))
        return len(inside & new), len(inside & said), -span[0]

    start, end = max(spans, key=shared)
    start += len(text[start:end]) - len(text[start:end].lstrip())
    return start, end
