"""Prompt first: the cures that train nothing are tried on the train side, before a plan offers to train anything."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from advisor.cases import Case
from advisor.plan import ASKED_AS, CURED, Candidates, Trial, answer_tokens
from advisor.prompts import PROMPTS, Formats, Unconstrained, ask
from advisor.records import Failure
from advisor.run import Request, Run
from advisor.splits import instructions
from advisor.stage import Models
from advisor.targets import says_content
from advisor.tell import Tell
from advisor.wanted_format import EXAMPLES, WantedFormat, shown, wanted_formats
from eval.compare import wilson
from eval.grade import grade

# Cases of a format that are asked: enough to show a cure, few enough to be asked before anybody has agreed to a plan.
MOST = 20
FIRST = 5  # of these, before the rest: where two of them fail it is no cure


def try_prompts(
    found: Candidates, failures: Sequence[Failure], request: Request, run: Run, tell: Tell
) -> tuple[Trial, ...]:
    """What each prompt did for each format of the train side; () where no model may be asked.

    In the order of PROMPTS, each for the formats that none before it cured. No held-out case is asked, nor is anything
    of one shown. A format with too few cases to show a cure is not tried.
    """
    if not request.may_ask_models:
        return ()
    formats, drawn = found.formats(), _drawn(found, request.seed)
    models = Models(request, answer_tokens(failures), tell)
    trials: list[Trial] = []
    for arm in PROMPTS:
        cured = {trial.standing for trial in trials if trial.cures}
        fit = {
            standing: cases
            for standing, cases in drawn.items()
            if standing not in cured and formats[standing].takes(arm, request.served) and _can_cure(0, 0, len(cases))
        }
        try:
            shows = _best_examples(fit, formats, models, run, tell) if arm == "exemplar" else formats
            trials += _tried(arm, fit, shows, models, run, tell)
        except Unconstrained as refused:
            tell.say(f"  not constrained: {refused.message}")
    for trial in trials:
        if trial.cures:
            tell.say(f"  {trial.passed} of {trial.of} pass with {ASKED_AS[trial.arm]}: {shown(trial.standing)}")
    return tuple(trials)


def sample_targets(
    found: Candidates, trials: Sequence[Trial], failures: Sequence[Failure], request: Request, run: Run, tell: Tell
) -> Candidates:
    """The candidates with a target for those of the train side that had none and pass with a solved case shown first.

    Prompt distillation (Askell et al. 2021, arXiv 2112.00861, "context distillation"): the answer with the example in
    the prompt teaches the model to give it without. Only what passes every check counts, as it would be trained, and
    only where a check speaks of the content. The solved case is that which the trial chose; formats that a prompt cures
    are not asked for.
    """
    cured = {trial.standing for trial in trials if trial.cures and not request.beyond_prompt}
    best = {trial.standing: trial.example for trial in trials if trial.example}
    formats = wanted_formats((found.cases[i][1] for i in found.side("form", "train")), found.targets, best)
    cases = [
        case
        for case in (found.cases[i][1] for i in found.placed("form", "train") if i not in found.targets)
        if instructions(case.messages) in formats.keys() - cured and says_content(case.checks)
    ]
    if not cases or not request.may_ask_models:
        return found
    models = Models(request, answer_tokens(failures), tell)
    checks = {case.id: case.checks for case in cases}
    sampled: dict[str, str] = {}
    for row in ask("exemplar", "exemplar-sampled", cases, formats, models, run, tell):
        if row["id"] not in sampled and row["passed"] and grade(row["answer"], checks[row["id"]]).passed:
            sampled[row["id"]] = row["answer"]
    tell.say(f"  {len(sampled)} of {len(cases)} without a target pass with a solved case shown first: targets")
    return replace(
        found,
        targets={**found.targets, **sampled},
        origins={**found.origins, **dict.fromkeys(sampled, "sampled")},
    )


def _drawn(found: Candidates, seed: int) -> dict[str, list[Case]]:
    """At most MOST cases of each format of the train side, drawn with the seed."""
    groups: dict[str, list[Case]] = {}
    for name in sorted(found.side("form", "train")):
        case = found.cases[name][1]
        groups.setdefault(instructions(case.messages), []).append(case)
    for members in groups.values():
        random.Random(seed).shuffle(members)
    return {standing: members[:MOST] for standing, members in groups.items()}


def _best_examples(
    fit: Mapping[str, Sequence[Case]], formats: Formats, models: Models, run: Run, tell: Tell
) -> dict[str, WantedFormat]:
    """Each format with that of its solved cases as the example which most of the first few cases pass with."""
    best, most = dict(formats), dict.fromkeys(fit, -1)
    for at in range(EXAMPLES):
        tried = {
            standing: formats[standing].beginning_with(at) for standing in fit if at < len(formats[standing].solved)
        }
        cases = [case for standing in tried for case in fit[standing][:FIRST]]
        if not cases:
            continue
        standing_of = {case.id: instructions(case.messages) for case in cases}
        rows = ask("exemplar", f"exemplar-train-{at + 1}", cases, tried, models, run, tell)
        right = Counter(standing_of[row["id"]] for row in rows if row["passed"])
        for standing in tried:
            if right[standing] > most[standing]:
                best[standing], most[standing] = tried[standing], right[standing]
    return best


def _tried(
    arm: str, fit: Mapping[str, Sequence[Case]], formats: Formats, models: Models, run: Run, tell: Tell
) -> list[Trial]:
    """One trial a format: the first few cases, and the rest where it can still be a cure."""
    passed, asked = Counter[str](), Counter[str]()
    for start, end in ((0, FIRST), (FIRST, MOST)):
        cases = [
            case
            for standing, members in fit.items()
            if _can_cure(passed[standing], asked[standing], len(members))
            for case in members[start:end]
        ]
        if not cases:
            continue
        rows = ask(arm, f"{arm}-train", cases, formats, models, run, tell)
        samples, right = Counter(row["id"] for row in rows), Counter(row["id"] for row in rows if row["passed"])
        for case in cases:
            standing = instructions(case.messages)
            asked[standing] += 1
            passed[standing] += 2 * right[case.id] > samples[case.id]
    shows = {standing: formats[standing].solved[0][0] if arm == "exemplar" else "" for standing in fit}
    return [Trial(arm, name, passed[name], asked[name], len(fit[name]), shows[name]) for name in fit]


def _can_cure(passed: int, asked: int, of: int) -> bool:
    """Whether it is a cure if all cases not asked yet pass."""
    return of > 0 and wilson(passed + of - asked, of).low >= CURED
