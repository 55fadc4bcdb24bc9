"""Checks and grades: what counts as the same content, what as the asked form, what cannot be run."""

from __future__ import annotations

import json
import os
import random
import string
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval import regexes
from eval.asked import form_checks
from eval.checks import AXES, CHECKS, CONTENT_OF, CrashedCheck, axis_of, check_from, passes
from eval.fold import holds, numbers, overlap_f1, same, words
from eval.grade import Grade, default_checks, grade
from eval.graders.similar import use_encoder


def check(kind, value=None, **more):
    return {"type": kind, "value": value, **more}


@pytest.mark.parametrize(
    ("answer", "part", "found"),
    [
        ("It costs 312 euros.", "12", False),
        ("It costs 12 euros.", "12", True),
        ("It weighs 12kg", "12", True),
        ("part AB12", "12", False),
        ("a loss of -5", "5", False),
        ("pages 10-12", "12", True),
        ("1,234,567 people", "1234567", True),
        ("1.234.567 Menschen", "1,234,567", True),
        ("1\u202f234 \u20ac", "1234", True),
        ("the CAF\u00c9 on \u201cMain\u201d street", "cafe on main street", True),
        ("Anna\u2019s book", "Anna's", True),
        ("Anna's book", "anna", True),
        ("categorical", "cat", False),
        ("We have three cats", "3 cats", True),
        ("twenty-one days", "21", True),
        ("twenty-one days", "20", False),
        ("No one knows which one.", "1", False),
        ("The Earth has one moon.", "1", True),
        ("the 3rd of May", "third", True),
        ("the first", "1", False),
        ("95% sure", "95 percent", True),
        ("mass 5.0 kg", "5", True),
        ("version 1.10", "1.1", False),
        ("It is written in C++.", "C", False),
        ("It is written in C++.", "c++", True),
        ("\u4e2d\u56fd\u7684\u9996\u90fd\u662f\u5317\u4eac\u3002", "\u5317\u4eac", True),
        ('{"unit": "kg/m\\u00b3"}', "kg/m\u00b3", True),
        ("a -> b", "->", True),
        ("multi\n   line   text", "line text", True),
    ],
)
def test_content_is_found_folded_and_at_word_borders(answer, part, found):
    assert holds(answer, part) is found


def test_numbers_are_read_with_separators_signs_and_words():
    assert numbers("from 1,200 to -3.5 and two, then 1e3") == [1200.0, -3.5, 2.0, 1000.0]


def test_equality_folds_but_does_not_ignore_more_words():
    assert same("  The answer: PARIS!", "the answer paris")
    assert not same("It is Paris", "Paris")
    assert not same("->", "<-")


def test_overlap_is_squad_f1():
    # By hand: bags {cat, sat, on, mat} and {cat, on, big, mat}: 3 shared, P = R = 3/4; articles are not counted.
    assert overlap_f1("The cat sat on the mat.", ["a cat on a big mat"]) == pytest.approx(0.75)
    assert overlap_f1("cat", ["dog", "cat"]) == 1.0
    assert overlap_f1("", ["dog"]) == 0.0


CASES = [
    ("is-json", None, '{"a": 1}', '```json\n{"a": 1}\n```'),
    ("is-json", None, " [1, 2]\n", "42"),
    ("is-json", "any", "42", "forty-two"),
    ("is-json", None, '{"a": null}', '{"a": NaN}'),
    ("json-keys", ["a", "b"], '{"b": 1, "a": 2}', '{"a": 1, "b": 2, "c": 3}'),
    ("json-keys", ["a"], '[{"a": 1}, {"a": 2}]', '[{"a": 1}, {"b": 2}]'),
    ("json-equal", {"a": 1, "b": [True, "x"]}, '{"b": [true, "x"], "a": 1.0}', '{"a": "1", "b": [true, "x"]}'),
    ("json-equal", {"a": True}, '{"a": true}', '{"a": 1}'),
    ("json-equal", '{"a": "x"}', '{"a": "x"}', '{"a": "X"}'),
    (
        "json-values",
        {"a": 1200, "b": "Caf\u00e9"},
        'Sure!\n```json\n{"A": "1,200", "b": "cafe"}',
        '{"a": 12, "b": "cafe"}',
    ),
    ("json-schema", {"type": "object", "required": ["a"]}, '{"a": 1}', '{"b": 1}'),
    ("json-schema", {"properties": {"a": {"pattern": "^v"}}}, '{"a": "v1"}', '{"a": "1"}'),
    ("regex", r"\bv\d+\b", "see v12", "see version 12"),
    ("full-match", r"[A-Z]{2}-\d{3}", " AB-123\n", "It is AB-123"),
    ("starts-with", "Dear", "Dear Sir", "dear Sir"),
    ("ends-with", ["Regards", "Bye"], "x Bye", "bye x"),
    ("max-words", 3, "one two three", "one two three four"),
    ("min-words", 2, "one two", "one"),
    ("max-chars", 4, " 1234 ", "12345"),
    ("max-lines", 1, "one\n\n", "one\ntwo"),
    ("max-sentences", 1, "One 3.5 kg sentence.", "One. Two."),
    ("bullets", 2, "- a\n- b", "- a\n- b\n- c"),
    ("bullets", None, "1. a\n2. b", "a, b"),
    ("lower-case", None, "all small 1.", "Not small"),
    ("upper-case", None, "ALL BIG 1.", "ALL bIG"),
    ("cells", {"separator": "|", "count": 3}, "a | b|c", "a | b"),
    ("row", {"separator": "|", "cells": ["a", 2]}, " a | 2 ", "a | 2\n"[:-1] + " | 3"),
    ("row", {"separator": ";", "cells": ["a", "b"]}, "a;b", "Here it is:\na;b"),
    ("is-sql", None, "SELECT a FROM b WHERE c = 1;", "Here you go: SELECT a FROM b"),
    ("is-sql", "sqlite", "select 1", "```sql\nselect 1\n```"),
    ("is-sql", None, "select a from b", "hello world"),
    ("sql-equal", "select A from B where c = 'x'", '```sql\nSELECT a\nFROM b WHERE C = "x"\n```', "SELECT a FROM b"),
    ("lines-equal", ["a  b", "c"], "a b\n\nc\n", "a b c"),
    ("equals", ["Paris", "Paris, France"], "PARIS.", "It is Paris"),
    ("contains", 42, "it is 42.", "it is 421"),
    ("contains-all", ["a1", "b2"], "b2 and a1", "a1 alone"),
    ("contains-any", ["cold", "cool"], "Cool!", "warm"),
    ("not-contains", ["sorry"], "fine", "Sorry, no"),
    ("number", 3.5, "It is 3.50 kg", "It is 3.51 kg"),
    ("number", {"value": 7, "which": "last"}, "of 3 it is 7", "7 of 3"),
    ("number", "1,200", "1200", "120"),
    ("overlap", {"text": "the cat sat", "at_least": 0.5}, "a cat sat down", "dogs run"),
    ("exact", "Paris", " Paris\n", "paris"),
    ("substring", "12", "it is 312", "it is 321"),
    ("substring", {"texts": ["A", "b"], "how": "all", "ignore_case": True}, "a and B", "a alone"),
    ("contains-json", None, "Here: [1] it is", "Here: {a} it is"),
    ("contains-json", {"type": "object", "required": ["a"]}, 'x {"b": 1} {"a": 1}', 'x {"b": 1}'),
    ("words", {"least": 2, "most": 3}, "one two", "one two three four"),
    ("quantity", "1.5 km", "It is 1500 m long.", "It is 1.5 miles long."),
    ("choice", "B", "The answer is (B).", "The answer is (C), not B."),
    ("rouge-l", {"text": "the cat sat on the mat", "at_least": 0.8}, "the cat sat on a mat", "the mat sat on the cat"),
    ("rouge-n", {"text": "the cat sat", "at_least": 0.5, "n": 2}, "so the cat slept", "cat the sat"),
    ("edits", {"text": "hello world", "at_most": 2}, "helo wurld", "hallo welt"),
    ("similar", {"text": "abc", "at_least": 0.9}, "ABC", "xyz"),
    ("code", "python", "Here:\n```python\nprint(1)\n```", "print(1"),
    ("language", "de", "Das ist ein deutscher Satz.", "This is an English sentence."),
    ("instruction", {"id": "punctuation:no_comma"}, "none here", "one, here"),
    ("abstains", None, "I don\u2019t know.", "It is Paris."),
    ("answers", None, "It is Paris.", "Ich wei\u00df es nicht."),
    ("cites", {"passages": ["Cats purr.", "Dogs bark."]}, "Cats purr [1].", "Cats purr [2]."),
    ("not", {"type": "contains", "value": "a1"}, "b2", "a1"),
    ("all", [{"type": "contains", "value": "a1"}, {"type": "max-words", "value": 2}], "has a1", "this has a1"),
]


@pytest.fixture(autouse=True)
def letters_as_vectors():
    """Sentence vectors of the simplest kind: how often each letter stands in the text."""
    use_encoder(lambda texts: [[text.lower().count(letter) for letter in string.ascii_lowercase] for text in texts])
    yield
    use_encoder(None)


@pytest.mark.parametrize(("kind", "value", "good", "bad"), CASES)
def test_each_check_tells_a_good_answer_from_a_bad_one(kind, value, good, bad):
    assert passes(good, check(kind, value))
    assert not passes(bad, check(kind, value))


def test_every_type_of_the_table_is_tested_and_has_an_axis():
    assert {kind for kind, *_ in CASES} | {"sql-result"} == set(CHECKS)  # that one needs a file: test_eval_graders.py
    assert all(
        row.of in AXES and all((row.means, row.value, row.covers, row.does_not_cover)) for row in CHECKS.values()
    )
    assert set(CONTENT_OF) | {"not", "all"} == {kind for kind, row in CHECKS.items() if row.of == "both"}


def test_checks_inside_not_and_all_keep_their_axis_and_their_faults():
    inside = [{"type": "max-words", "value": 3}, {"type": "bullets"}]
    assert axis_of({"type": "all", "value": inside}) == axis_of({"type": "not", "value": inside[0]}) == "form"
    assert axis_of({"type": "all", "value": [*inside, check("contains", "a")]}) == "both"
    with pytest.raises(CrashedCheck, match="regex"):  # the first one fails already: the broken one must not hide
        passes("x", {"type": "all", "value": [check("contains", "y"), check("regex", "(")]})
    with pytest.raises(CrashedCheck, match="regex"):
        passes("x", {"type": "not", "value": check("regex", "(")})
    deep = check("contains", "a")
    for _ in range(9):
        deep = {"type": "not", "value": deep}
    for broken in (deep, {"type": "all", "value": []}, {"type": "not"}, {"type": "not", "value": [deep]}):
        with pytest.raises(CrashedCheck):
            grade("x", [broken])


def test_a_check_is_made_from_references_of_its_kind_alone():
    assert check_from("number", ["1,200"]) == {"type": "number", "value": 1200.0}
    assert check_from("number", ["about twelve"]) is None
    assert check_from("choice", ["(C)"]) == {"type": "choice", "value": "C"}
    assert check_from("quantity", ["1.5 km"]) == {"type": "quantity", "value": "1.5 km"}
    assert check_from("quantity", ["12"]) is None and check_from("quantity", ["a road of 12 km in the south"]) is None
    assert check_from("sql-equal", ["select a from b"]) == {"type": "sql-equal", "value": ["select a from b"]}
    assert check_from("sql-equal", ["selected works"]) is None
    assert check_from("equals", ["  "]) is None
    with pytest.raises(CrashedCheck, match="allowed: json-keys"):
        check_from("max-words", ["a"])
    with pytest.raises(CrashedCheck, match="allowed: json-keys"):
        check_from("no-such", ["a"])


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (check("no-such"), "allowed: is-json"),
        ({"value": 1}, "unknown type"),
        ("is-json", "unknown type"),
        (check("regex", "(a"), "does not compile"),
        (check("regex", "a" * 2001), "at most 2000"),
        (check("contains", ""), "not empty"),
        (check("contains", None), "not empty"),
        (check("contains-all", []), "at least one"),
        (check("max-words", "many"), "whole number"),
        (check("max-words", -1), "whole number"),
        (check("row", ["a"]), "separator, cells"),
        (check("json-equal", 3), "object or array"),
        (check("json-schema", {"type": "no-such-type"}), "not valid"),
        (check("json-schema", {"$ref": "https://example.com/schema"}), "outside itself"),
        (check("json-schema", {"properties": {"a": {"pattern": "("}}}), "not valid"),
        (check("number", "many"), "one number"),
        (check("number", {"value": 1, "which": ["first"]}), "TypeError"),
        (check("max-words", float("nan")), "cannot"),
        (check("number", {"value": 1, "which": "middle"}), "allowed: first"),
        (check("sql-equal", "not sql at all"), "parses"),
        (check("is-sql", "klingon"), "not known"),
        (check("substring", {"texts": ["a"], "case": True}), "does not know case"),
        (check("substring", {"texts": ["a"], "how": "none"}), "allowed: any, all"),
        (check("words", {}), "least, most or both"),
        (check("quantity", "5 florps"), "is not known"),
        (check("quantity", "12"), "use the check `number`"),
        (check("quantity", {"value": "1 km", "kind": "roughly"}), "allowed: relative, absolute, percent"),
        (check("quantity", {"value": "1 km", "tolerance": -1}), "from 0 up"),
        (check("choice", "K"), "A to J"),
        (check("choice", {"letter": "C", "options": ["x", "y"]}), "not among the options"),
        (check("rouge-l", {"text": "a", "at_least": 2}), "at most 1"),
        (check("rouge-n", {"text": "a", "at_least": 0.5, "n": 0}), "1 to 9"),
        (check("edits", {"text": "a", "at_most": -1}), "whole number"),
        (check("code", "klingon"), "allowed: python"),
        (check("language", "klingon"), "two-letter code"),
        (check("instruction", {"id": "no:such"}), "allowed: keywords:existence"),
        (check("instruction", {"id": "keywords:existence"}), "with keywords"),
        (check("cites", {"passages": []}), "passages"),
        (check("sql-result", {"query": "select 1", "database": "no-such-file.db"}), "no SQLite file"),
        (check("contains", "a", of="style"), "allowed: form"),
    ],
)
def test_a_check_that_cannot_run_is_not_the_answers_fault(broken, reason):
    with pytest.raises(CrashedCheck, match=reason):
        grade('{"a": "1"}', [broken])


def test_a_catastrophic_pattern_is_ended_and_a_harmless_nested_one_runs(monkeypatch):
    monkeypatch.setattr(regexes, "TIMEOUT_S", 0.7)
    started = time.monotonic()
    with pytest.raises(CrashedCheck, match="backtracks"):
        grade("a" * 40 + "!", [check("regex", "(a+)+$")])
    assert time.monotonic() - started < 5
    monkeypatch.setattr(regexes, "TIMEOUT_S", 20.0)
    assert grade("one two three x", [check("regex", "([a-z]+ )*x$")]).passed


def test_grade_tells_form_from_content():
    fenced = '```json\n{"a": 1, "b": "X"}\n```'
    both = [check("is-json"), check("json-equal", {"a": 1, "b": "x"})]
    assert grade(fenced, both)[:4] == (False, False, True, 0.0)
    assert grade('{"a": 1, "b": "y"}', both)[:4] == (False, True, False, 0.5)
    assert grade('{"a": 1, "b": "x"}', both) == Grade(True, True, True, 1.0, "all checks pass")
    # One check of both alone still tells the axes apart.
    assert grade("It is Paris.", [check("equals", "Paris")])[:3] == (False, False, True)
    assert grade("Lyon", [check("equals", "Paris")])[:3] == (False, False, False)
    row = [check("row", {"separator": ",", "cells": [12, 345]})]
    assert grade("Here: 12,345", row)[:3] == (False, False, True)
    assert grade("12,346", row)[:3] == (False, False, False)
    # Nothing speaks of form: it is not called wrong.
    assert grade("Lyon", [check("contains", "Paris")])[:3] == (False, True, False)
    # The row decides which axis a check speaks for.
    assert grade("x", [check("regex", "y", of="content")])[:3] == (False, True, False)
    assert grade("Lyon", [check("contains", "Paris")]).says == 'fails contains "Paris": says this'
    assert grade("x", [check("is-json")]).says.startswith("fails is-json: the whole answer is one JSON object")


def test_no_checks_are_no_pass():
    with pytest.raises(CrashedCheck, match="no checks"):
        grade("anything", [])


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("Reply in JSON with the keys a and b.", [("is-json", None)]),
        ("Extract the fields. Return only valid JSON.", [("is-json", None)]),
        ("Here is a list of functions in JSON format that you can call.", []),
        ("Do not answer in JSON.", []),
        ("Answer in one word.", [("max-words", 1)]),
        ("Answer in at most 20 words.", [("max-words", 20)]),
        ("Use fewer than ten words.", [("max-words", 9)]),
        ("Write 50 words or less", [("max-words", 50)]),
        ("Give exactly three bullet points.", [("bullets", 3)]),
        ("Write it as a bulleted list", [("bullets", None)]),
        ("Write everything in lowercase.", [("lower-case", None)]),
        ("Explain in two sentences.", [("max-sentences", 2)]),
        ("Answer on a single line.", [("max-lines", 1)]),
        ('Begin your answer with "Dear customer"', [("starts-with", "Dear customer")]),
        ("Answer with only yes or no.", [("full-match", r"(?i:\W*(?:yes|no)\W*)")]),
        ("Complete the SQL query only and with no explanation", [("is-sql", None)]),
        ("What is the capital of France?", []),
        ("Why are one-word answers rude? Discuss the words people use and how many sentences they write.", []),
    ],
)
def test_what_a_prompt_plainly_asks_of_the_form(prompt, found):
    assert [(made["type"], made.get("value")) for made in form_checks(prompt)] == found


def kinds(checks):
    return [made["type"] for made in checks]


def test_default_checks_take_the_most_lenient_that_still_fails():
    assert kinds(default_checks("Capital of France?", ["Paris"], "It is Lyon.")) == ["contains-any"]
    assert kinds(default_checks("Capital of France?", ["Paris"], "It is Paris, I think.")) == ["equals"]
    assert default_checks("Capital of France?", ["Paris"], "PARIS!") == []
    assert default_checks("How many?", ["1,200"], "It is 120") == [{"type": "number", "value": 1200.0}]
    assert kinds(default_checks("Pick A, B, C or D.", ["B"], "C is the better choice")) == ["regex"]
    assert kinds(default_checks("x", ["select a from b"], "SELECT c FROM b")) == ["sql-equal"]
    long = "The museum opens at nine in the morning and closes at five, except on Mondays."
    assert default_checks("When?", [long], "I do not know.")[0]["value"] == {"text": [long], "at_least": 0.5}


def test_default_checks_for_json_and_for_what_the_prompt_asks():
    wanted = '{"city": "Paris", "year": 1889}'
    wrong = default_checks("Return JSON.", [wanted], '{"city": "Rome", "year": 1889}')
    assert kinds(wrong) == ["contains-all", "is-json", "json-keys"]
    assert grade('{"city": "Rome", "year": 1889}', wrong)[:3] == (False, True, False)
    fenced = default_checks("Return JSON.", [wanted], f"Sure: {wanted}")
    assert grade(f"Sure: {wanted}", fenced)[:3] == (False, False, True)
    assert grade(wanted, fenced).passed
    assert default_checks("Answer in one word: the capital?", ["Paris"], "It is Paris")[1]["type"] == "max-words"
    # Without a reference what the prompt asks is all there is; what it does not ask cannot be measured.
    assert kinds(default_checks("Explain in one sentence.", [], "One. Two.")) == ["max-sentences"]
    assert default_checks("Explain.", [], "One. Two.") == []
    # A check of form that the reference itself fails was not meant.
    assert kinds(default_checks("In one word?", ["New York"], "Rome")) == ["contains-any"]


def test_no_text_whatever_crashes_a_check_with_another_error():
    rng = random.Random(0)
    alphabet = "aA1 .,-{}[]\":\\u\n\t'`|;%$\u00e9\u4e2d\ud800\x00()*+?<>=#"
    values = [value for _, value, *_ in CASES] + [None, 3, {}, [], True, {"separator": "", "cells": []}]
    for _ in range(1500):
        text = "".join(rng.choices(alphabet, k=rng.randrange(40)))
        kind = rng.choice(sorted(CHECKS))
        value = rng.choice([*values, text])
        if kind in ("regex", "full-match") and value is text:
            continue
        try:
            assert passes(text, check(kind, value)) in (True, False)
        except CrashedCheck:
            pass
    deep = "[" * 100_000
    started = time.monotonic()
    for text in ('[{"' * 20_000, "-" * 100_000, "```" * 20_000, "1,000" * 20_000):
        for kind, value in (("json-values", {"a": 1}), ("max-words", 3), ("bullets", None), ("max-sentences", 1)):
            passes(text, check(kind, value))
    assert time.monotonic() - started < 10
    assert not passes(deep, check("is-json"))
    assert not passes('{"a":' * 5_000, check("json-values", {"a": 1}))


def shared() -> Path:
    return Path(os.environ.get("FORMFACTS_SHARED") or Path(__file__).parents[2] / "shared")


def test_real_references_pass_the_checks_made_from_them():
    path = shared() / "data" / "failures_dev.jsonl"
    if not path.exists():
        pytest.skip("the shared development data is not here")
    made = measured = 0
    for row in list(map(json.loads, path.read_text(encoding="utf-8").splitlines()))[::15]:
        reference = row.get("reference")
        references = [reference] if isinstance(reference, str) else [str(text) for text in reference or []]
        checks = default_checks(row["prompt"], references, row["output"])
        if checks:
            assert not grade(row["output"], checks).passed
        if checks and references:
            made += 1
            measured += any(grade(text, checks).passed for text in references)
    assert made > 25
    assert measured == made


def test_of_a_very_long_answer_the_first_200_000_characters_are_read():
    assert holds("a " * 99_000 + "Paris", "Paris") and not holds("a " * 101_000 + "Paris", "Paris")


def test_sql_that_takes_the_parser_minutes_is_given_up():
    started = time.process_time()
    assert not passes("a.b()." * 1_600 + "c", check("is-sql"))
    assert time.process_time() - started < 2


def test_words_of_the_table_of_numbers():
    assert words("zero ten twenty twenty-nine") == ["0", "10", "20", "29"]


def test_the_page_on_graders_holds_the_tables_of_the_code():
    page = (Path(__file__).parents[1] / "docs" / "graders.md").read_text(encoding="utf-8")
    printed = subprocess.run([sys.executable, "-m", "eval.graders"], capture_output=True, encoding="utf-8", check=True)
    for part in printed.stdout.strip().split("\n\n"):
        assert part in page, "run `python -m eval.graders` and put its tables into docs/graders.md"


def test_default_checks_of_a_sentence_hold_its_figures_and_names_not_its_wording():
    right = "You can return it within 30 days of purchase."
    late = default_checks("How long can I return it?", [right], "You can return it within 14 days of purchase.")
    assert not grade("You can return it within 14 days of purchase.", late).passed
    assert grade("Within 30 days of purchase you can return it.", late).passed
    founder = default_checks("Who founded Quorv?", ["Mira Tansel founded Quorv in 2011."], "Nobody knows.")
    assert grade("Quorv was founded in 2011 by Mira Tansel.", founder).passed
    assert not grade("Quorv was founded in 2011 by John Tansel.", founder).passed
