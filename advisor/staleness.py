"""What a changed fact costs: how soon an index answers the new one, and what the adapter with the facts still says."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from advisor.cases import Score
from advisor.cross import ADAPTER, STALENESS
from advisor.experiments import ON_FACTS, Experiment
from advisor.grounding import documents
from advisor.redact import redact
from advisor.splits import source_of
from advisor.stage import Stage
from eval.fold import holds, same
from eval.grade import grade

if TYPE_CHECKING:
    from rag.documents import Document

EDITED = 5  # facts that are changed, one at a time
FOLDER = "cross/edited"


def staleness(stage: Stage, scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Change facts in a copy of the documents and ask both cures again; written to cross/staleness.json.

    Changed are up to EDITED facts that RAG answers right, first those that the adapter answers right as well.
    For each {id, document, old, new, rag_seconds, rag_says_new, adapter_said_old_before, adapter_says_old}: seconds
    from the saved document to the answer, with the index rebuilt and the model loaded, as in a server.
    """
    run = stage.run
    if (run.folder / STALENESS).is_file():
        found: list[dict[str, Any]] = json.loads((run.folder / STALENESS).read_text(encoding="utf-8"))
        return found
    rag = next((e for e in stage.plan.experiments if e.id == "rag"), None)
    if rag is None:
        return []
    passed = {(row["experiment"], row["arm"], row["id"]): bool(row["passed"]) for row in scores}
    right = [name for name in rag.held_out if passed.get(("rag", "rag", name))]
    knows = {name: passed.get((ON_FACTS, ON_FACTS, name), False) for name in right}
    edits = changes(sorted(right, key=lambda name: (not knows[name], name)), documents(rag, stage), stage)
    if not edits:
        return []
    stage.tell.say(f"staleness: {len(edits)} facts changed, one at a time, in a copy of the documents")
    rows = _answered_by_rag(edits, rag, stage)
    questions = [stage.plan.cases[row["id"]] for row in rows]
    answers = stage.models.tuned(run.folder / ADAPTER)([case.messages for case in questions])
    for row, case, text in zip(rows, questions, answers, strict=True):
        row["adapter_said_old_before"] = knows[row["id"]]
        row["adapter_says_old"] = grade(text, case.checks).passed
    run.write(STALENESS, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    return rows


def changes(names: Sequence[str], pages: Sequence[Document], stage: Stage) -> list[dict[str, str]]:
    """Up to EDITED changes {id, document, old, new}: the reference, where it stands in the page that answers it."""
    texts = {page.id: page.text for page in pages}
    found: list[dict[str, str]] = []
    for name in names:
        failure = stage.failures[name]
        source = source_of(failure, texts)
        old = failure.reference[0] if failure.reference else ""
        if source and old and _pattern(old).search(texts[source]) and source not in {row["document"] for row in found}:
            others = [f.reference[0] for f in stage.failures.values() if f.reference]
            new = another(old, [other for other in others if not holds(texts[source], other)])
            if new:
                found.append({"id": name, "document": source, "old": old, "new": new})
        if len(found) == EDITED:
            break
    return found


def another(old: str, others: Sequence[str]) -> str:
    """A value to take the place of `old`: the same with other figures, else another of the same make; "" for none."""
    if any(char.isdigit() for char in old):
        # Each figure one up, a nine to two: no leading zero appears, and clock times stay clock times mostly.
        return "".join({"9": "2"}.get(char, str(int(char) + 1)) if char.isdigit() else char for char in old)

    def make(text: str) -> tuple[int, bool]:
        return len(text.split()), text[:1].isupper()

    return next((other for other in sorted(set(others)) if make(other) == make(old) and not same(other, old)), "")


def _pattern(old: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(old)}(?!\w)", re.I)


def _answered_by_rag(edits: Sequence[dict[str, str]], rag: Experiment, stage: Stage) -> list[dict[str, Any]]:
    from rag.answer import ground
    from rag.documents import read_documents
    from rag.index import build, load
    from rag.tune import DEFAULT_PASSAGES

    run = stage.run
    kept = run.folder / "index" / "settings.json"
    passages = json.loads(kept.read_text(encoding="utf-8"))["passages"] if kept.is_file() else DEFAULT_PASSAGES
    paths = {page.id: run.write(f"{FOLDER}/{n:05d}.md", page.text) for n, page in enumerate(documents(rag, stage))}
    texts = {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
    index = run.folder / "cross" / "edited-index"
    build(read_documents(run.folder / FOLDER), index)
    answer = stage.models.answering().answer(0)  # loaded before the clock starts
    rows = []
    for edit in edits:
        name, case = edit["document"], stage.plan.cases[edit["id"]]
        changed = _pattern(edit["old"]).sub(edit["new"].replace("\\", r"\\"), texts[name])
        run.write(f"{FOLDER}/{paths[name].name}", changed)
        started = time.monotonic()
        build(read_documents(run.folder / FOLDER), index)
        asked, _ = ground(load(index), [case.messages], k=passages, min_similarity=-1.0)
        text = answer(asked)[0]
        seconds = time.monotonic() - started
        run.write(f"{FOLDER}/{paths[name].name}", texts[name])
        shown = {key: redact(value, personal=True)[0] for key, value in edit.items() if key != "id"}
        says = {"rag_says_new": holds(text, edit["new"]), "rag_answer": redact(text, personal=True)[0]}
        rows.append({"id": edit["id"], **shown, "rag_seconds": round(seconds, 2), **says})
    return rows
