"""Rung 2, what the answer admits: "as of my last update", "I do not have access", refusals."""

from __future__ import annotations

import re

from advisor.evidence.text import quoted
from advisor.records import Evidence, Failure

RUNG = "knowledge"

_GAP = re.compile(
    r"as of my (?:last|latest|most recent|current)|my (?:knowledge|training)(?: data)? (?:cut.?off|"
    r"only|ends|is limited)|"
    r"(?:do not|don't|cannot|can't) (?:have|find|access|provide)(?: any| enough| specific| real.?time| up.?to.?date| "
    r"current)* (?:information|details|data|access|knowledge|records?)|not (?:aware of|familiar with)|"
    r"i (?:do not|don't) (?:actually )?know|no information (?:about|on|available)|i'?m not (?:sure|certain)|"
    r"(?:unable|not able) to (?:find|verify|confirm)|please (?:check|verify|consult) (?:with|the official|a reliable)|"
    r"may (?:be|have become) (?:outdated|out of date)|knowledge cutoff|"
    r"meine?s? wissens?(?:stand)?|ich wei(?:ß|ss) (?:es )?nicht|keine (?:informationen|angaben)|"
    r"截至我|我的知识|无法(?:获取|确认|提供)|没有(?:找到)?相关信息|不清楚|不确定|请核对",
    re.I,
)
_REFUSAL = re.compile(
    r"\bas an ai\b|i(?:'m| am) (?:sorry|just an? )|i (?:cannot|can't|am unable to|won't) (?:help|"
    r"assist|answer|do|provide|"
    r"create|fulfil)|i apologi[sz]e|作为(?:一个)?(?:ai|人工智能)|很?抱歉|es tut mir leid|als ki\b",
    re.I,
)
_PASSING_REFUSAL_CHARS = 400


def knowledge(failure: Failure) -> list[Evidence]:
    """A gap that the answer names itself points to facts; a refusal of a task to neither."""
    found = []
    if match := _GAP.search(failure.output):
        says = "the output says itself that it lacks the information"
        around = failure.output[max(0, match.start() - 40) : match.end() + 60]
        found.append(Evidence(RUNG, "facts", says, quoted(around), 1.5))
    if (match := _REFUSAL.search(failure.output[:_PASSING_REFUSAL_CHARS])) and not found:
        says = "the output declines the task"
        found.append(Evidence(RUNG, "capability", says, quoted(failure.output), 1.0))
    return found
