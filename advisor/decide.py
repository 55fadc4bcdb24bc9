"""When is a diagnosis sure enough to act on? A threshold from costs or from a tolerated error, and what it measured."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.integer]

# A wrong cure wastes a day of work where a look at the case wastes minutes; but most users cannot review most of a
# log. At 2 to 1 a verdict is given where it is more likely right than wrong.
COST_WRONG, COST_REVIEW = 2.0, 1.0
CONFIDENCE = 0.9  # as in the examples of Learn then Test
# Fixed before any score is seen, as the tests demand. The sequence is entered at several points, since a sequence that
# begins where almost nothing is decided cannot pass (Learn then Test, section 2.3: fixed sequence, many starts).
GRID = tuple(round(0.98 - 0.02 * step, 2) for step in range(34))
STARTS = (0.94, 0.9, 0.8, 0.7)


class Decision(NamedTuple):
    """What the user holds a wrong verdict to cost, or how much error is tolerated among the verdicts given."""

    cost_wrong: float = COST_WRONG
    cost_review: float = COST_REVIEW
    max_error: float | None = None


class Scores(NamedTuple):
    """Predictions on rows that the head had not seen: mass of the verdict, whether it was right, code of the source."""

    top: Floats
    right: Bools
    source: Codes


class Outcome(NamedTuple):
    """What a threshold does to scores: the share decided, the errors among those, and the range over sources."""

    share: float
    errors: int
    decided: int
    low: float
    high: float

    @property
    def error(self) -> float:
        """The share of wrong verdicts among those given, NaN where none was."""
        return self.errors / self.decided if self.decided else math.nan


def cost_threshold(cost_wrong: float, cost_review: float) -> float:
    """The least mass worth acting on: acting costs cost_wrong * (1 - mass), abstaining cost_review.

    Chow, On optimum recognition error and reject tradeoff, IEEE Trans. Inf. Theory 16 (1970).
    """
    return max(0.0, 1 - cost_review / cost_wrong)


def risk_threshold(top: Floats, right: Bools, max_error: float, confidence: float = CONFIDENCE) -> float:
    """The least threshold above which the error is at most max_error with this confidence; inf where there is none.

    Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052): each threshold of the grid is a hypothesis "more than
    max_error are wrong", tested by an exact binomial p-value, from the strictest on until the first that stands; the
    STARTS share the level. Finite-sample for rows exchangeable with these.
    """
    from scipy.stats import binom

    level, found = (1 - confidence) / len(STARTS), math.inf
    for start in STARTS:
        for threshold in (t for t in GRID if t <= start):
            chosen = top >= threshold
            if not chosen.any() or binom.cdf(int((~right[chosen]).sum()), int(chosen.sum()), max_error) > level:
                break
            found = min(found, threshold)
    return found


def upper_bound(errors: int, decided: int, confidence: float = CONFIDENCE) -> float:
    """One-sided exact upper bound on a share (Clopper and Pearson, Biometrika 26, 1934)."""
    from scipy.stats import beta

    return 1.0 if errors >= decided else float(beta.ppf(confidence, errors + 1, decided - errors))


def threshold_of(decision: Decision, seen: Scores) -> float:
    """The least mass of a verdict under this decision; with max_error it is calibrated on `seen`."""
    if decision.max_error is not None:
        return risk_threshold(seen.top, seen.right, decision.max_error)
    return cost_threshold(decision.cost_wrong, decision.cost_review)


def outcome(scores: Scores, threshold: float, least: int = 10) -> Outcome:
    """What the threshold does to the scores; sources with fewer than `least` decided rows are not in the range."""
    chosen = scores.top >= threshold
    rates = []
    for code in np.unique(scores.source):
        here = chosen & (scores.source == code)
        if here.sum() >= least:
            rates.append(float((~scores.right[here]).mean()))
    share = float(chosen.mean()) if len(chosen) else 0.0
    span = (min(rates), max(rates)) if rates else (math.nan, math.nan)
    return Outcome(share, int((~scores.right[chosen]).sum()), int(chosen.sum()), *span)


def told(decision: Decision, seen: Scores, held: Scores, decided: int, asked: int) -> str:
    """In one or two sentences: how the threshold came about, how much it decided, what is promised, what was measured.

    `decided` of `asked` verdicts rest on the mass (reviewed cases do not count).
    """
    threshold = threshold_of(decision, seen)
    if decision.max_error is None:
        how = (
            f"a wrong verdict costs {decision.cost_wrong:g}, a review {decision.cost_review:g}: decided from a mass of"
        )
        how += f" {threshold:.2f}"
    elif math.isinf(threshold):
        return (
            f"at most {_percent(decision.max_error)} wrong cannot be promised from the {len(seen.top):,} rows that "
            "this router is calibrated on: all is left to review; allow more with --max-error"
        )
    else:
        how = f"at most {_percent(decision.max_error)} wrong wanted: decided from a mass of {threshold:.2f}"
    parts = [f"{how}, {decided:,} of {asked:,} cases ({decided / asked:.0%})" if asked else how]
    in_kind, apart = outcome(seen, threshold), outcome(held, threshold)
    if decision.max_error is not None:
        promise = f"at most {_percent(decision.max_error)} wrong ({CONFIDENCE:.0%} confidence, conformal)"
    elif in_kind.decided:
        promise = (
            f"at most {_percent(upper_bound(in_kind.errors, in_kind.decided))} wrong ({CONFIDENCE:.0%} confidence)"
        )
    else:
        promise = "nothing measured, none of them was that sure"
    parts.append(f"on rows like those it was calibrated on: {promise}")
    if apart.decided:
        span = f" (over sources {apart.low:.0%} to {apart.high:.0%})" if not math.isnan(apart.low) else ""
        parts.append(f"measured on sources left out: {_percent(apart.error)} wrong{span}")
    else:
        parts.append("not measured on sources left out")
    return "; ".join(parts)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
