"""The general questions: enough, answerable, gradable, and apart from what is trained on."""

from __future__ import annotations

from eval.checks import passes
from eval.general import GENERAL, QUESTIONS, TEXTS, overlaps
from eval.grade import grade


def test_questions_are_many_distinct_and_graded_by_what_they_ask():
    assert len(GENERAL) >= 48
    assert len({row["id"] for row in GENERAL}) == len({question for question, _ in QUESTIONS}) == len(GENERAL)
    for row, (question, answers) in zip(GENERAL, QUESTIONS, strict=True):
        assert row["messages"] == [{"role": "user", "content": question}]
        assert all(grade(f"I think that it is {answer}, yes.", row["checks"]).passed for answer in answers)
        # Saying the question back must not count as an answer.
        assert not grade(question, row["checks"]).passed, question
        assert not grade("I do not know.", row["checks"]).passed


def test_texts_are_prose_of_about_eighty_words_and_unlike_each_other():
    assert len(TEXTS) >= 8
    assert all(70 <= len(text.split()) <= 95 for text in TEXTS)
    assert len({text.split()[0] + text.split()[1] for text in TEXTS}) == len(TEXTS)


def test_overlaps_finds_prompts_that_ask_the_same():
    prompts = [
        "what is the capital of FRANCE",
        "Answer in one word: What is 2 plus 2? Be brief.",
        "How many days does our returns policy give a customer?",
        "Hi",
        "Which month comes after January ?",
    ]
    assert overlaps(prompts) == [prompts[0], prompts[1], prompts[4]]
    assert overlaps([]) == []


def test_number_words_count_as_numbers():
    row = next(row for row in GENERAL if row["messages"][0]["content"].startswith("How many legs does a spider"))
    assert passes("A spider has eight legs.", row["checks"][0])
    assert not passes("A spider has 18 legs.", row["checks"][0])
