"""Each family of graders: what it covers and what it does not, held against libraries, standards and brute force."""

from __future__ import annotations

import itertools
import random
import sqlite3
import time

import pytest

from eval.checks import CrashedCheck, passes
from eval.graders.choice import chosen
from eval.graders.likeness import edit_distance, lcs_length, rouge_l, rouge_n
from eval.graders.similar import use_encoder
from eval.graders.units import unit_of


def says(kind, value, answer):
    return passes(answer, {"type": kind, "value": value})


@pytest.mark.parametrize(
    ("value", "right", "wrong"),
    [
        (
            "1.5 km",
            ["1500 m", "It is 1.5 km.", "1,500 metres long", "1.5km", "about 1500-metre", "150000 cm", "1500 Meters"],
            ["1.5 m", "1.5", "1.5 miles", "1.5 kg", "15 km", "in 1.5 km/h", ""],
        ),
        ({"value": 1.5, "unit": "km", "bare": True}, ["1.5", "1.5 km"], ["2", "1.5 kg"]),
        ({"value": "1.5 km", "tolerance": 1, "kind": "percent"}, ["0.932 miles", "1.51 km"], ["1.6 km", "0.9 mi"]),
        ({"value": "1.5 km", "tolerance": 0.1, "kind": "absolute"}, ["1.6 km", "1400 m"], ["1.7 km", "1300 m"]),
        ({"value": "1.5 km", "tolerance": 0.1}, ["1.64 km", "1360 m"], ["1.66 km", "1340 m"]),
        ({"value": "7 km", "which": "last"}, ["of 3 km it is 7 km"], ["7 km of 9 km"]),
        ("20 \u00b0C", ["68 \u00b0F", "293.15 K", "20 degrees Celsius"], ["20 \u00b0F", "20 K", "20"]),
        ({"value": "20 \u00b0C", "tolerance": 1, "kind": "percent"}, ["20.2 \u00b0C"], ["20.3 \u00b0C"]),
        ("-5 \u00b0C", ["\u22125 \u00b0C", "23 \u00b0F"], ["5 \u00b0C"]),
        ("$5", ["5 dollars", "US$ 5", "5 USD", "It costs $5.00.", "500 cents"], ["\u20ac5", "5 euros", "5", "$6"]),
        ("5 kg", ["five kilograms", "5000 g", "5 KG", "11.0231131 lb"], ["5 lb", "5 g", "5 km"]),
        ("90 min", ["1.5 hours", "5400 seconds"], ["90 m", "90 s"]),
        ("2 GB", ["2000 MB", "2 gigabytes"], ["2 Gb", "2 GiB", "2 gb"]),
        ("12 in", ["12 inches", "1 foot", "It is 12 in."], ["12 in the box", "12 cm"]),
        ("50 %", ["50 percent", "It rose by 50%"], ["50", "0.5", "5 %"]),
        ("1.2 million m", ["1200 km", "1,200,000 m"], ["1.2 m"]),
        ("100 km/h", ["62.1371192 mph", "27.7777778 m/s"], ["100 km", "100 mph"]),
        ("1,5 kg", ["1.5 kg", "1500 g"], ["15 kg"]),
    ],
)
def test_a_quantity_is_right_in_any_unit_of_its_kind_and_in_no_other(value, right, wrong):
    assert [answer for answer in right if not says("quantity", value, answer)] == []
    assert [answer for answer in wrong if says("quantity", value, answer)] == []


def test_the_sizes_of_the_units_are_those_of_scipy():
    from scipy import constants

    names = "inch foot yard mile nautical_mile light_year pound ounce stone minute hour day week hectare acre mph knot"
    for name in f"{names} atm psi bar eV Btu gallon fluid_ounce gram".split():
        mine = unit_of({"Btu": "BTU"}.get(name, name.replace("_", " ").replace("light year", "light-year")))
        assert mine is not None and mine.size == pytest.approx(getattr(constants, name), rel=1e-9), name
    assert unit_of("hp").size == pytest.approx(constants.hp) and unit_of("mmHg").size == pytest.approx(constants.mmHg)
    assert unit_of("sq ft").size == pytest.approx(constants.foot**2)
    assert unit_of("square mile").size == pytest.approx(constants.mile**2)
    fahrenheit, celsius = unit_of("\u00b0F"), unit_of("\u00b0C")
    for degrees in (-40.0, 32.0, 451.0):
        assert degrees * fahrenheit.size + fahrenheit.zero == pytest.approx(
            constants.convert_temperature(degrees, "F", "K")
        )
        assert degrees * celsius.size + celsius.zero == pytest.approx(constants.convert_temperature(degrees, "C", "K"))
    assert unit_of("MB").size == 8 * unit_of("Mb").size and unit_of("mb") is None


@pytest.mark.parametrize(
    ("answer", "letter"),
    [(form, "B") for form in ("B", "(B)", "b)", "b", "B.", "[B]", "**B**", "B) Paris", "Option B", "\\boxed{B}")]
    + [
        (form, "B")
        for form in ("Answer: B", "answer is B because A is wrong", "The correct option is **B**", "I choose B")
    ]
    + [(form, "B") for form in ("Antwort: B", "\u7b54\u6848\u662fB", "R\u00e9ponse : B", "$\\boxed{\\text{B}}$")]
    + [("Let us think. A is wrong. So the answer is B.", "B"), ("It must be (B), I think", "B")]
    + [("Answer: A. No, wait: the answer is C.", "C"), ("The answer is C, not B", "C"), ("J", "J")]
    + [(form, None) for form in ("", "A or B", "B or C", "Both (A) and (B)", "The answer is not B", "Best guess", "AB")]
    + [("I think so. A dog.", None), ("K", None)],
)
def test_the_letter_that_an_answer_settles_on(answer, letter):
    assert chosen(answer) == letter


def test_the_text_of_an_option_counts_as_its_letter():
    value = {"letter": "B", "options": ["Rome", "Paris", "Paris Hilton"]}
    assert says("choice", value, "It is Paris, of course.") and says("choice", value, "PARIS!")
    assert not says("choice", value, "Paris Hilton") and not says("choice", value, "Rome and Paris")
    assert says("choice", {"letter": "B", "options": {"A": "yes", "B": "no"}}, "No.")


@pytest.fixture()
def database(tmp_path):
    """A SQLite file of four towns, and its bytes, which no query may change."""
    path = tmp_path / "towns?mode=rwc.db"  # a name that would be options of a URI
    with sqlite3.connect(path) as connection:
        connection.execute("create table town (name text, people integer, area real)")
        rows = [("Ahlen", 10, 2.0), ("Bonn", 30, 0.1 + 0.2), ("Cochem", 5, None), ("Daun", 30, 0.3)]
        connection.executemany("insert into town values (?, ?, ?)", rows)
    connection.close()
    before = path.read_bytes()
    yield path
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == [path.name]


def test_sql_is_compared_by_what_it_returns(database):
    def same(query, answer, **more):
        return says("sql-result", {"query": query, "database": str(database), **more}, answer)

    every = "select name from town where people > 6"
    assert same(every, "Sure:\n```sql\nSELECT t.name AS n FROM town AS t WHERE NOT people <= 6 ORDER BY 1 DESC;\n```")
    assert same(every, "with x as (select * from town) select name from x where people >= 10; That is all.")
    assert not same(every, "select name from town")
    assert not same(every, "select name, people from town where people > 6")
    assert not same(every, "I do not know.")
    # An order that was asked for counts; rows that appear twice count twice.
    assert not same(f"{every} order by name", f"{every} order by name desc")
    assert same(f"{every} order by name", f"{every} order by name desc", ordered=False)
    assert not same("select people from town", "select distinct people from town")
    assert same("select count(*) from town", "select 4.0") and not same("select count(*) from town", "select '4'")
    assert same("select area from town where name = 'Bonn'", "select area from town where name = 'Daun'")  # 0.1 + 0.2


@pytest.mark.parametrize(
    "attack",
    [
        "delete from town",
        "select 1; drop table town",
        "drop table town",
        "update town set people = 0 returning name",
        "attach database '/tmp/other.db' as other",
        "select load_extension('x')",
        "select zeroblob(2000000000)",
        "select length(printf('%.*c', 1999999999, 'x'))",
        "with recursive r(x) as (select 1 union all select x + 1 from r) select x from r",
        "with recursive r(x) as (select 1 union all select x + 1 from r) select count(*) from r",
        "with recursive r(x) as (select 1 union all select x + 1 from r limit 20000) select x from r",
        "select count(*) from town a, town b, town c, town d, town e, town f, town g, town h, town i, town j, town k, "
        "town l, town m, town n, town o, town p, town q",
        "select \ud800",
        "select '\x00'",
        "select 1" + " + 1" * 5000,
    ],
)
def test_a_hostile_query_ends_soon_and_changes_nothing(database, attack):
    started = time.monotonic()
    assert not says("sql-result", {"query": "select name from town", "database": str(database)}, attack)
    assert time.monotonic() - started < 4
    with pytest.raises(CrashedCheck, match="its own query"):
        says("sql-result", {"query": attack, "database": str(database)}, "select name from town")


def test_pragmas_and_transactions_are_not_run(database):
    value = {"query": "select name from town", "database": str(database)}
    for query in ("pragma user_version", "begin", "vacuum", "insert into town values (1, 2, 3)"):
        with pytest.raises(CrashedCheck, match="its own query"):
            says("sql-result", {**value, "query": query}, "select name from town")


def test_only_a_sqlite_file_is_opened(tmp_path):
    import os

    text = tmp_path / "notes.db"
    text.write_text("not a database at all", encoding="utf-8")
    os.mkfifo(tmp_path / "pipe.db")
    for path in (text, tmp_path, tmp_path / "pipe.db", tmp_path / "none.db", "file:x?mode=memory", ":memory:"):
        with pytest.raises(CrashedCheck, match="SQLite file"):
            says("sql-result", {"query": "select 1", "database": str(path)}, "select 1")
    assert not (tmp_path / "none.db").exists()


def test_what_stands_in_the_write_ahead_log_is_read(tmp_path):
    path = tmp_path / "wal.db"
    connection = sqlite3.connect(path)
    connection.execute("pragma journal_mode=wal")
    connection.execute("create table t (a)")
    connection.execute("insert into t values (7)")
    connection.commit()
    assert says("sql-result", {"query": "select 7", "database": str(path)}, "select a from t")
    connection.close()


@pytest.mark.parametrize(
    ("language", "good", "bad"),
    [
        ("python", "Here:\n```py\ndef f():\n    return 1\n```\nDone", "```python\ndef f(\n```"),
        ("python", "x = '\\d'", "Here is the code you want"),
        ("json", "[1]", "{a: 1}"),
        ("yaml", "a: 1\nb: [1]", "just prose"),
        ("yaml", "a: &x 1\nb: *x", "a: *x"),
        ("toml", "a = 1", "a = "),
        ("xml", "<a><b/></a>", "<a><b></a>"),
        ("xml", "<a/>", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        ("javascript", "```js\nconst f = () => 1;\n```", "function f( {"),
        ("typescript", "let a: number = 1;", "let a: = 1"),
        ("tsx", "const a = <b>x</b>;", "const a = <b>x;"),
        ("java", "class A { void f() {} }", "class A { void f( {}"),
        ("go", "package a\nfunc f() {}", "func f( {"),
        ("rust", "fn f() -> i32 { 1 }", "fn f( -> {"),
        ("c", "int main(void) { return 0; }", "int main( {"),
        ("c++", "auto f = []() { return 1; };", "class {{{"),
        ("c#", "class A { int F() => 1; }", "class A { int"),
        ("php", "<?php echo 1;", "<?php echo ("),
        ("ruby", "def f; 1; end", "def f( 1"),
        ("bash", "for i in a; do echo $i; done", "for i in; do"),
        ("html", "<p>a</p>", "<p <"),
        ("css", "a { color: red }", "a { color: red"),
    ],
)
def test_code_parses_or_does_not(language, good, bad):
    if language not in ("python", "json", "yaml", "toml", "xml"):
        pytest.importorskip("tree_sitter", reason="needs the extra `code`")
    assert says("code", language, good) and not says("code", language, bad) and not says("code", language, "")
    assert not says("code", {"language": language, "whole": True}, f"```{language}\n{good}\n```")


def test_a_parser_that_is_not_installed_is_named_with_its_install_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tree_sitter", None)
    with pytest.raises(CrashedCheck, match=r"pip install 'formfacts\[code\]'"):
        says("code", "rust", "fn f() {}")


def random_texts(count):
    rng = random.Random(3)
    vocabulary = ["the", "cat", "sat", "on", "a", "mat", "3.5", "O'Neil", "x-y", "Caf\u00e9", ".", "B2B"]
    return [" ".join(rng.choices(vocabulary, k=rng.randrange(1, 30))) for _ in range(count)]


def test_rouge_is_that_of_the_package_rouge_score():
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="the reference implementation is not here")
    scorer = rouge_scorer.RougeScorer(["rougeL", "rouge1", "rouge2"])
    ascii_texts = [text.replace("\u00e9", "e") for text in random_texts(300)]
    for given, gold in itertools.pairwise(ascii_texts):
        theirs = scorer.score(gold, given)
        assert rouge_l(given, gold) == pytest.approx(theirs["rougeL"].fmeasure, abs=1e-12)
        assert rouge_n(given, gold, 1) == pytest.approx(theirs["rouge1"].recall, abs=1e-12)
        assert rouge_n(given, gold, 2) == pytest.approx(theirs["rouge2"].recall, abs=1e-12)


def test_rouge_by_hand_and_in_scripts_without_spaces():
    # Lin 2004, section 3.2: reference "police killed the gunman"; LCS 3 of 4 and 2 of 4 words.
    assert rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(3 / 4)
    assert rouge_l("the gunman kill police", "police killed the gunman") == pytest.approx(2 / 4)
    assert rouge_n("police kill the gunman", "police killed the gunman", 2) == pytest.approx(1 / 3)
    assert rouge_l("\u5317\u4eac\u5e02", "\u5317\u4eac") == pytest.approx(4 / 5)
    assert rouge_l("", "a") == rouge_l("a", "...") == 0.0


def slow_distance(left, right):
    row = list(range(len(right) + 1))
    for at, sign in enumerate(left, start=1):
        before, row[0] = row[0], at
        for column, other in enumerate(right, start=1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (sign != other))
    return row[-1]


def slow_lcs(left, right):
    row = [0] * (len(right) + 1)
    for sign in left:
        before = 0
        for column, other in enumerate(right, start=1):
            before, row[column] = row[column], before + 1 if sign == other else max(row[column], row[column - 1])
    return row[-1]


def test_distances_are_those_of_the_textbook_table():
    rng = random.Random(5)
    for _ in range(1500):
        left, right = ("".join(rng.choices("abc", k=rng.randrange(0, 14))) for _ in range(2))
        assert edit_distance(left, right) == slow_distance(left, right)
        assert lcs_length(left, right) == slow_lcs(left, right)
    assert edit_distance("kitten", "sitting") == 3


def test_likeness_of_meaning_needs_an_encoder_and_says_that_it_is_weak():
    value = {"text": ["cats purr"], "at_least": 0.9}
    use_encoder(None)
    with pytest.raises(CrashedCheck, match="use_encoder"):
        says("similar", value, "cats purr")
    try:
        use_encoder(lambda texts: [[1.0, float("nan")] for _ in texts])
        with pytest.raises(CrashedCheck, match="finite vector"):
            says("similar", value, "cats purr")
        use_encoder(lambda texts: [[1.0]])
        with pytest.raises(CrashedCheck, match="not one finite vector for each of 2 texts"):
            says("similar", value, "cats purr")
        use_encoder(lambda texts: [[0.0, 0.0] for _ in texts])
        assert not says("similar", value, "cats purr")
    finally:
        use_encoder(None)


def test_likeness_of_meaning_by_real_sentence_vectors():
    pytest.importorskip("sentence_transformers")
    from rag.embed import Embedder

    encoder = Embedder()
    value = {"text": "The shop opens at nine in the morning.", "at_least": 0.75}
    use_encoder(encoder.encode)
    try:
        assert says("similar", value, "At nine in the morning the shop is opened.")
        assert not says("similar", value, "Bananas grow in warm countries.")
        assert says("similar", value, "The shop opens at ten in the morning.")  # why it is called weak
    finally:
        use_encoder(None)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Das Wetter ist heute sehr sch\u00f6n, und wir gehen in den Park."),
        ("French", "Il fait tr\u00e8s beau aujourd'hui et nous allons au parc."),
        ("es", "Hoy hace muy buen tiempo y vamos al parque."),
        ("chinese", "\u4eca\u5929\u5929\u6c14\u5f88\u597d\uff0c\u6211\u4eec\u53bb\u516c\u56ed\u3002"),
        ("en-GB", "THE WEATHER IS FINE TODAY AND WE ARE GOING TO THE PARK."),
    ],
)
def test_the_language_of_an_answer(language, text):
    assert says("language", language, text)
    assert not says("language", "pl", text) and not says("language", language, "")
    assert says("language", language, f"{text}\n```python\nfor line in open(path): print(line)\n```")
    assert says("language", language, "42")


@pytest.mark.parametrize(
    "answer",
    [
        "I don\u2019t know.",
        "I'm not sure.",
        "Sorry, I cannot help with that.",
        "I'm sorry, but I can't provide that information.",
        "The context does not contain this information.",
        "I do not have access to real-time data.",
        "Unknown",
        "Ich wei\u00df es nicht.",
        "Dazu liegen mir keine Informationen vor.",
        "Je ne sais pas.",
        "No lo s\u00e9.",
        "Non lo so.",
        "N\u00e3o sei.",
        "Ik weet het niet.",
        "Nie wiem.",
        "Bilmiyorum.",
        "\u042f \u043d\u0435 \u0437\u043d\u0430\u044e.",
        "\u6211\u4e0d\u77e5\u9053\u3002",
        "\u62b1\u6b49\uff0c\u6211\u65e0\u6cd5\u56de\u7b54\u8fd9\u4e2a\u95ee\u9898\u3002",
        "\u308f\u304b\u308a\u307e\u305b\u3093\u3002",
        "\ubaa8\ub974\uaca0\uc2b5\ub2c8\ub2e4.",
        "\u0644\u0627 \u0623\u0639\u0631\u0641",
    ],
)
def test_abstaining_is_seen_in_many_languages(answer):
    assert says("abstains", None, answer) and not says("answers", None, answer)


@pytest.mark.parametrize(
    "answer",
    [
        "Paris.",
        "It is known that Paris is the capital.",
        "The unknown soldier lies in Paris.",
        "I know that Paris is the capital.",
        "Sie wei\u00df, dass nichts bleibt.",
        "\u77e5\u9053\u4e86\uff0c\u662f\u5317\u4eac\u3002",
        "First a. Then b. Then c. I do not know what follows. Then d.",
    ],
)
def test_an_answer_is_not_taken_for_abstaining(answer):
    assert says("answers", None, answer) and not says("abstains", None, answer)


def test_an_empty_answer_neither_answers_nor_abstains():
    assert not says("answers", None, " \n") and not says("abstains", None, " \n")


def test_citations_must_exist_and_hold_what_is_said():
    value = {"passages": ["The tower was built in 1889 by Gustave Eiffel.", "It is 330 metres tall."]}
    for right in (
        "The tower was built in 1889. [1]",
        "It was built in 1889 by Eiffel [1]. It is 330 metres tall [2].",
        "The tower of 1889 is 330 metres tall [1, 2].",
        "Built by Gustave Eiffel in 1889\u30101\u3011",
        "It stands in the capital. It was built in 1889 [Source 1].",
        "[Gustave Eiffel](http://x.org/2024) built it in 1889 [1].",
    ):
        assert says("cites", value, right), right
    for wrong in (
        "The tower was built in 1899 [1].",  # another figure
        "The tower was built in 1889 [3].",  # no such passage
        "The tower was built in 1889.",  # no citation
        "It is 330 metres tall [1].",  # the other passage says so
        "Bananas grow in warm countries [1].",
        "[1]",
        "",
    ):
        assert not says("cites", value, wrong), wrong
    assert not says("cites", {**value, "every": True}, "It was built in 1889 [1]. It stands in the capital.")
    named = {"passages": [{"id": "eiffel.md", "text": "The tower was built in 1889."}]}
    assert says("cites", named, "It was built in 1889 [eiffel.md].") and not says("cites", named, "Built in 1889 [1].")
