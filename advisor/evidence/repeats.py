"""How much a text says again: sentences that are near copies of earlier ones."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.evidence.text import words

LEAST_WORDS = 4
SHARED = 0.7  # of a sentence's words in one earlier sentence: said again. Set by hand
LOOK_BACK = 12  # sentences, so that long texts cost no more than their length


def again(parts: Sequence[str]) -> float:
    """The share of sentences of LEAST_WORDS words and more that repeat one of the LOOK_BACK before them."""
    said = [set(found) for part in parts if len(found := words(part)) >= LEAST_WORDS]
    copies = sum(
        any(len(one & before) >= SHARED * len(one) for before in said[max(0, at - LOOK_BACK) : at])
        for at, one in enumerate(said)
    )
    return copies / len(said) if said else 0.0
