"""Experiments on the context: an index over the documents, and answers from what is found in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from advisor.cases import Case, Score, answer_cases, keep_answers, kept_answers
from advisor.experiments import Experiment
from advisor.redact import redact
from advisor.stage import Stage

if TYPE_CHECKING:
    from rag.documents import Document
    from rag.index import Index
    from rag.tune import Settings


def retrieval(experiment: Experiment, cases: Sequence[Case], control: Sequence[Score], stage: Stage) -> list[Score]:
    """Index the documents, and answer with what is found in them."""
    from finetune.replay import PROMPTS
    from rag.tune import tune

    index = indexed(documents(experiment, stage), "index", stage)
    # Passages and nearness are chosen on the train side: facts want passages; form, and talk, do not.
    wanted = [(stage.failures[i].asked, stage.failures[i].reference) for i in experiment.train]
    form = next((e for e in stage.plan.experiments if e.route == "form"), None)
    unwanted = [*PROMPTS, *(stage.failures[i].asked for i in (form.train if form else ()))]
    settings = tune(index, wanted, unwanted)
    found = "" if settings.found_rate is None else f", which hold {settings.found_rate:.0%} of the known answers"
    stage.tell.say(f"  passages: {settings.passages}{found}; shown from a similarity of {settings.min_similarity:.2f}")
    stage.run.write("index/settings.json", json.dumps(settings._asdict(), indent=1) + "\n")
    return looked_up(index, settings, experiment.id, cases, control, stage)


def indexed(found: Sequence[Document], name: str, stage: Stage) -> Index:
    """The index over these documents in a folder of the run; built where it is not there yet."""
    from rag.index import build, load

    folder = stage.run.folder / name
    snapshot = build(found, folder)
    if snapshot.built:
        stage.tell.say(f"  index: {snapshot.documents:,} documents, {snapshot.chunks:,} chunks")
    return load(folder)


def looked_up(
    index: Index, settings: Settings, arm: str, cases: Sequence[Case], control: Sequence[Score], stage: Stage
) -> list[Score]:
    """The answers of an arm that reads what the index holds for each case, graded and kept."""
    from rag.answer import ground

    grounded, shown = ground(
        index,
        [case.messages for case in cases],
        k=settings.passages,
        min_similarity=settings.min_similarity,
    )
    found = [replace(c, messages=q) for c, q, hits in zip(cases, grounded, shown, strict=True) if hits]
    # Where no passage comes near, the prompt stays as it was: the same model gives the control's answer.
    untouched = {case.id for case, hits in zip(cases, shown, strict=True) if not hits}
    keep_answers(stage.run, arm, [{**row, "arm": arm} for row in control if row["id"] in untouched])
    answer_cases(stage.run, arm, found, stage.models.answering, stage.tell)
    return kept_answers(stage.run, arm, cases) or []


def documents(experiment: Experiment, stage: Stage) -> list[Document]:
    """The given documents, else what the log itself knows: contexts, and corrections of cases that judge nothing."""
    from rag.documents import documents_from_texts, read_documents

    failures, docs = stage.failures, stage.request.docs
    if docs is not None:
        return [document._replace(text=redact(document.text)[0]) for document in read_documents(docs)]
    texts = [(f"context of {name}", text) for name, failure in failures.items() for text in failure.context]
    texts += [
        (f"correction of {name}", f"{failures[name].asked}\n{failures[name].review['correction']}")
        for name in experiment.train
        if failures[name].review.get("correction")
    ]
    return documents_from_texts((name, redact(text)[0]) for name, text in texts)
