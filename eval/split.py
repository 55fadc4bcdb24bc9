"""Split cases into a train and a held-out side so that nothing learned on one is asked on the other."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from eval.errors import EvalError
from eval.near import near_pairs

TRAIN, HELD_OUT = "train", "held-out"


def split(
    ids: Sequence[str],
    texts: Sequence[str],
    groups: Sequence[str],
    *,
    held_out: float = 0.4,
    seed: int = 0,
    strata: Sequence[str] | None = None,
) -> dict[str, str]:
    """Give each id its side, "train" or "held-out"; `held_out` is the share wanted (rows, 0 to 1).

    Rows of the same group that is not empty, and near copies (Jaccard of word shingles >= 0.8), land on one side,
    also through a chain of these. Each stratum is shared out alike as far as whole bundles allow. The same rows,
    in whatever order and process, get the same sides. Raises EvalError for ids given twice or lengths that differ.
    """
    strata = strata if strata is not None else [""] * len(ids)
    _check(ids, texts, groups, strata, held_out)
    # Positions are put in the order of ids: the order of a log must not decide anything.
    order = sorted(range(len(ids)), key=lambda i: ids[i])
    bundles = _bundles([texts[i] for i in order], [groups[i] for i in order])
    named = [[order[i] for i in bundle] for bundle in bundles]
    by_stratum: dict[str, list[list[int]]] = defaultdict(list)
    for bundle in named:
        counts = Counter(strata[i] for i in bundle)
        by_stratum[min(counts, key=lambda name: (-counts[name], name))].append(bundle)
    sides: dict[str, str] = {}
    owed = 0.0  # rows by which the held-out side lags behind its share, carried on from stratum to stratum
    for name in sorted(by_stratum):
        stratum = sorted(by_stratum[name], key=lambda bundle: (-len(bundle), _chance(seed, ids[bundle[0]])))
        owed += held_out * sum(map(len, stratum))
        left = sum(map(len, stratum)) - owed
        for bundle in stratum:
            size = len(bundle)
            # To the side with more room in proportion to its share.
            held = owed / held_out >= left / (1 - held_out)
            owed, left = (owed - size, left) if held else (owed, left - size)
            sides.update((ids[i], HELD_OUT if held else TRAIN) for i in bundle)
    _fill_empty_side(sides, [[ids[i] for i in bundle] for bundle in named])
    return {name: sides[name] for name in ids}


def _check(
    ids: Sequence[str], texts: Sequence[str], groups: Sequence[str], strata: Sequence[str], held_out: float
) -> None:
    lengths = {len(ids), len(texts), len(groups), len(strata)}
    if len(lengths) != 1:
        raise EvalError("split", f"lists of lengths {sorted(lengths)}", "one text, group and stratum for each id")
    if not 0 < held_out < 1:
        raise EvalError("held_out", str(held_out), "a share between 0 and 1")
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise EvalError("id", f"{twice[0]!r} is given {Counter(ids)[twice[0]]} times", "each id once")


def _bundles(texts: Sequence[str], groups: Sequence[str]) -> list[list[int]]:
    """Positions that must stay together: the connected parts of "same group" and "near copy"."""
    root = list(range(len(texts)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    def join(i: int, j: int) -> None:
        first, second = sorted((find(i), find(j)))
        root[second] = first

    first_of: dict[str, int] = {}
    for i, group in enumerate(groups):
        if group:
            join(first_of.setdefault(group, i), i)
    for i, j in near_pairs(texts):
        join(i, j)
    parts: dict[int, list[int]] = defaultdict(list)
    for i in range(len(texts)):
        parts[find(i)].append(i)
    return list(parts.values())


def _chance(seed: int, name: str) -> bytes:
    """An order by lot that is the same in every process (the builtin hash is not)."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogatepass")).digest()


def _fill_empty_side(sides: dict[str, str], bundles: list[list[str]]) -> None:
    """With two bundles or more neither side stays empty: the smallest bundle changes over."""
    for side in (TRAIN, HELD_OUT):
        if len(bundles) > 1 and side not in sides.values():
            smallest = min(bundles, key=lambda bundle: (len(bundle), bundle[0]))
            sides.update((name, side) for name in smallest)
