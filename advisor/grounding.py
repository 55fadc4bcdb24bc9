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
