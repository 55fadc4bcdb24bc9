"""Prompt first: the format in a sentence, held to while it is written, or by an example; from the train side alone."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llguidance")

from advisor.answers import Answer, Asked
from advisor.cases import Case, answer_cases, case_of
from advisor.launch import TREATMENTS
from advisor.plan import Candidates, Trial, candidates, make_plan
from advisor.prompt_first import FIRST, MOST, try_prompts
from advisor.prompts import exemplified, instructed
from advisor.read import Log
from advisor.records import Diagnosis, Failure, Question
from advisor.run import Request, Run
from advisor.stage import Models, Stage, response_format
from advisor.targets import target_of
from advisor.tell import Tell
from advisor.wanted_format import WantedFormat, skeleton, wanted_formats

SYSTEM = {
    "row": "Write | who | what |.",
    "json": 'Answer as JSON with the keys "who" and "n".',
    "sql": "Answer in SQL.",
}
PEOPLE = (
    "Mara Tom Ida Per Lena Ugo Nils Ada Ben Eva Kim Leo Ana Rolf Sue Max Ole Pia Jan Liv Tor Mia Udo Kai Ash Bea Cyd "
    "Dov Eli Fay Gus Hal"
).split()
ROW = r"\| [^|\n]+ \| [^|\n]+ \|"


def failure(kind: str, number: int) -> Failure:
    who = PEOPLE[number]
    wanted = {"who": who, "n": number}
    made: dict[str, tuple[str, list[dict[str, Any]]]] = {
        "row": (f"| {who} | lamp {number} |", [{"type": "full-match", "value": ROW, "of": "form"}]),
        "json": (json.dumps(wanted), [{"type": "is-json"}, {"type": "json-keys", "value": ["who", "n"]}]),
        "sql": (f"SELECT {number} FROM {who}", [{"type": "is-sql"}]),
    }
    target, checks = made[kind]
    return Failure(
        id=f"{kind}-{number}",
        messages=(
            {"role": "system", "content": SYSTEM[kind]},
            {"role": "user", "content": f"{who} has ordered {number} pieces of the {kind} kind for room {number * 7}."},
        ),
        output=f"Sure, {who}.",
        reference=(target,),
        checks=(*checks, {"type": "contains", "value": who, "of": "content"}),
    )


def formats(*failures: Failure) -> dict[str, WantedFormat]:
    cases = [case for row in failures if (case := case_of(row))]
    return wanted_formats(cases, {row.id: target_of(row) for row in failures})


def of_checks(*checks: dict[str, Any], targets: Sequence[str]) -> WantedFormat:
    """The format of cases that share these checks of form."""
    cases = [
        Case(str(i), ({"role": "system", "content": "House style."}, {"role": "user", "content": f"Case {i}"}), checks)
        for i in range(len(targets))
    ]
    return wanted_formats(cases, {str(i): text for i, text in enumerate(targets)})["House style."]


def test_a_format_is_stated_plainly_and_gives_its_narrowest_constraint() -> None:
    row = formats(*(failure("row", i) for i in range(4)))[SYSTEM["row"]]
    assert row.sentence == "Write the whole answer exactly like this: | <...> | <...> |"
    assert row.constraint == {"regex": ROW}
    keys = formats(*(failure("json", i) for i in range(4)))[SYSTEM["json"]]
    assert keys.sentence == 'Answer with one JSON object with exactly the keys "who" and "n" and nothing else.'
    assert keys.constraint == {
        "json_schema": {
            "type": "object",
            "properties": {"who": {"type": ["string"]}, "n": {"type": ["integer"]}},
            "required": ["who", "n"],
            "additionalProperties": False,
        }
    }


@pytest.mark.parametrize(
    ("check", "targets", "constraint"),
    [
        ({"type": "json-schema", "value": {"type": "array"}}, ["[1]", "[2]", "[]"], {"json_schema": {"type": "array"}}),
        ({"type": "is-json"}, ['{"a": 1}', '{"b": 2}', "{}"], {"json_schema": {"type": "object"}}),
        ({"type": "regex", "value": r"^[a-z]+$"}, ["a", "b", "c"], {"regex": "[a-z]+"}),
        ({"type": "cells", "value": {"separator": ";", "count": 2}}, ["a;b"] * 3, {"regex": r"[^\n;]+(?:;[^\n;]+){1}"}),
        ({"type": "max-words", "value": 1}, ["yes", "no", "yes", "no"], {"regex": "no|yes"}),
    ],
)
def test_what_gives_a_constraint(check: dict[str, Any], targets: list[str], constraint: dict[str, Any]) -> None:
    assert of_checks(check, targets=targets).constraint == constraint


@pytest.mark.parametrize(
    ("check", "targets", "why"),
    [
        ({"type": "is-sql"}, ["SELECT 1", "SELECT 2", "SELECT 3"], "SQL"),
        ({"type": "regex", "value": "[a-z]+"}, ["a", "b", "c"], "no check gives one"),  # only searched for
        ({"type": "regex", "value": "^a|b$"}, ["a", "b", "a"], "no check gives one"),  # each end of one branch only
        ({"type": "full-match", "value": "(?=a)a"}, ["a", "a", "a"], "look-around"),
        ({"type": "max-words", "value": 1}, ["yes", "no", "yes", "maybe"], "no check gives one"),  # an open set
        ({"type": "cells", "value": {"separator": ";", "count": 2}}, ["a;", "c;d", "e;f"], "no check gives one"),
    ],
)
def test_what_gives_none_says_why(check: dict[str, Any], targets: list[str], why: str) -> None:
    found = of_checks(check, targets=targets)
    assert found.constraint is None and why in found.unconstrained


def test_only_what_the_whole_group_is_checked_for_counts() -> None:
    cases = [
        Case(
            str(i),
            ({"role": "system", "content": "House style."}, {"role": "user", "content": str(i)}),
            ({"type": "full-match", "value": f"ANSWER {i}", "of": "form"}, {"type": "max-lines", "value": 1}),
        )
        for i in range(5)
    ]
    found = wanted_formats(cases, {case.id: f"ANSWER {case.id}" for case in cases})["House style."]
    assert found.sentence == "Answer on one line." and found.constraint is None


def test_a_pattern_is_shown_as_a_person_would() -> None:
    assert skeleton(r"^Ahoy [^:\n]+: [^\n]+\.\nFair (?:wind|tide)$") == "Ahoy <...>: <...>.\nFair <...>"
    assert skeleton(r"\|( [^|\n]+ \|){3}") == "| <...> | <...> | <...> |"


def test_the_sentence_stands_at_the_end_and_no_case_is_its_own_example() -> None:
    rows = [failure("row", i) for i in range(4)]
    found = formats(*rows)[SYSTEM["row"]]
    cases = [case for row in rows if (case := case_of(row))]
    stated = instructed(cases[0], found).messages
    assert stated[-1]["content"] == f"{cases[0].messages[-1]['content']}\n\n{found.sentence}"
    assert stated[0] == cases[0].messages[0]
    for case in cases:
        shown = exemplified(case, found).messages
        assert [m["role"] for m in shown] == ["system", "user", "assistant", "user"]
        assert shown[-1] == case.messages[-1] and shown[1] != case.messages[1]


class Told:
    """A model that is really asked: what it was asked stays, and by which constraint; it answers by a rule."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rule: Any) -> None:
        self.asked: list[tuple[str, Question]] = []

        def model(constraint: Any = None) -> Asked:
            name = json.dumps(constraint, sort_keys=True)

            def answer(questions: Sequence[Question]) -> list[str]:
                self.asked += [(name, question) for question in questions]
                return [rule(question, constraint) for question in questions]

            def sample(_: int) -> Answer:
                return answer

            return Asked(name, sample)

        monkeypatch.setattr(Models, "answering", lambda self: model())
        monkeypatch.setattr(Models, "constrained", lambda self, constraint: model(constraint))


def solved(question: Question) -> str:
    number = int(re.findall(r"ordered (\d+)", question[-1]["content"])[0])
    kind = next(kind for kind, text in SYSTEM.items() if text == question[0]["content"])
    return failure(kind, number).reference[0]


def story(tmp_path: Path, kinds: Sequence[str], **given: Any) -> tuple[Log, list[Diagnosis], Candidates, Request, Run]:
    rows = [failure(kind, number) for kind in kinds for number in range(len(PEOPLE))]
    log = Log(rows)
    diagnoses = [Diagnosis(row.id, "form", {"form": 1.0}, ()) for row in rows]
    request = Request(failures=(tmp_path / "log.jsonl",), may_ask_models=True, **given)
    run = Run(tmp_path / "run")
    cases = {row.id: ("form", case) for row in rows if (case := case_of(row))}
    return log, diagnoses, candidates(log, cases, None, request, run), request, run


def test_a_format_that_a_sentence_cures_is_not_trained_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(question: Question, constraint: Any) -> str:
        stated = "exactly the keys" in question[-1]["content"]
        return solved(question) if stated and question[0]["content"] == SYSTEM["json"] else "Sure."

    told = Told(monkeypatch, rule)
    log, diagnoses, found, request, run = story(tmp_path, ("row", "json"))
    trials = try_prompts(found, log.failures, request, run, Tell(quiet=True))
    by = {(trial.arm, trial.standing): trial for trial in trials}
    cured = by["instruction", SYSTEM["json"]]
    n = sum(name.startswith("json") for name in found.side("form", "train"))
    assert cured.cures and cured.passed == cured.asked == cured.of == min(MOST, n)
    assert ("constrained", SYSTEM["json"]) not in by, "what is cured is not tried again"
    given_up = by["exemplar", SYSTEM["row"]]
    assert not given_up.cures and (given_up.passed, given_up.asked) == (0, FIRST)
    held = {found.cases[name][1].messages[-1]["content"] for name in found.side("form", "held-out")}
    assert told.asked and not any(question[-1]["content"].split("\n\n")[0] in held for _, question in told.asked)

    plan = make_plan(log, diagnoses, found, trials, request, run)
    ids = [experiment.id for experiment in plan.experiments]
    assert ids[:3] == ["instruction", "constrained", "exemplar"], "the prompt stands before any training"
    lora = plan.experiments[ids.index("lora")]
    assert {name.split("-")[0] for name in (*lora.train, *lora.held_out)} == {"row"}
    assert {name.split("-")[0] for name in plan.experiments[0].held_out} == {"row", "json"}, "the cure is proven too"
    line = next(line for line in plan.advice if "no adapter is needed" in line)
    assert f"{cured.of} of {cured.of} train-side cases of `{SYSTEM['json']}`" in line and "--beyond-prompt" in line
    written = (run.folder / "plan.yaml").read_text(encoding="utf-8")
    assert "prompt_first:" in written and "cures: true" in written

    # The same command carries on from what is kept, and asks nothing.
    told.asked.clear()
    assert try_prompts(found, log.failures, request, run, Tell(quiet=True)) == trials and not told.asked

    beyond = make_plan(log, diagnoses, found, trials, replace(request, beyond_prompt=True), run)
    lora = next(experiment for experiment in beyond.experiments if experiment.id == "lora")
    assert {name.split("-")[0] for name in lora.train} == {"row", "json"}


def test_the_example_that_most_train_side_cases_pass_with_is_shown_held_out_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good: list[str] = []

    def rule(question: Question, constraint: Any) -> str:
        shows = len(question) == 4 and question[1]["content"] in good
        return solved((question[0], question[-1])) if shows else "Sure."

    told = Told(monkeypatch, rule)
    log, diagnoses, found, request, run = story(tmp_path, ("row",))
    second = found.formats()[SYSTEM["row"]].solved[1]
    good.append(second[1][-1]["content"])
    trials = try_prompts(found, log.failures, request, run, Tell(quiet=True))
    best = next(trial for trial in trials if trial.arm == "exemplar")
    assert best.example == second[0] and best.passed >= best.of - 1  # its own case is shown another
    plan = make_plan(log, diagnoses, found, trials, replace(request, beyond_prompt=True), run)
    told.asked.clear()
    stage = Stage(plan, {f.id: f for f in log.failures}, request, run, Models(request, 64, Tell(quiet=True)),
                  Tell(quiet=True))  # fmt: skip
    shown = next(e for e in plan.experiments if e.id == "exemplar")
    rows = TREATMENTS["exemplar"](shown, [plan.cases[name] for name in shown.held_out], [], stage)
    assert rows and all(row["passed"] for row in rows)
    assert {question[1]["content"] for _, question in told.asked} == set(good)


def test_where_all_is_cured_nothing_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Told(monkeypatch, lambda question, constraint: solved(question) if constraint else "Sure.")
    log, diagnoses, found, request, run = story(tmp_path, ("row",))
    trials = try_prompts(found, log.failures, request, run, Tell(quiet=True))
    assert [(trial.arm, trial.cures) for trial in trials] == [("instruction", False), ("constrained", True)]
    plan = make_plan(log, diagnoses, found, trials, request, run)
    assert [experiment.id for experiment in plan.experiments] == ["instruction", "constrained", "exemplar"]


def test_without_a_model_to_ask_nothing_is_tried(tmp_path: Path) -> None:
    log, diagnoses, found, request, run = story(tmp_path, ("row", "sql"))
    request = replace(request, may_ask_models=False)
    assert try_prompts(found, log.failures, request, run, Tell(quiet=True)) == ()
    plan = make_plan(log, diagnoses, found, (), request, run)
    ids = [experiment.id for experiment in plan.experiments]
    assert ids[:3] == ["instruction", "constrained", "exemplar"] and "lora" in ids
    constrained = plan.experiments[1]
    assert {name.split("-")[0] for name in constrained.held_out} == {"row"}
    assert "SQL" in constrained.recipe["not_constrained"][0]["why"]
    assert all(plan.experiments[at].costs["seconds"][1] > 0 for at in range(3))


def test_an_endpoint_is_given_a_schema_and_no_pattern(tmp_path: Path) -> None:
    log, diagnoses, found, request, run = story(tmp_path, ("row", "json"))
    request = replace(request, model="http://127.0.0.1:9/v1", may_ask_models=False)
    constrained = make_plan(log, diagnoses, found, (), request, run).experiments[1]
    assert {name.split("-")[0] for name in constrained.held_out} == {"json"}
    assert "no regular expression" in constrained.recipe["not_constrained"][0]["why"]
    sent = response_format({"json_schema": {"type": "object"}})
    assert sent == {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}


def test_twelve_of_twelve_cure_and_eleven_do_not() -> None:
    def cures(passed: int, of: int) -> bool:
        return Trial("instruction", "", passed, of, of).cures

    assert cures(12, 12) and cures(19, 20)
    assert not cures(11, 11) and not cures(18, 20)


def test_nothing_of_a_held_out_reference_reaches_a_prompt_or_a_constraint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that held-out cases are checked by is changed: what models are asked, and held to, stays the same."""

    def asked(folder: Path, secret: str) -> list[tuple[str, Question]]:
        told = Told(monkeypatch, lambda question, constraint: "Sure.")
        log, diagnoses, found, request, run = story(folder, ("row", "json"))
        held = found.side("form", "held-out")
        changed = []
        for row in log.failures:
            if secret and row.id in held:
                checks = ({"type": "full-match", "value": secret, "of": "form"}, {"type": "contains", "value": secret})
                row = replace(row, reference=(secret,), checks=checks, review={"correction": secret})
            changed.append(row)
        log = replace(log, failures=changed)
        cases = {row.id: ("form", case) for row in changed if (case := case_of(row))}
        found = replace(found, cases=cases)
        trials = try_prompts(found, log.failures, request, run, Tell(quiet=True))
        plan = make_plan(log, diagnoses, found, trials, request, run)
        failures = {row.id: row for row in log.failures}
        stage = Stage(plan, failures, request, run, Models(request, 48, Tell(quiet=True)), Tell(quiet=True))
        for experiment in plan.experiments:
            if experiment.axis == "prompt":
                judged = [plan.cases[name] for name in experiment.held_out]
                TREATMENTS[experiment.id](experiment, judged, (), stage)
        return told.asked

    plain, planted = asked(tmp_path / "a", ""), asked(tmp_path / "b", "SECRETWORD")
    assert len(plain) > 3 * FIRST and planted == plain
    assert "SECRETWORD" not in json.dumps(planted)


class Server:
    """A chat endpoint that writes JSON where it is held to a schema, or refuses to be held; what came to it stays."""

    def __init__(self, takes_schema: bool) -> None:
        self.bodies: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.bodies.append(body)
                held = body.get("response_format")
                text = solved(body["messages"]) if held else "Sure."
                status, told = 200, {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
                if held and not takes_schema:
                    status, told = 400, {"error": {"message": "unknown field response_format"}}  # type: ignore[dict-item]
                raw = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.mark.parametrize("takes_schema", [True, False])
def test_an_endpoint_holds_the_answer_or_says_that_it_cannot(
    tmp_path: Path, takes_schema: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server(takes_schema) as server:
        url = f"http://127.0.0.1:{server.http.server_port}/v1"
        log, diagnoses, found, request, run = story(tmp_path, ("row", "json"), model=url)
        tell = Tell()
        trials = try_prompts(found, log.failures, request, run, tell)
        plan = make_plan(log, diagnoses, found, trials, request, run)
        constrained = next(e for e in plan.experiments if e.id == "constrained")
        stage = Stage(
            plan, {row.id: row for row in log.failures}, request, run, Models(request, 48, Tell(quiet=True)), tell
        )
        cases = [plan.cases[name] for name in constrained.held_out]
        control = answer_cases(run, "control", cases, stage.models.answering, tell)
        rows = TREATMENTS["constrained"](constrained, cases, control, stage)
    schemas = [body["response_format"]["json_schema"]["schema"] for body in server.bodies if "response_format" in body]
    assert schemas and all(schema["required"] == ["who", "n"] for schema in schemas)
    assert [row["arm"] for row in rows] == ["constrained"] * len(cases)
    cured = [trial for trial in trials if trial.cures]
    if takes_schema:
        assert all(row["passed"] for row in rows)
        assert [(trial.arm, trial.standing) for trial in cured] == [("constrained", SYSTEM["json"])]
    else:
        assert not any(row["passed"] for row in rows) and not cured
        assert "not constrained" in capsys.readouterr().err


@pytest.mark.parametrize("value", [None, 5, ["a"], {"x": 1}, "(", "((((((a{99}){99}){99}){99}){99}){99})", "x" * 3000])
@pytest.mark.parametrize("kind", ["json-schema", "json-keys", "full-match", "regex", "cells", "max-words", "bullets"])
def test_a_check_whose_value_cannot_be_is_left_out(kind: str, value: Any) -> None:
    found = of_checks({"type": kind, "value": value}, targets=["a", "b", "c"])
    assert found.constraint is None and len(found.sentence) < 2500
