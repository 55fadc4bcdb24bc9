"""IFEval's 25 instructions: each told from its violation, its loose reading, and rows of the benchmark's own shape."""

from __future__ import annotations

import pytest

from eval.checks import CrashedCheck, passes
from eval.graders.ifeval import INSTRUCTIONS

FOLLOWED = [
    ("keywords:existence", {"keywords": ["Sun", "rain"]}, "The sun and some RAIN.", "The sun alone."),
    ("keywords:frequency", {"keyword": "sun", "frequency": 2, "relation": "at least"}, "Sun, sun.", "Sun."),
    ("keywords:frequency", {"keyword": "sun", "frequency": 2, "relation": "less than"}, "Sun.", "Sun, sun."),
    ("keywords:forbidden_words", {"forbidden_words": ["car"]}, "A carpet.", "A Car!"),
    ("keywords:letter_frequency", {"letter": "z", "let_frequency": 2, "let_relation": "at least"}, "Zz", "z"),
    ("language:response_language", {"language": "de"}, "Das ist ein deutscher Satz.", "This is an English one."),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}, "One.", "One. Two."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb\n***", "a\n***\n***\nb"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 1}, "a", "a\n***\nb"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "one two three", "one two"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "weekend"},
        'One.\n\n"Weekend, at last"',
        "Weekend.\n\nOne.",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] of [town]", "[name]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\np. s. one more", "Bye. PS one more"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "P.P.S one", "P.S. one"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n- b\n* c"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "**bold**\n* a", "**bold**\n* a\n  * b"),
    ("detectable_format:constrained_response", {}, "Well: My answer is maybe.", "Maybe."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and **b c**", "*a* and * *"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        "Section 1\nSection 2",
        "Section 1",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', '{"a": 1} it is'),
    ("detectable_format:title", {}, "<<A poem>>\nIt is.", "<< >> A poem"),
    ("combination:two_responses", {}, "a******b", "a******a"),
    ("combination:two_responses", {}, "******a******b******", "a******b******c"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "say it. Done.", "Done. Say it."),
    ("startend:end_checker", {"end_phrase": "That is all."}, 'So: "That is all."', "That is all. Bye."),
    ("startend:quotation", {}, '"All of it."', 'All "of" it'),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        "IT is SO",
        "It is SO",
    ),
    ("change_case:english_capital", {}, "THE SUN IS SHINING ON THE HOUSES TODAY.", "THE SUN is shining."),
    ("change_case:english_lowercase", {}, "the sun is shining on the houses today.", "The sun is shining."),
    ("punctuation:no_comma", {}, "a and b", "a, b"),
]


@pytest.mark.parametrize(("name", "kwargs", "good", "bad"), FOLLOWED)
def test_each_instruction_is_told_from_its_violation(name, kwargs, good, bad):
    check = {"type": "instruction", "value": {"id": name, "kwargs": kwargs}}
    assert passes(good, check) and not passes(bad, check) and not passes("  \n", check)


def test_all_25_are_there_and_tested():
    assert {name for name, *_ in FOLLOWED} == set(INSTRUCTIONS) and len(INSTRUCTIONS) == 25


def test_the_arguments_of_other_instructions_may_stand_beside_them_as_null():
    kwargs = {"num_words": 3, "relation": "at most", "keywords": None, "language": None}
    assert passes(
        "one two", {"type": "instruction", "value": {"id": "length_constraints:number_words", "kwargs": kwargs}}
    )


def test_the_loose_reading_takes_away_asterisks_and_the_first_or_last_line():
    value = {"id": "startend:end_checker", "kwargs": {"end_phrase": "Bye."}}
    for answer in ("Here it is:\n**Bye.**", "Bye.\nI hope that this helps!"):
        assert not passes(answer, {"type": "instruction", "value": value})
        assert passes(answer, {"type": "instruction", "value": {**value, "loose": True}})
    assert not passes("Hello.", {"type": "instruction", "value": {**value, "loose": True}})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (
            {"id": "keywords:frequency", "kwargs": {"keyword": "a", "frequency": 1, "relation": "about"}},
            "allowed: less",
        ),
        (
            {
                "id": "keywords:letter_frequency",
                "kwargs": {"letter": "ab", "let_frequency": 1, "let_relation": "at least"},
            },
            "one letter",
        ),
        ({"id": "language:response_language", "kwargs": {"language": "xx"}}, "two-letter code"),
        ({"id": "punctuation:no_comma", "kwargs": ["a"]}, "kwargs needs an object"),
        ({"id": "punctuation:no_comma", "strict": True}, "does not know strict"),
        ({"id": "startend:end_checker"}, "end_phrase"),
    ],
)
@pytest.mark.parametrize("answer", ["x", ""])
def test_an_instruction_that_cannot_be_read_is_the_tests_fault(value, reason, answer):
    with pytest.raises(CrashedCheck, match=reason):
        passes(answer, {"type": "instruction", "value": value})
