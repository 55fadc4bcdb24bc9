"""Which cases an experiment turned: fixed, broken, still failing, with the answers before and after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from advisor.cases import Score
from eval.prove import SPLITS

KINDS = ("fixed", "broken", "still_failing")


class Pair(NamedTuple):
    """One case on both arms: the last sample of each."""

    id: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


class Turned(NamedTuple):
    """split -> kind -> pairs, in the order of the scores."""

    pairs: Mapping[str, Mapping[str, Sequence[Pair]]]

    def ids(self) -> dict[str, dict[str, list[str]]]:
        """split -> kind -> ids."""
        return {
            part: {kind: [p.id for p in rows] for kind, rows in kinds.items()} for part, kinds in self.pairs.items()
        }


def turned(scores: Sequence[Score], experiment: str) -> Turned:
    """The cases that both arms of an experiment answered and that did not pass on both.

    As in `eval.prove`: a row given twice counts as last given, of several samples the majority, a tie as failed.
    """
    rows: dict[tuple[str, str, bool], dict[str, Score]] = defaultdict(dict)
    for row in scores:
        if row["experiment"] == experiment:
            key = str(row["split"]), str(row["id"]), str(row["arm"]).startswith("control")
            rows[key][f"{row.get('seed', '')} {row.get('sample', 0)}"] = row
    pairs: dict[str, dict[str, list[Pair]]] = {part: {kind: [] for kind in KINDS} for part in SPLITS}
    for (part, name, is_control), samples in rows.items():
        treated = rows.get((part, name, False))
        if not is_control or treated is None:
            continue
        before, after = _passed(samples), _passed(treated)
        if before and after:
            continue
        kind = "fixed" if after else "broken" if before else "still_failing"
        pairs[part][kind].append(Pair(name, list(samples.values())[-1], list(treated.values())[-1]))
    return Turned(pairs)


def _passed(samples: Mapping[str, Score]) -> bool:
    return sum(bool(row["passed"]) for row in samples.values()) * 2 > len(samples)
