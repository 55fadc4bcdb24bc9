"""Held-out questions that were taught after all: what trained a model may never be scored as its gain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from eval.fold import words
from eval.near import near_pairs

LEAST_WORDS = 4  # a shorter question stands inside many texts by chance; it leaks only as a whole


def leaked(held: Mapping[str, str], taught: Iterable[str]) -> list[str]:
    """The ids among `held` (id -> question) whose question was taught, in the order given.

    Taught is a question that is a near copy of a taught text (Jaccard of word shingles >= 0.8, so also the same after
    folding), or that stands whole inside of one.
    """
    texts = list(taught)
    folded = [f" {' '.join(words(text))} " for text in texts]
    names = list(held)
    inside = {
        name
        for name in names
        if len(said := words(held[name])) >= LEAST_WORDS and any(f" {' '.join(said)} " in text for text in folded)
    }
    root = list(range(len(names) + len(texts)))  # near_pairs names of equal texts only one pair each with the first

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    pairs = list(near_pairs([*(held[name] for name in names), *texts]))
    for i, j in pairs:
        if {i < len(names), j < len(names)} == {True, False}:
            inside.add(names[min(i, j)])
        root[find(max(i, j))] = find(min(i, j))
    taught_parts = {find(at) for at in range(len(names), len(root))}
    return [name for at, name in enumerate(names) if name in inside or find(at) in taught_parts]
