"""Before and after: what a treated arm gained over an untouched replay, what it harmed, and whether that is proven."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from eval.compare import (
    clopper_pearson,
    detectable_effect,
    holm,
    mcnemar_exact,
    paired_interval,
    permutation_exact,
)
from eval.errors import EvalError
from eval.verdict import decide, sentence

CONTROL = "control"
SPLITS = ("gain", "guard", "general")
AXES = ("passed", "form", "content")


class Case(NamedTuple):
    """One case in one arm: the majority of its samples."""

    passed: bool
    form: bool
    content: bool
    group: str


def prove(scores: Sequence[Mapping[str, Any]], *, margin: float = 0.05) -> dict[str, Any]:
    """Compare each treated arm with the arm `control` on the cases that both answered: {arm: findings}.

    `scores` holds rows {id, arm, split: gain | guard | general, sample, passed, form, content, group?, ...}; a row
    given twice counts as last given; of several samples the majority counts, a tie as failed.
    Findings: `gain` (the primary comparison: all gain cases, exact McNemar), `guard` (cases that passed before; a loss
    of `margin`, a rate, must be excluded), `general`, `unmatched`, `verdict`, `sentence`, `p_holm` over the arms.
    Raises EvalError for rows that do not say what they must, or where an arm to compare is missing.
    """
    if not 0 < margin < 1:
        raise EvalError("margin", str(margin), "between 0 and 1, as a rate: 0.05 is five points")
    cases = _cases(scores)
    arms = list(dict.fromkeys(str(row["arm"]) for row in scores))
    treated = [arm for arm in arms if arm != CONTROL]
    if CONTROL not in arms or not treated:
        raise EvalError(
            "arm",
            f"only {', '.join(arms) or 'no rows'}",
            f"rows of `{CONTROL}` and of at least one treated arm",
            "replay the untouched model on the same cases as the control",
        )
    found = {arm: _arm(cases, arm, margin) for arm in treated}
    for arm, p in zip(treated, holm([found[arm]["gain"]["p"] for arm in treated]), strict=True):
        found[arm]["p_holm"] = p
    for arm in treated:
        found[arm]["verdict"] = decide(found[arm])
        found[arm]["sentence"] = sentence(found[arm], arms=len(treated))
    return found


def _cases(scores: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, Case]]:
    """(arm, split) -> id -> case."""
    samples: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for number, row in enumerate(scores, start=1):
        lacking = [key for key in ("id", "arm", "split", "passed") if row.get(key) is None]
        if lacking:
            raise EvalError(f"scores row {number}", f"no {', '.join(lacking)}", "id, arm, split and passed in each row")
        if row["split"] not in SPLITS:
            raise EvalError(f"scores row {number}: split", repr(row["split"]), ", ".join(SPLITS))
        for axis in AXES:
            if row.get(axis, False) not in (True, False, None):
                raise EvalError(f"scores row {number}: {axis}", repr(row[axis]), "true or false")
        samples[str(row["arm"]), row["split"], str(row["id"])][str(row.get("sample", 0))] = row
    cases: dict[tuple[str, str], dict[str, Case]] = defaultdict(dict)
    for (arm, part, name), by_sample in samples.items():
        rows = list(by_sample.values())

        def most(axis: str, rows: list[Mapping[str, Any]] = rows) -> bool:
            # A log may know only whether a case passed: then neither axis is known to differ from that.
            said = [row["passed"] if row.get(axis) is None else row[axis] for row in rows]
            return sum(map(bool, said)) * 2 > len(said)

        group = next((str(row["group"]) for row in rows if row.get("group")), "")
        cases[arm, part][name] = Case(most("passed"), most("form"), most("content"), group)
    return cases


def _arm(cases: Mapping[tuple[str, str], Mapping[str, Case]], arm: str, margin: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    unmatched = {}
    for part in SPLITS:
        old, new = cases.get((CONTROL, part), {}), cases.get((arm, part), {})
        shared = [name for name in old if name in new]
        found[part] = _compared([old[name] for name in shared], [new[name] for name in shared], shared)
        unmatched[part] = {"control_only": len(old) - len(shared), "treated_only": len(new) - len(shared)}
    guard = found["guard"]
    guard.update(margin=margin, non_inferior=guard["interval"][0] > -margin if guard["n"] else None)
    found["unmatched"] = unmatched
    return found


def _groups(cases: Sequence[Case], names: Sequence[str]) -> list[str] | None:
    """The groups for an interval that respects them; None where no case belongs to any."""
    if not any(case.group for case in cases):
        return None
    # A case without a group stands for itself; the prefix keeps its id apart from names of groups.
    return [f"group {case.group}" if case.group else f"case {name}" for case, name in zip(cases, names, strict=True)]


def _compared(old: Sequence[Case], new: Sequence[Case], names: Sequence[str]) -> dict[str, Any]:
    """All numbers of one comparison; rates and differences lie between 0 and 1, intervals are 95 %."""
    n = len(old)
    before, after = [case.passed for case in old], [case.passed for case in new]
    fixed = sum(1 for x, y in zip(before, after, strict=True) if y and not x)
    broken = sum(1 for x, y in zip(before, after, strict=True) if x and not y)
    found: dict[str, Any] = {
        "n": n,
        "control_passed": sum(before),
        "treated_passed": sum(after),
        "fixed": fixed,
        "broken": broken,
        "difference": (fixed - broken) / n if n else 0.0,
        "interval": None,
        "p": mcnemar_exact(fixed, broken),
        "form_passed": {"control": sum(case.form for case in old), "treated": sum(case.form for case in new)},
        "content_passed": {"control": sum(case.content for case in old), "treated": sum(case.content for case in new)},
        "rate_interval": None,
        "detectable_effect": None,
    }
    if not n:
        return found
    groups = _groups(old, names)
    found["interval"] = list(paired_interval(before, after, groups))
    found["rate_interval"] = {
        "control": list(clopper_pearson(sum(before), n)),
        "treated": list(clopper_pearson(sum(after), n)),
    }
    effect = detectable_effect(n)
    found["detectable_effect"] = effect if math.isfinite(effect) else None
    if groups:
        found.update(_by_group(before, after, groups))
    return found


def _by_group(before: Sequence[bool], after: Sequence[bool], groups: Sequence[str]) -> dict[str, Any]:
    """The same comparison with the group as the unit, and each group of its own with Holm's correction."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for old, new, group in zip(before, after, groups, strict=True):
        counts[group][0] += 1
        counts[group][1] += new and not old
        counts[group][2] += old and not new
    named = {group: row for group, row in counts.items() if group.startswith("group ")}
    ps = [mcnemar_exact(fixed, broken) for _, fixed, broken in named.values()]
    rows = {
        group.removeprefix("group "): {"n": n, "fixed": fixed, "broken": broken, "p": p, "p_holm": adjusted}
        for (group, (n, fixed, broken)), p, adjusted in zip(named.items(), ps, holm(ps), strict=True)
    }
    return {"p_grouped": permutation_exact([row[1] - row[2] for row in counts.values()]), "groups": rows}
