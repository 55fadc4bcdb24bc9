"""Which cases may teach and which may only judge, settled once before anything runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from advisor.records import Failure, Question
from advisor.run import Run
from eval.fold import holds, words
from eval.split import clusters, split

# The share that judges. Of form 40 %: what a training run loses in examples, the proof gains in power. Of facts 60 %:
# an index learns none of the questions, only how many passages to show.
# Of reading as of form: it is trained in.
HELD_OUT = {"form": 0.4, "facts": 0.6, "context-ignored": 0.4}

Encode = Callable[[Sequence[str]], Any]  # texts -> vectors (texts x dimensions)


class Split(NamedTuple):
    """The side of each case, "train" or "held-out", and its cluster: cases that stand or fall together."""

    sides: Mapping[str, str]
    clusters: Mapping[str, str]


def settle(
    run: Run,
    failures: Sequence[Failure],
    routes: Mapping[str, str],
    documents: Mapping[str, str],
    seed: int,
    encode: Encode | None = None,
) -> Split:
    """Sides and clusters of the failures that have a route, written to splits.json.

    One cluster, and so one side, are near copies, questions that mean the same (where `encode` gives sentence vectors)
    and facts failures that the same document answers; routes, and within form the standing instructions, are shared
    out alike.
    """
    chosen = [failure for failure in failures if failure.id in routes]
    ids, texts = [f.id for f in chosen], [f.asked for f in chosen]
    groups = [source_of(f, documents) if routes[f.id] != "form" else "" for f in chosen]
    vectors = encode(texts) if encode and texts else None
    strata = [f"{routes[f.id]}: {instructions(f.messages)}" for f in chosen]
    sides = split(
        ids,
        texts,
        groups,
        held_out={stratum: HELD_OUT[stratum.partition(":")[0]] for stratum in strata},
        seed=seed,
        strata=strata,
        vectors=vectors,
    )
    found = Split(sides, clusters(ids, texts, groups, vectors))
    record = {
        "seed": seed,
        "held_out": HELD_OUT,
        "by_meaning": vectors is not None,
        "sides": sides,
        "clusters": found.clusters,
        "documents": {f.id: group for f, group in zip(chosen, groups, strict=True) if group},
    }
    run.write("splits.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return found


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
