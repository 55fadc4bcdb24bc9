"""The word for a comparison, and the sentence that tells a manager what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ALPHA = 0.05
FEWEST_PAIRS = 6  # exact McNemar: 6 pairs all on one side give p = 0.031, 5 give 0.063

VERDICTS = {
    "improved": "significantly more gain cases pass than on the untouched replay; the guard lost at most the margin",
    "worse": "significantly fewer gain cases pass, or the guard cases got significantly worse by more than the margin",
    "mixed": "more gain cases pass, but the guard cases lost more than the margin",
    "unproven": "neither is shown",
}


def decide(found: Mapping[str, Any]) -> str:
    """The verdict of one arm: improved, worse, mixed or unproven (VERDICTS says when).

    Guard cases that lost more than the margin make it worse when the whole interval of the change lies below
    zero, and mixed when it does not.
    """
    gain, guard = found["gain"], found["guard"]
    significant = gain["p"] < ALPHA
    lost = guard["n"] > 0 and not guard["non_inferior"] and guard["difference"] < -guard["margin"]
    if significant and gain["difference"] < 0:
        return "worse"
    if lost and guard["interval"][1] < 0:
        return "worse"
    if significant:
        return "mixed" if lost else "improved"
    return "unproven"


def sentence(found: Mapping[str, Any], *, arms: int = 1) -> str:
    """What was found, in plain English: the gain, the harm, how sure that is, and what would be needed."""
    gain, guard = found["gain"], found["guard"]
    parts = [_gain(found), _guard(guard), _general(found["general"])]
    if found["verdict"] == "worse" and gain["difference"] >= 0:
        parts.insert(0, f"Worse: cases that passed before fail now, {_points(guard['difference'])} fewer pass.")
    if gain["p"] < ALPHA and arms > 1 and found["p_holm"] >= ALPHA:
        parts.append(
            f"Counting that {arms} variants were tried, the gain is not significant (p = {found['p_holm']:.3f})."
        )
    if gain["p"] < ALPHA <= gain.get("p_grouped", 0.0):
        parts.append(
            f"Related cases counted together ({len(gain['groups'])} groups), the evidence is weaker "
            f"(p = {gain['p_grouped']:.3f})."
        )
    left_out = sum(count for part in found["unmatched"].values() for count in part.values())
    if left_out:
        parts.append(f"{left_out} {_cases(left_out)} answered on one side only {_were(left_out)} left out.")
    return " ".join(part for part in parts if part)


def _cases(n: int) -> str:
    return "case" if n == 1 else "cases"


def _were(n: int) -> str:
    return "was" if n == 1 else "were"


def _points(rate: float) -> str:
    return f"{abs(rate) * 100:.1f}".removesuffix(".0") + " points"


def _span(interval: list[float]) -> str:
    return f"{interval[0] * 100:+.1f} to {interval[1] * 100:+.1f} points"


def _gain(found: Mapping[str, Any]) -> str:
    gain = found["gain"]
    n, old, new = gain["n"], gain["control_passed"], gain["treated_passed"]
    if not n:
        return "Unproven: no held-out case was answered by both the untouched and the treated model."
    head = f"{found['verdict'].capitalize()}: {new} of {n} held-out {_cases(n)} pass after the change, {old} without it"
    if found["verdict"] == "worse" and gain["difference"] >= 0:
        head = head.removeprefix("Worse: ")
    sure = f"95 % interval {_span(gain['interval'])}, p = {gain['p']:.2g}"
    if gain["p"] < ALPHA:
        return f"{head}: {_points(gain['difference'])} {'more' if gain['difference'] > 0 else 'fewer'} ({sure})."
    effect = gain["detectable_effect"]
    reach = (
        f"{n} cases can show a gain of {_points(effect)} or more, with a chance of 80 %"
        if effect is not None
        else f"{n} {_cases(n)} cannot show a gain of any size"
    )
    changed = gain["fixed"] + gain["broken"]
    if max(gain["fixed"], gain["broken"]) < FEWEST_PAIRS:
        return (
            f"{head}. Not enough cases: only {changed} of the {n} changed, and fewer than {FEWEST_PAIRS} changes one "
            f"way can never be told from chance; {reach} ({sure})."
        )
    return f"{head}; that can be chance ({sure}). {reach[0].upper()}{reach[1:]}."


def _guard(guard: Mapping[str, Any]) -> str:
    n, margin = guard["n"], _points(guard["margin"])
    if not n:
        return "No case that passed before was asked again, so harm was not measured."
    told = f"Of {n} {_cases(n)} kept as a guard {guard['treated_passed']} pass after, {guard['control_passed']} before"
    if guard["non_inferior"]:
        return f"{told}: a loss of {margin} or more is excluded."
    if guard["interval"][1] < 0:
        return f"{told}: they got worse ({_span(guard['interval'])})."
    if not guard["fixed"] + guard["broken"]:
        return f"{told}: nothing changed, yet {n} {_cases(n)} cannot exclude a loss of {margin} or more."
    return f"{told}: a loss of {margin} or more is not excluded ({_span(guard['interval'])})."


def _general(general: Mapping[str, Any]) -> str:
    if not general["n"]:
        return ""
    told = (
        f"General questions: {general['treated_passed']} of {general['n']} right after, "
        f"{general['control_passed']} before"
    )
    if general["p"] < ALPHA and general["difference"] < 0:
        return f"{told}: the model has forgotten some of what it knew (p = {general['p']:.2g})."
    return f"{told}."
