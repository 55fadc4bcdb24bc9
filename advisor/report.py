"""The end of a run: what was found, as report.json for programs and report.html for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from advisor.cases import Score
from advisor.cross import crossed
from advisor.page import page
from advisor.plan import Plan
from advisor.read import Log
from advisor.records import Diagnosis
from advisor.redact import redact
from advisor.run import Run, version
from advisor.turned import turned
from advisor.wording import inert

SCHEMA = 1  # grows when a key of report.json changes its meaning or goes


@dataclass(frozen=True)
class Outcome:
    """All that a run came to; `proofs` is empty where nothing was launched."""

    run: Run
    log: Log
    diagnoses: Sequence[Diagnosis]
    plan: Plan
    scores: Sequence[Score]
    proofs: Mapping[str, Any]

    @property
    def html(self) -> Path:
        """The page for people."""
        return self.run.folder / "report.html"

    def as_dict(self) -> dict[str, Any]:
        """What report.json holds; see `report`."""
        log = self.log
        found = {
            "schema": SCHEMA,
            "formfacts": version(),
            "run": str(self.run.folder),
            "launched": bool(self.proofs),
            "read": {
                "failures": len(log.failures),
                "passed": len(log.passed),
                "rejected": len(log.rejected),
                "duplicate_ids": log.duplicate_ids,
                "notes": [redact(note, personal=True)[0] for note in log.notes],
            },
            "verdicts": dict(self.plan.verdicts),
            "plan": self.plan.as_dict() | {"advice": [redact(a, personal=True)[0] for a in self.plan.advice]},
            "proofs": dict(self.proofs),
            "cross": crossed(self.proofs, self.scores, self.run),
            "cases": {name: turned(self.scores, name).ids() for name in self.proofs},
            "ledger": list(self.run.rows("ledger.jsonl")) if self.proofs else [],
            "rejected": [asdict(row) | {"reason": redact(row.reason, personal=True)[0]} for row in log.rejected],
            "report_html": str(self.html),
        }
        plain: dict[str, Any] = _plain(found)
        return plain


def report(
    run: Run,
    log: Log,
    diagnoses: Sequence[Diagnosis],
    plan: Plan,
    scores: Sequence[Score] = (),
    proofs: Mapping[str, Any] | None = None,
) -> Outcome:
    """Write report.json and report.html into the run folder, each whole or not at all.

    Keys of report.json (schema 1; all are always there):
    `schema`, `formfacts` (version), `run` (folder), `launched` (whether anything was run), `report_html` (path);
    `read` {failures, passed, rejected, duplicate_ids: counts; notes: sentences};
    `verdicts` {verdict: count of failures};
    `plan` (as plan.yaml: made_for, verdicts, replayed, experiments, advice);
    `proofs` {experiment: {gain, guard, general, unmatched, p_holm, verdict, sentence, text_loss?}} as `eval.prove`
    gives them: rates and differences between 0 and 1, intervals [low, high] at 95 %, text_loss in nats a token;
    `cross` None, or with --cross {table, between, trial, staleness} as `advisor.cross.crossed` gives them;
    `cases` {experiment: {gain | guard | general: {fixed, broken, still_failing: ids}}};
    `ledger` [{experiment, forecast, outcome}], seconds and bytes; `rejected` [{file, line, reason}].
    Without a launch `proofs` and `cases` are {} and `ledger` is []. A number that is not finite is null.
    """
    outcome = Outcome(run, log, diagnoses, plan, scores, proofs or {})
    run.write("report.json", json.dumps(outcome.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    run.write("report.html", page(outcome))
    return outcome


def _plain(value: Any) -> Any:
    """A value that any JSON reader takes: inert strings, lists for tuples, null for what is not finite."""
    if isinstance(value, str):
        return inert(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {inert(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
