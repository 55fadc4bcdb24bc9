"""Near copies among texts: exact Jaccard similarity of word shingles, found without comparing every pair."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from eval.fold import words

SHINGLE_WORDS = 3
# Near copies for deduplication of language-model data: Lee et al. 2022 (arXiv:2107.06499) take edit similarity
# above 0.8 after MinHash; the same 0.8 is used here on Jaccard itself.
NEAR = 0.8


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
