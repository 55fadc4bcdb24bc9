"""`advise prove BEFORE AFTER`: what a user sees of two logs or two files of scores, and what a CI server does."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from advisor.cli import advise

WORDS = "harbour lamp copper window train glacier pepper violin kettle meadow anchor basalt".split()


def question(n: int) -> str:
    return f"What is the {WORDS[n % 12]} {WORDS[n * 5 % 11]} number {n * 37} {WORDS[n * 7 % 12]}?"


def log(path: Path, passes: list[bool | None], **more: Any) -> Path:
    """A log of cases q0, q1, ... that passed, failed, or say nothing."""
    rows = []
    for n, ok in enumerate(passes):
        row: dict[str, Any] = {"id": f"q{n}", "prompt": question(n), "reference": f"code {n + 500}"}
        row["output"] = f"It is code {n + 500}." if ok else "I think it is red."
        rows.append(row | ({} if ok is None else {"passed": ok}) | {key: value(n) for key, value in more.items()})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(advise, ["prove", *map(str, arguments)])


@pytest.fixture
def better(tmp_path: Path) -> tuple[Path, Path]:
    """40 cases: 10 pass before, 30 after; one of them broke."""
    old = [n < 10 for n in range(40)]
    new = [1 <= n < 31 for n in range(40)]
    return log(tmp_path / "before.jsonl", old), log(tmp_path / "after.jsonl", new)


def test_a_better_log_is_improved_with_table_sentence_and_what_broke(better: tuple[Path, Path]) -> None:
    result = run(*better)
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    assert text.startswith("improved")
    assert "all cases (40) 10 (25 %) 30 (75 %) +50 (" in text
    assert "21 fixed, 1 broken, 9 still failing; broken: q0" in text
    assert "30 of 40 cases pass after the change" in text and "Of 10 that passed before 1 fails now." in text


def test_the_json_is_whole_and_the_gate_lets_an_improvement_pass(better: tuple[Path, Path]) -> None:
    result = run(*better, "--json", "--fail-on", "unproven")
    assert result.exit_code == 0
    found = json.loads(result.output)
    assert found["verdict"] == "improved" and found["cases"]["broken"] == ["q0"]
    assert found["findings"]["gain"]["n"] == 40 and found["unmatched"] == {"before_only": [], "after_only": []}


@pytest.mark.parametrize(
    ("after", "gate", "code", "verdict"),
    [
        (range(0, 12), "unproven", 3, "unproven"),
        (range(0, 12), "worse", 0, "unproven"),
        (range(30, 32), "worse", 3, "worse"),
        (range(0, 38), "unproven", 0, "improved"),
    ],
)
def test_exit_code_3_is_the_answer_no(tmp_path: Path, after: range, gate: str, code: int, verdict: str) -> None:
    before = log(tmp_path / "before.jsonl", [n < 12 for n in range(40)])
    result = run(before, log(tmp_path / "after.jsonl", [n in after for n in range(40)]), "--fail-on", gate, "--json")
    assert (json.loads(result.output)["verdict"], result.exit_code) == (verdict, code)


def test_failures_that_were_chosen_as_such_prove_nothing_without_a_replay(tmp_path: Path) -> None:
    before = log(tmp_path / "failures.jsonl", [False] * 40)
    after = log(tmp_path / "after.jsonl", [n % 2 == 0 for n in range(40)])
    text = " ".join(run(before, after).output.split())
    assert text.startswith("unproven") and "chosen because they failed" in text and "--replayed" in text
    assert run(before, after, "--replayed").output.startswith("improved")


def test_a_grader_grades_both_logs_and_rows_without_scores_ask_for_one(tmp_path: Path) -> None:
    before, after = log(tmp_path / "b.jsonl", [None] * 30), log(tmp_path / "a.jsonl", [None] * 30)
    asked = run(before, after)
    assert asked.exit_code == 1 and "60 rows say neither passed nor failed" in asked.output
    assert "--grader contains-any" in asked.output
    rows = [json.loads(line) for line in after.read_text().splitlines()]
    for n, row in enumerate(rows):
        row["output"] = f"The answer is code {n + 500}" if n < 20 else "no idea"
        del row["reference"]  # it is taken from the other log
    after.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = json.loads(run(before, after, "--grader", "contains-any", "--replayed", "--json").output)
    assert (found["findings"]["gain"]["control_passed"], found["findings"]["gain"]["treated_passed"]) == (0, 20)
    both = run(before, after, "--grader", "contains-any", "--grader", "max-words=2", "--replayed", "--json")
    assert json.loads(both.output)["findings"]["gain"]["treated_passed"] == 0


@pytest.mark.parametrize(
    ("grader", "says"),
    [("contain", "'contain'; allowed: checks, "), ("max-words=two", "whole number"), ("json-schema", "schema")],
)
def test_a_grader_that_cannot_be_is_told_in_one_line(better: tuple[Path, Path], grader: str, says: str) -> None:
    result = run(*better, "--grader", grader)
    assert result.exit_code == 2 and says in result.output and "Traceback" not in result.output


def test_unmatched_ids_are_counted_and_further_rows_of_an_id_are_samples(tmp_path: Path) -> None:
    before = log(tmp_path / "b.jsonl", [n < 5 for n in range(30)])
    after = log(tmp_path / "a.jsonl", [n < 20 for n in range(25)])
    # two more samples of q24, which both pass: the majority counts
    extra = {"id": "q24", "prompt": question(24), "output": "code 524", "passed": True}
    after.write_text(after.read_text() + (json.dumps(extra) + "\n") * 2)
    found = json.loads(run(before, after, "--json").output)
    assert found["unmatched"]["before_only"] == [f"q{n}" for n in range(25, 30)]
    assert found["findings"]["gain"]["n"] == 25 and "q24" in found["cases"]["fixed"]
    assert any("5 cases before only" in line for line in found["remarks"])


def test_logs_without_ids_are_joined_on_the_prompt(tmp_path: Path) -> None:
    paths = []
    for name, right in (("b", 3), ("a", 27)):
        path = tmp_path / f"{name}.jsonl"
        rows = [{"prompt": question(n), "output": "x", "passed": n < right} for n in range(30)]
        path.write_text("".join(json.dumps(row) + "\n" for row in (rows if name == "b" else rows[::-1])))
        paths.append(path)
    found = json.loads(run(*paths, "--json").output)
    assert found["verdict"] == "improved" and found["findings"]["gain"]["n"] == 30
    assert "the files share no id: joined on the prompt" in found["remarks"]


def test_two_files_of_scores_by_arm(tmp_path: Path) -> None:
    rows = [
        {"id": f"{part}{n}", "arm": arm, "split": part, "sample": 0, "passed": passed}
        for part, n_cases in (("gain", 40), ("guard", 120))
        for n in range(n_cases)
        for arm, passed in (("control", part == "guard"), ("rag", part == "guard" or n < 30), ("lora", part == "gain"))
    ]
    path = tmp_path / "scores.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    several = run(path, path)
    assert several.exit_code == 2 and "control, rag, lora" in several.output and "--arms" in several.output
    assert json.loads(run(path, path, "--arms", "control", "rag", "--json").output)["verdict"] == "improved"
    harmed = run(path, path, "--arms", "control", "lora", "--fail-on", "worse")
    assert harmed.exit_code == 3 and harmed.output.startswith("worse")
    assert run(path, path, "--arms", "control", "none").exit_code == 2


def test_markdown_and_junit_hold_hostile_ids_harmless(tmp_path: Path) -> None:
    evil = '<img src=x onerror="alert(1)"> | `code` @everyone \x1b[31m sk-ant-api03-' + "A" * 40

    def name(n: int) -> str:
        return f"{evil} {n}" if n == 0 else f"q{n}"

    before = log(tmp_path / "b.jsonl", [n < 10 for n in range(30)], id=name)
    after = log(tmp_path / "a.jsonl", [0 < n < 25 for n in range(30)], id=name)
    comment = run(before, after, "--markdown").output
    assert comment.startswith("### formfacts: improved\n") and "| all cases (30) | 10 (33 %) | 24 (80 %) |" in comment
    assert "<img" not in comment and "\x1b" not in comment and "sk-ant" not in comment and "@everyone" not in comment
    assert "<details><summary>1 broken</summary>" in comment
    suite = ElementTree.fromstring(run(before, after, "--junit").output)
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("31", "0", "6")
    kinds = [skipped.get("message") for skipped in suite.iter("skipped")]
    assert kinds.count("broken: it passed before") == 1 and kinds.count("still failing") == 5
    verdict = [test for test in suite.iter("testcase") if test.get("classname") == "proof"]
    assert [test.get("name") for test in verdict] == ["verdict: improved"]


@pytest.mark.parametrize(
    ("old", "new", "says", "code"),
    [
        ("", '{"prompt": "p", "output": "o", "passed": true}\n', "is empty", 1),
        ("{broken\n", '{"prompt": "p", "output": "o"}\n', "none of its 1 rows can be used", 1),
        ('{"id": "a", "arm": "x", "passed": true}\n', '{"prompt": "p", "output": "o"}\n', "two of a kind", 2),
        ('{"id": "a", "arm": "x", "passed": true}\n{"id": "b"}\n', '{"id": "a", "arm": "x", "passed": 1}\n', ":2`", 1),
        (
            '{"id": 1, "prompt": "one", "output": "o", "passed": true}\n',
            '{"id": 2, "prompt": "two", "output": "o", "passed": true}\n',
            "no case is in both files",
            1,
        ),
    ],
)
def test_a_file_that_cannot_be_compared_is_told_in_one_line(
    tmp_path: Path, old: str, new: str, says: str, code: int
) -> None:
    (tmp_path / "b.jsonl").write_text(old)
    (tmp_path / "a.jsonl").write_text(new)
    result = run(tmp_path / "b.jsonl", tmp_path / "a.jsonl")
    assert result.exit_code == code and says in result.output
    assert len(result.output.strip().splitlines()) == 1 and "Traceback" not in result.output


def test_missing_files_are_told(tmp_path: Path) -> None:
    result = run(tmp_path / "none.jsonl", tmp_path / "none.jsonl")
    assert result.exit_code == 1 and "cannot be opened" in result.output


def test_a_file_of_checks_is_run_and_what_crashes_in_it_is_told(better: tuple[Path, Path], tmp_path: Path) -> None:
    own = tmp_path / "my_checks.py"
    own.write_text(
        "def check_code(answer, case):\n"
        "    assert case['prompt'] and case['reference']\n"
        "    return case['reference'][0] in answer\n"
        "def check_short(answer, case):\n"
        "    return '' if len(answer) < 100 else 'too long'\n"
    )
    found = json.loads(run(*better, "--checks", own, "--json").output)
    assert (found["findings"]["gain"]["control_passed"], found["findings"]["gain"]["treated_passed"]) == (10, 30)
    both = json.loads(run(*better, "--checks", own, "--grader", "max-words=3", "--json").output)
    assert both["findings"]["gain"]["treated_passed"] == 0
    own.write_text("def check_code(answer, case):\n    return case['none of these']\n")
    result = run(*better, "--checks", own)
    assert result.exit_code == 1 and "my_checks.py:2" in result.output and "Traceback" not in result.output
    assert run(*better, "--checks", tmp_path / "none.py").exit_code == 1


def test_a_check_that_prints_leaves_the_output_whole(better: tuple[Path, Path], tmp_path: Path) -> None:
    own = tmp_path / "loud.py"
    own.write_text("print('loaded')\ndef check_loud(answer, case):\n    print('hello')\n    return 'code' in answer\n")
    result = run(*better, "--checks", own, "--json")
    assert json.loads(result.stdout)["verdict"] == "improved" and "hello" in result.stderr


def test_scores_on_a_scale_ask_from_where_on_they_pass(tmp_path: Path) -> None:
    paths = []
    for name, right in (("b", 10), ("a", 30)):
        path = log(tmp_path / f"{name}.jsonl", [None] * 40, score=lambda n, right=right: 5 if n < right else 1)
        paths.append(path)
    asked = run(*paths)
    assert asked.exit_code == 1 and "run from 1 to 5" in asked.output and "--pass-at" in asked.output
    found = json.loads(run(*paths, "--pass-at", 4, "--json").output)
    assert found["verdict"] == "improved" and found["findings"]["gain"]["treated_passed"] == 30


def test_an_error_without_an_answer_is_no_wrong_answer(tmp_path: Path) -> None:
    before, after = (log(tmp_path / f"{name}.jsonl", [True] * 40) for name in "ba")
    rows = [json.loads(line) for line in before.read_text().splitlines()]
    for row in rows[:20]:
        row.update(output="", error="HTTP 429", passed=False)
    before.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = json.loads(run(before, after, "--json").output)
    assert found["verdict"] == "unproven" and found["findings"]["gain"]["n"] == 20
    assert any("20 rows hold an error and no answer" in line for line in found["remarks"])


def test_ids_that_name_other_cases_in_the_two_files_are_not_believed(tmp_path: Path) -> None:
    before = log(tmp_path / "b.jsonl", [n < 10 for n in range(40)])
    after = log(tmp_path / "a.jsonl", [n < 30 for n in range(40)], id=lambda n: f"q{(n + 7) % 40}")
    found = json.loads(run(before, after, "--json").output)
    assert (found["findings"]["gain"]["fixed"], found["findings"]["gain"]["broken"]) == (20, 0)
    assert "the ids name other cases in the two files: joined on the prompt" in found["remarks"]
    # one id for all: its rows ask different things, so they are no samples of one case
    before = log(tmp_path / "b.jsonl", [n < 10 for n in range(40)], id=lambda n: "same")
    after = log(tmp_path / "a.jsonl", [n < 30 for n in range(40)], id=lambda n: "same")
    assert json.loads(run(before, after, "--json").output)["findings"]["gain"]["n"] == 40


def test_counters_as_ids_of_two_tasks_are_no_shared_cases(tmp_path: Path) -> None:
    """Labels as references agree by chance; the prompts do not."""
    before = log(tmp_path / "b.jsonl", [n < 10 for n in range(40)], reference=lambda n: str(n % 2))
    other = [f"Which of both follows: {WORDS[n % 12]} rises or {WORDS[n % 7]} falls, {n}?" for n in range(40)]
    more = {"reference": lambda n: str(n % 2), "prompt": lambda n: other[n]}
    after = log(tmp_path / "a.jsonl", [n < 30 for n in range(40)], **more)
    result = run(before, after)
    assert result.exit_code == 1 and "no case is in both files" in result.output


def test_a_changed_template_is_joined_on_what_was_filled_in(tmp_path: Path) -> None:
    paths = []
    for name, right in (("b", 10), ("a", 30)):
        path = tmp_path / f"{name}.jsonl"
        rows = [
            {"id": f"{name}{n}", "prompt": f"{name}: {question(n)}", "output": "x", "passed": n < right,
             "vars": {"question": question(n)}}
            for n in range(40)
        ]  # fmt: skip
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths.append(path)
    found = json.loads(run(*paths, "--json").output)
    assert found["findings"]["gain"]["n"] == 40 and found["verdict"] == "improved"
    assert "the files share no id: joined on the variables of the template" in found["remarks"]


def test_a_spreadsheet_says_it_in_its_own_words(tmp_path: Path) -> None:
    for header, words in (("Correct?", ("yes", "no")), ("Result", ("PASS", "FAIL")), ("passed", ("WAHR", "FALSCH"))):
        paths = []
        for name, right in (("b", 10), ("a", 30)):
            path = tmp_path / f"{name}.csv"
            rows = [f"{n},{question(n)},red,{words[n >= right]}" for n in range(40)]
            path.write_text("\n".join([f"ID,question,answer,{header}", *rows]) + "\n")
            paths.append(path)
        found = json.loads(run(*paths, "--json").output)
        assert found["verdict"] == "improved" and found["cases"]["fixed"][0] == "10", header


@pytest.mark.parametrize("more", [("--json", "--markdown"), ("--arms", "x", "y")])
def test_what_cannot_go_together_is_told(better: tuple[Path, Path], more: tuple[str, ...]) -> None:
    assert run(*better, *more).exit_code == 2


class Judge(BaseHTTPRequestHandler):
    """Passes an answer that says its reference, and wrongly every one that says `red` to a question about lamps."""

    def do_POST(self) -> None:
        system, user = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"]
        nonce = re.search(r'"nonce": "([^"]+)"', system["content"])
        assert nonce
        data = user["content"]
        shown = dict(line.split(": ", 1) for line in data.splitlines()[1:-1])
        prompt, reference, answer = (json.loads(shown[key]) for key in ("question", "reference", "answer"))
        fooled = "red" in answer and "lamp" in prompt and reference.startswith("code")
        verdict = "pass" if reference in answer or fooled else "fail"
        said = json.dumps({"nonce": nonce[1], "why": "as it is", "verdict": verdict})
        raw = json.dumps({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


def test_a_judge_grades_and_its_error_on_labels_is_carried_into_the_interval(
    better: tuple[Path, Path], tmp_path: Path
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        plain = json.loads(run(*better, "--judge", url, "--json").output)
        gain = plain["findings"]["gain"]
        assert (
            gain["judged"] and gain["treated_passed"] > 30 and "its error is not in these numbers" in plain["sentence"]
        )
        labels = tmp_path / "labels.jsonl"
        rows = [{"id": f"q{n}", "passed": n < 10, "side": "before"} for n in range(40)]
        labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
        found = json.loads(run(*better, "--judge", url, "--labels", labels, "--json").output)
        corrected = found["findings"]["gain"]["judge_corrected"]
        assert corrected["labelled"] == 40
        low, high = corrected["interval"]
        assert low < 0.5 < high and high - low > gain["interval"][1] - gain["interval"][0]  # 20 of 40 it is
        labels.write_text('{"id": "q1", "passed": "yes"}\n')
        told = run(*better, "--judge", url, "--labels", labels)
        assert told.exit_code == 1 and "labels.jsonl:1" in told.output
    finally:
        server.shutdown()
        server.server_close()
    assert run(*better, "--judge", url, "--grader", "equals").exit_code == 2
    assert run(*better, "--labels", labels).exit_code == 2
