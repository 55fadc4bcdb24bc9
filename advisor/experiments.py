"""The experiments a plan can hold: one on each axis, with its recipe, its cost and why it and not another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from advisor.kind import kind_for
from advisor.machine import Machine
from advisor.records import Diagnosis, Failure
from advisor.run import EMBEDDED, Request
from advisor.size import answering_s, default_for, shape_for, size, training_s, training_tokens_per_s
from advisor.splits import instructions
from advisor.wanted_format import WantedFormat
from eval.clusters import MIN_CLUSTERS
from eval.power import detectable_effect
from finetune.defaults import ALL_LINEAR, ALPHA, Default
from finetune.lengths import count_tokens

PLANNED_ICC = 0.5  # how alike cases of a cluster change; ours: 0 and 0.7 in the two arms of the demo that have clusters
SIMULATED = 300  # clusters whose power is simulated, in seconds
PASSAGE_TOKENS = 300  # of the passages shown; an estimate for the forecast of time
ANSWER_TOKENS = (48, 512)
ON_FORM, ON_FACTS = "rag-on-form", "lora-on-facts"  # each cure on the failures of the other route
# Facts take more than form: many passes at a high rate, ended as soon as they are known (advisor.cross). Measured on
# the demo (docs/cross.md); no row judges, since what is known is asked of the model itself.
FACTS = Default("facts", 32, 32, ALL_LINEAR, False, "facts lie in all layers", "docs/cross.md: measured on the demo")
READING = Default("reading", 16, 32, ALL_LINEAR, False, "to answer from documents is no shape", "ours: as new syntax")
FACTS_RECIPE = {"rank": 32, "alpha": 64, "learning_rate": 1e-3, "epochs": 8, "replay": 8, "validation_rate": 0.0}
PHRASINGS = 5  # of each question; an estimate for the forecast

# Share of held-out failures that an experiment is expected to fix: low, likely, high. Wide on purpose: priors, until
# a run's own ledger knows better.
EXPECTED = {
    "prompt": (0.05, 0.3, 0.8),  # the demo: 33 of 64; by format 7 to 28 of 40 (data/README.md)
    "context": (0.3, 0.65, 0.9),  # current events with RAG: +35 points on average over three 7B models (2312.05934)
    "weights": (0.3, 0.75, 0.98),  # the demo: 55 of 64 (README.md); other formats and bases may do far worse
}


class Prompted(NamedTuple):
    """A cure of form that trains nothing: in the words of a plan, and the tokens that it adds to a prompt."""

    does: str
    because: str
    tokens: int


# In the order in which they are tried: the first that cures a format is the one to take.
PROMPTED = {
    "instruction": Prompted(
        "state the format in one sentence at the end of the prompt",
        "a sentence is the cheapest cure of form; it costs its tokens in every call",
        0,
    ),
    "constrained": Prompted(
        "hold the answer to a JSON schema or a regular expression while it is written",
        "an answer that cannot leave the format needs no teaching of it; it costs no tokens",
        0,
    ),
    "exemplar": Prompted(
        "show one solved case of the same format first",
        "a prompt is the cheapest cure of form; it costs tokens in every call",
        80,
    ),
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
    return {
        "axis": axis,
        "held_out": tuple(held),
        "expects": {"fixed": [low, likely, high], "of": len(held), "basis": "estimate: prior of the axis"},
        "detectable_effect": None,  # `showing` knows the clusters
    }


def showing(experiment: Experiment, clusters: Mapping[str, str]) -> Experiment:
    """The experiment with the smallest gain that its held-out cases can show with a chance of 80 %, None for none.

    `clusters` gives the cluster of each case; the intra-cluster correlation is not known before a run (PLANNED_ICC).
    """
    sizes = tuple(sorted(Counter(clusters.get(name, name) for name in experiment.held_out).values()))
    n, related = sum(sizes), sum(size * size for size in sizes)
    if not n or (sizes[-1] > 1 and len(sizes) < MIN_CLUSTERS):
        return experiment
    if sizes[-1] == 1:
        effect = detectable_effect(n)
    elif len(sizes) <= SIMULATED:
        effect = detectable_effect(n, sizes=sizes, icc=PLANNED_ICC)
    else:  # so many that the design effect of the mean size of a case's cluster will do (Kish 1965)
        effect = detectable_effect(int(n / (1 + (related / n - 1) * PLANNED_ICC)))
    return replace(experiment, detectable_effect=round(effect, 3) if math.isfinite(effect) else None)


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


def prompted(
    name: str,
    train: tuple[str, ...],
    held: Sequence[str],
    formats: Mapping[str, WantedFormat],
    failures: Mapping[str, Failure],
    request: Request,
    here: Machine,
) -> Experiment | None:
    """One of PROMPTED on the held-out cases of the formats that it can be tried on; None where there is no such case.

    `formats` are those of the train side, by standing instructions.
    """
    arm = PROMPTED[name]
    fit = {key: wanted for key, wanted in formats.items() if wanted.takes(name, request.served)}
    judged = [i for i in held if instructions(failures[i].messages) in fit]
    if not judged:
        return None
    many = f"{len(fit)} format" + ("s" if len(fit) > 1 else "")
    recipe: dict[str, Any] = {"does": f"{arm.does} ({many})"}
    if name != "exemplar":
        recipe["formats"] = [wanted.told(name) for wanted in fit.values()]
    if name == "constrained" and len(fit) < len(formats):
        recipe["not_constrained"] = [w.told("", request.served) for key, w in formats.items() if key not in fit]
    prompts = [failures[i].prompt for i in judged]
    tokens = arm.tokens + max((len(w.sentence) // 3 for w in fit.values()), default=0) * (name == "instruction")
    return Experiment(
        id=name,
        route="form",
        train=train,
        recipe=recipe,
        costs={"peak_bytes": None, "seconds": _answers_cost(request, here, prompts, len(judged), tokens), "usd": None},
        stop_rule="if this alone passes as many as the adapter does, no training is needed",
        because=arm.because,
        instead_of="nothing: it is what training has to beat",
        **_common("prompt", judged),
    )


def adapter(
    train: tuple[str, ...],
    held: tuple[str, ...],
    failures: Mapping[str, Failure],
    targets: Mapping[str, str],
    request: Request,
    here: Machine,
    diagnoses: Sequence[Diagnosis] = (),
    default: Default | None = None,
) -> Experiment:
    """A LoRA adapter on the train side, sized to the card, by the default of what its cases ask for.

    Without `default` that is the kind of form (advisor.kind); `diagnoses` tell that of cases whose checks do not.
    """
    shape = shape_for(request.base)
    folder = _tokenizer_folder(request.base)
    lengths, counted = count_tokens(folder, [failures[i].prompt + targets[i] for i in train])
    completions, _ = count_tokens(folder, [targets[i] for i in train])
    recipe: dict[str, Any] = {"does": f"train a LoRA adapter on {len(train)} cases"}
    asked = ""
    if default is None:
        kind = kind_for([failures[i] for i in train], {diagnosis.id: diagnosis for diagnosis in diagnoses})
        default, asked = default_for(kind), kind.says
        recipe["asks_for"] = dict(kind.counts)
    costs: dict[str, Any] = {"peak_bytes": None, "seconds": None, "usd": None}
    if shape is not None:
        learned = sum(completions) + len(completions)  # each ends with a token that is learned too
        sized, memory = size(shape, lengths, here, default, completion_tokens=learned, asked=asked)
        recipe |= sized | {"lengths": "counted" if counted else "estimated from characters"}
        costs["peak_bytes"] = list(memory.process)
        costs["seconds"] = training_s(shape, lengths, sized, here)
        costs["tokens_per_s"] = training_tokens_per_s(shape, sized, here)
    else:
        # An unknown hub id has no shape yet: the smallest recipe, and the plan says that it was not sized.
        recipe |= {"method": "qlora", "quantization": "nf4", "batch": 1, "accumulation": 8, "steps": 0, "sized": False}
        recipe |= {"rank": default.rank, "alpha": ALPHA, "targets": default.targets}
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


def crossed(
    straight: Sequence[Experiment],
    failures: Mapping[str, Failure],
    pages: Sequence[str],
    request: Request,
    here: Machine,
) -> list[Experiment]:
    """Each cure on the held-out failures of the other route, for those of the plan's experiments that have one.

    `pages` are the texts of the documents, which the adapter reads as well. Nothing is expected of these: the trial is
    there to find out.
    """
    found = []
    for whole in straight:
        n = len(whole.held_out)
        open_ = {"fixed": [0, n // 2, n], "of": n, "basis": "no prior: this is what the trial is for"}
        if whole.id == "lora":
            prompts = [failures[name].prompt for name in whole.held_out]
            seconds = _answers_cost(request, here, prompts, n, PASSAGE_TOKENS)
            found.append(
                replace(
                    whole,
                    id=ON_FORM,
                    axis="context",
                    recipe={"does": "look the format up in the house style guide, which shows an example of each"},
                    expects=open_,
                    costs={"peak_bytes": None, "seconds": seconds, "usd": None},
                    stop_rule="report what comes: it is the cross-check of the adapter on form",
                    because="whether documents cure form as well is measured, not taken for granted",
                    instead_of="nothing: beside the adapter on the same cases",
                )
            )
        elif whole.id == "rag":
            recipe, costs = _facts_training(whole, failures, pages, request, here)
            found.append(
                replace(
                    whole,
                    id=ON_FACTS,
                    axis="weights",
                    recipe=recipe,
                    expects=open_,
                    costs=costs,
                    stop_rule="train until 90 % of the training phrasings are answered; else it is no fair trial",
                    because="whether an adapter can hold the facts as well is measured, not taken for granted",
                    instead_of="nothing: beside RAG on the same cases",
                )
            )
    return found


def _facts_training(
    whole: Experiment, failures: Mapping[str, Failure], pages: Sequence[str], request: Request, here: Machine
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipe of an adapter that is to learn the facts, and its costs if it takes all epochs."""
    recipe: dict[str, Any] = {"does": "train an adapter on the documents and on other phrasings of the questions"}
    shape = shape_for(request.base)
    if shape is None:
        return recipe | FACTS_RECIPE | {"steps": 0, "sized": False}, {"peak_bytes": None, "seconds": None, "usd": None}
    parts = [part for page in pages for part in page.split("\n\n") if part.strip()]
    asked = [failures[name].prompt for name in whole.held_out]
    lengths, _ = count_tokens(_tokenizer_folder(request.base), [*parts, *asked * PHRASINGS])
    sized, memory = size(shape, lengths, here, FACTS)
    recipe |= sized | FACTS_RECIPE | {"why": sized["why"][-2:]}  # its rate is not that of form
    rows = len(lengths) + recipe["replay"]
    recipe["steps"] = recipe["epochs"] * math.ceil(rows / (recipe["batch"] * recipe["accumulation"]))
    costs = {"peak_bytes": list(memory.process), "seconds": training_s(shape, lengths, recipe, here), "usd": None}
    return recipe, costs | {"tokens_per_s": training_tokens_per_s(shape, recipe, here)}


def _tokenizer_folder(base: str) -> Path | None:
    if base == EMBEDDED:
        from finetune.embedded import folder_of_embedded

        return folder_of_embedded()
    return Path(base) if Path(base).is_dir() else None
