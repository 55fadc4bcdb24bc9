"""The experiments a plan can hold: one on each axis, with its recipe, its cost and why it and not another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from advisor.machine import Machine
from advisor.records import Failure
from advisor.run import EMBEDDED, Request
from advisor.size import answering_s, shape_for, size, training_s
from advisor.splits import instructions
from eval.compare import detectable_effect
from finetune.lengths import count_tokens

PASSAGE_TOKENS = 300  # of the passages shown; an estimate for the forecast of time
ANSWER_TOKENS = (48, 512)

# Share of held-out failures that an experiment is expected to fix: low, likely, high. Wide on purpose: priors, until
# a run's own ledger knows better.
EXPECTED = {
    "prompt": (0.05, 0.3, 0.8),  # the demo: 33 of 64; by format 7 to 28 of 40 (data/README.md)
    "context": (0.3, 0.65, 0.9),  # current events with RAG: +35 points on average over three 7B models (2312.05934)
    "weights": (0.3, 0.75, 0.98),  # the demo: 55 of 64 (README.md); other formats and bases may do far worse
}


@dataclass(frozen=True)
class Experiment:
    """One thing to try, on one axis: prompt, context or weights."""

    id: str
    axis: str
    route: str
    train: tuple[str, ...]
    held_out: tuple[str, ...]
    recipe: Mapping[str, Any]
    expects: Mapping[str, Any]
    costs: Mapping[str, Any]
    detectable_effect: float | None
    stop_rule: str
    because: str
    instead_of: str


def _common(axis: str, held: Sequence[str]) -> dict[str, Any]:
    low, likely, high = (round(share * len(held)) for share in EXPECTED[axis])
    effect = detectable_effect(len(held))
    return {
        "axis": axis,
        "held_out": tuple(held),
        "expects": {"fixed": [low, likely, high], "of": len(held), "basis": "estimate: prior of the axis"},
        "detectable_effect": round(effect, 3) if math.isfinite(effect) else None,
    }


def _answers_cost(
    request: Request, here: Machine, texts: Sequence[str], n_answers: int, extra_tokens: int
) -> list[float] | None:
    shape = shape_for(request.answering) if not request.answering.startswith("http") else None
    if shape is None or not texts:
        return None
    lengths, _ = count_tokens(None, texts)
    return answering_s(shape, n_answers, sum(lengths) / len(lengths) + extra_tokens, ANSWER_TOKENS[0] / 2, here)


def retrieval(
    train: tuple[str, ...], held: tuple[str, ...], failures: Mapping[str, Failure], request: Request, here: Machine
) -> Experiment:
    prompts = [failures[name].prompt for name in held]
    return Experiment(
        id="rag",
        route="facts",
        train=train,
        recipe={
            "does": f"index {request.docs or 'the contexts and corrections of the log'} and answer from it",
            "passages": "1 to 5, chosen on the train side",
            "retrieval": "FAISS and BM25, fused by reciprocal rank",
        },
        costs={
            "peak_bytes": None,
            "seconds": _answers_cost(request, here, prompts, len(held), PASSAGE_TOKENS),
            "usd": None,
        },
        stop_rule="stop when the held-out facts failures are answered; keep only if the guard set is not worse",
        because="the information is wrong or missing; documents can be corrected in seconds and cited",
        instead_of="LoRA: facts that are trained in are learned slowly, go stale, and raise invention (2405.05904)",
        **_common("context", held),
    )


def exemplar(
    train: tuple[str, ...], held: tuple[str, ...], failures: Mapping[str, Failure], request: Request, here: Machine
) -> Experiment:
    prompts = [failures[name].prompt for name in held]
    formats = len({instructions(failures[name].messages) for name in held})
    return Experiment(
        id="exemplar",
        route="form",
        train=train,
        recipe={"does": f"show one solved case of the same format first ({formats} formats)"},
        costs={"peak_bytes": None, "seconds": _answers_cost(request, here, prompts, len(held), 80), "usd": None},
        stop_rule="if this alone passes as many as the adapter does, no training is needed",
        because="a prompt is the cheapest cure of form; it costs tokens in every call",
        instead_of="nothing: it is what training has to beat",
        **_common("prompt", held),
    )


def adapter(
    train: tuple[str, ...],
    held: tuple[str, ...],
    failures: Mapping[str, Failure],
    targets: Mapping[str, str],
    request: Request,
    here: Machine,
) -> Experiment:
    shape = shape_for(request.base)
    lengths, counted = count_tokens(_tokenizer_folder(request.base), [failures[i].prompt + targets[i] for i in train])
    recipe: dict[str, Any] = {"does": f"train a LoRA adapter on {len(train)} cases"}
    costs: dict[str, Any] = {"peak_bytes": None, "seconds": None, "usd": None}
    if shape is not None:
        sized, memory = size(shape, lengths, here)
        recipe |= sized | {"lengths": "counted" if counted else "estimated from characters"}
        costs["peak_bytes"] = list(memory.process)
        costs["seconds"] = training_s(shape, lengths, sized, here)
    else:
        # An unknown hub id has no shape yet: the smallest recipe, and the plan says that it was not sized.
        recipe |= {"method": "qlora", "quantization": "nf4", "batch": 1, "accumulation": 8, "steps": 0, "sized": False}
    return Experiment(
        id="lora",
        route="form",
        train=train,
        recipe=recipe,
        costs=costs,
        stop_rule="keep the checkpoint with the lowest validation loss; stop at a gradient norm of 0 or not finite",
        because="the content is right, the shape is not: few examples teach it, and it costs no tokens after",
        instead_of="RAG: no document makes the model write the format",
        **_common("weights", held),
    )


def routed_adapter(whole: Experiment) -> Experiment:
    """The adapter of another experiment, served only to the prompts that it was trained for."""
    return replace(
        whole,
        id="lora-routed",
        recipe={"does": "serve that adapter only to the standing instructions it was trained on"},
        costs={"peak_bytes": whole.costs["peak_bytes"], "seconds": [0.0, 0.0, 0.0], "usd": None},
        stop_rule="prefer this to the adapter everywhere unless the guard cases are safe there too",
        because="an adapter changes every answer it gives; a server picks the adapter by request at no cost",
        instead_of="the adapter on every prompt, whose harm the experiment before it measures",
    )


def _tokenizer_folder(base: str) -> Path | None:
    if base == EMBEDDED:
        from finetune.embedded import folder_of_embedded

        return folder_of_embedded()
    return Path(base) if Path(base).is_dir() else None
