"""A judge errs: pass rates by a judge, corrected for how often it agreed with people, the doubt carried along."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from eval.compare import Interval
from eval.errors import EvalError


class Corrected(NamedTuple):
    """A rate or difference of rates as people would have graded it, with its interval."""

    rate: float
    interval: Interval


class Measured(NamedTuple):
    """A judge measured on human labels: of `right` answers it passed so many, of `wrong` ones it failed so many."""

    right_passed: int
    right: int
    wrong_failed: int
    wrong: int

    def _shares(self) -> tuple[float, float, float]:
        """Sensitivity, specificity and their sum less one, each with one success and one failure added."""
        if not (0 <= self.right_passed <= self.right and 0 <= self.wrong_failed <= self.wrong):
            raise EvalError("judge", f"{self}", "of n labelled answers 0 to n")
        if not self.right or not self.wrong:
            given = f"{self.right} answers labelled right, {self.wrong} wrong"
            raise EvalError("judge", given, "at least one of each", "label more answers by hand, some of each kind")
        sensitivity, specificity = (
            (self.right_passed + 1) / (self.right + 2),
            (self.wrong_failed + 1) / (self.wrong + 2),
        )
        if sensitivity + specificity - 1 <= 0:
            given = f"it passes {self.right_passed} of {self.right} right answers and fails {self.wrong_failed} of "
            raise EvalError("judge", f"{given}{self.wrong} wrong ones", "better than chance", "use another judge")
        return sensitivity, specificity, sensitivity + specificity - 1


def judge_corrected(passed: int, n: int, judge: Measured, confidence: float = 0.95) -> Corrected:
    """The true pass rate where the judge passed `passed` of n answers, and its interval.

    Rate: Rogan and Gladen 1978 (Am. J. Epidemiology 107:71), (rate + specificity - 1) / (sensitivity + specificity -
    1), cut to 0 and 1. Interval: Lang and Reiczigel 2014 (Preventive Veterinary Medicine 113:13), which adds one
    success and one failure to the labelled answers and z^2 / 2 of each to the judged ones, and carries the doubt of
    all three. Raises EvalError for a judge no better than chance.
    """
    if not 0 <= passed <= n or n < 1:
        raise ValueError(f"passed of n: {passed} of {n}; allowed: 0 <= passed <= n, n >= 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    sensitivity, specificity, better = judge._shares()
    trials = n + z * z
    seen = (passed + z * z / 2) / trials
    rate = (seen + specificity - 1) / better
    of_right = sensitivity * (1 - sensitivity) / (judge.right + 2)
    of_wrong = specificity * (1 - specificity) / (judge.wrong + 2)
    shift = 2 * z * z * (rate * of_right - (1 - rate) * of_wrong)
    variance = seen * (1 - seen) / trials + rate**2 * of_right + (1 - rate) ** 2 * of_wrong
    half = z * math.sqrt(variance) / better
    plain = (passed / n + judge.wrong_failed / judge.wrong - 1) / _better(judge)
    return Corrected(_cut(plain), Interval(_cut(rate + shift - half), _cut(rate + shift + half)))


def judge_corrected_change(difference: float, interval: Interval, judge: Measured) -> Corrected:
    """The true change of the pass rate where the judge, blind to the arm, saw `difference` with a 95 % `interval`.

    A judge that errs alike on both arms shrinks a difference by sensitivity + specificity - 1, so whether there is one
    (its p) does not change. Interval: each side's squared reach over that factor, and the doubt of the factor added
    (delta method; Casella and Berger 2002, Statistical Inference, 5.5.4).
    """
    z = NormalDist().inv_cdf(0.975)
    sensitivity, specificity, better = judge._shares()
    doubt = sensitivity * (1 - sensitivity) / (judge.right + 2) + specificity * (1 - specificity) / (judge.wrong + 2)
    change = difference / better
    down, up = (
        math.sqrt((abs(end - difference) / better) ** 2 + z * z * change**2 * doubt / better**2) for end in interval
    )
    return Corrected(max(-1.0, min(1.0, change)), Interval(max(-1.0, change - down), min(1.0, change + up)))


def _better(judge: Measured) -> float:
    """Sensitivity + specificity - 1 as measured; as `_shares` has it where that is nothing."""
    plain = judge.right_passed / judge.right + judge.wrong_failed / judge.wrong - 1
    return plain if plain > 0 else judge._shares()[2]


def _cut(rate: float) -> float:
    return min(1.0, max(0.0, rate))
