"""What so many cases can show: the power of a comparison that is yet to be made, and the smallest gain it finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from eval.compare import mcnemar_exact

RUNS = 2000  # simulated comparisons: the power is known to 2.2 points (95 %)
FLIPS = 1999  # sign flips drawn for each; fewer would blur the steps of the p of few clusters
MANY = 100  # clusters, from which on a quarter of the flips will do
FINEST = 1e-4  # of a detectable effect; simulated ones are no finer than 0.005


def forecast_power(
    n: int,
    gain: float,
    discordant: float | None = None,
    *,
    sizes: Sequence[int] | None = None,
    icc: float = 0.0,
    alpha: float = 0.05,
) -> float:
    """Chance that `prove` will find a gain of the pass rate in n paired cases, two-sided at `alpha`.

    `discordant` is the share of cases whose result changes either way; None: cases only change for the better (the
    usual place to start with logged failures, which an untouched replay seldom passes), so the answer is a best case.
    Unrelated cases: exact power of McNemar's test, the number of changes itself being random. With `sizes`, the cases
    of each cluster (they sum to n), and `icc`, the intra-cluster correlation of changes: the sign-flip test on RUNS
    simulated comparisons, fixed and broken cases of a cluster drawn from shares that are Dirichlet (so that any two
    of its cases correlate by icc; Mosimann 1962, Biometrika 49:65). A formula with the design effect alone is off by
    up to 20 points where clusters differ in size.
    """
    share = gain if discordant is None else discordant
    if not 0 < share <= 1 or not 0 <= gain <= share:
        raise ValueError(f"gain {gain}, discordant {discordant}; allowed: 0 <= gain <= discordant <= 1")
    if sizes is None:
        return _exact(n, gain, share, alpha)
    if sum(sizes) != n or min(sizes) < 1:
        raise ValueError(f"sizes of clusters that sum to {sum(sizes)} for {n} cases; allowed: from 1 up, sum n")
    if not 0 <= icc <= 1:
        raise ValueError(f"icc: {icc}; allowed: 0 to 1")
    return _simulated(tuple(sorted(sizes)), gain, share, icc, alpha)


def _exact(n: int, gain: float, discordant: float, alpha: float) -> float:
    """D ~ Binomial(n, discordant) cases change, fixed | D ~ Binomial(D, (1 + gain/discordant) / 2)."""
    from scipy.stats import binom

    pairs = np.arange(n + 1)
    # Significant from the first count on whose upper tail is at most alpha / 2.
    below = binom.isf(alpha / 2, pairs, 0.5)
    found = binom.sf(below, pairs, min(1.0, (1 + gain / discordant) / 2))
    return float(binom.pmf(pairs, n, discordant) @ found)


@lru_cache(maxsize=1024)
def _simulated(sizes: tuple[int, ...], gain: float, discordant: float, icc: float, alpha: float) -> float:
    drawn = np.random.default_rng(0)
    shares = np.array([(discordant + gain) / 2, (discordant - gain) / 2, 1 - discordant])
    m = np.array(sizes)
    concentration = 1 / min(max(icc, 1e-4), 0.999) - 1
    n_flips = FLIPS if len(m) < MANY else FLIPS // 4
    flips = drawn.integers(0, 2, size=(len(m), n_flips)).astype(np.float32) * 2 - 1
    found = 0
    for _ in range(RUNS // 500):
        own = drawn.dirichlet(np.maximum(shares * concentration, 1e-9), size=(500, len(m)))
        counts = drawn.multinomial(m, own)
        nets = (counts[..., 0] - counts[..., 1]).astype(np.float32)
        seen = nets.sum(axis=1)
        p = (1 + (np.abs(nets @ flips) >= np.abs(seen)[:, None]).sum(axis=1)) / (1 + n_flips)
        found += int(((p <= alpha) & (seen > 0)).sum())
    return found / (RUNS // 500 * 500)


@lru_cache(maxsize=1024)
def detectable_effect(
    n: int,
    discordant: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
    *,
    sizes: tuple[int, ...] | None = None,
    icc: float = 0.0,
) -> float:
    """Smallest gain of the pass rate that is found in n paired cases with this power; inf where none is.

    Arguments as in `forecast_power`. Found by bisection, rounded up to FINEST (0.005 with clusters, whose power is
    simulated).
    """
    if n < 1:
        return math.inf
    if discordant is not None and not 0 < discordant <= 1:
        raise ValueError(f"discordant: {discordant}; allowed: above 0, at most 1")
    if sizes is not None and mcnemar_exact(len(sizes), 0) >= alpha:
        return math.inf  # so few clusters show nothing, even when all go one way

    def enough(gain: float) -> bool:
        return forecast_power(n, gain, discordant, sizes=sizes, icc=icc, alpha=alpha) >= power

    low, high = 0.0, 1.0 if discordant is None else discordant
    if not enough(high):
        return math.inf
    while high - low > (FINEST if sizes is None else 0.005):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
