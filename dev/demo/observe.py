"""Ask the embedded base every case of the demo, grade, label, and write the log and its key.

    python -m dev.demo.observe

Killed at any moment, it carries on: each batch of raw answers is appended to data/demo/answers/<arm>.jsonl.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dev.demo.cases import DEMO, Case, Messages, cases, with_exemplar, with_page
from dev.demo.label import label
from eval.grade import CrashedCheck, grade

BATCH = 32
MAX_NEW_TOKENS = 48
LOG_SEED = 3
# How many of each go into the log: a small log replays quickly on two cores.
FORM_PER_FORMAT, FACTS, CAPABILITY, BOTH, UNCURED, PASSING = 36, 100, 28, 10, 8, 165


def asked(arm: str, case: Case, every: list[Case]) -> Messages:
    """What the model is shown in an arm."""
    if arm == "plain":
        return list(case["messages"])
    if arm == "exemplar":
        return with_exemplar(case, every)
    page = with_page(case)
    return page if arm == "gold" else with_exemplar(case, every, page)


class Observer:
    """Asks in batches, remembers every answer on disk, and loads the model only when something is new."""

    def __init__(self, every: list[Case], folder: Path) -> None:
        self.every, self.folder = every, folder
        self.answer: Any = None
        self.answers: dict[str, dict[str, str]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def observe(self, arm: str, rows: list[Case]) -> dict[str, str]:
        """The answers of an arm by id; those on disk are not asked again unless their prompt has changed."""
        prompts = {case["id"]: asked(arm, case, self.every) for case in rows}
        path = self.folder / f"{arm}.jsonl"
        known = {(row["id"], row["prompt_sha"]): row["answer"] for row in read(path)}
        todo = [name for name in prompts if (name, sha(prompts[name])) not in known]
        todo.sort(key=lambda name: (sum(len(message["content"]) for message in prompts[name]), name))
        start = time.monotonic()
        for first in range(0, len(todo), BATCH):
            names = todo[first : first + BATCH]
            for name, text in zip(names, self._ask([prompts[name] for name in names]), strict=True):
                known[name, sha(prompts[name])] = text
                append(path, {"id": name, "prompt_sha": sha(prompts[name]), "answer": text})
            done = first + len(names)
            left_s = (time.monotonic() - start) / done * (len(todo) - done)
            print(f"{arm}: {done} of {len(todo)}, about {left_s:.0f} s left", file=sys.stderr, flush=True)
        got = {name: known[name, sha(prompts[name])] for name in prompts}
        self.answers.setdefault(arm, {}).update(got)
        return got

    def _ask(self, questions: list[Messages]) -> list[str]:
        if self.answer is None:
            from finetune.answer import answerer
            from finetune.base import load
            from finetune.embedded import embedded_base

            self.answer = answerer(load(embedded_base()), max_new_tokens=MAX_NEW_TOKENS, batch=BATCH)
        return list(self.answer(questions))


def sha(messages: Messages) -> str:
    """Short digest of a prompt."""
    return hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()[:12]


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file; none if it is absent; a last line that was cut off by a kill is left out."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def append(path: Path, row: dict[str, Any]) -> None:
    """One row more, on a line of its own also after a line that was cut off."""
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in read(path)), encoding="utf-8")
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """All rows at once, or none."""
    temporary = path.with_suffix(".part")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)


def observe(every: list[Case], folder: Path) -> dict[str, dict[str, str]]:
    """Every arm on the cases that need it."""
    observer = Observer(every, folder)
    group = {name: [case for case in every if case["group"] == name] for name in ("form", "facts", "capability")}
    observer.observe("plain", group["form"] + group["facts"] + group["capability"])

    def failing(rows: list[Case], arm: str = "plain") -> list[Case]:
        return [case for case in rows if not grade(observer.answers[arm][case["id"]], case["checks"]).passed]

    unable = failing(group["capability"])
    observer.observe("exemplar", failing(group["form"]) + unable)
    wrong = failing(group["facts"])
    observer.observe("gold", wrong + unable)
    observer.observe("exemplar-gold", failing(wrong, "gold"))
    observer.observe("plain", [case for case in every if case["group"] in ("harness", "guard") and "error" not in case])
    return observer.answers


def log_row(case: Case, output: str, passed: bool) -> dict[str, Any]:
    """The case as a log holds it: neither family nor page nor label."""
    row = {"messages": case["messages"], "output": output, "reference": case["reference"], "checks": case["checks"]}
    row["scores"] = {"passed": int(passed)}
    for name in ("error", "finish_reason"):
        if name in case:
            row[name] = case[name]
    if case["family"] == "crashed-check":
        try:
            grade(output, case["checks"])
        except CrashedCheck as crash:
            row["error"] = f"CrashedCheck: {crash}"
    return {**row, "metadata": {"id": case["id"]}}


def choose(labelled: list[tuple[Case, str, str]]) -> list[tuple[Case, str, str]]:
    """The cases that go into the log, in its order: by lot with a fixed seed, at most so many of each kind."""
    rng = random.Random(LOG_SEED)
    caps = {"facts": FACTS, "both": BOTH, "passed": PASSING}
    counts: Counter[str] = Counter()
    chosen = []
    for case, name, basis in rng.sample(labelled, len(labelled)):
        kind, cap = name, caps.get(name)
        if name == "form":
            kind, cap = case["family"], FORM_PER_FORMAT
        elif name == "capability":
            own = case["group"] == "capability"
            kind, cap = ("capability", CAPABILITY) if own else (f"uncured {case['group']}", UNCURED)
        if name == "dropped" or (name == "passed" and case["group"] != "guard"):
            continue
        if cap is None or counts[kind] < cap:
            counts[kind] += 1
            chosen.append((case, name, basis))
    return chosen


def main() -> None:
    """Observe, label, write, and print what came of it."""
    every = cases()
    answers = observe(every, DEMO / "answers")
    labelled = [(case, *label(case, answers)) for case in every]
    chosen = choose(labelled)
    log, key = [], []
    for case, name, basis in chosen:
        output = answers["plain"].get(case["id"], "")
        log.append(log_row(case, output, name == "passed"))
        told = {"id": case["id"], "label": name, "basis": basis, "family": case["family"]}
        key.append({**told, "document": case["document"]} if case["group"] == "facts" else told)
    write(DEMO / "failures.jsonl", log)
    write(DEMO / "key.jsonl", key)
    for title, rows in (("observed", labelled), ("in the log", chosen)):
        print(title)
        for (group, name), n in sorted(Counter((case["group"], name) for case, name, _ in rows).items()):
            print(f"  {group:11} {name:11} {n}")
    _rates(every, answers)


def _rates(every: list[Case], answers: dict[str, dict[str, str]]) -> None:
    print("passes of asked (plain: whole, form, content; then each arm whole)")
    for family in dict.fromkeys(case["family"] for case in every if case["group"] != "harness"):
        rows = [case for case in every if case["family"] == family]
        parts = [f"{family:15} {len(rows):3}"]
        for arm, got in answers.items():
            grades = [grade(got[case["id"]], case["checks"]) for case in rows if case["id"] in got]
            if grades:
                text = f"{arm} {sum(g.passed for g in grades)}/{len(grades)}"
                if arm == "plain":
                    text += f" (form {sum(g.form for g in grades)}, content {sum(g.content for g in grades)})"
                parts.append(text)
        print("  " + "  ".join(parts))


if __name__ == "__main__":
    main()
