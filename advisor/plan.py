"""From diagnoses to a plan: for each route what to buy, what it should bring, what it costs, and why not the other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from advisor import raft
from advisor.cases import Case, case_of
from advisor.examples import Chosen, choose, listed, with_room
from advisor.experiments import (
    ANSWER_TOKENS,
    EXPECTED,
    PROMPTED,
    READING,
    Experiment,
    adapter,
    crossed,
    prompted,
    retrieval,
    routed_adapter,
    showing,
)
from advisor.machine import machine
from advisor.read import Log
from advisor.records import Diagnosis, Failure
from advisor.run import Request, Run, fingerprint
from advisor.splits import Encode, Split, instructions, settle
from advisor.targets import GIVEN, ORIGINS, PERSONAL, Target, find_target
from advisor.wanted_format import WantedFormat, shown, wanted_formats
from advisor.wording import ADVICE
from eval.compare import wilson

ROUTED = ("form", "facts")
TAUGHT_BY = {"form": ORIGINS, raft.ROUTE: GIVEN}  # route -> where its targets may come from
LEAST_EXAMPLES = 12  # fewer teach no format, and leave too few to judge by

# A prompt cures a format where even the lower end of its pass rate reaches what a training run is likely to fix. That
# takes 12 of 12 cases, or 19 of 20.
CURED = EXPECTED["weights"][1]
ASKED_AS = {
    "instruction": "the format as an instruction",
    "constrained": "the answer held to the format while it is written",
    "exemplar": "a solved case shown first",
}


@dataclass(frozen=True)
class Candidates:
    """The failures that can be planned for: the route of each, what should have come, and which side it is on."""

    cases: Mapping[str, tuple[str, Case]]
    replayed: Mapping[str, bool] | None
    routes: Mapping[str, str]
    targets: Mapping[str, str]  # of those that may be trained on and have one to trust
    split: Split
    origins: Mapping[str, str]  # of the targets
    untargeted: Mapping[str, str]  # id -> why it has none

    def side(self, route: str, name: str) -> tuple[str, ...]:
        """The failures of a route that teach ("train") or judge ("held-out"); to teach form takes a target."""
        teaches = route in TAUGHT_BY and name == "train"
        return tuple(i for i in self.placed(route, name) if not teaches or i in self.targets)

    def placed(self, route: str, name: str) -> tuple[str, ...]:
        """All failures of a route on one side."""
        return tuple(i for i, where in self.split.sides.items() if self.routes[i] == route and where == name)

    def formats(self) -> dict[str, WantedFormat]:
        """The formats that the train side asks for, by standing instructions."""
        return wanted_formats((self.cases[i][1] for i in self.side("form", "train")), self.targets)


@dataclass(frozen=True)
class Trial:
    """What a prompt did on the train side for one format: it decides what need not be trained, and proves nothing."""

    arm: str
    standing: str
    passed: int
    asked: int
    of: int  # fewer asked than these: it was clear before that it is no cure
    example: str = ""  # the id of the solved case that was shown, the best of those tried

    @property
    def cures(self) -> bool:
        """Whether the format needs no training: Wilson's 95 % interval of the pass rate lies above CURED."""
        return wilson(self.passed, self.of).low >= CURED

    def told(self) -> dict[str, Any]:
        """The trial as plan.yaml holds it."""
        said = {"arm": self.arm, "instructions": shown(self.standing), "passed": self.passed, "asked": self.asked}
        shows = {"example": self.example} if self.example else {}
        return said | {"of": self.of, "cures": self.cures} | shows


@dataclass(frozen=True)
class Plan:
    """What to buy for a log: the experiments, what each verdict calls for, and what is missing."""

    made_for: Mapping[str, Any]
    verdicts: Mapping[str, int]
    experiments: tuple[Experiment, ...]
    advice: tuple[str, ...]
    replayed: Mapping[str, int] | None
    max_new_tokens: int
    cases: Mapping[str, Case] = field(repr=False)
    targets: Mapping[str, str] = field(repr=False)
    origins: Mapping[str, str] = field(default_factory=dict, repr=False)  # of the targets
    both: frozenset[str] = frozenset()  # those among the cases that are wrong in facts too
    trials: tuple[Trial, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """What plan.yaml holds."""
        return {
            "made_for": dict(self.made_for),
            "verdicts": dict(self.verdicts),
            "replayed": dict(self.replayed) if self.replayed is not None else None,
            "prompt_first": [trial.told() for trial in self.trials],
            "experiments": [
                {
                    "id": e.id,
                    "axis": e.axis,
                    "route": e.route,
                    "cases": {"train": len(e.train), "held_out": len(e.held_out)},
                    "recipe": dict(e.recipe),
                    "expects": dict(e.expects),
                    "costs": dict(e.costs),
                    "detectable_effect": e.detectable_effect,
                    "stop_rule": e.stop_rule,
                    "because": e.because,
                    "instead_of": e.instead_of,
                }
                for e in self.experiments
            ],
            "advice": list(self.advice),
        }


def routed(log: Log, diagnoses: Sequence[Diagnosis]) -> dict[str, tuple[str, Case]]:
    """id -> (route, case) of the failures that form or facts explain and that can be graded.

    So too where a given context was ignored, if there are enough to teach reading by.
    """
    read = raft.reading_cases(log.failures, diagnoses)
    enough = not raft.missing(len(read), LEAST_EXAMPLES)
    found = {name: (raft.ROUTE, case) for name, case in read.items() if enough}
    for failure, diagnosis in zip(log.failures, diagnoses, strict=True):
        case = case_of(failure) if diagnosis.verdict in ROUTED else None
        if case is not None:
            found[failure.id] = (diagnosis.verdict, case)
    return found


def answer_tokens(failures: Sequence[Failure]) -> int:
    """How long an answer may get: enough for the longest reference, within ANSWER_TOKENS."""
    longest = max((len(ref) for failure in failures for ref in failure.reference), default=0)
    return min(ANSWER_TOKENS[1], max(ANSWER_TOKENS[0], math.ceil(longest / 2.5)))


def candidates(
    log: Log, cases: Mapping[str, tuple[str, Case]], replayed: Mapping[str, bool] | None, request: Request, run: Run
) -> Candidates:
    """Who may teach and who may only judge, of what the base fails too; written to splits.json."""
    failures = {failure.id: failure for failure in log.failures}
    # Without a replay nothing is known of the base: the log is taken at its word, and the plan says so.
    routes = {name: route for name, (route, _) in cases.items() if replayed is None or replayed.get(name) is False}
    split = settle(run, log.failures, routes, _documents(request), request.seed, _by_meaning())
    looked = {name: find_target(failures[name], TAUGHT_BY[r]) for name, r in routes.items() if r in TAUGHT_BY}
    return Candidates(
        cases,
        replayed,
        routes,
        {name: target.text for name, (target, _) in looked.items() if target},
        split,
        {name: target.origin for name, (target, _) in looked.items() if target},
        {name: why for name, (target, why) in looked.items() if not target},
    )


def make_plan(
    log: Log, diagnoses: Sequence[Diagnosis], found: Candidates, trials: Sequence[Trial], request: Request, run: Run
) -> Plan:
    """The plan for the candidates, sized to the machine; written to plan.yaml.

    What a prompt alone cured on the train side (`trials`) is not trained for, unless --beyond-prompt.
    """
    failures = {failure.id: failure for failure in log.failures}
    replayed, routes, targets, origins = found.replayed, found.routes, dict(found.targets), dict(found.origins)
    cases = {name: case for name, (_, case) in found.cases.items()}
    verdicts = Counter(diagnosis.verdict for diagnosis in diagnoses)
    here = machine(request.gpu)
    advice = _advice(verdicts, diagnoses, found.cases, replayed)
    form_train, form_held = found.side("form", "train"), found.side("form", "held-out")
    formats = found.formats()
    firsts = (prompted(name, form_train, form_held, formats, failures, request, here) for name in PROMPTED)
    experiments = [first for first in firsts if first is not None]
    facts_train, facts_held = found.side("facts", "train"), found.side("facts", "held-out")
    if facts_held:
        missing = _missing_documents(request, [failures[i] for i in routes if routes[i] == "facts"])
        if missing:
            advice.append(missing)
        else:
            experiments.append(retrieval(facts_train, facts_held, failures, request, here))
    cured = {trial.standing for trial in trials if trial.cures}
    advice += [_cure(trial, request.beyond_prompt) for trial in trials if trial.cures]
    if cured and not request.beyond_prompt:
        form_train = tuple(i for i in form_train if instructions(failures[i].messages) not in cured)
        form_held = tuple(i for i in form_held if instructions(failures[i].messages) not in cured)
    # What is wrong in facts too teaches the form with the passages of RAG in its prompt; nothing judges it.
    both = _both(failures, diagnoses) if any(e.id == "rag" for e in experiments) else {}
    targets |= {name: target.text for name, (target, _) in both.items()}
    origins |= {name: target.origin for name, (target, _) in both.items()}
    cases |= {name: case for name, (_, case) in both.items()}
    judging = {i: failures[i].asked for i, where in found.split.sides.items() if where == "held-out"}
    chosen = choose((*form_train, *both), failures, targets, origins, judging)
    teaching = [name for name in chosen.kept if name not in both]
    if form_held and len(teaching) >= LEAST_EXAMPLES:
        roomy = with_room(failures, both, _documents(request))
        lora = adapter(chosen.kept, form_held, roomy, targets, request, here, diagnoses)
        experiments.append(_made_of(lora, chosen, found, origins))
        # Without a system message nothing tells a request of this format from any other.
        if all(instructions(failures[name].messages) for name in chosen.kept):
            experiments.append(routed_adapter(experiments[-1]))
        advice += [f"{n} both teach the form too, with what RAG shows" for n in [len(both)] if both]
    elif form_held or form_train:
        advice.append(
            f"{len(teaching)} form failures on the train side with a trustworthy target to learn from; a LoRA run "
            f"needs {LEAST_EXAMPLES}, {max(0, LEAST_EXAMPLES - len(teaching))} are missing: state the format in the "
            "prompt, or collect more (a `reference`, or a `correction` in `review`)"
        )
    advice += _untargeted(found, cured if not request.beyond_prompt else set(), failures, run)
    read_train, read_held = found.side(raft.ROUTE, "train"), found.side(raft.ROUTE, "held-out")
    chosen = choose(read_train, failures, targets, origins, judging)
    if read_held and len(chosen.kept) >= LEAST_EXAMPLES:
        shown_to = {i: replace(failures[i], messages=tuple(cases[i].messages)) for i in chosen.kept}
        read = adapter(chosen.kept, read_held, failures | shown_to, targets, request, here, default=READING)
        reader = raft.reading(read)
        experiments.append(_made_of(reader, chosen, found, origins))
    elif verdicts[raft.ROUTE]:
        able = len(raft.reading_cases(log.failures, diagnoses)) if not read_train else len(read_train) + len(read_held)
        advice.append(raft.advice_for(able, verdicts[raft.ROUTE], LEAST_EXAMPLES))
    if request.cross:
        experiments += crossed(experiments, failures, list(_documents(request).values()), request, here)
    plan = Plan(
        made_for={
            "data": fingerprint(request),
            "machine": here.as_dict(),
            "base": request.base,
            "model": request.answering,
        },
        verdicts=dict(verdicts),
        experiments=tuple(showing(experiment, found.split.clusters) for experiment in experiments),
        trials=tuple(trials),
        advice=tuple(advice),
        replayed=None
        if replayed is None
        else {"asked": len(replayed), "failed": sum(not ok for ok in replayed.values())},
        max_new_tokens=answer_tokens(log.failures),
        cases={name: replace(case, group=found.split.clusters.get(name, "")) for name, case in cases.items()},
        targets=targets,
        origins=origins,
        both=frozenset(both),
    )
    run.write("plan.yaml", yaml.safe_dump(plan.as_dict(), sort_keys=False, allow_unicode=True, width=100))
    return plan


def _both(failures: Mapping[str, Failure], diagnoses: Sequence[Diagnosis]) -> dict[str, tuple[Target, Case]]:
    """id -> (target, case) of the failures that are wrong in form and in facts and have a target to trust."""
    names = [d.id for d in diagnoses if d.verdict == "both"]
    pairs = ((name, find_target(failures[name], GIVEN)[0], case_of(failures[name])) for name in names)
    return {name: (target, case) for name, target, case in pairs if target and case}


def _made_of(experiment: Experiment, chosen: Chosen, found: Candidates, origins: Mapping[str, str]) -> Experiment:
    """The experiment with where its targets come from, and how many could teach but are left out, by reason."""
    untargeted = (name for name in found.placed(experiment.route, "train") if name not in found.targets)
    secret = sum(found.untargeted[name] == PERSONAL for name in untargeted)
    left_out = chosen.counted() | ({"secrets or personal data": secret} if secret else {})
    made = dict(Counter(origins[name] for name in chosen.kept))
    notes = [f"targets: {listed(made)}"] if made.keys() - set(GIVEN) else []
    notes += [f"left out: {listed(left_out)}"] if left_out else []
    does = str(experiment.recipe["does"]) + (f" ({'; '.join(notes)})" if notes else "")
    recipe = {**experiment.recipe, "does": does, "origins": made}
    return replace(experiment, recipe=recipe | ({"left_out": left_out} if left_out else {}))


def _untargeted(found: Candidates, cured: Set[str], failures: Mapping[str, Failure], run: Run) -> list[str]:
    """Advice on the form failures that could teach if they had a target; all are listed in untargeted.jsonl."""
    names = [i for i in found.placed("form", "train") if i not in found.targets]
    names = [i for i in names if instructions(failures[i].messages) not in cured]
    if not names:
        return []
    rows = [(failures[name], found.untargeted[name]) for name in names]
    run.write_rows("untargeted.jsonl", ({"id": f.id, "file": f.file, "line": f.line, "why": why} for f, why in rows))
    few = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return [
        f"{len(names)} form failures have no target to learn from ({few}; untargeted.jsonl lists them): a `correction` "
        "in `review` or a `reference` makes examples of them; so does a launch, where the model passes all checks once "
        "a solved case is shown first"
    ]


def _cure(trial: Trial, beyond: bool) -> str:
    told = (
        f"{trial.passed} of {trial.of} train-side cases of `{shown(trial.standing)}` pass with {ASKED_AS[trial.arm]}: "
        "no adapter is needed for them"
    )
    return f"{told}; trained all the same (--beyond-prompt)" if beyond else f"{told}; --beyond-prompt trains anyway"


def _by_meaning() -> Encode | None:
    """Sentence vectors, where a model for them is installed."""
    from advisor.diagnose import default_embedder

    embedder = default_embedder()
    return embedder.encode if embedder else None


def _documents(request: Request) -> dict[str, str]:
    if request.docs is None:
        return {}
    from rag.documents import read_documents

    return {document.id: document.text for document in read_documents(request.docs)}


def _missing_documents(request: Request, failures: Sequence[Failure]) -> str:
    """Which documents are needed, where there is nothing to index."""
    if request.docs is not None or any(f.context or f.review.get("correction") for f in failures):
        return ""
    asked = "; ".join(f"`{f.asked.strip()[:80]}`" for f in failures[:3])
    return (
        f"{len(failures)} facts failures and nothing to look them up in: name a folder with --docs "
        f"that answers questions such as {asked}"
    )


def _advice(
    verdicts: Mapping[str, int],
    diagnoses: Sequence[Diagnosis],
    cases: Mapping[str, tuple[str, Case]],
    replayed: Mapping[str, bool] | None,
) -> list[str]:
    found = [f"{verdicts[verdict]} {verdict}: {text}" for verdict, text in ADVICE.items() if verdicts.get(verdict)]
    ungraded = [d.id for d in diagnoses if d.verdict in ROUTED and d.id not in cases]
    if ungraded:
        shown = ", ".join(ungraded[:3]) + (", ..." if len(ungraded) > 3 else "")
        found.append(
            f"{len(ungraded)} form or facts ({shown}): no grader that fails the logged answer; "
            "give them `checks`, or a `reference` if they have none"
        )
    if replayed is not None and len(replayed) < len(cases):
        found.append(f"{len(cases) - len(replayed)} form or facts: not replayed (--replay-limit), so not planned for")
    return found
