"""Every statistic against scipy, a published worked example, or plain enumeration."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from eval.compare import (
    Interval,
    clopper_pearson,
    detectable_effect,
    holm,
    mcnemar_exact,
    non_inferior,
    paired_interval,
    permutation_exact,
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
def test_intervals_of_a_rate_are_scipys(n, confidence):
    for k in {0, 1, n // 3, n - 1, n}:
        test = stats.binomtest(k, n)
        for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
            theirs = test.proportion_ci(confidence, method=method)
            assert ours(k, n, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


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
            assert mcnemar_exact(fixed, broken) == pytest.approx(
                stats.binomtest(fixed, fixed + broken).pvalue, abs=1e-12
            )
    assert mcnemar_exact(1200, 1000) == pytest.approx(stats.binomtest(1200, 2200).pvalue, rel=1e-9)


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
    # Ten groups of ten, each all fixed or not at all: ten observations, not a hundred.
    before, after = [False] * 100, [i // 10 < 5 for i in range(100)]
    groups = [f"g{i // 10}" for i in range(100)]
    plain, grouped = paired_interval(before, after), paired_interval(before, after, groups)
    assert grouped.high - grouped.low > 2 * (plain.high - plain.low)
    # The bootstrap of ten coin flips: the mean of Binomial(10, 1/2) / 10.
    assert grouped == pytest.approx((0.2, 0.8), abs=0.011)
    assert grouped == paired_interval(before, after, groups)
    assert paired_interval(before, after, ["one"] * 100) == Interval(-1.0, 1.0)
    # Nothing changed at all: a bootstrap alone would be sure of it.
    assert paired_interval([True] * 8, [True] * 8, list("abcdefgh")) == paired_interval([True] * 8, [True] * 8)


def test_grouped_interval_holds_under_the_null():
    # 30 groups of 10 that go up or down together: a naive interval is fooled far more often than 1 in 20.
    rng = np.random.default_rng(2)
    groups = [f"g{i // 10}" for i in range(300)]
    naive = fooled = 0
    for seed in range(30):
        up = np.repeat(rng.random(30) < 0.5, 10)
        plain = paired_interval((~up).tolist(), up.tolist())
        grouped = paired_interval((~up).tolist(), up.tolist(), groups, seed=seed)
        naive += not plain.low <= 0 <= plain.high
        fooled += not grouped.low <= 0 <= grouped.high
    assert fooled <= 4 < 9 < naive


def test_non_inferiority_needs_enough_cases():
    assert non_inferior([True] * 150, [True] * 150, 0.05)[0]
    assert not non_inferior([True] * 40, [True] * 40, 0.05)[0]
    safe, interval = non_inferior([True] * 150, [True] * 147 + [False] * 3, 0.05)
    assert not safe and interval.low == pytest.approx(-0.0571, abs=5e-4)
    with pytest.raises(ValueError, match="margin"):
        non_inferior([True], [True], 0.0)


def brute_power(n, gain, discordant):
    total = 0.0
    for pairs in range(n + 1):
        rate = min(1.0, (1 + gain / discordant) / 2)
        found = sum(
            stats.binom.pmf(fixed, pairs, rate)
            for fixed in range(pairs + 1)
            if fixed > pairs - fixed and mcnemar_exact(fixed, pairs - fixed) <= 0.05
        )
        total += stats.binom.pmf(pairs, n, discordant) * found
    return total


@pytest.mark.parametrize(("n", "discordant"), [(12, None), (30, None), (33, 0.4), (40, 0.3)])
def test_detectable_effect_is_exact(n, discordant):
    effect = detectable_effect(n, discordant)
    assert brute_power(n, effect, discordant or effect) >= 0.8
    smaller = effect - 2e-4
    assert brute_power(n, smaller, discordant or smaller) < 0.8


def test_detectable_effect_known_values():
    assert detectable_effect(5) == math.inf  # five cases can never reach p < .05
    assert detectable_effect(6) == pytest.approx(0.8 ** (1 / 6), abs=2e-4)  # all six must be fixed
    assert detectable_effect(10, discordant=0.2) == math.inf
    # About 10 points with 155 pairs of which 20 % change, 5 points with 626.
    assert detectable_effect(155, discordant=0.2) == pytest.approx(0.104, abs=1e-3)
    assert detectable_effect(626, discordant=0.2) == pytest.approx(0.051, abs=1e-3)
    assert detectable_effect(0) == math.inf


def test_holm_steps_down():
    # Holm's procedure by hand: .01 * 4, .02 * 3, .03 * 2 -> .06 (never below the one before), .5 * 1.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_page_on_proof_tells_what_so_many_cases_can_show():
    page = (Path(__file__).parents[1] / "docs" / "proof.md").read_text(encoding="utf-8")
    for n in (6, 10, 20, 40, 60, 100, 200):
        effects = [detectable_effect(n, discordant) for discordant in (None, 0.3, 0.5)]
        assert f"| {n} | {' | '.join('none' if math.isinf(e) else f'{e * 100:.1f}' for e in effects)} |" in page
