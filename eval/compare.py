"""Statistics for before and after on the same cases: exact tests and intervals. No normal approximations of p."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from eval.clusters import MIN_CLUSTERS, gathered, typical_interval, worth

Values = np.ndarray[Any, Any]

EXACT_STEPS = 200_000_000  # additions that an exact permutation may take: about a second
FLIPS = 100_000  # drawn where it would take more


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
    """Score interval of a rate k/n (Wilson 1927, J. Am. Stat. Assoc. 22:209, no continuity correction), by scipy."""
    return _rate_interval(k, n, confidence, "wilson")


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Exact interval of a rate k/n (Clopper and Pearson 1934, Biometrika 26:404), by scipy."""
    return _rate_interval(k, n, confidence, "exact")


def _rate_interval(k: int, n: int, confidence: float, method: str) -> Interval:
    from scipy.stats import binomtest

    _checked(k, n, confidence)
    found = binomtest(k, n).proportion_ci(confidence, method=method)
    return Interval(float(found.low), float(found.high))


def mcnemar_exact(fixed: int, broken: int) -> float:
    """Two-sided exact p of McNemar's test: fixed ~ Binomial(fixed + broken, 1/2) (McNemar 1947, Psychometrika 12:153).

    Six pairs all on one side give 0.03125, five give 0.0625: below six no result can reach 0.05.
    """
    from scipy.stats import binomtest

    if fixed < 0 or broken < 0:
        raise ValueError(f"fixed {fixed}, broken {broken}; allowed: counts from 0 up")
    return float(binomtest(fixed, fixed + broken).pvalue) if fixed + broken else 1.0


def permutation_exact(nets: Sequence[int]) -> float:
    """Two-sided exact p that the groups' net changes (fixed - broken of each) sum to zero, by flipping each sign.

    The paired permutation test with the group as the unit (Fisher 1935, The Design of Experiments, 21), all 2**k
    flips weighed by convolution. With one case a group it is McNemar's exact test.
    """
    moves = [abs(net) for net in nets if net]
    middle = sum(moves)
    chance = np.zeros(2 * middle + 1)
    chance[middle] = 1.0
    for move in moves:
        chance = (np.roll(chance, move) + np.roll(chance, -move)) / 2
    seen = abs(sum(nets))
    return min(1.0, float(chance[: middle - seen + 1].sum() + chance[middle + max(seen, 1) :].sum()))


class Flipped(NamedTuple):
    """The p of a sign-flip test, and how many flips were drawn for it: 0 where all were weighed."""

    p: float
    drawn: int


def sign_flip(nets: Sequence[Fraction | int], seed: int = 0) -> Flipped:
    """Two-sided p that net changes sum to zero, nets of any fraction: exact where that is cheap, else by lot.

    Fractions come from several samples a case. Exact is `permutation_exact` on the common denominator; above
    EXACT_STEPS it is FLIPS random flips with the seed, p = (1 + as far out) / (1 + FLIPS), which is never too small
    (Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9:39).
    """
    common = math.lcm(*(Fraction(net).denominator for net in nets)) if nets else 1
    scaled = [int(net * common) for net in nets if net]
    if 2 * sum(map(abs, scaled)) * len(scaled) <= EXACT_STEPS:
        return Flipped(permutation_exact(scaled), 0)
    # Doubles hold whole numbers exactly up to 2**53, so a tie is a tie.
    moves, drawn = np.array(scaled, dtype=float), np.random.default_rng(seed)
    seen, beyond, at_once = abs(sum(scaled)), 0, 1000
    for _ in range(FLIPS // at_once):
        signs = drawn.integers(0, 2, size=(at_once, len(moves)), dtype=np.int8) * 2.0 - 1
        beyond += int((np.abs(signs @ moves) >= seen).sum())
    return Flipped((1 + beyond) / (1 + FLIPS), FLIPS)


def _newcombe(before: Values, after: Values, cases: float, confidence: float = 0.95) -> Interval:
    """Interval of rate after - rate before: square-and-add of Wilson's limits, correlation corrected.

    Method 10 of Newcombe 1998, Statistics in Medicine 17:2635-2650. They count as `cases` unrelated ones, so the
    cells of the table need not be whole (nor are they where rates of several samples are compared).
    """
    share = cases / len(before)
    both, fixed = float(np.minimum(before, after).sum()) * share, float(np.maximum(after - before, 0).sum()) * share
    broken = float(np.maximum(before - after, 0).sum()) * share
    neither = max(cases - both - fixed - broken, 0.0)
    old, new = (both + broken) / cases, (both + fixed) / cases
    (old_low, old_high), (new_low, new_high) = (_score(rate, cases, confidence) for rate in (old, new))
    product = (both + fixed) * (broken + neither) * (both + broken) * (fixed + neither)
    cross = both * neither - fixed * broken
    # The correction of method 10: n/2 is taken off a positive correlation, never beyond zero.
    cross_corrected = max(cross - cases / 2, 0.0) if cross > 0 else cross
    phi = cross_corrected / math.sqrt(product) if product > 0 else 0.0

    def reach(up: float, down: float) -> float:
        return math.sqrt(max(up**2 - 2 * phi * up * down + down**2, 0.0))

    low = new - old - reach(new - new_low, old_high - old)
    return Interval(max(low, -1.0), min(new - old + reach(new_high - new, old - old_low), 1.0))


def _score(rate: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson's limits as `wilson` gives them, of any n: scipy takes whole counts only."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre, scale = rate + z * z / (2 * n), 1 + z * z / n
    half = z * math.sqrt(max(rate * (1 - rate), 0.0) / n + z * z / (4 * n * n))
    return (centre - half) / scale, (centre + half) / scale


def paired_interval(
    before: Sequence[float], after: Sequence[float], groups: Sequence[str] | None = None, seed: int = 0
) -> Interval:
    """95 % interval of the change of the pass rate, after - before, on the same n cases in the same order.

    A case's value is true, false, or its pass rate over several samples. Unrelated cases of one sample: Newcombe's
    method 10. With groups (cases that hang together), or several samples, the interval that belongs to the sign-flip
    test (`clusters.typical_interval`), and never narrower than Newcombe's of as many unrelated cases as these are
    `clusters.worth` (with several samples, which tell more than Newcombe knows, only where fewer than MIN_CLUSTERS
    changed). One group alone tells nothing: -1 to 1.
    """
    if len(before) != len(after) or not len(before):
        raise ValueError(f"{len(before)} before, {len(after)} after; allowed: the same number, at least 1")
    old, new = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    n = len(old)
    if groups is not None and len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} cases; allowed: one for each case")
    names = list(groups) if groups is not None else [str(i) for i in range(n)]
    whole = bool(np.isin(np.concatenate([old, new]), (0, 1)).all())
    if whole and len(set(names)) == n:
        return _newcombe(old, new, n)
    clusters = gathered(new - old, names)
    if len(clusters.sizes) < 2:
        return Interval(-1.0, 1.0)
    low, high = typical_interval(clusters, seed)
    if whole or clusters.changed < MIN_CLUSTERS:
        floor = _newcombe(old, new, worth(clusters))
        low, high = min(low, floor.low), max(high, floor.high)
    return Interval(max(low, -1.0), min(high, 1.0))


def non_inferior(
    before: Sequence[float], after: Sequence[float], margin: float, groups: Sequence[str] | None = None
) -> tuple[bool, Interval]:
    """Whether a loss of `margin` (a rate, 0.05 = 5 points) or more is excluded, and the 95 % interval of the change.

    The lower bound must lie above -margin: a one-sided test at 2.5 % (ICH E9, 3.3.2).
    """
    _margin(margin)
    interval = paired_interval(before, after, groups)
    return interval.low > -margin, interval


@lru_cache
def fewest_for_margin(margin: float) -> int:
    """The smallest number of unrelated cases that can exclude a loss of `margin`: all pass before and after.

    Newcombe's lower limit is then -z^2 / (n + z^2) (Wilson's of n/n): 73 cases for 5 points, 189 for 2.
    """
    _margin(margin)
    z2 = NormalDist().inv_cdf(0.975) ** 2
    n = max(1, math.floor(z2 / margin - z2))
    while z2 / (n + z2) >= margin:
        n += 1
    return n


def _margin(margin: float) -> None:
    if not 0 < margin < 1:
        raise ValueError(f"margin: {margin}; allowed: between 0 and 1")


def holm(ps: Sequence[float]) -> list[float]:
    """Step-down adjusted p values in the order given (Holm 1979, Scand. J. Stat. 6:65)."""
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    adjusted, worst = [0.0] * len(ps), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = worst
    return adjusted
