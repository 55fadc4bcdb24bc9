"""Near copies among texts: by words, exactly and without comparing every pair; by meaning, through given vectors."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from eval.fold import words

SHINGLE_WORDS = 3
# Near copies for deduplication of language-model data: Lee et al. 2022 (arXiv:2107.06499) take edit similarity
# above 0.8 after MinHash; the same 0.8 is used here on Jaccard itself.
NEAR = 0.8
# Cosine of sentence vectors from which two questions ask the same. Ours: of the demo's questions, rewordings of one
# lie at .87 to .98, other questions about the same thing below .80 (all-MiniLM-L6-v2).
LIKE = 0.85
ROWS_AT_ONCE = 1024


def shingles(text: str, size: int = SHINGLE_WORDS) -> frozenset[str]:
    """The set of runs of `size` folded words; a shorter text is one shingle."""
    said = words(text)
    if len(said) <= size:
        return frozenset([" ".join(said)])
    return frozenset(" ".join(said[i : i + size]) for i in range(len(said) - size + 1))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Shared shingles over all shingles, 0 to 1 (Jaccard 1912)."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared) if left or right else 1.0


def near_pairs(texts: Sequence[str], at_least: float = NEAR) -> Iterator[tuple[int, int]]:
    """Pairs of positions whose shingles reach this Jaccard similarity: all of them, none by chance.

    Prefix filtering (Bayardo et al. 2007, AllPairs; Xiao et al. 2008, PPJoin): two sets with Jaccard >= t share a
    member among the rarest |x| - ceil(t |x|) + 1 of each, so that only those are indexed. Of equal texts each is
    paired with the first alone.
    """
    sets = [shingles(text) for text in texts]
    first: dict[frozenset[str], int] = {}
    for i, held in enumerate(sets):
        if held in first:
            yield first[held], i
        first.setdefault(held, i)
    seen = Counter(shingle for held in first for shingle in held)
    index: dict[str, list[int]] = defaultdict(list)
    for held, i in first.items():
        rare_first = sorted(held, key=lambda shingle: (seen[shingle], shingle))
        prefix = rare_first[: len(held) - math.ceil(at_least * len(held) - 1e-9) + 1]
        candidates = {j for shingle in prefix for j in index[shingle]}
        for j in sorted(candidates):
            size, other = len(held), len(sets[j])
            if min(size, other) >= at_least * max(size, other) and jaccard(held, sets[j]) >= at_least:
                yield j, i
        for shingle in prefix:
            index[shingle].append(i)


def like_pairs(vectors: Any, at_least: float = LIKE) -> Iterator[tuple[int, int]]:
    """Pairs (leader, row) of vectors (rows x dimensions) of at least this cosine: each row with the first leader.

    A row that is like no leader before it becomes one (leader clustering, Hartigan 1975, Clustering Algorithms, 3):
    unlike single linkage no chain of small steps ties together what is far apart. Memory grows with the leaders alone.
    """
    rows = np.asarray(vectors, dtype=np.float32)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    leaders: list[int] = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        block = rows[start : start + ROWS_AT_ONCE]
        known = rows[leaders] if leaders else rows[:0]
        old, new = block @ known.T, block @ block.T
        fresh: list[int] = []  # leaders within this block
        for i in range(len(block)):
            near = np.flatnonzero(old[i] >= at_least)
            inside = [j for j in fresh if new[i, j] >= at_least]
            if near.size:
                yield leaders[near[0]], start + i
            elif inside:
                yield start + inside[0], start + i
            else:
                fresh.append(i)
        leaders += [start + i for i in fresh]
