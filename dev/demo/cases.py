"""Every case of the demo with its id, in one list, and the prompts that show a case an example or a page."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from dev.demo.capability import capability_tasks
from dev.demo.facts import facts
from dev.demo.form import exemplar_of, form_tasks
from dev.demo.guard import guard_candidates
from dev.demo.harness import harness_cases
from rag.answer import PROMPT, passage
from rag.documents import read_documents
from rag.search import Hit

DEMO = Path(__file__).resolve().parents[2] / "data" / "demo"
SEED = 6
# How many of what is written are asked, drawn by lot: a small log replays quickly. Facts come in both phrasings.
FACTS, FORM_OF_FORMAT, CAPABILITY_OF_KIND = 70, 40, 7
Case = dict[str, Any]
Messages = list[dict[str, str]]


def cases() -> list[Case]:
    """Every case that is observed: {id, group, family, messages, reference, checks} and what belongs to its group."""
    known = facts()
    numbers = sorted({fact["fact"] for fact in known})
    chosen = set(random.Random(SEED).sample(numbers, FACTS))
    groups = {
        "form": _first(form_tasks(), FORM_OF_FORMAT),
        "facts": [fact for fact in known if fact["fact"] in chosen],
        "capability": _first(capability_tasks(), CAPABILITY_OF_KIND),
        "harness": harness_cases(),
        "guard": guard_candidates(),
    }
    found = [{"id": _id(row), "group": group, **row} for group, rows in groups.items() for row in rows]
    if len({case["id"] for case in found}) != len(found):
        raise ValueError("two cases ask the same")
    return found


def _first(rows: list[Case], of_each: int) -> list[Case]:
    """The first rows of each family; their order was drawn by lot."""
    return [row for i, row in enumerate(rows) if [r["family"] for r in rows[:i]].count(row["family"]) < of_each]


def _id(row: Case) -> str:
    """An id that says nothing of the family, as a log's ids do."""
    asked = json.dumps([row["family"], row["messages"], row["reference"]], sort_keys=True)
    return "c" + hashlib.sha256(asked.encode()).hexdigest()[:10]


def with_exemplar(case: Case, every: list[Case], messages: Messages | None = None) -> Messages:
    """The case after one solved turn of another case of its kind (a fact: of another page)."""
    messages = messages or case["messages"]
    if case["group"] == "form":
        other = exemplar_of(case, [row for row in every if row["group"] == "form"])
    else:
        same = [row for row in every if row["group"] == case["group"]]
        own_page = case["group"] == "facts" and case["document"]
        fits = [
            row for row in same if row["family"] == case["family"] and row is not case and row["document"] != own_page
        ]
        other = random.Random(f"{SEED} {case['id']}").choice(fits)
    solved = [other["messages"][-1], {"role": "assistant", "content": other["reference"]}]
    return [*messages[:-1], *solved, messages[-1]]


def with_page(case: Case) -> Messages:
    """The case with its page in the prompt, in the words in which `rag` puts passages."""
    (document,) = read_documents(DEMO / "documents" / case["document"])
    hit = Hit("", "", document.title, document.text.strip(), 0.0, None, None, 0, len(document.text), case["document"])
    asked = case["messages"][-1]["content"]
    content = PROMPT.format(passages=passage(1, hit), question=asked)
    return [*case["messages"][:-1], {"role": "user", "content": content}]
