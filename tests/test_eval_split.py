"""The split: no near copy and no group on both sides, shares kept, the same everywhere."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from itertools import combinations

import pytest

from eval.errors import EvalError
from eval.leaks import leaked
from eval.near import jaccard, like_pairs, near_pairs, shingles
from eval.split import clusters, split

WORDS = "alpha beta gamma delta road river house green slow seven lamp north train copper window".split()


def rows(seed, n=240):
    """Random texts, one in four a near copy of an earlier one, some in groups."""
    rng = random.Random(seed)
    texts: list[str] = []
    for _ in range(n):
        if texts and rng.random() < 0.25:
            said = rng.choice(texts).split()
            said[rng.choice([0, -1])] = rng.choice(WORDS)
            texts.append(" ".join(said))
        else:
            texts.append(" ".join(rng.choices(WORDS, k=rng.randrange(2, 40))))
    groups = [rng.choice(["", "", f"g{rng.randrange(60)}"]) for _ in range(n)]
    return [f"id{i}" for i in range(n)], texts, groups, [rng.choice("abc") for _ in range(n)]


@pytest.mark.parametrize("seed", range(6))
def test_no_near_copy_and_no_group_straddles(seed):
    ids, texts, groups, strata = rows(seed)
    sides = split(ids, texts, groups, seed=seed, strata=strata)
    assert list(sides) == ids and set(sides.values()) == {"train", "held-out"}
    sets = [shingles(text) for text in texts]
    near = 0
    for i, j in combinations(range(len(ids)), 2):
        if jaccard(sets[i], sets[j]) >= 0.8 or (groups[i] and groups[i] == groups[j]):
            near += 1
            assert sides[ids[i]] == sides[ids[j]]
    assert near > 30


def test_near_pairs_miss_none():
    _, texts, _, _ = rows(9, n=200)
    sets = [shingles(text) for text in texts]
    brute = {(i, j) for i, j in combinations(range(200), 2) if jaccard(sets[i], sets[j]) >= 0.8}
    found = set(near_pairs(texts))
    assert found <= brute
    # Equal texts are paired with the first alone, so a missing pair must be one of copies of copies.
    for i, j in brute - found:
        assert any(sets[k] == sets[j] for k in range(j)) or any(sets[k] == sets[i] for k in range(i))


def test_a_changed_word_in_a_long_text_is_a_near_copy_and_a_changed_fact_in_a_short_one_is_not():
    long = " ".join(f"w{i}" for i in range(40))
    assert list(near_pairs([long, long.replace("w39", "x"), long.upper()])) != []
    assert list(near_pairs(["What is the capital of Peru?", "What is the capital of Chile?"])) == []


def test_shares_are_kept_overall_and_in_each_stratum():
    ids = [f"r{i}" for i in range(500)]
    texts = [f"{i} unlike {i * 7} any {i * 13} other {i * 17}" for i in range(500)]
    strata = ["a" if i % 5 else "b" for i in range(500)]
    sides = split(ids, texts, [""] * 500, held_out=0.3, strata=strata)
    for stratum, n in Counter(strata).items():
        held = sum(sides[name] == "held-out" for name, own in zip(ids, strata, strict=True) if own == stratum)
        assert held == pytest.approx(0.3 * n, abs=1)
    # Many strata of one row each still give the share as a whole.
    alone = split(ids, texts, [""] * 500, held_out=0.3, strata=ids)
    assert Counter(alone.values())["held-out"] == pytest.approx(150, abs=2)
    ids, texts, groups, strata = rows(1)
    share = Counter(split(ids, texts, groups, strata=strata).values())["held-out"] / len(ids)
    assert share == pytest.approx(0.4, abs=0.05)


def test_the_order_of_rows_decides_nothing_and_the_seed_does():
    ids, texts, groups, strata = rows(3)
    sides = split(ids, texts, groups, strata=strata)
    order = list(range(len(ids)))
    random.Random(0).shuffle(order)
    shuffled = split(
        *([column[i] for i in order] for column in (ids, texts, groups)), strata=[strata[i] for i in order]
    )
    assert shuffled == sides
    assert split(ids, texts, groups, seed=1, strata=strata) != sides


def test_another_process_with_another_hash_seed_splits_alike():
    code = (
        "from eval.split import split; r = range(60);"
        "print(split([str(i) for i in r], [f't {i} {i*i} x' for i in r], [str(i % 25) for i in r]))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1 and "held-out" in outputs.pop()


def test_two_bundles_fill_both_sides_and_one_cannot():
    assert set(split(["a", "b"], ["one text here", "another thing"], ["", ""]).values()) == {"train", "held-out"}
    assert len(set(split(["a", "b"], ["x y z", "p q r"], ["g", "g"]).values())) == 1
    assert split([], [], []) == {}


@pytest.mark.parametrize(
    ("arguments", "more", "says"),
    [
        ((["a", "a"], ["x", "y"], ["", ""]), {}, "'a' is given 2 times"),
        ((["a"], ["x", "y"], [""]), {}, "lengths"),
        ((["a"], ["x"], [""]), {"held_out": 1.0}, "between 0 and 1"),
    ],
)
def test_a_users_mistake_is_named(arguments, more, says):
    with pytest.raises(EvalError, match=says):
        split(*arguments, **more)


def test_questions_that_mean_the_same_share_a_side_and_no_chain_ties_what_is_apart():
    import numpy as np

    angles = np.radians([0, 20, 40, 60, 200])  # neighbours reach a cosine of .94, ends of the row do not
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert list(like_pairs(vectors, at_least=0.9)) == [(0, 1), (2, 3)]
    ids, texts = list("abcde"), ["one here", "two there", "three where", "four near", "five far"]
    found = clusters(ids, texts, [""] * 5, vectors)
    assert found == {"a": "a", "b": "a", "c": "c", "d": "c", "e": "e"}
    sides = split(ids, texts, [""] * 5, vectors=vectors)
    assert sides["a"] == sides["b"] and sides["c"] == sides["d"]


def test_like_pairs_are_those_of_a_plain_loop_also_across_blocks():
    import numpy as np

    centres = np.random.default_rng(1).normal(size=(300, 24))
    vectors = np.repeat(centres, 8, axis=0) + np.random.default_rng(2).normal(scale=0.1, size=(2400, 24))
    vectors = vectors[np.random.default_rng(3).permutation(2400)]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    leaders, expected = [], []
    for i in range(len(unit)):
        near = [j for j in leaders if unit[j] @ unit[i] >= 0.9]
        expected += [(near[0], i)] if near else []
        leaders += [] if near else [i]
    assert list(like_pairs(vectors, at_least=0.9)) == expected and len(leaders) < 400


def test_shares_by_stratum():
    ids = [f"r{i}" for i in range(200)]
    texts = [f"{i} unlike {i * 7} any {i * 13} other {i * 17}" for i in range(200)]
    strata = ["facts" if i % 2 else "form" for i in range(200)]
    sides = split(ids, texts, [""] * 200, strata=strata, held_out={"facts": 0.6, "form": 0.3})
    held = Counter(own for name, own in zip(ids, strata, strict=True) if sides[name] == "held-out")
    assert held["facts"] == pytest.approx(60, abs=1) and held["form"] == pytest.approx(30, abs=1)


def test_planted_leaks_are_found_and_nothing_else():
    long = "Which of the two harbours was closed for the winter of 1987 by order of the pilot office"
    held = {
        "copy": "What is the capital of Peru?",
        "folded": "who wrote  The Long Road",
        "near": long + " in the north?",
        "inside": "When does the night shift begin?",
        "short": "And why?",
        "kept": "What is the capital of Chile?",
        "twin of copy": "what is the capital of peru",
    }
    taught = [
        "What is the capital of Peru?",
        "Who wrote the long road?",
        long + " in the south?",
        "Answer briefly. When does the night shift begin? One line.",
        "Say it again. And why? I do not know.",
    ]
    assert leaked(held, taught) == ["copy", "folded", "near", "inside", "twin of copy"]
    assert leaked(held, []) == [] and leaked({}, taught) == []
