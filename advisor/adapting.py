"""Experiments on the weights: an adapter trained on the train side, and answers with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from advisor.cases import Case, Score, answer_cases, keep_answers, kept_answers
from advisor.examples import write_examples
from advisor.experiments import Experiment
from advisor.raft import ON_CONTEXT
from advisor.splits import instructions
from advisor.stage import Models, Stage
from advisor.tell import Tell

if TYPE_CHECKING:
    from finetune.watch import Step, Until


class Files(NamedTuple):
    """Where an adapter's run keeps what it is made of and what it came to, in the run folder."""

    examples: str  # without its ending: .jsonl the rows, .json what they are
    adapter: str
    losses: str


FILES = {
    "lora": Files("examples", "adapter", "text_loss.json"),
    ON_CONTEXT: Files("reading/examples", "reading/reading-adapter", "reading/text_loss.json"),
}


def adapter(experiment: Experiment, cases: Sequence[Case], control: Sequence[Score], stage: Stage) -> list[Score]:
    """Train a LoRA adapter on the train side, and answer with it; the loss on general text before and after."""
    run, models, files = stage.run, stage.models, FILES[experiment.id]
    rows = list(run.rows(f"{files.examples}.jsonl")) or write_examples(experiment, files.examples, stage)
    adapter = run.path(files.adapter)
    if not (adapter / "training.json").is_file():
        train_adapter(rows, experiment.recipe, models, adapter, stage.tell)
    scores = answer_cases(run, experiment.id, cases, partial(models.tuned, adapter), stage.tell)
    text_losses(files.losses, adapter, stage)
    return scores


def text_losses(name: str, adapter: Path, stage: Stage) -> None:
    """Loss on general text with and without an adapter, nats a token, to a file of the run that is not there yet."""
    if (stage.run.folder / name).is_file():
        return
    from eval.general import TEXTS
    from finetune.answer import text_loss

    after = text_loss(stage.models.loaded(stage.request.base, adapter), TEXTS)
    before = text_loss(stage.models.loaded(stage.request.base), TEXTS)
    losses = {"before": sum(before) / len(before), "after": sum(after) / len(after), "texts": len(TEXTS)}
    stage.run.write(name, json.dumps(losses) + "\n")


def routed(experiment: Experiment, cases: Sequence[Case], control: Sequence[Score], stage: Stage) -> list[Score]:
    """The same adapter, served only to the standing instructions it was trained on; all else is the base's answer."""
    taught = {instructions(stage.failures[name].messages) for name in experiment.train}
    tuned = kept_answers(stage.run, "lora", cases) or []
    served = {case.id for case in cases if instructions(case.messages) in taught}
    chosen = [after if after["id"] in served else before for before, after in zip(control, tuned, strict=True)]
    keep_answers(stage.run, experiment.id, [{**row, "arm": experiment.id} for row in chosen])
    return kept_answers(stage.run, experiment.id, cases) or []


def train_adapter(
    rows: Sequence[Mapping[str, Any]],
    recipe: Mapping[str, Any],
    models: Models,
    out: Path,
    tell: Tell,
    until: Until | None = None,
) -> None:
    """Train on rows {messages, completion, id} or {text, id} with a plan's recipe; `until` ends it after an epoch."""
    from finetune.examples import Example
    from finetune.recipe import Recipe
    from finetune.train import train

    knobs = Recipe(**{name: recipe[name] for name in Recipe.__dataclass_fields__ if name in recipe})
    examples = [
        Example(row.get("messages", ()), row.get("completion") or row["text"], row["id"], origin=row.get("origin", ""))
        for row in rows
    ]
    models.drop()
    started = 0
    with tell.bar("lora: training steps", recipe["steps"]) as advance:

        def progress(at: Step) -> None:
            nonlocal started
            advance(at.step - started)
            started = at.step

        trained = train(
            models.request.base,
            examples,
            out,
            knobs,
            until=until,
            progress=progress,
            trust_remote_code=models.request.trust_remote_code,
        )
    for dropped in trained.dropped:
        tell.say(f"  not trained on: {dropped.id}: {dropped.reason}")
    tell.say(f"  validation loss {trained.validation_loss_before:.3f} -> {trained.validation_loss:.3f}")
