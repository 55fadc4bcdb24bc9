"""How many parameters, which rank, how many examples: where the gain saturates, and a forecast that can be checked."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

# Li et al. 2018 (arXiv 1804.08838, section 2) call the smallest dimension that reaches 90 % of the full solution d90, and
# Aghajanyan et al. 2020 (arXiv 2012.13255, section 3) measure it for finetuning. They train in random subspaces; here
# the parameters of small LoRAs are counted instead, for they are what one buys.
SHARE = 0.9


@dataclass(frozen=True)
class Rung:
    """One run of the ladder, and the loss that it left on the held-out completions."""

    layers: int  # adapted, evenly spread, all linear modules of each
    rank: int
    examples: int
    seed: int
    trainable: int = 0
    loss: float = math.nan  # bits a byte, held out


@dataclass(frozen=True)
class Saturation:
    """The smallest of the sizes tried that has SHARE of the largest gain; `at` None where nothing was gained."""

    at: int | None
    smallest: bool  # it is the smallest that was tried: less may do
    largest: bool  # it is the largest that was tried: more may give more


def saturates(points: Sequence[tuple[int, float]], untrained: float) -> Saturation:
    """Where the gain saturates: `points` are (size, held-out loss), the gain is how far it is below `untrained`."""
    losses = _means(points)
    best = untrained - min(losses.values())
    if best <= 0:
        return Saturation(None, False, False)
    at = min(size for size, loss in losses.items() if untrained - loss >= SHARE * best)
    return Saturation(at, at == min(losses), at == max(losses))


def _means(points: Sequence[tuple[int, float]]) -> dict[int, float]:
    """Mean loss of each size."""
    found: dict[int, list[float]] = defaultdict(list)
    for size, loss in points:
        found[size].append(loss)
    return {size: sum(losses) / len(losses) for size, losses in sorted(found.items())}
