"""Experiments that train nothing: the format stated, the answer held to it while it is written, an example shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from advisor.cases import Case, Score, answer_cases, keep_answers, kept_answers
from advisor.errors import AdvisorError
from advisor.experiments import PROMPTED, Experiment
from advisor.run import Run
from advisor.splits import instructions
from advisor.stage import Models, Stage
from advisor.tell import Tell
from advisor.wanted_format import WantedFormat, wanted_formats

Formats = Mapping[str, WantedFormat]
Treatment = Callable[[Experiment, Sequence[Case], Sequence[Score], Stage], list[Score]]

BAD_REQUESTS = (400, 422)  # what a server says that does not know a setting


class Unconstrained(AdvisorError):
    """The endpoint does not take a JSON schema."""


def instructed(case: Case, wanted: WantedFormat) -> Case:
    """The case with the format stated in one sentence, at the end of what is asked."""
    *before, last = case.messages
    return replace(case, messages=(*before, {**last, "content": f"{last['content']}\n\n{wanted.sentence}"}))


def exemplified(case: Case, wanted: WantedFormat) -> Case:
    """The case with one solved case of the same instructions, from the train side, shown first."""
    solved = wanted.solved_for(case.id)
    if solved is None:
        return case
    standing = [message for message in case.messages if message["role"] == "system"]
    asked = [message for message in case.messages if message["role"] != "system"]
    opening = [message for message in solved[1] if message["role"] != "system"]
    turn = {"role": "assistant", "content": solved[2]}
    return replace(case, messages=(*standing, *opening, turn, *asked))


def ask(
    name: str, arm: str, cases: Sequence[Case], formats: Formats, models: Models, run: Run, tell: Tell
) -> list[Score]:
    """The graded answers of one of PROMPTS to cases whose format is known, kept under the name `arm`."""
    if change := {"instruction": instructed, "exemplar": exemplified}.get(name):
        cases = [change(case, formats[instructions(case.messages)]) for case in cases]
    if name != "constrained":
        return answer_cases(run, arm, cases, models.answering, tell)
    scores: list[Score] = []
    for standing in dict.fromkeys(instructions(case.messages) for case in cases):
        group = [case for case in cases if instructions(case.messages) == standing]
        constraint = formats[standing].constraint
        assert constraint is not None  # `applies` was asked before
        try:
            scores += answer_cases(run, arm, group, partial(models.constrained, constraint), tell)
        except AdvisorError as refused:
            if any(f"HTTP {code}" in refused.given for code in BAD_REQUESTS):
                raise Unconstrained(arm, refused.given, "an endpoint that takes response_format") from None
            raise
    return scores


def _treatment(name: str) -> Treatment:
    def treated(experiment: Experiment, cases: Sequence[Case], control: Sequence[Score], stage: Stage) -> list[Score]:
        plan = stage.plan
        examples = {trial.standing: trial.example for trial in plan.trials if trial.example}
        formats = wanted_formats((plan.cases[id] for id in experiment.train), plan.targets, examples)
        try:
            return ask(name, name, cases, formats, stage.models, stage.run, stage.tell)
        except Unconstrained as refused:
            stage.tell.say(f"  not constrained, so these are the untouched answers: {refused.message}")
            keep_answers(stage.run, name, [{**row, "arm": name} for row in control])
            return kept_answers(stage.run, name, cases) or []

    return treated


PROMPTS: dict[str, Treatment] = {name: _treatment(name) for name in PROMPTED}
