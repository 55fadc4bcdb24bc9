"""The gate: each way in which a test, not the model, is broken, and a sound row beside it."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.evidence.harness import LIKELY, duplicates, harness
from advisor.records import Evidence, Failure


def case(prompt: str = "What is the capital of Peru?", output: str = "It is Quito.", **rest: Any) -> Failure:
    rest["reference"] = tuple(rest.get("reference", ()))
    rest["checks"] = tuple(rest.get("checks", ()))
    return Failure(rest.pop("id", "x"), ({"role": "user", "content": prompt},), output, **rest)


def gate(failure: Failure) -> list[Evidence]:
    return [e for e in harness(failure) if e.cause == "harness" and e.weight >= LIKELY]


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (case("Summarise {{article}} in a sentence."), "variable unfilled"),
        (case("Summarise <%= report.body %> in a sentence."), "variable unfilled"),
        (case("Summarise {article_text} in a sentence."), "variable unfilled"),
        (case("summary_v2"), "name of a template"),
        (case("prompts.txt"), "name of a template"),
        (case("   "), "message is empty"),
        (case(output=""), "empty output"),
        (case(output="null"), "empty output"),
        (case(finish_reason="length"), "cut off"),
        (case(finish_reason="content_filter"), "stopped the answer"),
        (case(output="Error: 429 too many requests"), "provider's error message"),
        (case(error="503 service unavailable", output=""), "answered with an error"),
        (case(error="Custom function threw error: output is not defined"), "crashed"),
        (
            case(metadata={"gradingResult": {"componentResults": [{"reason": "TypeError: x is not a function"}]}}),
            "crashed",
        ),
        (case(reference=["TODO"]), "placeholder"),
        (case(reference=["{{expected}}"]), "unfilled template variable"),
        (case(checks=[{"type": "regex", "value": "(["}]), "cannot run"),
        (case(checks=[{"type": "no-such-check"}]), "cannot run"),
        (case(checks=[{"type": "contains", "value": "Bogota"}], reference=["Lima"]), "reference itself fails"),
        (case(checks=[{"type": "contains", "value": "Quito"}]), "passes all of the row's own checks"),
        (case(output="Quito", reference=["Quito"]), "character for character"),
        (case("Fill in _. A) Ann B) Ann. Answer with a letter."), "the same"),
        (case("Which swims?\nA. eel\nB. owl\nAnswer with a letter.", reference=["D"]), "reference is option D"),
    ],
)
def test_what_is_not_the_models_fault(failure: Failure, says: str) -> None:
    assert any(says in evidence.says for evidence in gate(failure))


@pytest.mark.parametrize(
    "failure",
    [
        case(reference=["Lima"]),
        case("Write a Jinja template that greets {{ name }}."),
        case('Fix this code:\n```python\nprint(f"{user_name}")\n```'),
        case('Return JSON like {"a": 1}.'),
        case("Continue", output="And so on."),
        case(checks=[{"type": "contains", "value": "Lima"}], reference=["Lima"]),
        case(finish_reason="stop", scores={"exact": 0}),
        case("What does Python raise for 1/0?", feedback="It is not a TypeError, the answer is wrong."),
        case("Is the value N/A allowed?", output="No", reference=["N/A"]),
        case("Which swims?\nA. eel\nB. owl", reference=["B"]),
        case(output="An error 500."),
        case(error="Expected output to contain Lima", metadata={"failureReason": 1}),
    ],
)
def test_sound_rows_pass_the_gate(failure: Failure) -> None:
    assert gate(failure) == []


def test_prompts_that_expect_different_things() -> None:
    rows = [case(id="a", reference=["Lima"]), case(id="b", reference=["Cusco"]), case(id="c", reference=["lima."])]
    found = duplicates(rows)
    assert set(found) == {0, 1, 2} and "`b`" in found[0].says and found[0].quote == "Cusco"
    assert duplicates([rows[0], rows[2]]) == {}


def test_strict_score_fails_and_lenient_passes() -> None:
    found = harness(case(output="So 4 it is", reference=["4"], scores={"strict-match": 0, "flexible-extract": 1}))
    assert [(e.cause, "flexible-extract" in e.says) for e in found] == [("form", True)]
