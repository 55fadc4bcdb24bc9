"""A judge's error taken out of a rate: by hand, by simulation, and where it cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from eval.compare import paired_interval, wilson
from eval.errors import EvalError
from eval.judge_error import Measured, judge_corrected, judge_corrected_change


def test_rogan_and_gladen_by_hand():
    # 50 right, 50 wrong: a judge of .9 and .8 passes 45 and 10 of them.
    assert judge_corrected(55, 100, Measured(90, 100, 80, 100)).rate == pytest.approx(0.5)
    assert judge_corrected(5, 100, Measured(90, 100, 80, 100)).rate == 0.0
    assert judge_corrected(95, 100, Measured(90, 100, 80, 100)).rate == 1.0


def test_a_judge_that_never_errs_changes_little():
    sure = judge_corrected(30, 100, Measured(100_000, 100_000, 100_000, 100_000))
    assert sure.rate == pytest.approx(0.3)
    assert sure.interval == pytest.approx(wilson(30, 100), abs=0.01)


def test_the_interval_by_hand():
    # Lang and Reiczigel 2014 step by step: 23 of 150 pass, 48 of 50 right ones passed, 89 of 100 wrong ones failed.
    z = 1.959963984540054
    se, sp, n = 49 / 52, 90 / 102, 150 + z**2
    seen = (23 + z**2 / 2) / n
    rate = (seen + sp - 1) / (se + sp - 1)
    shift = 2 * z**2 * (rate * se * (1 - se) / 52 - (1 - rate) * sp * (1 - sp) / 102)
    parts = seen * (1 - seen) / n, rate**2 * se * (1 - se) / 52, (1 - rate) ** 2 * sp * (1 - sp) / 102
    half = z * sum(parts) ** 0.5 / (se + sp - 1)
    found = judge_corrected(23, 150, Measured(48, 50, 89, 100))
    assert found.rate == pytest.approx((23 / 150 + 0.89 - 1) / (0.96 + 0.89 - 1))
    assert found.interval == pytest.approx((max(0.0, rate + shift - half), rate + shift + half))


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("labels", [40, 200])
def test_the_corrected_interval_covers_the_truth_and_the_plain_one_does_not(rate, labels):
    rng, runs, covered, plain = np.random.default_rng(5), 400, 0, 0
    sensitivity, specificity, n = 0.9, 0.75, 150
    for _ in range(runs):
        right, wrong = rng.binomial(labels // 2, sensitivity), rng.binomial(labels // 2, specificity)
        passed = rng.binomial(n, rate * sensitivity + (1 - rate) * (1 - specificity))
        found = judge_corrected(passed, n, Measured(right, labels // 2, wrong, labels // 2)).interval
        covered += found.low <= rate <= found.high
        seen = wilson(passed, n)
        plain += seen.low <= rate <= seen.high
    assert covered / runs >= 0.93
    if rate != 0.7:  # there the judge's two errors nearly cancel
        assert plain / runs < 0.7


def test_a_corrected_change_covers_the_truth():
    rng, runs, covered, plain = np.random.default_rng(6), 300, 0, 0
    sensitivity, specificity, n = 0.85, 0.8, 200
    for _ in range(runs):
        old, new = rng.random(n) < 0.2, rng.random(n) < 0.6
        seen = [np.where(side, rng.random(n) < sensitivity, rng.random(n) > specificity) for side in (old, new)]
        judge = Measured(rng.binomial(60, sensitivity), 60, rng.binomial(60, specificity), 60)
        interval = paired_interval(*seen)
        found = judge_corrected_change(seen[1].mean() - seen[0].mean(), interval, judge).interval
        covered += found.low <= 0.4 <= found.high
        plain += interval.low <= 0.4 <= interval.high
    assert covered / runs >= 0.93 and plain / runs < 0.6


@pytest.mark.parametrize(
    ("judge", "says"),
    [
        (Measured(50, 100, 50, 100), "better than chance"),
        (Measured(10, 10, 0, 0), "0 wrong"),
        (Measured(11, 10, 5, 10), "0 to n"),
    ],
)
def test_a_judge_that_tells_nothing_is_refused(judge, says):
    with pytest.raises(EvalError, match=says):
        judge_corrected(5, 10, judge)


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="allowed"):
        judge_corrected(11, 10, Measured(9, 10, 9, 10))
