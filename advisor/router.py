"""The learned rung: evidence, measures and what output and prompt mean, to form, facts or other. Needs only numpy."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from advisor.decide import Scores
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
_HEADS = ("mean", "spread", "full", "bare")
_FACTORS = ("temperature_full", "temperature_bare")
_SCORES = tuple(f"{kind}_{part}" for kind in ("seen", "held") for part in ("top", "right", "source"))
_CLASS_OF = {"form": 0, "facts": 1, "context-ignored": 1, "capability": 2}


class Router(NamedTuple):
    """Linear heads over `design`; `full` also reads meanings, `bare` does without an embedding model."""

    mean: Array
    spread: Array
    full: Array
    bare: Array
    temperature_full: float
    temperature_bare: float
    seen: tuple[Scores, Scores]  # of full and bare: rows of sources that the fit knew, themselves left out
    held: tuple[Scores, Scores]  # the same for rows whose whole source was left out

    def calibration(self, meant: bool) -> tuple[Scores, Scores]:
        """Scores on known and on unknown sources of the head that is used with, or without, meanings."""
        return (self.seen[0], self.held[0]) if meant else (self.seen[1], self.held[1])

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


def chosen(named: str = "") -> Path:
    """The weights to use: a path, `shipped`, or by default those that `advise teach` wrote, if there are any."""
    if named == "shipped":
        return WEIGHTS
    if named:
        return Path(named)
    return own if (own := own_weights()).is_file() else WEIGHTS


def own_weights() -> Path:
    """Where a user's weights live: formfacts/router.npz in $XDG_DATA_HOME or ~/.local/share (XDG base directories)."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "formfacts" / "router.npz"


@lru_cache(maxsize=4)
def load(path: Path = WEIGHTS) -> Router:
    """The router of this file; ValueError when it is not one, or its features are not those of this version."""
    again = "python -m advisor.fit_router" if path == WEIGHTS else "advise teach"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, EOFError, zipfile.BadZipFile, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not a file of router weights ({error})") from None
    if tuple(arrays.get("names", np.array([])).tolist()) != NAMES:
        raise ValueError(f"{path} was fitted on other features: run {again}")
    if lacking := [name for name in (*_HEADS, *_FACTORS, *_SCORES) if name not in arrays]:
        raise ValueError(f"{path} lacks {', '.join(lacking)}, it is of another version: run {again}")
    if arrays["mean"].shape != (len(MEASURES) + len(CONDITIONAL),):
        raise ValueError(f"{path} is damaged")
    values: dict[str, Any] = {key: arrays[key].astype(np.float32) for key in _HEADS}
    values |= {key: float(arrays[key]) for key in _FACTORS}
    return Router(**values, seen=_scores(arrays, "seen"), held=_scores(arrays, "held"))


def save(path: Path, router: Router) -> None:
    """Write the router as plain arrays, whole or not at all."""
    values: dict[str, Any] = {key: getattr(router, key) for key in (*_HEADS, *_FACTORS)}
    for kind, (full, bare) in (("seen", router.seen), ("held", router.held)):
        values[f"{kind}_top"] = np.stack([full.top, bare.top]).astype(np.float32)
        values[f"{kind}_right"] = np.stack([full.right, bare.right])
        values[f"{kind}_source"] = full.source
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"new-{path.name}")
    np.savez_compressed(part, allow_pickle=False, names=np.array(NAMES), **values)
    part.replace(path)
    load.cache_clear()


def _scores(arrays: dict[str, Any], kind: str) -> tuple[Scores, Scores]:
    top, right, source = (arrays[f"{kind}_{part}"] for part in ("top", "right", "source"))
    return Scores(top[0], right[0], source), Scores(top[1], right[1], source)
