"""The learned rung: evidence, measures and what output and prompt mean, to form, facts or other. Needs only numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from advisor.features import CONDITIONAL, EVIDENCE_SUMS, MEASURES, NAMES
from advisor.records import Failure

Array = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Array]

CLASSES = ("form", "facts", "other")
WEIGHTS = Path(__file__).with_name("router") / "weights.npz"
EXCERPT_CHARS = 240
EMBED_TOKENS = 64  # what an excerpt has in English; keeps thousands of failures under a minute or two on two cores
# How far each block may move the verdict before regularisation: the sums of evidence lead, everything else corrects.
SUM_SCALE, MEASURE_SCALE, MEANING_SCALE = 0.2, 0.1, 1.0
# The rules' own say: log of the class shares to expect without evidence, and what one unit of evidence weighs.
RULE_PRIOR = (0.37, 0.38, 0.25)
RULE_WEIGHT = 0.5
_CLASS_OF = {"form": 0, "facts": 1, "context-ignored": 1, "capability": 2}


class Router(NamedTuple):
    """Linear heads over `design`; `full` also reads meanings, `bare` does without an embedding model."""

    mean: Array
    spread: Array
    full: Array
    bare: Array
    temperature_full: float
    temperature_bare: float
    unsure_below: float

    def probabilities(self, measured: Array, meanings: Array | None) -> Array:
        """(n, 3) probabilities of form, facts, other from (n, len(NAMES)) features and (n, d) meanings or None."""
        head, temperature = (self.bare, self.temperature_bare)
        if meanings is not None:
            head, temperature = self.full, self.temperature_full
        x = design(measured, self.mean, self.spread, meanings)
        return softmax((x @ head[:-1] + head[-1]) * temperature)


def softmax(logits: Array) -> Array:
    """Rows to probabilities."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)


def rule_sums(measured: Array) -> Array:
    """(n, 3) evidence for form, facts and other, each summed over the rungs and kept within -3..6."""
    sums = np.zeros((len(measured), len(CLASSES)), dtype=np.float32)
    for at, (_, cause, sign) in enumerate(EVIDENCE_SUMS):
        sums[:, _CLASS_OF[cause]] += sign * measured[:, at]
    return np.clip(sums, -3, 6)


def spread_of(measured: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of the measures, over the failures that have them."""
    block = measured[:, len(EVIDENCE_SUMS) :]
    present = ~np.isnan(block)
    n = np.maximum(1, present.sum(axis=0))
    mean = np.where(present, block, 0).sum(axis=0) / n
    variance = (np.where(present, block - mean, 0) ** 2).sum(axis=0) / n
    return mean.astype(np.float32), (np.sqrt(variance) + 1e-6).astype(np.float32)


def design(measured: Array, mean: Array, spread: Array, meanings: Array | None) -> Array:
    """The columns that the heads weigh: rule sums, single sums, standardised measures (absent: 0), meanings."""
    sums = measured[:, : len(EVIDENCE_SUMS)]
    block = np.nan_to_num(np.clip((measured[:, len(EVIDENCE_SUMS) :] - mean) / spread, -3, 3))
    parts = [rule_sums(measured), SUM_SCALE * sums, MEASURE_SCALE * block]
    if meanings is not None:
        parts.append(MEANING_SCALE * meanings)
    return np.hstack(parts).astype(np.float32)


def rule_head(columns: int) -> Array:
    """(columns + 1, 3) the rules alone as a head: what the evidence says, unlearned."""
    head = np.zeros((columns + 1, len(CLASSES)), dtype=np.float32)
    head[: len(CLASSES)] = RULE_WEIGHT * np.eye(len(CLASSES))
    head[-1] = np.log(RULE_PRIOR)
    return head


def excerpt(text: str) -> str:
    """Both ends of a text of more than EXCERPT_CHARS characters."""
    half = EXCERPT_CHARS // 2
    return text if len(text) <= EXCERPT_CHARS else f"{text[:half]} … {text[-half:]}"


def meanings_of(failures: Sequence[Failure], encode: Encode) -> Array:
    """(n, d) vector of the output minus vector of the question: what the answer adds, with less of the task in it."""
    texts = [excerpt(failure.asked) for failure in failures] + [f.output[:EXCERPT_CHARS] for f in failures]
    place = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    vectors = np.asarray(encode(list(place)), dtype=np.float32)
    rows = vectors[[place[text] for text in texts]]
    return np.asarray(rows[len(failures) :] - rows[: len(failures)], dtype=np.float32)


@lru_cache(maxsize=4)
def load(path: Path = WEIGHTS) -> Router:
    """The shipped router; ValueError when its features are not those of this version (fit it again)."""
    with np.load(path, allow_pickle=False) as file:
        if tuple(file["names"].tolist()) != NAMES:
            raise ValueError(f"{path} was fitted on other features: run python -m advisor.fit_router")
        values: dict[str, Any] = {key: file[key].astype(np.float32) for key in ("mean", "spread", "full", "bare")}
        values |= {key: float(file[key]) for key in ("temperature_full", "temperature_bare", "unsure_below")}
    if values["mean"].shape != (len(MEASURES) + len(CONDITIONAL),):
        raise ValueError(f"{path} is damaged")
    return Router(**values)
