"""Forecast and outcome of an experiment side by side: ledger.jsonl, and the rows that people read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from advisor.experiments import Experiment
from advisor.wording import gib_span, seconds_span

# What training.json holds of a run: seconds with evaluations and checkpoints, peak bytes of the process or the card.
OF_A_RUN = ("seconds", "peak_bytes", "steps", "tokens_per_s")
# What its first steps said of the rest (low, likely, high), and what was done because memory ran out.
ON_THE_WAY = ("forecast", "reliefs", "stopped")


class Compared(NamedTuple):
    """One quantity: what was forecast and what came, in words, and on which side of the span it lies."""

    label: str
    forecast: str
    came: str
    side: str  # below | within | above


def entry(experiment: Experiment, proof: Mapping[str, Any], trained: Path) -> dict[str, Any]:
    """A line of ledger.jsonl: {experiment, forecast, outcome}; `trained` is the run's training.json, if it trained.

    Both sides hold the same names: fixed (cases), seconds, peak_bytes, steps, tokens_per_s; spans are low, likely,
    high. The outcome of a training run also has `calibrated`, what its first steps said of the whole, and `reliefs`.
    """
    forecast = {"fixed": experiment.expects["fixed"], **experiment.costs}
    outcome: dict[str, Any] = {"fixed": proof["gain"]["fixed"], "verdict": proof["verdict"]}
    if trained.is_file():
        forecast["steps"] = experiment.recipe.get("steps") or None
        record = json.loads(trained.read_text(encoding="utf-8"))
        outcome |= {name: record.get(name) for name in OF_A_RUN}
        calibrated, outcome["reliefs"], outcome["stopped"] = (record.get(name) for name in ON_THE_WAY)
        outcome["calibrated"] = calibrated
    return {"experiment": experiment.id, "forecast": forecast, "outcome": outcome}


def compared(row: Mapping[str, Any]) -> list[Compared]:
    """The quantities of a line that both sides have, in words; a single number forecast is a span of itself."""
    forecast, outcome = row["forecast"], row["outcome"]
    found = []
    for name, label, spelled in SHOWN:
        expected, came = forecast.get(name), outcome.get(name)
        if expected is None or came is None:
            continue
        low, *_, high = expected if isinstance(expected, Sequence) else (expected, expected)
        side = "below" if came < low else "above" if came > high else "within"
        found.append(Compared(label, spelled(expected), spelled(came), side))
    return found


def _counts(found: Sequence[float] | float) -> str:
    return " – ".join(f"{n:,.0f}" for n in (found if isinstance(found, Sequence) else [found]))


SHOWN: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("fixed", "fixed", _counts),
    ("seconds", "time", seconds_span),
    ("peak_bytes", "memory", gib_span),
    ("steps", "steps", _counts),
    ("tokens_per_s", "tokens/s", _counts),
)
