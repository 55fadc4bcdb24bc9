"""Statistics for before and after on the same cases: exact tests, intervals, power. No normal approximations of p."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
RESAMPLES_AT_ONCE = 500  # keeps the table of draws small
MIN_GROUPS = 2


class Interval(NamedTuple):
    """A two-sided confidence interval of a rate, or of a difference of rates."""

    low: float
    high: float


def _checked(k: int, n: int, confidence: float) -> None:
    if not 0 <= k <= n or n < 1:
        raise ValueError(f"k of n: {k} of {n}; allowed: 0 <= k <= n, n >= 1")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: {confidence}; allowed: between 0 and 1")


def wilson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of a rate k/n (Wilson 1927, J. Am. Stat. Assoc. 22:209, no continuity correction)."""
    _checked(k, n, confidence)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = k / n
    centre = rate + z * z / (2 * n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if k == 0 else (centre - half) / scale
    return Interval(low, 1.0 if k == n else (centre + half) / scale)


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Exact interval of a rate k/n (Clopper and Pearson 1934, Biometrika 26:404), by quantiles of the beta law."""
    from scipy.stats import beta

    _checked(k, n, confidence)
    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    return Interval(low, 1.0 if k == n else float(beta.ppf(1 - tail, k + 1, n - k)))


def mcnemar_exact(fixed: int, broken: int) -> float:
    """Two-sided exact p of McNemar's test: fixed ~ Binomial(fixed + broken, 1/2) (McNemar 1947, Psychometrika 12:153).

    Six pairs all on one side give 0.03125, five give 0.0625: below six no result can reach 0.05.
    """
    if fixed < 0 or broken < 0:
        raise ValueError(f"fixed {fixed}, broken {broken}; allowed: counts from 0 up")
    pairs, few = fixed + broken, min(fixed, broken)
    tail = sum(math.comb(pairs, i) for i in range(few + 1))
    return min(1.0, float(2 * tail / 2**pairs))


def permutation_exact(nets: Sequence[int]) -> float:
    """Two-sided exact p that the groups' net changes (fixed - broken of each) sum to zero, by flipping each sign.

    The paired permutation test with the group as the unit (Fisher 1935, The Design of Experiments, 21), all 2**k
    flips weighed by convolution. With one case a group it is McNemar's exact test.
    """
    moves = [abs(net) for net in nets if net]
    chance = np.zeros(2 * sum(moves) + 1)
    middle = sum(moves)
    chance[middle] = 1.0
    for move in moves:
        chance = (np.roll(chance, move) + np.roll(chance, -move)) / 2
    seen = abs(sum(nets))
    return min(1.0, float(chance[: middle - seen + 1].sum() + chance[middle + max(seen, 1) :].sum()))


def _pairs(before: Sequence[bool], after: Sequence[bool]) -> tuple[int, int, int, int]:
    """Cases right in both, only after (fixed), only before (broken), in neither."""
    if len(before) != len(after) or not before:
        raise ValueError(f"{len(before)} before, {len(after)} after; allowed: the same number, at least 1")
    both = sum(1 for x, y in zip(before, after, strict=True) if x and y)
    fixed = sum(1 for x, y in zip(before, after, strict=True) if y and not x)
    broken = sum(1 for x, y in zip(before, after, strict=True) if x and not y)
    return both, fixed, broken, len(before) - both - fixed - broken


def _newcombe(both: int, fixed: int, broken: int, neither: int, confidence: float = 0.95) -> Interval:
    """Interval of rate after - rate before: square-and-add of Wilson's limits, correlation corrected.

    Method 10 of Newcombe 1998, Statistics in Medicine 17:2635-2650.
    """
    n = both + fixed + broken + neither
    old, new = (both + broken) / n, (both + fixed) / n
    old_low, old_high = wilson(both + broken, n, confidence)
    new_low, new_high = wilson(both + fixed, n, confidence)
    product = (both + fixed) * (broken + neither) * (both + broken) * (fixed + neither)
    cross = both * neither - fixed * broken
    # The correction of method 10: n/2 is taken off a positive correlation, never beyond zero.
    cross_corrected = max(cross - n / 2, 0.0) if cross > 0 else float(cross)
    phi = cross_corrected / math.sqrt(product) if product else 0.0

    def reach(up: float, down: float) -> float:
        return math.sqrt(max(up**2 - 2 * phi * up * down + down**2, 0.0))

    low = new - old - reach(new - new_low, old_high - old)
    return Interval(max(low, -1.0), min(new - old + reach(new_high - new, old - old_low), 1.0))


def paired_interval(
    before: Sequence[bool], after: Sequence[bool], groups: Sequence[str] | None = None, seed: int = 0
) -> Interval:
    """95 % interval of the change of the pass rate, after - before, on the same n cases in the same order.

    Without groups Newcombe's method 10. With groups (cases that hang together) 10,000 bootstrap samples of whole
    groups, percentiles (Davison and Hinkley 1997, 3.8), and never narrower than Newcombe's: a bootstrap of few
    groups, or of cases that all behave alike, is too sure. One group alone tells nothing: -1 to 1.
    """
    plain = _newcombe(*_pairs(before, after))
    if groups is None:
        return plain
    if len(groups) != len(before):
        raise ValueError(f"{len(groups)} groups for {len(before)} cases; allowed: one for each case")
    names = {name: index for index, name in enumerate(sorted(set(groups)))}
    if len(names) < MIN_GROUPS:
        return Interval(-1.0, 1.0)
    member = np.array([names[group] for group in groups])
    change = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    sums = np.bincount(member, weights=change, minlength=len(names))
    sizes = np.bincount(member, minlength=len(names)).astype(float)
    drawn = np.random.default_rng(seed)
    even = np.full(len(names), 1 / len(names))
    means = []
    for _ in range(RESAMPLES // RESAMPLES_AT_ONCE):
        times = drawn.multinomial(len(names), even, size=RESAMPLES_AT_ONCE)
        means.append((times @ sums) / (times @ sizes))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Interval(min(float(low), plain.low), max(float(high), plain.high))


def non_inferior(
    before: Sequence[bool], after: Sequence[bool], margin: float, groups: Sequence[str] | None = None
) -> tuple[bool, Interval]:
    """Whether a loss of `margin` (a rate, 0.05 = 5 points) or more is excluded, and the 95 % interval of the change.

    The lower bound must lie above -margin: a one-sided test at 2.5 % (ICH E9, 3.3.2).
    """
    if not 0 < margin < 1:
        raise ValueError(f"margin: {margin}; allowed: between 0 and 1")
    interval = paired_interval(before, after, groups)
    return interval.low > -margin, interval


def _power(n: int, gain: float, discordant: float, alpha: float) -> float:
    """Exact chance that McNemar finds a gain: D ~ Binomial(n, discordant), fixed | D ~ Binomial(D, (1 + gain/d)/2)."""
    from scipy.stats import binom

    pairs = np.arange(n + 1)
    # Significant from the first count on whose upper tail is at most alpha / 2.
    below = binom.isf(alpha / 2, pairs, 0.5)
    found = binom.sf(below, pairs, min(1.0, (1 + gain / discordant) / 2))
    return float(binom.pmf(pairs, n, discordant) @ found)


@lru_cache(maxsize=1024)
def detectable_effect(n: int, discordant: float | None = None, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest gain of the pass rate that exact McNemar finds in n paired cases with this power; inf where none.

    Computed exactly, the number of discordant pairs itself being random; no normal approximation. `discordant` is
    the share of cases whose result changes either way; None: cases only change for the better (the usual place to
    start with logged failures, which an untouched replay seldom passes), so the answer is a best case.
    Found by bisection to 0.0001, rounded up.
    """
    if n < 1:
        return math.inf
    if discordant is not None and not 0 < discordant <= 1:
        raise ValueError(f"discordant: {discordant}; allowed: above 0, at most 1")

    def enough(gain: float) -> bool:
        return _power(n, gain, gain if discordant is None else discordant, alpha) >= power

    low, high = 0.0, 1.0 if discordant is None else discordant
    if not enough(high):
        return math.inf
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def holm(ps: Sequence[float]) -> list[float]:
    """Step-down adjusted p values in the order given (Holm 1979, Scand. J. Stat. 6:65)."""
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    adjusted, worst = [0.0] * len(ps), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = worst
    return adjusted
