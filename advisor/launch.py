"""The one place that turns a plan's experiments into calls of rag and finetune; each gives back a plain answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.cases import (
    Answer,
    Case,
    Score,
    answer_cases,
    general_cases,
    guard_cases,
    keep_answers,
    kept_answers,
)
from advisor.errors import AdvisorError
from advisor.experiments import Experiment
from advisor.plan import Plan
from advisor.read import Log
from advisor.records import Failure
from advisor.redact import redact
from advisor.run import Request, Run
from advisor.splits import instructions
from advisor.tell import Tell

if TYPE_CHECKING:
    from finetune.base import Base
    from rag.documents import Document
    from rag.index import Index
    from rag.tune import Settings

INSTALL = "pip install 'formfacts[all]'"


class Models:
    """The models that a run asks, loaded when first needed and once."""

    def __init__(self, request: Request, max_new_tokens: int, tell: Tell) -> None:
        self.request, self.max_new_tokens, self.tell = request, max_new_tokens, tell
        self._loaded: dict[str, Base] = {}

    def base(self) -> Answer:
        """The base that is trained, untouched."""
        return self._answer(self.loaded(self.request.base))

    def answering(self) -> Answer:
        """The model that answers: the base, another folder, or an OpenAI-compatible endpoint."""
        model = self.request.answering
        if model.startswith(("http://", "https://")):
            from rag.endpoint import endpoint

            return endpoint(model, max_tokens=self.max_new_tokens)
        return self._answer(self.loaded(model))

    def tuned(self, adapter: Path) -> Answer:
        """The base with an adapter."""
        return self._answer(self.loaded(self.request.base, adapter))

    def loaded(self, model: str, adapter: Path | None = None) -> Base:
        """The model itself, for what only weights can tell."""
        key = f"{model} {adapter or ''}"
        if key not in self._loaded:
            try:
                from finetune.base import load
            except ImportError as missing:
                raise AdvisorError("a local model", f"{missing.name} is not installed", fix=INSTALL) from None
            self.tell.say(f"  loading {model}{f' with {adapter}' if adapter else ''}")
            self._loaded.clear()  # one model in memory at a time is all that a small card holds
            self._loaded[key] = load(model, adapter=adapter, trust_remote_code=self.request.trust_remote_code)
        return self._loaded[key]

    def drop(self) -> None:
        """Free the loaded model: training loads its own, fresh."""
        self._loaded.clear()

    def _answer(self, base: Base) -> Answer:
        from finetune.answer import answerer

        return answerer(base, max_new_tokens=self.max_new_tokens)


def control_of(request: Request, axis: str) -> tuple[str, Callable[[Models], Answer]]:
    """The untouched arm of an axis: the base for weights, the answering model for prompts and context."""
    if axis == "weights" and request.answering != request.base:
        return "control-base", lambda models: models.base()
    return "control", lambda models: models.answering()


@dataclass(frozen=True)
class Stage:
    """All that an experiment needs around it."""

    plan: Plan
    failures: Mapping[str, Failure]
    request: Request
    run: Run
    models: Models
    tell: Tell


def launch(plan: Plan, log: Log, request: Request, run: Run, tell: Tell) -> list[Score]:
    """Run every experiment of the plan and its control; all graded answers, also written to scores.jsonl."""
    failures = {failure.id: failure for failure in log.failures}
    stage = Stage(plan, failures, request, run, Models(request, plan.max_new_tokens, tell), tell)
    guard = guard_cases(log.passed, request.guard_limit, request.seed)
    scores: list[Score] = []
    for experiment in plan.experiments:
        tell.say(f"{experiment.id}: {experiment.recipe['does']}")
        gain = [plan.cases[name] for name in experiment.held_out]
        # A prompt is only changed where the format is asked for: it cannot touch the other cases.
        cases = gain if experiment.axis == "prompt" else [*gain, *guard, *general_cases()]
        arm, ask = control_of(request, experiment.axis)
        control = answer_cases(run, arm, cases, partial(ask, stage.models), tell)
        treated = kept_answers(run, experiment.id, cases)
        if treated is None:
            treated = TREATMENTS[experiment.id](experiment, cases, control, stage)
        scores += [{**row, "experiment": experiment.id} for row in [*control, *treated]]
    run.write_rows("scores.jsonl", scores)
    return scores


def _exemplar(experiment: Experiment, cases: Sequence[Case], control: Sequence[Score], stage: Stage) -> list[Score]:
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


def _retrieval(experiment: Experiment, cases: Sequence[Case], control: Sequence[Score], stage: Stage) -> list[Score]:
    """Index the documents, and answer with what is found in them."""
    from rag.answer import ground
    from rag.index import build, load

    folder = stage.run.folder / "index"
    snapshot = build(_documents(experiment, stage), folder)
    if snapshot.built:
        stage.tell.say(f"  index: {snapshot.documents:,} documents, {snapshot.chunks:,} chunks")
    index = load(folder)
    settings = _tuned_search(index, experiment, stage)
    grounded, shown = ground(
        index,
        [case.messages for case in cases],
        k=settings.passages,
        min_similarity=settings.min_similarity,
    )
    found = [replace(c, messages=q) for c, q, hits in zip(cases, grounded, shown, strict=True) if hits]
    # Where no passage comes near, the prompt stays as it was: the same model gives the control's answer.
    untouched = {case.id for case, hits in zip(cases, shown, strict=True) if not hits}
    keep_answers(stage.run, "rag", [{**row, "arm": "rag"} for row in control if row["id"] in untouched])
    answer_cases(stage.run, "rag", found, stage.models.answering, stage.tell)
    return kept_answers(stage.run, "rag", cases) or []


def _tuned_search(index: Index, experiment: Experiment, stage: Stage) -> Settings:
    """Passages and nearness for this index, chosen on the train side: facts want passages; form, and talk, do not."""
    from finetune.replay import PROMPTS
    from rag.tune import tune

    wanted = [(stage.failures[i].asked, stage.failures[i].reference) for i in experiment.train]
    form = next((e for e in stage.plan.experiments if e.route == "form"), None)
    unwanted = [*PROMPTS, *(stage.failures[i].asked for i in (form.train if form else ()))]
    settings = tune(index, wanted, unwanted)
    found = "" if settings.found_rate is None else f", which hold {settings.found_rate:.0%} of the known answers"
    stage.tell.say(f"  passages: {settings.passages}{found}; shown from a similarity of {settings.min_similarity:.2f}")
    stage.run.write("index/settings.json", json.dumps(settings._asdict(), indent=1) + "\n")
    return settings


def _documents(experiment: Experiment, stage: Stage) -> list[Document]:
    """The given documents, else what the log itself knows: contexts, and corrections of cases that judge nothing."""
    from rag.documents import documents_from_texts, read_documents

    failures, docs = stage.failures, stage.request.docs
    if docs is not None:
        documents = read_documents(docs)
        return [document._replace(text=redact(document.text)[0]) for document in documents]
    texts = [(f"context of {name}", text) for name, failure in failures.items() for text in failure.context]
    texts += [
        (f"correction of {name}", f"{failures[name].asked}\n{failures[name].review['correction']}")
        for name in experiment.train
        if failures[name].review.get("correction")
    ]
    return documents_from_texts((name, redact(text)[0]) for name, text in texts)


def _adapter(experiment: Experiment, cases: Sequence[Case], control: Sequence[Score], stage: Stage) -> list[Score]:
    """Train a LoRA adapter on the train side, and answer with it; the loss on general text before and after."""
    run, models = stage.run, stage.models
    rows = list(run.rows("examples.jsonl"))
    if not rows:
        rows = [_example(stage.failures[name], stage.plan.targets[name]) for name in experiment.train]
        run.write_rows("examples.jsonl", rows)
    adapter = run.folder / "adapter"
    if not (adapter / "training.json").is_file():
        _train(rows, experiment.recipe, models, adapter, stage.tell)
    scores = answer_cases(run, "lora", cases, partial(models.tuned, adapter), stage.tell)
    if not (run.folder / "text_loss.json").is_file():
        from eval.general import TEXTS
        from finetune.answer import text_loss

        after = text_loss(models.loaded(stage.request.base, adapter), TEXTS)
        before = text_loss(models.loaded(stage.request.base), TEXTS)
        losses = {"before": sum(before) / len(before), "after": sum(after) / len(after), "texts": len(TEXTS)}
        run.write("text_loss.json", json.dumps(losses) + "\n")
    return scores


def _routed(experiment: Experiment, cases: Sequence[Case], control: Sequence[Score], stage: Stage) -> list[Score]:
    """The same adapter, served only to the standing instructions it was trained on; all else is the base's answer."""
    taught = {instructions(stage.failures[name].messages) for name in experiment.train}
    tuned = kept_answers(stage.run, "lora", cases) or []
    chosen = [
        after if instructions(case.messages) in taught else before
        for case, before, after in zip(cases, control, tuned, strict=True)
    ]
    keep_answers(stage.run, experiment.id, [{**row, "arm": experiment.id} for row in chosen])
    return kept_answers(stage.run, experiment.id, cases) or []


TREATMENTS = {"exemplar": _exemplar, "rag": _retrieval, "lora": _adapter, "lora-routed": _routed}


def _example(failure: Failure, target: str) -> dict[str, Any]:
    """A training example without secrets or personal data: what is learned by heart can be asked back out."""
    messages = [{"role": m["role"], "content": redact(m["content"], personal=True)[0]} for m in failure.messages]
    return {"messages": messages, "completion": redact(target, personal=True)[0], "id": failure.id}


def _train(rows: Sequence[Mapping[str, Any]], recipe: Mapping[str, Any], models: Models, out: Path, tell: Tell) -> None:
    from finetune.examples import Example
    from finetune.recipe import Recipe
    from finetune.train import train

    knobs = Recipe(**{name: recipe[name] for name in Recipe.__dataclass_fields__ if name in recipe})
    examples = [Example(row["messages"], row["completion"], row["id"]) for row in rows]
    models.drop()
    started = 0
    with tell.bar("lora: training steps", recipe["steps"]) as advance:

        def progress(step: int, steps: int, loss: float) -> None:
            nonlocal started
            advance(step - started)
            started = step

        trained = train(
            models.request.base,
            examples,
            out,
            knobs,
            progress=progress,
            trust_remote_code=models.request.trust_remote_code,
        )
    for dropped in trained.dropped:
        tell.say(f"  not trained on: {dropped.id}: {dropped.reason}")
    tell.say(f"  validation loss {trained.validation_loss_before:.3f} -> {trained.validation_loss:.3f}")
