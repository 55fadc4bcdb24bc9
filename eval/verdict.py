"""The word for a comparison, and the sentence that tells a manager what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.clusters import MIN_CLUSTERS

ALPHA = 0.05
FEWEST_PAIRS = 6  # exact McNemar: 6 pairs all on one side give p = 0.031, 5 give 0.063

VERDICTS = {
    "improved": "significantly more gain cases pass than on the untouched replay, and where a guard was asked a loss "
    "of the margin is excluded",
    "worse": "significantly fewer gain cases pass, or the guard cases got significantly worse by more than the margin",
    "mixed": "more gain cases pass, but the guard cases lost more than the margin",
    "unproven": "the gain is not shown, or it is and harm beyond the margin is not excluded",
}


def decide(found: Mapping[str, Any]) -> str:
    """The verdict of one arm: improved, worse, mixed or unproven (VERDICTS says when).

    The gain is judged by its p over all arms tried (Holm). Guard cases that lost more than the margin make it worse
    when the whole interval of the change lies below zero, and mixed when it does not; a guard that cannot exclude the
    margin leaves a gain unproven. Too few groups of related cases show nothing either way. Without a guard the
    verdict speaks of the gain cases alone.
    """
    gain, guard = found["gain"], found["guard"]
    shown = _shown(found)
    lost = guard["n"] > 0 and not guard["non_inferior"] and guard["difference"] < -guard["margin"]
    if shown and gain["difference"] < 0:
        return "worse"
    if lost and guard["interval"][1] < 0 and guard["enough_groups"]:
        return "worse"
    if shown and lost:
        return "mixed"
    return "improved" if shown and (guard["non_inferior"] or not guard["n"]) else "unproven"


def _shown(found: Mapping[str, Any]) -> bool:
    """Whether the gain cases changed beyond chance, either way."""
    return bool(found["p_holm"] < ALPHA and found["gain"]["enough_groups"])


def sentence(found: Mapping[str, Any], *, arms: int = 1) -> str:
    """What was found, in plain English: the gain, the harm, how sure that is, and what would be needed."""
    gain, guard = found["gain"], found["guard"]
    harm = _whole(gain) if found["whole"] and not guard["n"] else _guard(guard)
    parts = [_gain(found), harm, _general(found["general"]), _seeds(found), _judged(gain)]
    if found["verdict"] == "worse" and gain["difference"] >= 0:
        parts.insert(0, f"Worse: cases that passed before fail now, {_points(guard['difference'])} fewer pass.")
    if found["verdict"] == "unproven" and _shown(found):
        parts.insert(1, "The gain is shown, but not that nothing else broke.")
    if gain["p"] < ALPHA and arms > 1 and found["p_holm"] >= ALPHA:
        parts.append(
            f"Counting that {arms} variants were tried, the gain is not significant (p = {found['p_holm']:.3f})."
        )
    if gain.get("p_cases", 1.0) < ALPHA <= gain["p"]:
        parts.append(
            f"Were the cases unrelated, p would be {gain['p_cases']:.2g}; counted by their "
            f"{gain['related']['groups']} groups the evidence is weaker."
        )
    left_out = sum(count for part in found["unmatched"].values() for count in part.values())
    if left_out:
        parts.append(f"{left_out} {_cases(left_out)} answered on one side only {_were(left_out)} left out.")
    if lone := sum(found[part]["samples_left_out"] for part in found["unmatched"]):
        parts.append(f"{lone} {'sample' if lone == 1 else 'samples'} that only one side has {_were(lone)} left out.")
    return " ".join(part for part in parts if part)


def _cases(n: int) -> str:
    return "case" if n == 1 else "cases"


def _were(n: int) -> str:
    return "was" if n == 1 else "were"


def _points(rate: float) -> str:
    return f"{abs(rate) * 100:.1f}".removesuffix(".0") + " points"


def _share(rate: float) -> str:
    return f"{rate * 100:.1f}".removesuffix(".0") + " %"


def _span(interval: list[float]) -> str:
    return f"{interval[0] * 100:+.1f} to {interval[1] * 100:+.1f} points"


def _gain(found: Mapping[str, Any]) -> str:
    gain = found["gain"]
    n, old, new = gain["n"], gain["control_passed"], gain["treated_passed"]
    if not n:
        return "Unproven: no case was answered by both the untouched and the treated model."
    passes = f"{_cases(n)} {'passes' if n == 1 else 'pass'}"
    head = f"{found['verdict'].capitalize()}: {new:,} of {n:,} {passes} after the change, {old:,} without it"
    if gain["samples"] > 1:
        head = (
            f"{found['verdict'].capitalize()}: {n} {_cases(n)}, asked up to {gain['samples']} times each, "
            f"pass {_share(gain['treated_rate'])} of the time after the change, {_share(gain['control_rate'])} without"
        )
    if found["verdict"] == "worse" and gain["difference"] >= 0:
        head = head.removeprefix("Worse: ")
    sure = f"95 % interval {_span(gain['interval'])}, p = {gain['p']:.2g}"
    if not gain["enough_groups"]:
        return f"{head} ({sure}). {_few_groups(gain)}"
    if gain["p"] < ALPHA:
        return f"{head}: {_points(gain['difference'])} {'more' if gain['difference'] > 0 else 'fewer'} ({sure})."
    related = f" in {gain['related']['groups']} groups" if "related" in gain else ""
    effect = gain["detectable_effect"]
    reach = (
        f"{n} cases{related} can show a gain of {_points(effect)} or more, with a chance of 80 %"
        if effect is not None
        else f"{n} {_cases(n)}{related} cannot show a gain of any size"
    )
    changed = gain["fixed"] + gain["broken"]
    if gain["samples"] <= 1 and max(gain["fixed"], gain["broken"]) < FEWEST_PAIRS:
        return (
            f"{head}. Not enough cases: only {changed} of the {n} changed, and fewer than {FEWEST_PAIRS} changes one "
            f"way can never be told from chance; {reach} ({sure})."
        )
    return f"{head}; that can be chance ({sure}). {reach[0].upper()}{reach[1:]}."


def _few_groups(found: Mapping[str, Any]) -> str:
    return (
        f"Its {found['n']} cases are only {found['related']['groups']} clusters of related cases; {MIN_CLUSTERS} are "
        "needed before a change can be told from chance."
    )


def _whole(gain: Mapping[str, Any]) -> str:
    """Where the cases are all there were, passes among them, harm is part of the gain."""
    passed, broken = gain["control_passed"], gain["broken"]
    return f"Of {passed} that passed before {broken} {'fails' if broken == 1 else 'fail'} now." if passed else ""


def _guard(guard: Mapping[str, Any]) -> str:
    n, margin = guard["n"], _points(guard["margin"])
    if not n:
        return "No case that passed before was asked again, so harm was not measured."
    told = f"Of {n} {_cases(n)} kept as a guard {guard['treated_passed']} pass after, {guard['control_passed']} before"
    if guard["non_inferior"]:
        return f"{told}: a loss of {margin} or more is excluded."
    if not guard["enough_groups"]:
        return f"{told} ({_span(guard['interval'])}). {_few_groups(guard)}"
    if guard["interval"][1] < 0:
        return f"{told}: they got worse ({_span(guard['interval'])})."
    unrelated = "unrelated " if "related" in guard else ""
    needed = f"at least {guard['needed']} {unrelated}guard cases are needed for a margin of {margin}"
    if not guard["fixed"] + guard["broken"]:
        related = f" in {guard['related']['groups']} groups" if "related" in guard else ""
        return f"{told}: nothing changed, yet {n} {_cases(n)}{related} cannot exclude a loss of {margin}; {needed}."
    told = f"{told}: a loss of {margin} or more is not excluded ({_span(guard['interval'])})"
    return f"{told}; {needed}." if n < guard["needed"] else f"{told}."


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


def _seeds(found: Mapping[str, Any]) -> str:
    if found["seeds"] == 1:
        return "One training seed: another run of the same training may end elsewhere."
    if found["seeds"] > 1 and found["by_seed"]:
        gains = sorted(found["by_seed"].values())
        return (
            f"Averaged over {found['seeds']} training seeds, whose gains lie between {gains[0] * 100:+.1f} and "
            f"{gains[-1] * 100:+.1f} points."
        )
    return ""


def _judged(gain: Mapping[str, Any]) -> str:
    if not gain["judged"]:
        return ""
    if corrected := gain.get("judge_corrected"):
        return (
            f"A judge graded; corrected for its errors on {corrected['labelled']} answers graded by people, the change "
            f"is {corrected['difference'] * 100:+.1f} points ({_span(corrected['interval'])})."
        )
    return "A judge graded, and its error is not in these numbers: measure it on answers that people graded."
