"""Experiments on the prompt: what the format takes when it is only asked for, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from advisor.cases import Case, Score, answer_cases
from advisor.experiments import Experiment
from advisor.splits import instructions
from advisor.stage import Stage


def exemplar(experiment: Experiment, cases: Sequence[Case], control: Sequence[Score], stage: Stage) -> list[Score]:
    """The cheapest cure of form: one solved case of the same instructions, from the train side, shown first."""
    solved = {instructions(stage.failures[i].messages): stage.failures[i] for i in reversed(experiment.train)}

    def shown(case: Case) -> Case:
        example = solved.get(instructions(case.messages))
        if example is None:
            return case
        standing = [message for message in case.messages if message["role"] == "system"]
        asked = [message for message in case.messages if message["role"] != "system"]
        opening = [message for message in example.messages if message["role"] != "system"]
        turn = {"role": "assistant", "content": stage.plan.targets[example.id]}
        return replace(case, messages=(*standing, *opening, turn, *asked))

    return answer_cases(stage.run, "exemplar", [shown(case) for case in cases], stage.models.answering, stage.tell)
