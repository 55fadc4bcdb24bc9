"""Every statistic against scipy or statsmodels, a published worked example, or plain enumeration."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from eval.compare import (
    Interval,
    clopper_pearson,
    fewest_for_margin,
    holm,
    mcnemar_exact,
    non_inferior,
    paired_interval,
    permutation_exact,
    sign_flip,
    wilson,
)


def cases(both, fixed, broken, neither):
    """(before, after) of a paired two-by-two table."""
    before = [True] * both + [False] * fixed + [True] * broken + [False] * neither
    after = [True] * both + [True] * fixed + [False] * broken + [False] * neither
    return before, after


def test_wilson_known_values():
    assert wilson(10, 10).low == pytest.approx(0.7225, abs=5e-5)
    assert wilson(18, 20) == pytest.approx((0.6990, 0.9721), abs=5e-5)
    assert wilson(180, 200) == pytest.approx((0.8506, 0.9343), abs=5e-5)
    assert wilson(0, 7).low == 0.0 and wilson(7, 7).high == 1.0


@pytest.mark.parametrize("n", [1, 2, 7, 40, 333])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_intervals_of_a_rate_are_those_of_statsmodels(n, confidence):
    for k in {0, 1, n // 3, n - 1, n}:
        for ours, method in ((wilson, "wilson"), (clopper_pearson, "beta")):
            theirs = np.nan_to_num(proportion_confint(k, n, 1 - confidence, method))
            assert ours(k, n, confidence) == pytest.approx(tuple(theirs), abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(1, 0), (-1, 3), (4, 3)])
def test_impossible_counts_are_refused(k, n):
    with pytest.raises(ValueError, match="allowed"):
        wilson(k, n)


def test_mcnemar_is_the_exact_binomial_test():
    assert mcnemar_exact(6, 0) == 0.03125
    assert mcnemar_exact(5, 0) == 0.0625
    assert mcnemar_exact(0, 0) == 1.0
    for fixed, broken in itertools.product(range(12), repeat=2):
        if fixed + broken:
            theirs = mcnemar([[5, broken], [fixed, 7]], exact=True).pvalue
            assert mcnemar_exact(fixed, broken) == pytest.approx(theirs, abs=1e-12)
            pairs, few = fixed + broken, min(fixed, broken)
            tail = sum(math.comb(pairs, i) for i in range(few + 1)) / 2**pairs
            assert mcnemar_exact(fixed, broken) == pytest.approx(min(1.0, 2 * tail), abs=1e-12)
    assert mcnemar_exact(1200, 1000) == pytest.approx(mcnemar([[0, 1000], [1200, 0]], exact=True).pvalue, rel=1e-9)
    with pytest.raises(ValueError, match="allowed"):
        mcnemar_exact(-1, 3)


def test_permutation_is_mcnemar_for_single_cases_and_enumeration_for_groups():
    for fixed, broken in itertools.product(range(7), repeat=2):
        assert permutation_exact([1] * fixed + [-1] * broken) == pytest.approx(mcnemar_exact(fixed, broken))
    nets = [3, 2, 2, -1, 0, 4]
    flips = [
        sum(map(math.prod, zip(nets, signs, strict=True))) for signs in itertools.product((1, -1), repeat=len(nets))
    ]
    assert permutation_exact(nets) == pytest.approx(sum(abs(total) >= 10 for total in flips) / 64)
    # Six fixed cases that are really one: nothing is shown.
    assert permutation_exact([6]) == 1.0
    assert permutation_exact([]) == permutation_exact([0, 0]) == 1.0


def test_permutation_of_fractions_is_scipys_and_enumeration():
    rng = np.random.default_rng(3)
    for _ in range(20):
        nets = [Fraction(int(rng.integers(-6, 7)), int(rng.choice([1, 2, 3, 5]))) for _ in range(9)]
        flips = [sum(map(math.prod, zip(nets, signs, strict=True))) for signs in itertools.product((1, -1), repeat=9)]
        exact = sum(abs(total) >= abs(sum(nets)) for total in flips) / 2**9
        ours = sign_flip(nets)
        assert ours.drawn == 0 and ours.p == pytest.approx(exact, abs=1e-12)
        # scipy flips pairs of samples; its two-sided p is twice the smaller tail, of a symmetric law.
        theirs = stats.permutation_test(
            ([float(net) for net in nets], [0.0] * 9),
            lambda x, y: np.sum(x) - np.sum(y),
            permutation_type="samples",
            n_resamples=np.inf,
        )
        assert ours.p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_permutation_by_lot_is_close_to_the_exact_one_and_never_zero(monkeypatch):
    nets = [3, -1, 2, 4, 1, -2, 5, 1, 1, -1, 2, 2]
    exact = sign_flip(nets)
    monkeypatch.setattr("eval.compare.EXACT_STEPS", 0)
    drawn = sign_flip(nets)
    error = math.sqrt(exact.p * (1 - exact.p) / drawn.drawn)
    assert drawn.drawn == 100_000 and abs(drawn.p - exact.p) < 4 * error
    assert drawn == sign_flip(nets) and drawn != sign_flip(nets, seed=1)
    assert sign_flip([1] * 60).p == 1 / 100_001


@pytest.mark.parametrize(
    ("table", "published"),
    [
        # Fagerland, Lydersen and Laake 2014 (Statistics in Medicine 33:2850), their two worked examples.
        ((1, 7, 1, 12), (0.026, 0.507)),
        ((59, 16, 6, 80), (0.0046, 0.1186)),
        # Newcombe 1998 (Statistics in Medicine 17:2635), the illustrative table 36, 12, 2, 0.
        ((36, 12, 2, 0), (0.0569, 0.3404)),
    ],
)
def test_paired_interval_is_newcombes_method_10(table, published):
    assert paired_interval(*cases(*table)) == pytest.approx(published, abs=6e-4 if published[0] == 0.026 else 6e-5)


def test_paired_interval_turns_round_and_stays_inside():
    for table in itertools.product((0, 1, 4, 9), repeat=4):
        if not sum(table):
            continue
        before, after = cases(*table)
        there, back = paired_interval(before, after), paired_interval(after, before)
        assert there == pytest.approx((-back.high, -back.low))
        difference = (table[1] - table[2]) / sum(table)
        assert -1 <= there.low <= difference <= there.high <= 1


def test_paired_interval_covers_the_truth():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        drawn = rng.choice(4, size=60, p=[0.5, 0.2, 0.1, 0.2])
        interval = paired_interval(np.isin(drawn, (0, 2)).tolist(), np.isin(drawn, (0, 1)).tolist())
        covered += interval.low <= 0.1 <= interval.high
    assert covered >= 935  # 950 are due; three standard errors are 21


def test_grouped_interval_is_wider_where_cases_hang_together():
    # Forty groups of ten, each all fixed or not at all: forty observations, not four hundred.
    before, after = [False] * 400, [i // 10 % 2 == 0 for i in range(400)]
    groups = [f"g{i // 10}" for i in range(400)]
    plain, grouped = paired_interval(before, after), paired_interval(before, after, groups)
    assert grouped.high - grouped.low > 2 * (plain.high - plain.low)
    forty = paired_interval([False] * 40, [i % 2 == 0 for i in range(40)])
    assert grouped == pytest.approx(forty, abs=0.03)
    assert grouped == paired_interval(before, after, groups)
    assert paired_interval(before, after, ["one"] * 400) == Interval(-1.0, 1.0)
    # Groups of one are no groups; cases that changed nowhere count as their groups.
    assert paired_interval([True] * 8, [True] * 8, list("abcdefgh")) == paired_interval([True] * 8, [True] * 8)
    same = paired_interval([True] * 400, [True] * 400, groups)
    assert same == pytest.approx(paired_interval([True] * 40, [True] * 40), abs=0.03)
    with pytest.raises(ValueError, match="one for each case"):
        paired_interval([True], [True], ["a", "b"])


def test_grouped_interval_holds_under_the_null():
    # 30 groups of 10 that go up or down together: a naive interval is fooled far more often than 1 in 20.
    rng = np.random.default_rng(2)
    groups = [f"g{i // 10}" for i in range(300)]
    naive = fooled = 0
    for _ in range(60):
        up = np.repeat(rng.random(30) < 0.5, 10)
        plain = paired_interval((~up).tolist(), up.tolist())
        grouped = paired_interval((~up).tolist(), up.tolist(), groups)
        naive += not plain.low <= 0 <= plain.high
        fooled += not grouped.low <= 0 <= grouped.high
    assert fooled <= 6 < 30 < naive


def test_grouped_interval_turns_round_and_holds_the_change():
    rng = np.random.default_rng(4)
    for _ in range(20):
        groups = [f"g{i}" for i in rng.integers(0, 20, size=80)]
        before, after = rng.random((2, 80)) < rng.uniform(0.1, 0.9, size=(2, 1))
        there, back = paired_interval(before, after, groups), paired_interval(after, before, groups)
        assert there == pytest.approx((-back.high, -back.low), abs=0.02)  # the sets are drawn, not all counted
        assert -1 <= there.low <= after.mean() - before.mean() <= there.high <= 1
        shuffled = rng.permutation(80)
        again = paired_interval(before[shuffled], after[shuffled], [groups[i] for i in shuffled])
        assert again == pytest.approx(there)


def test_several_samples_narrow_the_interval():
    rng = np.random.default_rng(5)
    chance = rng.beta(0.6, 1.4, size=60)
    once, often = (rng.binomial(k, np.stack([chance, chance + 0.2 * (1 - chance)])) / k for k in (1, 20))
    wide, narrow = paired_interval(*once), paired_interval(*often)
    assert (narrow.high - narrow.low) * 2 < wide.high - wide.low
    assert narrow.low <= 0.2 * (1 - chance.mean()) <= narrow.high


def test_non_inferiority_needs_enough_cases():
    assert non_inferior([True] * 150, [True] * 150, 0.05)[0]
    assert not non_inferior([True] * 40, [True] * 40, 0.05)[0]
    safe, interval = non_inferior([True] * 150, [True] * 147 + [False] * 3, 0.05)
    assert not safe and interval.low == pytest.approx(-0.0571, abs=5e-4)
    with pytest.raises(ValueError, match="margin"):
        non_inferior([True], [True], 0.0)


@pytest.mark.parametrize("margin", [0.01, 0.02, 0.05, 0.1, 0.3, 0.6])
def test_the_smallest_guard_that_can_exclude_a_loss(margin):
    n = fewest_for_margin(margin)
    assert non_inferior([True] * n, [True] * n, margin)[0]
    assert n == 1 or not non_inferior([True] * (n - 1), [True] * (n - 1), margin)[0]
    assert fewest_for_margin(0.05) == 73


def test_holm_steps_down():
    # Holm's procedure by hand: .01 * 4, .02 * 3, .03 * 2 -> .06 (never below the one before), .5 * 1.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    rng = np.random.default_rng(6)
    for size in (1, 2, 7, 30):
        ps = rng.random(size).round(2) ** 2  # with ties
        assert holm(ps.tolist()) == pytest.approx(multipletests(ps, method="holm")[1].tolist())
