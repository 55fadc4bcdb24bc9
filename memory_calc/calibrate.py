"""How far measured runs lie from the estimates, with one source of rows left out at a time.

    python -m memory_calc.calibrate ROWS.jsonl

prints for each metric and group the ratios measured / likely that SPREAD in allocator.py holds, and how many rows of
each left-out source the intervals of the others cover.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from memory_calc.allocator import group_of, outside_bytes
from memory_calc.rows import estimates, job_of

Ratio = tuple[float, float]
TAILS = (0.05, 0.95)


def weighted_quantile(values: Iterable[Ratio], share: float) -> float:
    """The value below which `share` of the weight lies; values are (value, weight) pairs."""
    ordered = sorted(values)
    total = sum(weight for _, weight in ordered)
    below = 0.0
    for value, weight in ordered:
        below += weight
        if below >= share * total:
            return value
    return ordered[-1][0]


def ratios(rows: Iterable[Mapping[str, Any]], found: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Any]:
    """measured / likely by (metric, group), each a mapping from source to its ratios.

    Only rows of quality A that were estimated. A row that gives reserved alone is put to process, with what lies
    outside of tensors added (outside_bytes).
    """
    out: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row, estimate in zip(rows, found, strict=True):
        if "unsupported" in estimate or row["quality"] != "A":
            continue
        job, measured = job_of(row), row["measured"]
        source = row["source"].split()[0 if row["source"].startswith("github") else 1]
        values = {measured["metric"]: measured["bytes"]}
        if "process_bytes" in measured:
            values["process"] = measured["process_bytes"]
        elif "reserved" in values:
            values["process"] = values["reserved"] + outside_bytes(job)
        for metric, value in values.items():
            if metric in ("allocated", "process"):
                out[metric, group_of(job)][source].append(value / estimate[f"{metric}_bytes"]["likely"])
    return out


def hull(by_source: Mapping[str, list[float]], left_out: str | None) -> Ratio:
    """The 5 % and 95 % ratios of the sources that are not left out, each source weighing alike."""
    kept = [found for source, found in by_source.items() if source != left_out]
    pairs = [(value, 1 / len(found)) for found in kept for value in found]
    return weighted_quantile(pairs, TAILS[0]), weighted_quantile(pairs, TAILS[1])


def covered(found: Iterable[float], interval: Ratio, factor: float = 1.0) -> float:
    """Share of the ratios inside an interval that is widened by a factor, on the log scale."""
    values = list(found)
    low, high = float(interval[0] ** factor), float(interval[1] ** factor)
    return sum(low <= value <= high for value in values) / len(values)


def widening(by_source: Mapping[str, list[float]], wanted: float = 0.9) -> float:
    """The smallest factor (steps of .1, up to 5) at which the others' interval covers each source well enough.

    1.0 with a single source: nothing can be left out.
    """
    if len(by_source) < 2:
        return 1.0
    for step in range(10, 51):
        shares = [covered(by_source[source], hull(by_source, source), step / 10) for source in by_source]
        if min(shares) >= wanted:
            return step / 10
    return 5.0


def main(path: str) -> None:
    """Print one line a metric and group.

    A group of one source has nothing to leave out: its own interval is multiplied with that of its metric's group
    that has several.
    """
    file = Path(path)
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    found = ratios(rows, estimates(file))
    several: dict[str, Ratio] = {}
    for (metric, group), by_source in sorted(found.items(), key=lambda item: -len(item[1])):
        factor = widening(by_source)
        low, high = hull(by_source, None)
        low, high = min(low, 0.995) ** factor, max(high, 1.005) ** factor
        if len(by_source) > 1:
            several[metric] = (low, high)
        elif metric in several:
            low, high = low * several[metric][0], high * several[metric][1]
        share = covered([value for of_source in by_source.values() for value in of_source], (low, high))
        print(f'    ("{metric}", "{group}"): ({low:.3f}, {high:.3f}),  # {share:.0%} of the rows inside')
        for source in by_source if len(by_source) > 1 else ():
            narrow = hull(by_source, source)
            before, after = covered(by_source[source], narrow), covered(by_source[source], narrow, factor)
            print(f"    #   {source} left out: {before:.0%} inside, {after:.0%} widened x {factor}")


if __name__ == "__main__":
    main(sys.argv[1])
