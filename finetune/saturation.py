"""How many parameters, which rank, how many examples: where the gain saturates, and a forecast that can be checked."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Li et al. 2018 (arXiv 1804.08838, section 2) call the smallest dimension with 90 % of the full performance d90,
# and Aghajanyan et al. 2020 (arXiv 2012.13255, section 3) measure it for finetuning, both in random subspaces. Here
# the parameters of ever smaller LoRAs are counted, for these are what can be chosen, against the best that was run.
SHARE = 0.9
FEWEST = 4  # sizes: two make a line, and each is left out once
WIDEST = 10.0  # highest over lowest of a forecast; wider, it says nothing that a guess does not


@dataclass(frozen=True)
class Rung:
    """One run, and the loss that it left on the held-out completions."""

    layers: int  # that were adapted, all linear modules of each
    rank: int
    examples: int
    seed: int
    trainable: int = 0  # parameters
    loss: float = math.nan  # bits per byte


@dataclass(frozen=True)
class Saturation:
    """The smallest size that has SHARE of the largest gain; `at` None where nothing was gained."""

    at: int | None
    smallest: bool = False  # it is the smallest that was tried: less may do
    largest: bool = False  # it is the largest that was tried: more may give more


@dataclass(frozen=True)
class Forecast:
    """Trainable parameters that reach a loss; or why that cannot be told."""

    target: float  # bits per byte
    low: int = 0
    likely: int = 0
    high: int = 0
    refused: str = ""


def saturates(points: Sequence[tuple[int, float]], untrained: float) -> Saturation:
    """Where the gain saturates. `points` are (size, held-out loss); the gain is how far that is below `untrained`."""
    losses = means(points)
    best = untrained - min(losses.values())
    if best <= 0:
        return Saturation(None)
    at = min(size for size, loss in losses.items() if untrained - loss >= SHARE * best)
    return Saturation(at, at == min(losses), at == max(losses))


def forecast(points: Sequence[tuple[int, float]], target: float) -> Forecast:
    """The trainable parameters at which the loss comes down to `target`, from (parameters, loss) of some runs.

    Two curves are fitted by least squares to the mean loss of each size: loss = a - b ln(parameters), a gain that goes
    on, and ln(loss) = a - b ln(parameters), one that fades as scaling laws do (Kaplan et al. 2020, arXiv 2001.08361,
    equation 1.1). Likely is the geometric mean of what they say. Low and high are the furthest that either says when
    each size is left out once (jackknife): a span of what these runs allow, not a probability.
    """
    losses = means(points)
    if len(losses) < FEWEST:
        return Forecast(target, refused=f"{len(losses)} sizes were run, {FEWEST} are needed")
    if target <= 0:
        return Forecast(target, refused="a loss is above 0")
    if target >= max(losses.values()):
        return Forecast(target, refused="the smallest that was run is better already")
    at = [(math.log(size), loss) for size, loss in losses.items()]
    some = [at, *(at[:i] + at[i + 1 :] for i in range(len(at)))]
    told = [[_reached(fit, target, logs) for logs in (False, True)] for fit in some]
    if any(value is None for pair in told for value in pair):
        return Forecast(target, refused="the loss does not fall steadily with the parameters")
    values = np.array(told, dtype=float)
    low, likely, high = values.min(), values[0].mean(), values.max()
    if high - low > math.log(WIDEST):
        return Forecast(target, refused=f"the runs allow all from {math.exp(low):,.0f} to {math.exp(high):,.0f}")
    sized = [round(math.exp(value)) for value in (low, likely, high)]
    return Forecast(target, sized[0], sized[1], sized[2])


def means(points: Sequence[tuple[int, float]]) -> dict[int, float]:
    """The mean loss of each size, smallest size first."""
    found: dict[int, list[float]] = defaultdict(list)
    for size, loss in sorted(points):
        found[size].append(loss)
    return {size: sum(losses) / len(losses) for size, losses in found.items()}


def _reached(at: Sequence[tuple[float, float]], target: float, logs: bool) -> float | None:
    """ln(parameters) at which a straight line through (ln(parameters), loss or its log) is at the target."""
    sizes, losses = np.array(at).T
    slope, start = np.polyfit(sizes, np.log(losses) if logs else losses, 1)
    return None if slope >= 0 else float(((math.log(target) if logs else target) - start) / slope)
