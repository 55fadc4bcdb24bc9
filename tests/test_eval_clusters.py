"""Cases that hang together: their likeness, what they are worth, and the interval of random halves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from eval.clusters import Clusters, case_size, design_effect, gathered, typical_interval, worth
from eval.compare import sign_flip


def test_likeness_is_that_of_the_analysis_of_variance():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 12, size=90)
    change = rng.choice([-1.0, 0.0, 1.0], size=90) + (groups % 3 == 0)
    # Mean squares by the residuals of two fits, the grand mean and the mean of each group.
    fits = np.array([change[groups == group].mean() for group in groups])
    sizes = np.bincount(groups)
    k, n = len(sizes), len(change)
    within = ((change - fits) ** 2).sum() / (n - k)
    between = ((fits - change.mean()) ** 2).sum() / (k - 1)
    usual = (n - (sizes**2).sum() / n) / (k - 1)
    found = gathered(change, groups.astype(str).tolist())
    assert found.likeness == pytest.approx((between - within) / (between + (usual - 1) * within))
    assert 0 < found.likeness < 1 and sorted(found.sizes) == sorted(sizes)
    assert found.sums.sum() == pytest.approx(change.sum())


@pytest.mark.parametrize("icc", [0.0, 0.2, 0.6, 1.0])
def test_likeness_is_found_again(icc):
    rng = np.random.default_rng(2)
    member = np.repeat(np.arange(400), 6)
    own, shared = rng.choice([-1.0, 0.0, 1.0], size=len(member)), rng.choice([-1.0, 0.0, 1.0], size=400)
    change = np.where(rng.random(len(member)) < np.sqrt(icc), shared[member], own)
    assert gathered(change, member.astype(str).tolist()).likeness == pytest.approx(icc, abs=0.05)


def test_what_is_not_known_counts_as_alike():
    assert gathered(np.zeros(6), list("aabbcc")).likeness == 1.0
    assert gathered(np.ones(6), ["one"] * 6).likeness == 1.0


def test_design_effect_known_values():
    assert design_effect([10] * 8, 0.0) == 1.0
    assert design_effect([10] * 8, 0.05) == pytest.approx(1.45)
    assert design_effect([1] * 8, 0.7) == 1.0
    assert case_size([1, 3]) == 2.5  # three of four cases lie in the cluster of three
    with pytest.raises(ValueError, match="0 to 1"):
        design_effect([2, 2], 1.5)


def test_design_effect_is_the_variance_that_is_seen():
    rng, sizes, icc = np.random.default_rng(3), np.array([1, 2, 5, 9, 12, 20]), 0.3
    member = np.repeat(np.arange(6), sizes)
    own, shared = rng.normal(size=(20_000, 49)), rng.normal(size=(20_000, 6))
    means = (np.sqrt(icc) * shared[:, member] + np.sqrt(1 - icc) * own).mean(axis=1)
    assert means.var() * 49 == pytest.approx(design_effect(sizes, icc), rel=0.05)


def test_worth_doubts_what_few_changes_tell():
    many = gathered(np.tile([1.0, 0.0, 0.0, -1.0, 0.0], 40), [f"g{i % 37}" for i in range(200)])
    assert worth(many) == pytest.approx(200 / design_effect(many.sizes, many.likeness))
    none = gathered(np.zeros(200), [f"g{i // 5}" for i in range(200)])
    assert worth(none) == pytest.approx(40)
    one = gathered(np.eye(1, 200, 7)[0], [f"g{i // 5}" for i in range(200)])
    assert 40 < worth(one) < 45


def test_the_interval_holds_what_the_sign_flip_test_does_not_reject():
    rng = np.random.default_rng(4)
    for _ in range(5):
        sizes = rng.integers(2, 9, size=20)
        sums = np.array([rng.integers(-size, size + 1) for size in sizes])
        low, high = typical_interval(Clusters(sizes.astype(float), sums.astype(float), 20, 0.0))
        # With one case fixed and one broken added, as the interval has it; hundredths to keep the nets whole.
        nets, counts = np.append(sums, [1, -1]) * 100, np.append(sizes, [1, 1])

        def p(change, nets=nets, counts=counts):
            return sign_flip([int(net) for net in nets - counts * round(change * 100)]).p

        assert p(low - 0.03) < 0.05 < p(low + 0.03)
        assert p(high + 0.03) < 0.05 < p(high - 0.03)


def test_the_interval_is_the_quantiles_of_all_halves():
    sizes, sums = np.array([3.0, 4, 2, 5, 3, 4, 6, 2, 3, 1]), np.array([1.0, 3, -1, 2, 0, 4, -2, 1, 2, 1])
    table = [*zip(sums, sizes, strict=True), (1.0, 1.0), (-1.0, 1.0)]
    means = [
        sum(net for net, _ in chosen) / sum(size for _, size in chosen)
        for k in range(1, 13)
        for chosen in itertools.combinations(table, k)
    ]
    found = typical_interval(Clusters(sizes, sums, 9, 0.0))
    assert found == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.02)
    assert (
        found == typical_interval(Clusters(sizes, sums, 9, 0.0)) != typical_interval(Clusters(sizes, sums, 9, 0.0), 1)
    )
