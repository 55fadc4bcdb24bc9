"""Data to be put into words: a missing value is a fault of content, a text with all of them fails in its wording."""

from __future__ import annotations

import pytest

from advisor.evidence.data import data, missing, values_of
from advisor.evidence.repeats import again
from advisor.records import Failure

TRIPLES = (
    "Aarhus Airport | location | Tirstrup\nAarhus Airport | runwayLength | 2777.0\n"
    "Aarhus Airport | openingDate | 1943-04-06\nAarhus Airport | operator | Aarhus Lufthavn A/S"
)


def case(output: str, prompt: str = "Write a text that expresses all of the data.", context: str = TRIPLES) -> Failure:
    return Failure("1", ({"role": "user", "content": prompt},), output, context=(context,) if context else ())


def test_values_are_read_once_from_prompt_or_context() -> None:
    wanted = ["Aarhus Airport", "Tirstrup", "2777.0", "1943-04-06", "Aarhus Lufthavn A/S"]
    assert values_of(case("")) == wanted
    assert values_of(case("", prompt=f"Put into words:\n\n{TRIPLES}", context="")) == wanted


def test_a_text_with_every_value_points_to_form() -> None:
    text = "Aarhus airport are at Tirstrup, runway of 2777, open since April 1943 and operate by Aarhus Lufthavn."
    causes = {evidence.cause for evidence in data(case(text))}
    assert causes == {"form"}


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("Aarhus Airport is in Tirstrup and was opened in 1943 by Aarhus Lufthavn A/S.", ["2777.0"]),
        ("Aarhus Airport, run by Aarhus Lufthavn, has a runway of 2,777 m in Tirstrup.", ["1943-04-06"]),
        ("The airport has a runway of 2777 m.", ["Tirstrup", "1943-04-06", "Aarhus Lufthavn A/S"]),
    ],
)
def test_a_missing_value_is_named_and_outweighs_the_task(text: str, absent: list[str]) -> None:
    failure = case(text)
    assert missing(text, values_of(failure)) == absent
    form, content = data(failure)
    assert form.cause == "form" and content.cause == "context-ignored"
    assert content.weight > form.weight
    assert content.says == f"{len(absent)} of 5 values of the given data are not in the output"
    assert absent[0] in content.quote


def test_a_markdown_table_and_a_sentence_with_bars_are_not_data() -> None:
    table = "| name | age | town |\n| --- | --- | --- |\n| Ann | 31 | Oslo |"
    long = "He said that the letters a | and b | stand for what we had never before seen in all of the old town there"
    assert data(case("Ann is 31.", prompt=table, context="")) == []
    assert data(case("Ann is 31.", prompt=long, context="")) == []


def test_sentences_said_again_are_counted() -> None:
    once = ["The shop opens at nine in the morning.", "Bring your own bag for the vegetables.", "Thanks."]
    assert again(once) == 0
    assert again([*once, "The shop opens at nine in the morning today."]) == pytest.approx(1 / 3)
    assert again([]) == 0
