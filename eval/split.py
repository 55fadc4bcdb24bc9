"""Split cases into a train and a held-out side so that nothing learned on one is asked on the other."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from eval.errors import EvalError
from eval.near import like_pairs, near_pairs

TRAIN, HELD_OUT = "train", "held-out"


def clusters(
    ids: Sequence[str], texts: Sequence[str], groups: Sequence[str], vectors: Any | None = None
) -> dict[str, str]:
    """id -> the name of the cluster it belongs to: that of its first member, by id.

    One cluster hold together: rows of the same group that is not empty, near copies (Jaccard of word shingles >= 0.8)
    and, given sentence vectors (rows x dimensions), rows that mean the same (near.LIKE); also through a chain of these.
    The same rows, in whatever order and process, get the same clusters. Raises EvalError for ids given twice or
    lengths that differ.
    """
    _check(ids, {len(ids), len(texts), len(groups)} | ({len(vectors)} if vectors is not None else set()))
    # Positions are put in the order of ids: the order of a log must not decide anything.
    order = sorted(range(len(ids)), key=lambda i: ids[i])
    bundles = _bundles(
        [texts[i] for i in order], [groups[i] for i in order], vectors[order] if vectors is not None else None
    )
    named = {order[i]: ids[order[bundle[0]]] for bundle in bundles for i in bundle}
    return {name: named[i] for i, name in enumerate(ids)}


def split(
    ids: Sequence[str],
    texts: Sequence[str],
    groups: Sequence[str],
    *,
    held_out: float | Mapping[str, float] = 0.4,
    seed: int = 0,
    strata: Sequence[str] | None = None,
    vectors: Any | None = None,
) -> dict[str, str]:
    """Give each id its side, "train" or "held-out"; `held_out` is the share wanted (rows, 0 to 1), or that by stratum.

    What belongs together (`clusters`) lands on one side. Each stratum is shared out alike as far as whole clusters
    allow. The same rows, in whatever order and process, get the same sides. Raises EvalError for ids given twice,
    lengths that differ or a share that is none.
    """
    strata = strata if strata is not None else [""] * len(ids)
    _check(ids, {len(ids), len(strata)})
    shares = held_out if isinstance(held_out, Mapping) else dict.fromkeys(strata, held_out)
    for share in shares.values():
        if not 0 < share < 1:
            raise EvalError("held_out", str(share), "a share between 0 and 1")
    together: dict[str, list[str]] = defaultdict(list)
    for name, cluster in sorted(clusters(ids, texts, groups, vectors).items()):
        together[cluster].append(name)
    stratum_of = dict(zip(ids, strata, strict=True))
    by_stratum: dict[str, list[list[str]]] = defaultdict(list)
    for bundle in together.values():
        counts = Counter(stratum_of[name] for name in bundle)
        by_stratum[min(counts, key=lambda name: (-counts[name], name))].append(bundle)
    sides: dict[str, str] = {}
    owed = 0.0  # rows by which the held-out side lags behind its share, carried on from stratum to stratum
    for stratum in sorted(by_stratum):
        bundles = sorted(by_stratum[stratum], key=lambda bundle: (-len(bundle), _chance(seed, bundle[0])))
        share, size = shares[stratum], sum(map(len, bundles))
        owed += share * size
        left = size - owed
        for bundle in bundles:
            # To the side with more room in proportion to its share.
            held = owed / share >= left / (1 - share)
            owed, left = (owed - len(bundle), left) if held else (owed, left - len(bundle))
            sides.update(dict.fromkeys(bundle, HELD_OUT if held else TRAIN))
    _fill_empty_side(sides, list(together.values()))
    return {name: sides[name] for name in ids}


def _check(ids: Sequence[str], lengths: set[int]) -> None:
    if len(lengths) != 1:
        raise EvalError("split", f"lists of lengths {sorted(lengths)}", "one text, group and stratum for each id")
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise EvalError("id", f"{twice[0]!r} is given {Counter(ids)[twice[0]]} times", "each id once")


def _bundles(texts: Sequence[str], groups: Sequence[str], vectors: Any | None) -> list[list[int]]:
    """Positions that must stay together: the connected parts of "same group", "near copy" and "means the same"."""
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
    for i, j in like_pairs(vectors) if vectors is not None else ():
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
