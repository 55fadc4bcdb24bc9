"""Rung 1, the row's own checks: which half of them fails, the form or the content?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advisor.evidence.question import is_reasoning
from advisor.evidence.text import contains, quoted
from advisor.records import Evidence, Failure
from eval.checks import CHECKS, CrashedCheck
from eval.grade import Grade, grade

RUNG = "checks"
PROOF, STRONG, SOME = 6.0, 3.0, 1.0
# Checks whose value is the wanted content itself, so that it can be looked for in the context.
_SAYS_WHAT = ("contains", "contains-all", "contains-any", "number", "equals", "lines-equal")


def checks(failure: Failure) -> list[Evidence]:
    """What the row's own checks say, form and content apart. Empty without checks, or where one crashes (the gate)."""
    if not failure.checks or not failure.output.strip():
        return []
    try:
        now = grade(failure.output, list(failure.checks))
        failed = [check for check in failure.checks if not grade(failure.output, [check]).passed]
    except CrashedCheck:
        return []  # the gate speaks of this
    if now.passed or not failed:
        return []
    quote = quoted(failure.output)
    if now.content:
        says = f"{_first(failed, 'form')} fails" + (
            ", what the checks ask of the content is there" if _asks(failure) else ""
        )
        return [Evidence(RUNG, "form", says, quote, PROOF if _asks(failure) else STRONG)]
    missing = [check for check in failed if _of(check) != "form"]
    given = [check for check in missing if _given("\n".join(failure.context), check)]
    shown = [check for check in missing if _given(failure.asked, check)]
    if now.form:
        return [_content(failure, missing, bool(given), bool(shown), now)]
    says = f"{_first(failed, 'form')} fails, and so does {_first(failed, 'content')}"
    if given:
        says += ", whose answer stands in the given context"
        return [Evidence(RUNG, "context-ignored", says, quote, PROOF)]
    if shown:
        says += ", whose answer stands in the prompt: nothing had to be known"
        return [Evidence(RUNG, "form", says, quote, PROOF), Evidence(RUNG, "capability", says, quote, STRONG)]
    if is_reasoning(failure):
        says += ", whose answer has to be worked out"
        return [Evidence(RUNG, "capability", says, quote, PROOF), Evidence(RUNG, "both", says, quote, STRONG)]
    return [Evidence(RUNG, "both", says, quote, PROOF)]


def _content(failure: Failure, missing: list[Mapping[str, Any]], given: bool, shown: bool, now: Grade) -> Evidence:
    form_is_asked = any(_of(check) == "form" for check in failure.checks)
    says = f"{_named(missing[0])} fails" if missing else now.says
    says += ", all checks of the form pass" if form_is_asked else ""
    weight = PROOF if form_is_asked else STRONG
    if given:
        says += "; what it wants stands in the given context"
        return Evidence(RUNG, "context-ignored", says, quoted(failure.output), weight)
    if is_reasoning(failure):
        says += "; the answer has to be worked out"
        return Evidence(RUNG, "capability", says, quoted(failure.output), weight)
    if shown:
        says += "; what it wants stands in the prompt"
        return Evidence(RUNG, "context-ignored", says, quoted(failure.output), weight)
    return Evidence(RUNG, "facts", says, quoted(failure.output), weight)


def _of(check: Mapping[str, Any]) -> str:
    return str(check.get("of") or CHECKS[str(check["type"])].of)


def _asks(failure: Failure) -> bool:
    return any(_of(check) != "form" for check in failure.checks)


def _first(failed: list[Mapping[str, Any]], of: str) -> str:
    return _named(next((check for check in failed if _of(check) == of), failed[0]))


def _given(text: str, check: Mapping[str, Any]) -> bool:
    """Whether the content that this check wants stands in the text that the model was given."""
    value = check.get("value")
    items = value if isinstance(value, list) else [value]
    wanted = [str(item) for item in items if isinstance(item, str | int | float)]
    if not text or not wanted or str(check["type"]) not in _SAYS_WHAT:
        return False
    held = [contains(text, item) for item in wanted]
    return any(held) if str(check["type"]) == "contains-any" else all(held)


def _named(check: Mapping[str, Any]) -> str:
    value = check.get("value")
    return f"the check {check['type']}" + (f" {quoted(str(value), 60)}" if value not in (None, "", []) else "")
