"""The plan's experiments run one by one, each with its control; all graded answers come back as plain rows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from advisor.adapting import FILES, adapter, routed
from advisor.cases import Score, answer_cases, general_cases, guard_cases, kept_answers
from advisor.cross import EXAMPLES, adapter_on_facts, retrieval_on_form
from advisor.experiments import ON_FACTS, ON_FORM, Experiment
from advisor.grounding import retrieval
from advisor.plan import Plan
from advisor.prompts import PROMPTS
from advisor.raft import ON_CONTEXT
from advisor.read import Log
from advisor.records import Failure
from advisor.run import Request, Run
from advisor.stage import Models, Stage, control_of
from advisor.staleness import staleness
from advisor.tell import Tell
from eval.leaks import leaked

TREATMENTS = {
    **PROMPTS,
    "rag": retrieval,
    "lora": adapter,
    "lora-routed": routed,
    ON_CONTEXT: adapter,
    ON_FORM: retrieval_on_form,
    ON_FACTS: adapter_on_facts,
}
EXAMPLES_OF = {name: f"{files.examples}.jsonl" for name, files in FILES.items()}
EXAMPLES_OF |= {"lora-routed": EXAMPLES_OF["lora"], ON_FACTS: EXAMPLES}


def launch(plan: Plan, log: Log, request: Request, run: Run, tell: Tell) -> list[Score]:
    """Run every experiment of the plan and its control; all graded answers, also written to scores.jsonl."""
    failures = {failure.id: failure for failure in log.failures}
    stage = Stage(plan, failures, request, run, Models(request, plan.max_new_tokens, tell), tell)
    guard = guard_cases(log.passed, request.guard_limit, request.seed)
    scores: list[Score] = []
    for experiment in plan.experiments:
        tell.say(f"{experiment.id}: {experiment.recipe['does']}")
        gain = [plan.cases[name] for name in _untaught(experiment, failures, run, tell)]
        # A prompt is only changed where the format is asked for: it cannot touch the other cases.
        cases = gain if experiment.axis == "prompt" else [*gain, *guard, *general_cases()]
        arm, ask = control_of(request, experiment.axis)
        control = answer_cases(run, arm, cases, partial(ask, stage.models), tell)
        treated = kept_answers(run, experiment.id, cases)
        if treated is None:
            treated = TREATMENTS[experiment.id](experiment, cases, control, stage)
        scores += [{**row, "experiment": experiment.id} for row in [*control, *treated]]
    run.write_rows("scores.jsonl", scores)
    if request.cross:
        staleness(stage, scores)
    return scores


def _untaught(experiment: Experiment, failures: Mapping[str, Failure], run: Run, tell: Tell) -> list[str]:
    """The held-out cases of an experiment but those whose question it was taught, which prove nothing.

    Taught is what its train side asks, and what lies in its examples: a file in the run folder can be of another
    split, or be edited.
    """
    taught = [failures[name].asked for name in experiment.train]
    if experiment.axis == "weights":
        for row in run.rows(EXAMPLES_OF[experiment.id]):
            taught += [row.get("text", ""), *(turn["content"] for turn in row.get("messages", ()))]
    gone = set(leaked({name: failures[name].asked for name in experiment.held_out}, taught))
    if gone:
        tell.say(f"  {len(gone)} held-out cases were taught and are not scored: {', '.join(sorted(gone)[:3])}")
    return [name for name in experiment.held_out if name not in gone]
