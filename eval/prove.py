"""Before and after: what a treated arm gained over an untouched replay, what it harmed, and whether that is proven."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from eval.clusters import MIN_CLUSTERS, gathered
from eval.compare import (
    FLIPS,
    clopper_pearson,
    fewest_for_margin,
    holm,
    mcnemar_exact,
    paired_interval,
    sign_flip,
)
from eval.errors import EvalError
from eval.judge_error import Measured, judge_corrected, judge_corrected_change
from eval.power import detectable_effect
from eval.verdict import decide, sentence

CONTROL = "control"
SPLITS = ("gain", "guard", "general")
AXES = ("passed", "form", "content")

Key = tuple[str, str]  # seed and sample of an answer
Answers = Mapping[Key, Mapping[str, Any]]


class Case(NamedTuple):
    """One case in one arm: the majority of its answers, and the share of them that passed."""

    passed: bool
    form: bool
    content: bool
    rate: Fraction
    by_seed: Mapping[str, Fraction]


def prove(
    scores: Sequence[Mapping[str, Any]], *, margin: float = 0.05, judge: Measured | None = None, whole: bool = False
) -> dict[str, dict[str, Any]]:
    """Compare each treated arm with the arm `control` on the cases that both answered: {arm: findings}.

    `scores` holds rows {id, arm, split: gain | guard | general, sample?, seed?, passed, form?, content?, group?,
    trained?, grader?, ...}; a row given twice counts as last given. Several samples of a case (`sample`, `seed`) are
    paired by seed and sample where both arms have them, by sample otherwise; what has no partner is left out and
    counted. A case's value is the share of its samples that pass, averaged over the seeds of training; `passed`,
    `fixed` and `broken` count by its majority, a tie as failed.
    Findings: `gain` (the one primary comparison: all gain cases), `guard` (cases that passed before; a loss of
    `margin`, a rate, must be excluded), `general`, `unmatched`, `seeds` (of training: 0 where nothing was trained),
    `p_holm` over the arms, `verdict`, `sentence`. Cases that share a `group` are related: the group is then the unit.
    `whole`: the gain cases were not chosen by how they ended before, so that what broke is among them.
    `judge`, how a judge agreed with people, corrects the rates of rows whose `grader` begins with "judge".
    Raises EvalError for rows that do not say what they must, or where an arm to compare is missing.
    """
    if not 0 < margin < 1:
        raise EvalError("margin", str(margin), "between 0 and 1, as a rate: 0.05 is five points")
    answers, groups = _answers(scores)
    arms = list(dict.fromkeys(str(row["arm"]) for row in scores))
    treated = [arm for arm in arms if arm != CONTROL]
    if CONTROL not in arms or not treated:
        raise EvalError(
            "arm",
            f"only {', '.join(arms) or 'no rows'}",
            f"rows of `{CONTROL}` and of at least one treated arm",
            "replay the untouched model on the same cases as the control",
        )
    found = {arm: _arm(answers, groups, arm, margin, judge) for arm in treated}
    for arm, p in zip(treated, holm([found[arm]["gain"]["p"] for arm in treated]), strict=True):
        found[arm]["p_holm"] = p
    for arm in treated:
        found[arm]["whole"] = whole
        found[arm]["verdict"] = decide(found[arm])
        found[arm]["sentence"] = sentence(found[arm], arms=len(treated))
    return found


def _answers(
    scores: Sequence[Mapping[str, Any]],
) -> tuple[dict[tuple[str, str], dict[str, dict[Key, Mapping[str, Any]]]], dict[tuple[str, str], str]]:
    """(arm, split) -> id -> (seed, sample) -> row; and (split, id) -> group, "" for none."""
    answers: dict[tuple[str, str], dict[str, dict[Key, Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    groups: dict[tuple[str, str], str] = {}
    for number, row in enumerate(scores, start=1):
        lacking = [key for key in ("id", "arm", "split", "passed") if row.get(key) is None]
        if lacking:
            raise EvalError(f"scores row {number}", f"no {', '.join(lacking)}", "id, arm, split and passed in each row")
        if row["split"] not in SPLITS:
            raise EvalError(f"scores row {number}: split", repr(row["split"]), ", ".join(SPLITS))
        for axis in AXES:
            if row.get(axis, False) not in (True, False, None):
                raise EvalError(f"scores row {number}: {axis}", repr(row[axis]), "true or false")
        name, seed = str(row["id"]), row.get("seed")
        key = "" if seed is None else str(seed), str(row.get("sample", 0))
        answers[str(row["arm"]), row["split"]][name][key] = row
        groups[row["split"], name] = groups.get((row["split"], name)) or str(row.get("group") or "")
    return answers, groups


def _paired(old: Answers, new: Answers) -> tuple[Answers, Answers, int]:
    """The answers of one case that have a partner in the other arm, and how many have none.

    By seed and sample where these agree anywhere, else by sample (the untouched model has no seed of training), else
    as they are.
    """
    both = set(old) & set(new)
    samples = {sample for _, sample in old} & {sample for _, sample in new}
    if both:
        kept = ({key: row for key, row in side.items() if key in both} for side in (old, new))
    elif samples:
        kept = ({key: row for key, row in side.items() if key[1] in samples} for side in (old, new))
    else:
        return old, new, 0
    first, second = kept
    return first, second, len(old) + len(new) - len(first) - len(second)


def _case(answers: Answers) -> Case:
    rows = list(answers.values())

    def most(axis: str) -> bool:
        # A log may know only whether a case passed: then neither axis is known to differ from that.
        said = [row["passed"] if row.get(axis) is None else row[axis] for row in rows]
        return sum(map(bool, said)) * 2 > len(said)

    seeds: dict[str, list[bool]] = defaultdict(list)
    for (seed, _), row in answers.items():
        seeds[seed].append(bool(row["passed"]))
    by_seed = {seed: Fraction(sum(passes), len(passes)) for seed, passes in seeds.items()}
    return Case(most("passed"), most("form"), most("content"), sum(by_seed.values(), Fraction()) / len(seeds), by_seed)


def _arm(
    answers: Mapping[tuple[str, str], Mapping[str, Answers]],
    groups: Mapping[tuple[str, str], str],
    arm: str,
    margin: float,
    judge: Measured | None,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    unmatched = {}
    for part in SPLITS:
        old, new = answers.get((CONTROL, part), {}), answers.get((arm, part), {})
        shared = [name for name in old if name in new]
        pairs = [_paired(old[name], new[name]) for name in shared]
        # A case without a group stands for itself; the prefix keeps its id apart from names of groups.
        named = [f"group {groups[part, name]}" if groups[part, name] else f"case {name}" for name in shared]
        found[part] = _compared([_case(pair[0]) for pair in pairs], [_case(pair[1]) for pair in pairs], named)
        found[part]["samples"] = max((len(pair[1]) for pair in pairs), default=0)
        found[part]["samples_left_out"] = sum(pair[2] for pair in pairs)
        judged = [row for old_, new_, _ in pairs for side in (old_, new_) for row in side.values()]
        found[part]["judged"] = sum(str(row.get("grader") or "").startswith("judge") for row in judged)
        if judge and found[part]["judged"] and found[part]["n"]:
            found[part]["judge_corrected"] = _corrected(found[part], judge)
        unmatched[part] = {"control_only": len(old) - len(shared), "treated_only": len(new) - len(shared)}
    guard = found["guard"]
    guard.update(
        margin=margin,
        non_inferior=guard["interval"][0] > -margin and guard["enough_groups"] if guard["n"] else None,
        needed=fewest_for_margin(margin),
    )
    found["unmatched"] = unmatched
    found |= _seeds(answers, arm)
    return found


def _seeds(answers: Mapping[tuple[str, str], Mapping[str, Answers]], arm: str) -> dict[str, Any]:
    """How many seeds of training an arm has, 0 where nothing was trained, and the gain under each of several.

    A seed that the untouched control has too is one of sampling.
    """
    control, treated = (
        {key[0]: row for part in SPLITS for case in answers.get((name, part), {}).values() for key, row in case.items()}
        for name in (CONTROL, arm)
    )
    own = sorted(seed for seed in treated if seed and seed not in control)
    rows = (row for part in SPLITS for case in answers.get((arm, part), {}).values() for row in case.values())
    if not own:
        return {"seeds": int(any(row.get("trained") is True for row in rows)), "by_seed": {}}
    old, new = answers.get((CONTROL, "gain"), {}), answers.get((arm, "gain"), {})
    gains: dict[str, list[float]] = defaultdict(list)
    for name in old:
        if name in new:
            first, second, _ = _paired(old[name], new[name])
            before = _case(first).rate
            for seed, rate in _case(second).by_seed.items():
                gains[seed].append(float(rate - before))
    several = len(own) > 1
    return {
        "seeds": len(own),
        "by_seed": {seed: sum(gains[seed]) / len(gains[seed]) for seed in own if several and gains[seed]},
    }


def _corrected(found: Mapping[str, Any], judge: Measured) -> dict[str, Any]:
    n = found["n"]
    rates = {arm: judge_corrected(found[f"{arm}_passed"], n, judge) for arm in ("control", "treated")}
    change = judge_corrected_change(found["difference"], found["interval"], judge)
    return {
        **{arm: {"rate": one.rate, "interval": list(one.interval)} for arm, one in rates.items()},
        "difference": change.rate,
        "interval": list(change.interval),
        "labelled": judge.right + judge.wrong,
    }


def _compared(old: Sequence[Case], new: Sequence[Case], groups: Sequence[str]) -> dict[str, Any]:
    """All numbers of one comparison; rates and differences lie between 0 and 1, intervals are 95 %."""
    n = len(old)
    fixed = sum(1 for x, y in zip(old, new, strict=True) if y.passed and not x.passed)
    broken = sum(1 for x, y in zip(old, new, strict=True) if x.passed and not y.passed)
    control, treated = sum((case.rate for case in old), Fraction()), sum((case.rate for case in new), Fraction())
    found: dict[str, Any] = {
        "n": n,
        "control_passed": sum(case.passed for case in old),
        "treated_passed": sum(case.passed for case in new),
        "control_rate": float(control / n) if n else None,
        "treated_rate": float(treated / n) if n else None,
        "fixed": fixed,
        "broken": broken,
        "difference": float((treated - control) / n) if n else 0.0,
        "interval": None,
        "p": 1.0,
        "test": "exact McNemar",
        "form_passed": {"control": sum(case.form for case in old), "treated": sum(case.form for case in new)},
        "content_passed": {"control": sum(case.content for case in old), "treated": sum(case.content for case in new)},
        "rate_interval": None,
        "detectable_effect": None,
        "enough_groups": True,
    }
    if not n:
        return found
    before, after = [float(case.rate) for case in old], [float(case.rate) for case in new]
    related = len(set(groups)) < n
    found["interval"] = list(paired_interval(before, after, groups))
    found["rate_interval"] = {arm: list(clopper_pearson(found[f"{arm}_passed"], n)) for arm in ("control", "treated")}
    nets: dict[str, list[Fraction]] = defaultdict(list)
    for x, y, group in zip(old, new, groups, strict=True):
        nets[group].append(y.rate - x.rate)
    whole = all(case.rate in (0, 1) for case in (*old, *new))
    if related or not whole:
        flipped = sign_flip([sum(changes, Fraction()) for changes in nets.values()])
        how = f"{FLIPS:,} drawn, seed 0" if flipped.drawn else "exact"
        found["p"], found["test"] = flipped.p, f"sign flips of {len(nets)} {'groups' if related else 'cases'}, {how}"
    else:
        found["p"] = mcnemar_exact(fixed, broken)
    sizes = tuple(sorted(len(changes) for changes in nets.values())) if related else None
    clusters = gathered(np.array(after) - np.array(before), groups)
    if related:
        found["enough_groups"] = len(nets) >= MIN_CLUSTERS
        found["related"] = {"groups": len(nets), "icc": clusters.likeness, "changed": clusters.changed}
        found["p_cases"] = sign_flip([change for changes in nets.values() for change in changes]).p
    effect = detectable_effect(n, sizes=sizes, icc=round(clusters.likeness, 2) if related else 0.0)
    found["detectable_effect"] = effect if math.isfinite(effect) else None
    if any(group.startswith("group ") for group in groups):
        found["groups"] = _by_group(old, new, groups)
    return found


def _by_group(old: Sequence[Case], new: Sequence[Case], groups: Sequence[str]) -> dict[str, Any]:
    """Each group of its own, with Holm's correction over them."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    nets: dict[str, list[Fraction]] = defaultdict(list)
    for x, y, group in zip(old, new, groups, strict=True):
        counts[group][0] += 1
        counts[group][1] += y.passed and not x.passed
        counts[group][2] += x.passed and not y.passed
        nets[group].append(y.rate - x.rate)
    named = [group for group in counts if group.startswith("group ")]
    ps = [sign_flip(nets[group]).p for group in named]
    return {
        group.removeprefix("group "): {
            "n": counts[group][0],
            "fixed": counts[group][1],
            "broken": counts[group][2],
            "p": p,
            "p_holm": adjusted,
        }
        for group, p, adjusted in zip(named, ps, holm(ps), strict=True)
    }
