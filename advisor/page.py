"""The page that a person reads at the end of a run: what its template shows, gathered, redacted and capped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, StrictUndefined

from advisor.cross import crossed, told
from advisor.experiments import Experiment
from advisor.ledger import compared
from advisor.records import VERDICTS, Diagnosis, Failure
from advisor.redact import redact
from advisor.turned import Pair, turned
from advisor.wording import (
    CALLS_FOR,
    gib_span,
    inert,
    one_line,
    p_value,
    percent,
    percent_span,
    perplexity,
    points,
    points_span,
    seconds_span,
    share,
)
from eval.general import GENERAL
from eval.verdict import VERDICTS as PROVEN

if TYPE_CHECKING:
    from advisor.report import Outcome

# How much of a long log stands in the page; what is left out is counted there, and all of it lies in the run folder.
EXAMPLES, TURNED, LISTED, EVIDENCE, CHARACTERS = 5, 12, 50, 6, 1500

TITLES = {
    "instruction": "The format stated in the prompt",
    "constrained": "Answers held to the format as they are written",
    "exemplar": "An example in the prompt",
    "rag": "Documents to look it up in",
    "lora": "A trained adapter, on every prompt",
    "lora-routed": "The same adapter, only where it was trained",
    "lora-context": "An adapter that was taught to read what it is given",
    "rag-on-form": "The style guide to look the format up in",
    "lora-on-facts": "An adapter that was taught the facts",
}
PARTS = {
    "gain": "Held-out failures",
    "guard": "Cases that passed before",
    "general": "General questions",
}
TURNS = (
    ("gain", "fixed", "Fixed"),
    ("gain", "still_failing", "Still failing"),
    ("gain", "broken", "Broken: failures that the untouched model passed on replay"),
    ("guard", "broken", "Broken: cases that passed before"),
    ("general", "broken", "Broken: general questions"),
)


class Shown(NamedTuple):
    """A list of which only the first rows are shown."""

    rows: list[Any]
    left_out: int


def page(outcome: Outcome) -> str:
    """The whole page as one HTML text: no script, nothing fetched, all text escaped."""
    plan = outcome.plan
    diagnosed = list(zip(outcome.log.failures, outcome.diagnoses, strict=True))
    ledger = list(outcome.run.rows("ledger.jsonl")) if outcome.proofs else []
    experiments = [_experiment(e, outcome.proofs.get(e.id)) for e in plan.experiments]
    cross = crossed(outcome.proofs, outcome.scores, outcome.run)
    html: str = _template().render(
        name=outcome.run.folder.name,
        launched=bool(outcome.proofs),
        log=outcome.log,
        notes=[_text(note) for note in outcome.log.notes],
        plan=plan,
        made_for=_flat(plan.made_for),
        experiments=experiments,
        proven=[e for e in experiments if e["proof"]],
        forecasts=[{"id": row["experiment"], "compared": compared(row)} for row in ledger],
        verdicts=_verdicts(diagnosed),
        turns=[(e, _turns(outcome, e["id"])) for e in experiments if e["proof"]],
        advice=[_text(line) for line in plan.advice],
        harness=_capped((_repair(f, d) for f, d in diagnosed if d.verdict == "harness"), LISTED),
        unsure=_capped((_doubt(f, d) for f, d in diagnosed if d.verdict == "unsure"), LISTED),
        rejected=_capped(((inert(f"{r.file}:{r.line}"), _line(r.reason, 300)) for r in outcome.log.rejected), LISTED),
        meaning=PROVEN,
        cross=cross,
        crossed=told(cross) if cross else [],
    )
    return html + "\n"


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        inert=lambda text: inert(str(text)),
        percent=percent,
        percent_span=percent_span,
        points=points,
        points_span=points_span,
        p=p_value,
    )
    source = resources.files("advisor").joinpath("report.html").read_text(encoding="utf-8")
    return environment.from_string(source)


def _text(text: str, most: int = CHARACTERS) -> str:
    """Text of a log as the page may show it: inert, without secrets and personal data, cut with a count."""
    clean = redact(inert(text), personal=True)[0].strip()
    if len(clean) <= most:
        return clean
    return f"{clean[:most].rstrip()} … ({len(clean) - most:,} more characters)"


def _line(text: str, most: int = 110) -> str:
    return one_line(_text(text), most)


def _capped(rows: Iterable[Any], most: int) -> Shown:
    found = list(rows)
    return Shown(found[:most], max(0, len(found) - most))


def _experiment(experiment: Experiment, proof: Mapping[str, Any] | None) -> dict[str, Any]:
    low, likely, high = experiment.expects["fixed"]
    effect = experiment.detectable_effect
    shown: dict[str, Any] = {
        "id": experiment.id,
        "axis": experiment.axis,
        "title": TITLES.get(experiment.id, experiment.id),
        "does": _text(str(experiment.recipe["does"])),
        "train": len(experiment.train),
        "held_out": len(experiment.held_out),
        "expects": f"{low} – {likely} – {high}",
        "effect": None if effect is None else f"{effect * 100:.0f} points",
        "memory": gib_span(experiment.costs.get("peak_bytes")),
        "time": seconds_span(experiment.costs.get("seconds")),
        "because": experiment.because,
        "instead_of": experiment.instead_of,
        "stop_rule": experiment.stop_rule,
        "recipe": _flat({key: value for key, value in experiment.recipe.items() if key != "does"}),
        "proof": proof,
        "parts": [],
        "perplexity": None,
        "harm": "",
    }
    if proof:
        shown["parts"] = [_part(name, proof[name]) for name in PARTS if proof[name]["n"]]
        shown["harm"] = _harm(proof["guard"])
        if loss := proof.get("text_loss"):
            shown["perplexity"] = (perplexity(loss["before"]), perplexity(loss["after"]))
    return shown


def _harm(guard: Mapping[str, Any]) -> str:
    """A second label where the verdict alone would hide that passing cases suffered, or may have."""
    if not guard["n"] or guard["non_inferior"]:
        return ""
    return "guard got worse" if guard["interval"][1] < 0 else "harm not excluded"


def _part(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """The bars of one part of a proof, and its change on a scale wide enough for interval and margin."""
    margin = found.get("margin")
    reach = max(abs(found["interval"][0]), abs(found["interval"][1]), 2 * (margin or 0), 0.1) * 1.1
    return {
        "name": name,
        "label": PARTS[name],
        "n": found["n"],
        "bars": [
            {"arm": arm, "word": word, "passed": found[f"{arm}_passed"], "interval": found["rate_interval"][arm]}
            for arm, word in (("control", "without"), ("treated", "with"))
        ],
        "change": found["difference"],
        "interval": found["interval"],
        "margin": margin,
        "at": {
            "point": _on_scale(found["difference"], reach),
            "low": _on_scale(found["interval"][0], reach),
            "high": _on_scale(found["interval"][1], reach),
            "margin": None if margin is None else _on_scale(-margin, reach),
        },
    }


def _on_scale(change: float, reach: float) -> float:
    """A change as a place between 0 and 100, with none at 50."""
    return round(min(100.0, max(0.0, 50 + 50 * change / reach)), 2)


def _verdicts(diagnosed: Sequence[tuple[Failure, Diagnosis]]) -> list[dict[str, Any]]:
    """One row a verdict that occurs, most frequent first, with its clearest and most different cases."""
    rows = []
    for verdict in VERDICTS:
        own = [(f, d) for f, d in diagnosed if d.verdict == verdict]
        if not own:
            continue
        own.sort(key=lambda pair: -max(pair[1].probabilities.values(), default=0.0))
        clearest: dict[str, str] = {}  # for each leading sentence the clearest case, so that the examples differ
        for failure, diagnosis in own:
            clearest.setdefault(diagnosis.evidence[0].says if diagnosis.evidence else "", failure.id)
        chosen = set(list(clearest.values())[:EXAMPLES])
        chosen.update([failure.id for failure, _ in own if failure.id not in chosen][: EXAMPLES - len(chosen)])
        rows.append(
            {
                "verdict": verdict,
                "count": len(own),
                "rate": len(own) / len(diagnosed),
                "share": share(len(own), len(diagnosed)),
                "calls_for": CALLS_FOR[verdict],
                "examples": [_case(f, d) for f, d in own if f.id in chosen],
                "left_out": len(own) - len(chosen),
            }
        )
    return sorted(rows, key=lambda row: -row["count"])


def _case(failure: Failure, diagnosis: Diagnosis) -> dict[str, Any]:
    likely = sorted(diagnosis.probabilities.items(), key=lambda pair: -pair[1])
    return {
        "id": _line(failure.id, 60),
        "place": _place(failure),
        "title": _line(failure.asked, 90),
        "prompt": _text(failure.prompt),
        "output": _text(failure.output),
        "reference": [_text(text) for text in failure.reference[:3]],
        "evidence": [
            {"says": _line(e.says, 400), "quote": _text(e.quote, 400), "cause": e.cause, "speaks": e.weight}
            for e in diagnosis.evidence[:EVIDENCE]
        ],
        "probabilities": [(cause, p) for cause, p in likely if p >= 0.005],
    }


def _turns(outcome: Outcome, experiment: str) -> list[dict[str, Any]]:
    """The cases that an experiment turned, kind by kind, each with what it was asked."""
    known = {failure.id: failure for failure in (*outcome.log.failures, *outcome.log.passed)}
    general = {str(row["id"]): str(row["messages"][-1]["content"]) for row in GENERAL}
    pairs = turned(outcome.scores, experiment).pairs
    groups = []
    for part, kind, label in TURNS:
        found = pairs[part][kind]
        if found:
            rows = [_pair(pair, known.get(pair.id), general.get(pair.id, "")) for pair in found[:TURNED]]
            groups.append({"label": label, "count": len(found), "rows": rows, "left_out": len(found) - len(rows)})
    return groups


def _pair(pair: Pair, failure: Failure | None, general: str) -> dict[str, Any]:
    asked = failure.asked if failure else general
    return {
        "id": _line(pair.id, 60),
        "title": _line(asked or pair.id, 90),
        "asked": _text(asked),
        "reference": [_text(text) for text in failure.reference[:3]] if failure else [],
        "sides": [
            (label, _text(str(row.get("answer") or "")), _line(str(row.get("grader") or ""), 300), bool(row["passed"]))
            for label, row in (("without the change", pair.before), ("with it", pair.after))
        ],
    }


def _repair(failure: Failure, diagnosis: Diagnosis) -> dict[str, str]:
    top = next((e for e in diagnosis.evidence if e.cause == "harness"), None)
    return {
        "id": _line(failure.id, 60),
        "place": _place(failure),
        "says": _line(top.says, 300) if top else "no single sentence says why",
        "quote": _line(top.quote, 160) if top else "",
    }


def _doubt(failure: Failure, diagnosis: Diagnosis) -> dict[str, Any]:
    likely = sorted(diagnosis.probabilities.items(), key=lambda pair: -pair[1])[:2]
    between = " or ".join(f"{cause} {percent(p)}" for cause, p in likely)
    return {"id": _line(failure.id, 60), "place": _place(failure), "between": between, "asked": _line(failure.asked)}


def _place(failure: Failure) -> str:
    return inert(f"{failure.file}:{failure.line}") if failure.file else ""


def _flat(tree: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """A tree of plain values as (path, value) rows."""
    rows: list[tuple[str, str]] = []
    for key, value in tree.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            rows += _flat(value, f"{name} / ")
        elif name.endswith("_bytes") and isinstance(value, (int, float)):
            rows.append((name.removesuffix("_bytes"), gib_span(value)))
        else:
            told = "; ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((name, one_line(told)))
    return rows
