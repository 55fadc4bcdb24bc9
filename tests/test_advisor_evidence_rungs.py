"""Each rung above the gate: what it says, on which side, with the log quoted; and where it keeps quiet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from advisor.evidence.checks import checks
from advisor.evidence.constraints import constraints
from advisor.evidence.context import context
from advisor.evidence.feedback import PROTOTYPES, feedback, likeness, meaning
from advisor.evidence.knowledge import knowledge
from advisor.evidence.question import is_reasoning, question
from advisor.evidence.reference import reference
from advisor.evidence.shapes import shapes
from advisor.records import Evidence, Failure


def case(prompt: str, output: str, **rest: Any) -> Failure:
    for name in ("reference", "context", "checks"):
        rest[name] = tuple(rest.get(name, ()))
    return Failure("x", ({"role": "user", "content": prompt},), output, **rest)


def causes(found: list[Evidence], least: float = 1.0) -> set[str]:
    return {evidence.cause for evidence in found if evidence.weight >= least}


@pytest.mark.parametrize(
    ("output", "wanted", "cause"),
    [
        ("lima!", "Lima", "form"),
        ("The capital is Lima, of course.", "Lima", "form"),
        ("Quito", "Lima", "facts"),
        ('```json\n{"a": 1, "b": "x"}\n```', '{"b": "X", "a": "1"}', "form"),
        ('{"a": 1, "b": "x"', '{"a": 2, "b": "x"}', "form"),
        ('{"a": 2}', '{"a": 1}', "facts"),
        ("select a from t where b=1", "SELECT a FROM t WHERE b = 1", "form"),
        ("Sure! Here it is: SELECT a FROM t;", "SELECT a FROM t", "form"),
        ("SELECT a FROM t; SELECT b FROM t", "SELECT a FROM t", "form"),
        ("March 3, 2024", "2024-03-03", "form"),
        ("3 March 2023", "2024-03-03", "facts"),
        ("45", "0.45", "form"),
        ("It costs 12 crowns.", "89", "facts"),
        ("Yes, it does, since all parts of the machine were built there and shipped.",
         "No, it does not: the parts of the machine came from elsewhere and were only tested there.", "facts"),
    ],
)  # fmt: skip
def test_reference(output: str, wanted: str, cause: str) -> None:
    found = reference(case("Q", output, reference=[wanted]))
    assert causes(found) == {cause} and all(evidence.quote for evidence in found)


def test_reference_says_nothing_without_one_and_takes_the_nearest() -> None:
    assert reference(case("Q", "Lima")) == []
    assert causes(reference(case("Q", "lima", reference=["Cusco", "Lima"]))) == {"form"}
    assert causes(reference(case("Q", "312 people", reference=["12"]))) == {"facts"}


JSON_CHECKS = [{"type": "is-json"}, {"type": "contains", "value": "Lima"}]


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ({"output": "The city is Lima."}, "form"),
        ({"output": '{"city": "Quito"}'}, "facts"),
        ({"output": '{"city": "Quito"}', "context": ["Lima is the capital."]}, "context-ignored"),
        ({"output": "The city is Quito."}, "both"),
        ({"output": "The city is Quito.", "context": ["Lima is the capital."]}, "context-ignored"),
    ],
)
def test_own_checks(row: dict[str, Any], cause: str) -> None:
    found = checks(case("Which city? As JSON.", checks=JSON_CHECKS, **row))
    assert max(found, key=lambda evidence: evidence.weight).cause == cause


def test_own_checks_that_want_what_the_prompt_gave() -> None:
    row = case("Rewrite as JSON: ship to Lima.", "A parcel is on its way.", checks=JSON_CHECKS)
    assert checks(row)[0].cause == "form" and "nothing had to be known" in checks(row)[0].says
    sums = case(
        "2 lamps at 30 and 4 ropes at 10, in all?", "90", reference=["100"], checks=[{"type": "number", "value": 100}]
    )
    assert checks(sums)[0].cause == "capability"
    assert checks(case("Q", "A")) == [] and checks(case("Q", "A", checks=[{"type": "gone"}])) == []


@pytest.mark.parametrize(
    ("prompt", "output", "broken"),
    [
        ("Describe tea in exactly 5 words.", "Tea is a hot drink made of leaves.", True),
        ("Describe tea in exactly 5 words.", "Tea is a hot drink.", False),
        ("Answer in at most 2 sentences.", "One. Two. Three.", True),
        ("Use less than 10 words.", "Short enough.", False),
        ("Give me three bullet points.", "- a\n- b", True),
        ("Give me three bullet points.", "- a\n- b\n- c", False),
        ("Write in all lowercase letters, lower case only.", "Hello there", True),
        ("Write a poem without using any commas.", "roses, red", True),
        ('End your answer with "Thank you."', "Bye.", True),
        ('End your answer with "Thank you."', "Bye. Thank you.", False),
        ('Do not use the words "very" or "really".', "It is really good.", True),
        ('Include the keywords "sun" and "sea".', "The sun shone.", True),
        ("请用不超过5个字回答。", "这是一个非常长的回答", True),
        ("Write a sentence with all words having at most 4 characters.", "The cat sat behind it.", True),
        ("Make it a markdown table.", "No table here.", True),
    ],
)
def test_constraints(prompt: str, output: str, broken: bool) -> None:
    found = constraints(case(prompt, output))
    assert (causes(found) == {"form"}) == broken
    if not broken:
        assert found[0].weight < 0 and "keeps" in found[0].says


def test_a_length_missed_by_a_little_weighs_little() -> None:
    far, near = (constraints(case("Summarise in at most 50 words.", "word " * n))[0].weight for n in (90, 55))
    assert far > 2 * near > 0
    assert constraints(case("I have 3 sentences from a 5 line poem.", "Nice.")) == []


@pytest.mark.parametrize(
    ("prompt", "output", "cause"),
    [
        ("Return valid JSON.", "name: x", "form"),
        ("Return valid JSON.", "{'a': 1,}", "form"),
        ("Write an SQL query that counts users.", "SELEC count(* FROM users", "form"),
        ("Complete sqlite SQL query only.", "SELECT a FROM t WHERE b > ANY (SELECT b FROM u)", "form"),
        ("You can invoke functions: [func1(a=1)]", "I would call get_x(a=1) for this.", "form"),
        ("Offered is get_x. Answer as [func1(a=1)]", "[get_x(a=2)]", "capability"),
        ("Write a python function.", "def f(:\n  return 1", "form"),
        ("Write a python function.", "def f():\n  return 1", "capability"),
        ("Answer in German: where is it?", "It is in the house and the garden of the old man in the town.", "form"),
        ("Answer in Hindi.", "It is in the house.", "form"),
        ("Only return the name.", "Sure, here is the name that you asked me for: it is Alan Turing, the man.", "form"),
        ("Tell a story.", "We went out to the sea. " * 6, "form"),
        ("Tell a story.", "We went to the the sea.", "form"),
        ("Hi", "Hello<|im_end|>", "form"),
    ],
)
def test_shapes(prompt: str, output: str, cause: str) -> None:
    assert cause in causes(shapes(case(prompt, output)))


@pytest.mark.parametrize(
    ("prompt", "output"),
    [
        ("Return valid JSON.", '{"a": 1}'),
        ("Write an SQL query that counts users.", "SELECT count(*) FROM users"),
        ("Answer in German: where is it?", "Es ist in dem Haus und nicht auf der Straße, wo die Kinder sind."),
        ("Answer in Hindi.", "यह घर में है।"),
        ("Who wrote it?", "It was written by a young author who lived by the sea and had never left it before."),
    ],
)
def test_shapes_that_hold(prompt: str, output: str) -> None:
    assert causes(shapes(case(prompt, output))) == set()


def test_context() -> None:
    given = ["The Halden mill was built in 1892 by Nora Lind and closed in 1931."]
    ignored = context(case("When was the mill built?", "In 1904.", context=given, reference=["1892"]))
    assert "context-ignored" in causes(ignored, 2.0) and any(e.quote == "1892" for e in ignored)
    missed = context(case("Who bought the mill?", "Nobody.", context=given, reference=["Otto Berg"]))
    assert "facts" in causes(missed, 2.0)
    invented = context(case("Tell me of the mill.", "It was sold to Peter Falk in 1977.", context=given))
    assert any("falk" in e.quote for e in invented) and any("1977" in e.quote for e in invented)
    assert context(case("When was it built?", "Built in 1892 by Nora Lind.", context=given, reference=["1892"])) == []
    assert context(case("When was it built?", "In 1904.", reference=["1892"])) == []


def test_knowledge() -> None:
    assert causes(knowledge(case("Q", "As of my last update, the price was 10."))) == {"facts"}
    assert causes(knowledge(case("Q", "I'm sorry, but I cannot help with that."))) == {"capability"}
    assert knowledge(case("Q", "The price is 10.")) == []


def test_question() -> None:
    assert "capability" in causes(question(case("What is 17 * 23?", "400")))
    assert "facts" in causes(question(case("Who founded the Halden mill?", "Otto")), 0.5)
    assert "form" in causes(question(case("Translate into German: a cat", "ein Hund")))
    assert "context-ignored" in causes(question(case("Summarize the article.", "It says no.")))
    assert is_reasoning(case("Write 'lantern' backwards.", "x")) and not is_reasoning(case("Who is it?", "x"))


def test_feedback_by_words() -> None:
    def said(note: str) -> set[str]:
        return causes(feedback(case("Q", "It costs 12 crowns in the shop by the sea", feedback=note)))

    assert said("Should have been valid JSON, and far too long.") == {"form"}
    assert said("Outdated, the price changed in May.") == {"facts"}
    assert said("The document never said that.") >= {"context-ignored"}
    assert said("The calculation is off, wrong approach.") >= {"capability"}
    assert said("In the shop by the sea it costs 12 crowns.") == {"form"}
    assert said("") == set() and said("hmm") == set()


def test_feedback_by_meaning_takes_the_nearest_kind() -> None:
    axes = {cause: np.eye(4, dtype=np.float32)[at] for at, cause in enumerate(PROTOTYPES)}
    known = {text: axes[cause] for cause, group in PROTOTYPES.items() for text in group}

    def encode(texts: Any) -> Any:
        return np.stack([known.get(text, axes["facts"]) for text in texts])

    like = likeness(["a note that means facts"], encode)
    assert like.shape == (1, 4) and meaning("a note", like[0])[0].cause == "facts"
    assert meaning("a note", np.full(4, 0.5, dtype=np.float32)) == []
