"""From raw answers to labels: what failed, and which help cured it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.grade import grade

Answers = Mapping[str, Mapping[str, str]]  # arm -> id -> answer


def label(case: Mapping[str, Any], answers: Answers) -> tuple[str, str]:
    """(label, basis) of a case; the label is `passed`, `dropped` or a cause, the basis what was observed.

    form: fails plain, and the content is in the answer or an example of the format cures it; facts: the page with
    the answer cures it; both: only page and example together do; capability: neither does.
    """
    group, checks = case["group"], case["checks"]

    def says(arm: str) -> Any:
        return grade(answers[arm][case["id"]], checks)

    if group == "harness":
        lucky = case["family"] in ("unrendered", "wrong-reference") and says("plain").passed
        return ("dropped", "a defect that passes by chance") if lucky else ("harness", case["family"])
    plain = says("plain")
    if plain.passed:
        return "passed", "passes as asked"
    if group == "guard":
        return "dropped", "a guard candidate that fails"
    if group == "form":
        cured = says("exemplar").passed
        if plain.content:
            return "form", "content right as asked" + ("; cured by an example" if cured else "")
        return ("form", "cured by an example") if cured else ("capability", "not cured by an example")
    if group == "facts":
        if says("gold").passed:
            return "facts", "cured by the page"
        cured = says("exemplar-gold").passed
        return ("both", "cured by page and example") if cured else ("capability", "not cured by page and example")
    if says("exemplar").passed or says("gold").passed:
        return "dropped", "a capability candidate that an example or a page cures"
    return "capability", "cured by neither example nor page"
