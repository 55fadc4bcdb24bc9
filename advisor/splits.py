"""Which cases may teach and which may only judge, settled once before anything runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from advisor.records import Failure, Question
from advisor.run import Run
from eval.fold import holds, words
from eval.split import split

HELD_OUT = 0.4  # 40 % judge: what a training run loses in examples, the proof gains in power


def settle(
    run: Run, failures: Sequence[Failure], routes: Mapping[str, str], documents: Mapping[str, str], seed: int
) -> dict[str, str]:
    """id -> "train" | "held-out" for the failures that have a route, written to splits.json.

    Near copies and failures that the same document answers share a side; routes, and within form the standing
    instructions, are shared out alike.
    """
    chosen = [failure for failure in failures if failure.id in routes]
    groups = [source_of(f, documents) if routes[f.id] != "form" else "" for f in chosen]
    sides = split(
        [f.id for f in chosen],
        [f.asked for f in chosen],
        groups,
        held_out=HELD_OUT,
        seed=seed,
        strata=[f"{routes[f.id]}: {instructions(f.messages)}" for f in chosen],
    )
    record = {
        "seed": seed,
        "held_out": HELD_OUT,
        "sides": sides,
        "documents": {f.id: group for f, group in zip(chosen, groups, strict=True) if group},
    }
    run.write("splits.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return sides


def instructions(messages: Question) -> str:
    """The standing instructions of a prompt, which name its format: its system message; "" without one."""
    return next((" ".join(m["content"].split()) for m in messages if m["role"] == "system"), "")


def source_of(failure: Failure, documents: Mapping[str, str]) -> str:
    """The id of the document that holds the reference and shares most of the question's rarer words; "" for none."""
    holding = [
        (name, text) for name, text in documents.items() if any(holds(text, ref) for ref in failure.reference if ref)
    ]
    if not holding:
        return ""
    asked = Counter(set(words(failure.asked)))
    spread = Counter(word for text in documents.values() for word in set(words(text)) if word in asked)
    return max(holding, key=lambda pair: (sum(1 / spread[w] for w in set(words(pair[1])) if w in asked), pair[0]))[0]
