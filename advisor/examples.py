"""From failures with a target to training examples: no copies, no leaks, no secrets, prompts as they will be served."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from advisor import raft
from advisor.experiments import Experiment
from advisor.records import Failure, Question
from advisor.redact import redact
from advisor.splits import instructions
from advisor.targets import ORIGINS
from eval.fold import holds
from eval.leaks import leaked
from eval.near import NEAR, jaccard, near_pairs, shingles

if TYPE_CHECKING:
    from advisor.stage import Stage
    from rag.search import Hit

COPIES, NEAR_COPIES, LEAKS = "copies", "near copies", "held-out questions"
LEAST_ALIKE = 4  # texts of which more than half have a line in common: it is the template's


class Chosen(NamedTuple):
    """The failures whose examples are trained on, in order, and the kind of reason why each of the others is not."""

    kept: tuple[str, ...]
    left_out: Mapping[str, str]

    def counted(self) -> dict[str, int]:
        """How many are left out, by reason."""
        return dict(Counter(self.left_out.values()))


def choose(
    names: Sequence[str],
    failures: Mapping[str, Failure],
    targets: Mapping[str, str],
    origins: Mapping[str, str],
    judging: Mapping[str, str],
) -> Chosen:
    """Those of the failures `names` that add something and give nothing away.

    Left out are exact and near copies of another example, of which the one with the better origin stays, and what holds
    a question of `judging` (id -> held-out question; eval.leaks).
    """
    left_out = {name: LEAKS for name in _leaking(names, failures, targets, judging)}
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names, key=lambda name: ORIGINS.index(origins[name])):
        if name not in left_out:
            groups[instructions(failures[name].messages)].append(name)
    for members in groups.values():
        left_out |= _copies(members, failures, targets)
    return Chosen(tuple(name for name in names if name not in left_out), left_out)


def _leaking(
    names: Sequence[str], failures: Mapping[str, Failure], targets: Mapping[str, str], judging: Mapping[str, str]
) -> list[str]:
    def texts(name: str) -> tuple[str, str]:
        return failures[name].asked, targets[name]

    given_away = set(leaked(judging, [text for name in names for text in texts(name)]))
    asked = {name: judging[name] for name in given_away}
    return [name for name in names if leaked(asked, texts(name))] if asked else []


def _copies(names: Sequence[str], failures: Mapping[str, Failure], targets: Mapping[str, str]) -> dict[str, str]:
    """Copies among examples of one format, id -> reason: both what is asked and what should come are alike."""
    found: dict[str, str] = {}
    first: set[tuple[str, str]] = set()
    for name in names:
        key = " ".join(failures[name].asked.split()), " ".join(targets[name].split())
        if key in first:
            found[name] = COPIES
        first.add(key)
    rest = [name for name in names if name not in found]
    said = [shingles(targets[name]) for name in rest]
    for i, j in near_pairs(_own([failures[name].asked for name in rest])):
        one, other = sorted((i, j))
        if rest[one] not in found and jaccard(said[one], said[other]) >= NEAR:
            found[rest[other]] = NEAR_COPIES
    return found


def _own(texts: Sequence[str]) -> list[str]:
    """The texts without the lines that most share: a template makes no copies. What is all template stays whole."""
    lines = Counter(line for text in texts for line in {line.strip() for line in text.splitlines()})
    shared = {line for line, n in lines.items() if len(texts) >= LEAST_ALIKE and 2 * n > len(texts)}
    own = ("\n".join(line for line in text.splitlines() if line.strip() not in shared) for text in texts)
    return [mine if mine.strip() else text for mine, text in zip(own, texts, strict=True)]


def with_room(
    failures: Mapping[str, Failure], names: Iterable[str], documents: Mapping[str, str]
) -> Mapping[str, Failure]:
    """The failures, those of `names` with as much text in their prompt as RAG shows at most: a run is sized by it."""
    from rag.answer import BUDGET_CHARS

    roomy = dict(failures)
    shown = "\n".join(documents.values()) or "\n".join(raft.pages_of(failures.values()))
    for name in names:
        passages = {"role": "user", "content": shown[:BUDGET_CHARS]}
        roomy[name] = replace(failures[name], messages=(*failures[name].messages, passages))
    return roomy


def as_example(messages: Question, target: str, id: str, origin: str) -> dict[str, Any]:
    """A row of examples.jsonl without secrets or personal data: what is learned by heart can be asked back out."""
    clean = [{"role": m["role"], "content": redact(m["content"], personal=True)[0]} for m in messages]
    return {"messages": clean, "completion": redact(target, personal=True)[0], "id": id, "origin": origin}


def write_examples(experiment: Experiment, name: str, stage: Stage) -> list[dict[str, Any]]:
    """The examples of an adapter, written to `name`.jsonl of the run, and what they are to `name`.json.

    Where the plan has RAG, a prompt that RAG would show passages to has them (rag.answer.ground, with the settings
    chosen on the train side). A failure in facts too teaches only where these hold what it should answer; a form
    failure whose prompt grows beyond the recipe's `max_tokens` keeps its own prompt.
    """
    plan, failures = stage.plan, stage.failures
    prompts = {id: plan.cases[id].messages for id in experiment.train}
    if experiment.route == raft.ROUTE:
        pages = raft.pages_of(failures.values())
        prompts = {id: raft.among_others(failures[id], pages, raft.GOLD_RATE) or asked for id, asked in prompts.items()}
    served = _served(experiment, prompts, stage)
    rows, counts = [], Counter[str]()
    for id, asked in prompts.items():
        target = plan.targets[id]
        question, hits = served.get(id, (asked, []))
        wanted = (target, *failures[id].reference)
        if id in plan.both and not any(holds(hit.text, text) for hit in hits for text in wanted):
            counts["whose answer RAG does not show: left out"] += 1
            continue
        if hits and id not in plan.both and not _fits(question, target, experiment, stage):
            counts["too long with passages: prompt as logged"] += 1
            question, hits = asked, []
        counts["with passages as RAG shows them"] += bool(hits)
        rows.append(as_example(question, target, id, plan.origins[id]))
    summary = {
        "examples": len(rows),
        "origins": dict(Counter(row["origin"] for row in rows)),
        "left_out": dict(experiment.recipe.get("left_out", {})),
        "prompts": {what: n for what, n in counts.items() if n},
    }
    stage.run.write(f"{name}.json", json.dumps(summary, indent=1) + "\n")
    stage.run.write_rows(f"{name}.jsonl", rows)  # last: where it stands, both do
    stage.tell.say(f"  {told(summary)}")
    return rows


def told(summary: Mapping[str, Any]) -> str:
    """The summary of examples in a sentence."""
    said = f"{summary['examples']} examples, by where their targets come from: {listed(summary['origins'])}"
    if summary["left_out"]:
        said += f"; left out: {listed(summary['left_out'])}"
    return said + (f"; {listed(summary['prompts'])}" if summary["prompts"] else "")


def listed(counts: Mapping[str, int]) -> str:
    """Counts in words: 3 copies, 1 near copies."""
    return ", ".join(f"{n} {what}" for what, n in counts.items())


def _served(
    experiment: Experiment, prompts: Mapping[str, Question], stage: Stage
) -> dict[str, tuple[Question, list[Hit]]]:
    """id -> the prompt with what RAG shows to it, and that; of the prompts to which it shows something."""
    chosen = stage.run.folder / "index" / "settings.json"
    planned = any(e.id == "rag" for e in stage.plan.experiments)
    if experiment.route != "form" or not planned or not chosen.is_file():
        return {}
    from rag.answer import ground
    from rag.index import load

    settings = json.loads(chosen.read_text(encoding="utf-8"))
    grounded, shown = ground(
        load(stage.run.folder / "index"),
        list(prompts.values()),
        k=settings["passages"],
        min_similarity=settings["min_similarity"],
    )
    return {id: (q, hits) for id, q, hits in zip(prompts, grounded, shown, strict=True) if hits}


def _fits(question: Question, target: str, experiment: Experiment, stage: Stage) -> bool:
    from finetune.examples import Example, tokenize
    from finetune.recipe import Recipe

    row = tokenize(stage.models.loaded(stage.request.base), Example(question, target))
    return len(row["input_ids"]) <= int(experiment.recipe.get("max_tokens", Recipe.max_tokens))
