"""Treated against untouched, experiment by experiment, and what was forecast beside what came."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from advisor.adapting import FILES
from advisor.cases import Score
from advisor.cross import ADAPTER, LOSSES
from advisor.experiments import ON_FACTS
from advisor.ledger import entry
from advisor.plan import Plan
from advisor.run import Run
from eval.prove import prove

ADAPTER_OF = {name: files.adapter for name, files in FILES.items()} | {ON_FACTS: ADAPTER}
LOSSES_OF = {name: files.losses for name, files in FILES.items()} | {ON_FACTS: LOSSES}
MARGIN = 0.05  # the loss on cases that passed before that must be excluded: five points


def prove_plan(plan: Plan, scores: Sequence[Score], run: Run) -> dict[str, dict[str, Any]]:
    """experiment id -> what `eval.prove` found for it; forecast and outcome go to ledger.jsonl."""
    proofs = {}
    for experiment in plan.experiments:
        rows = [dict(row) for row in scores if row["experiment"] == experiment.id]
        for row in rows:
            if str(row["arm"]).startswith("control"):
                row["arm"] = "control"
            else:
                row["trained"] = experiment.axis == "weights"
        if rows:
            arm = next(str(row["arm"]) for row in rows if row["arm"] != "control")
            proofs[experiment.id] = prove(rows, margin=MARGIN)[arm]
    for name, file in LOSSES_OF.items():
        if (run.folder / file).is_file() and name in proofs:
            proofs[name]["text_loss"] = json.loads((run.folder / file).read_text(encoding="utf-8"))
    ledger = [
        entry(experiment, proofs[experiment.id], run.folder / ADAPTER_OF.get(experiment.id, "") / "training.json")
        for experiment in plan.experiments
        if experiment.id in proofs  # none where every held-out case was taught
    ]
    run.write_rows("ledger.jsonl", ledger)
    return proofs
