"""Logs of every shape in, failures out; nothing that a log can hold ends in a traceback."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import AdvisorError, AnswerIsNo, UnreadableLog, WrongUsage
from advisor.evidence.harness import LIKELY, harness
from advisor.read import MAX_LINE_BYTES, Log, read

SHARED = Path(os.environ.get("FORMFACTS_SHARED", Path(__file__).parents[2] / "shared"))


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def one(path: Path, row: dict[str, Any]) -> Any:
    log = read([lines(path, row)])
    return (log.failures + log.passed)[0]


def test_every_field_of_our_own_format(tmp_path: Path) -> None:
    row = {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of Peru?"}],
        "output": "Quito",
        "reference": ["Lima"],
        "context": "Lima is the capital of Peru.",
        "feedback": "wrong city",
        "scores": {"exact": 0},
        "finish_reason": "stop",
        "checks": [{"type": "contains", "value": "Lima"}],
        "metadata": {"id": "peru", "team": "geo"},
        "trace": {"kept": 1},
    }
    failure = one(tmp_path / "a.jsonl", row)
    assert (failure.id, failure.asked, failure.output) == ("peru", "Capital of Peru?", "Quito")
    assert failure.prompt == "Be brief.\n\nCapital of Peru?"
    assert failure.reference == ("Lima",) and failure.context == ("Lima is the capital of Peru.",)
    assert failure.checks == ({"type": "contains", "value": "Lima"},) and failure.feedback == "wrong city"
    assert failure.metadata == {"id": "peru", "team": "geo", "trace": {"kept": 1}}
    assert not failure.passed and failure.line == 1 and failure.file.endswith("a.jsonl")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Q", "output": "A", "expected": "R", "contexts": ["C"]},
        {"input": "Q", "actualOutput": "A", "expectedOutput": "R", "retrievalContext": ["C"]},
        {"user_input": "Q", "response": "A", "reference": "R", "retrieved_contexts": ["C"]},
        {"query": "Q", "response": "A", "gt_answer": "R", "retrieved_context": [{"text": "C"}]},
        {"question": "Q", "answer": "A", "ground_truth": "R", "passages": "C"},
        {"prompt": [{"role": "user", "content": "Q"}], "completion": "A", "ideal": "R", "context": "C"},
        {
            "messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}],
            "gold": "R",
            "context": "C",
        },
    ],
)
def test_columns_are_guessed(tmp_path: Path, row: dict[str, Any]) -> None:
    failure = one(tmp_path / "a.jsonl", row)
    assert (failure.asked, failure.output, failure.reference, failure.context) == ("Q", "A", ("R",), ("C",))


@pytest.mark.parametrize(
    ("scores", "passed"),
    [
        ({"scores": {"passed": 1}}, True),
        ({"scores": {"exact": 1, "f1": 1.0}}, True),
        ({"scores": {"exact": True, "f1": 0}}, False),
        ({"pass": True, "score": 0.4}, True),
        ({"success": False, "score": 1}, False),
        ({"score": float("nan")}, False),
        ({"score": 0.7}, False),
        ({"scores": {"faithful": {"score": 0.7, "threshold": 0.5}}}, True),
        ({"correct": "true"}, True),
        ({}, False),
    ],
)
def test_scores_say_what_passed(tmp_path: Path, scores: dict[str, Any], passed: bool) -> None:
    log = read([lines(tmp_path / "a.jsonl", {"prompt": "Q", "output": "A", **scores})])
    assert (len(log.passed), len(log.failures)) == ((1, 0) if passed else (0, 1))


def test_ids_are_made_and_kept_apart(tmp_path: Path) -> None:
    row = {"prompt": "Q", "output": "A"}
    log = read(
        [lines(tmp_path / "a.jsonl", {**row, "id": "x"}, {**row, "id": "x"}, row, {**row, "metadata": {"id": 7}})]
    )
    assert [failure.id for failure in log.failures] == ["x", "x#2", "a.jsonl:3", "7"]
    assert log.duplicate_ids == 1 and "1 rows repeat" in log.notes[0]


def test_csv_with_spreadsheet_habits(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    text = "Question;Answer;Expected;Contexts;Score\r\n\"two\nlines\";A;R;\"['c one', 'c two']\";0\r\nQ2;B;S;;1\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    log = read([path])
    assert log.failures[0].asked == "two\nlines" and log.failures[0].context == ("c one", "c two")
    assert log.passed[0].output == "B" and log.passed[0].line == 4


def test_array_envelope_gzip_and_utf16(tmp_path: Path) -> None:
    rows = [{"prompt": "Q1", "output": "A"}, {"prompt": "Q2", "output": "B"}]
    (tmp_path / "array.json").write_text(json.dumps(rows, indent=1))
    (tmp_path / "results.json").write_text(json.dumps({"results": {"results": rows}}))
    (tmp_path / "zipped.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    (tmp_path / "powershell.jsonl").write_bytes("\r\n".join(map(json.dumps, rows)).encode("utf-16"))
    log = read(sorted(tmp_path.iterdir()))
    assert [failure.asked for failure in log.failures] == ["Q1", "Q2"] * 4
    assert {f.line for f in log.failures if f.file.endswith("array.json")} == {2, 6}


def test_array_that_breaks_off_keeps_what_stands_before(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_text('[{"prompt": "Q", "output": "A"},\n {"prompt": "Q2", "out')
    log = read([path])
    assert len(log.failures) == 1 and log.rejected[0].line == 2 and "breaks off" in log.rejected[0].reason


def test_bad_rows_are_named_by_line_and_reason_and_never_echoed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = b'{"prompt": "Q", "output": "A"}\n'
    path.write_bytes(
        good
        + b"\n"
        + b'{"prompt": "SECRET\n'
        + b'{"prompt": "SECRET", "output": "a", "output": "b"}\n'
        + b"[1, 2]\n"
        + b'{"prompt": "SECRET \xff", "output": "A"}\n'
        + b'{"prompt": "SECRET"}\n'
        + b'{"output": "SECRET"}\n'
        + b'{"prompt": "SECRET", "output": '
        + b"[" * 3000
        + b"]" * 3000
        + b"}\n"
        + b'{"prompt": "SECRET'
        + b"x" * MAX_LINE_BYTES
        + b'", "output": "A"}\n'
        + good
    )
    log = read([path])
    assert [failure.line for failure in log.failures] == [1, 11]
    assert [bad.line for bad in log.rejected] == [3, 4, 5, 6, 7, 8, 9, 10]
    reasons = [bad.reason for bad in log.rejected]
    wanted = ["not JSON", "twice", "a list", "not UTF-8 (byte", "no output", "no prompt", "deep", "longer than"]
    assert all(part in reason for part, reason in zip(wanted, reasons, strict=True))
    assert not any("SECRET" in reason for reason in reasons)
    assert len(log.notes) == 1 and "8 of 10 rows were rejected" in log.notes[0]


def test_text_that_cannot_be_written_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(r'{"prompt": "lone \ud83d", "output": {"a": "\ud83d\ude00"}}{"prompt": "second", "output": "A"}')
    log = read([path])
    assert [f.asked for f in log.failures] == ["lone \ufffd", "second"]
    assert log.failures[0].output == '{"a": "😀"}'
    json.dumps(log.failures[0].metadata).encode()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.jsonl", b"", "is empty"),
        ("blank.jsonl", b"\n\n\n", "holds no rows"),
        ("other.jsonl", b'{"foo": 1}\n', "user_input"),
        ("cut.jsonl.gz", gzip.compress(b'{"prompt": 1}' * 99)[:30], "gzip"),
        ("log.parquet", b"PAR1\x15\x00\x15\xff", "not UTF-8"),
        ("number.json", b"3", "a bare number"),
    ],
)
def test_unusable_file_is_one_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableLog) as caught:
        read([path])
    assert says in caught.value.message and "\n" not in caught.value.message and name in caught.value.message
    assert caught.value.exit_code == 1


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UnreadableLog, match="cannot be opened"):
        read([tmp_path / "none.jsonl"])
    with pytest.raises(UnreadableLog, match="is a folder"):
        read([tmp_path])


def test_error_tree() -> None:
    error = WrongUsage("--gpu", "H9000", "H100, A100", "see memcalc --list")
    assert error.message == "`--gpu`: H9000; allowed: H100, A100; fix: see memcalc --list"
    assert (AdvisorError.exit_code, error.exit_code, AnswerIsNo.exit_code) == (1, 2, 3)


@pytest.mark.skipif(not (SHARED / "data" / "logs").is_dir(), reason="no shared folder with real logs")
def test_real_and_hostile_logs_never_end_in_a_traceback() -> None:
    read_logs: dict[str, Log] = {}
    for path in sorted((SHARED / "data" / "logs").glob("*/*")):
        try:
            read_logs[path.name] = read([path])
        except AdvisorError as error:
            assert "\n" not in error.message
    assert len(read_logs["malformed.jsonl"].failures) == 9
    assert [bad.line for bad in read_logs["malformed.jsonl"].rejected] == [3, 6, 7, 8, 9, 10, 15, 17]
    assert len(read_logs["nicheIQ_results.json"].failures) == 30


def test_a_broken_row_of_lm_eval_is_rejected_with_a_reason(tmp_path: Path) -> None:
    good = {"doc_id": 1, "target": "4", "arguments": [["2+2?", {}]], "resps": [["5"]], "exact_match": 0}
    broken = [
        {**good, "resps": []},
        {**good, "resps": [[["x", "y"]]]},
        {**good, "resps": [[[None, False]], [[-1.0, True]]]},
        {**good, "arguments": []},
    ]
    path = tmp_path / "samples.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in [good, *broken]), encoding="utf-8")
    log = read([path])
    assert [one.line for one in log.failures] == [1]
    assert [row.line for row in log.rejected] == [2, 3, 4, 5]
    assert "log likelihood" in log.rejected[1].reason and "no prompt" in log.rejected[3].reason


def test_samples_of_lm_eval_are_read_as_they_are(tmp_path: Path) -> None:
    written = {
        "doc_id": 3,
        "doc": {"q": "2+2"},
        "target": "4",
        "arguments": {"gen_args_0": {"arg_0": ['[{"role": "user", "content": "2+2?"}]'], "arg_1": {"until": ["\\n"]}}},
        "resps": [["It is four."]],
        "filtered_resps": ["[invalid]"],
        "filter": "strict-match",
        "metrics": ["exact_match"],
        "exact_match": 0.0,
    }
    old = {
        "doc_id": 4,
        "target": "b",
        "arguments": [["Pick: a or b?", {"until": []}]],
        "resps": [["b"]],
        "exact_match": 1,
    }
    choice = {
        "doc_id": 5,
        "target": 0,
        "arguments": [["The sky is", " blue"], ["The sky is", " red"]],
        "resps": [[[-3.2, False]], [[-1.1, True]]],
        "acc": 0.0,
        "metrics": ["acc"],
    }
    path = tmp_path / "samples_task.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in (written, old, choice)), encoding="utf-8")
    log = read([path])
    assert [one.id for one in log.failures] == ["3-strict-match", "5"]
    assert [one.id for one in log.passed] == ["4"]
    asked, picked = log.failures
    assert asked.prompt == "2+2?" and asked.output == "It is four." and asked.reference == ("4",)
    assert asked.metadata["extracted"] == "[invalid]"
    assert picked.prompt == "The sky is" and picked.output.strip() == "red" and picked.reference[0].strip() == "blue"


def sample(doc: int, filter: str | None, passed: float, **rest: Any) -> dict[str, Any]:
    """A row as lm-eval logs it for one document and one filter."""
    row = {
        "doc_id": doc,
        "target": f"{doc}",
        "arguments": {"gen_args_0": {"arg_0": f"What is {doc}?", "arg_1": {"until": []}}},
        "resps": [[f"It is {doc}, I think."]],
        "filtered_resps": [str(doc) if passed else "[invalid]"],
        "metrics": ["exact_match"],
        "exact_match": passed,
    }
    return row | ({"filter": filter} if filter else {}) | rest


def test_the_filters_of_a_document_are_one_case(tmp_path: Path) -> None:
    strict = [sample(doc, "strict-match", passed) for doc, passed in enumerate((0.0, 0.0, 1.0, 1.0))]
    flexible = [sample(doc, "flexible-extract", passed) for doc, passed in enumerate((1.0, 0.0, 0.0, 1.0))]
    log = read([lines(tmp_path / "samples_sums.jsonl", *strict, *flexible)])
    assert [one.id for one in log.failures] == ["0", "1", "2"] and [one.id for one in log.passed] == ["3"]
    assert [one.line for one in log.failures] == [1, 2, 3] and not log.notes
    assert log.failures[0].scores == {"exact_match,strict-match": 0.0, "exact_match,flexible-extract": 1.0}
    assert [e.weight for e in harness(log.failures[0]) if e.cause == "form"] == [LIKELY]
    mixed = sorted([*strict, *flexible], key=lambda row: row["doc_id"])
    assert [one.scores for one in read([lines(tmp_path / "mixed.jsonl", *mixed)]).failures] == [
        one.scores for one in log.failures
    ]


def test_only_filters_of_the_same_answer_are_joined(tmp_path: Path) -> None:
    def ids(*rows: Any) -> list[str]:
        log = read([lines(tmp_path / "samples.jsonl", *rows)])
        return [one.id for one in log.failures] + [f"passed {one.id}" for one in log.passed]

    strict, flexible = sample(7, "strict-match", 0.0), sample(7, "flexible-extract", 1.0)
    assert ids(strict) == ["7-strict-match"]
    assert ids(sample(7, "none", 0.0), sample(8, None, 0.0)) == ["7", "8"]
    assert ids(strict, {**flexible, "resps": [["Seven."]]}) == ["7-strict-match", "passed 7-flexible-extract"]
    assert ids(strict, {**flexible, "target": "8"}) == ["7-strict-match", "passed 7-flexible-extract"]
    assert ids(strict, flexible, strict, flexible) == ["7", "7#2"]  # a second run appended to the file
    assert ids("broken", strict, [1], flexible, {"prompt": "Q", "output": "A", "id": "own"}) == ["7", "own"]
    three = [sample(7, name, float(name == "b"), metrics=["acc", "f1"], acc=0.0, f1=0.5) for name in "abc"]
    for row in three:
        del row["exact_match"]
    log = read([lines(tmp_path / "samples.jsonl", *three)])
    assert list(log.failures[0].scores) == [f"{metric},{name}" for name in "abc" for metric in ("acc", "f1")]


def test_filters_in_a_zipped_log_are_joined_and_broken_rows_named_once(tmp_path: Path) -> None:
    rows = [sample(1, "strict-match", 0.0), {"doc_id": 2, "filter": "strict-match"}, sample(1, "flexible-extract", 1.0)]
    path = tmp_path / "samples.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join([*map(json.dumps, rows), "{broken"]).encode()))
    log = read([path])
    assert [one.id for one in log.failures] == ["1"] and [bad.line for bad in log.rejected] == [2, 4]


def test_a_number_of_five_thousand_digits_rejects_its_row_only(tmp_path: Path) -> None:
    path, good, n = tmp_path / "a.jsonl", '{"prompt": "a", "output": "b"', "9" * 5000
    path.write_text(f'{good}}}\n{good}, "metadata": {{"n": {n}}}}}\n')
    log = read([path])
    assert len(log.failures) == 1 and "digits" in log.rejected[0].reason


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableLog, match="pipe"):
        read([tmp_path / "pipe"])


def test_an_open_quote_in_a_csv_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('prompt,output\nq1,a1\nq2,"never closed\nq3,a3\n')
    log = read([path])
    assert len(log.failures) == 1 and "not CSV" in log.rejected[0].reason


def test_a_log_opens_no_database_outside_its_folder(tmp_path):
    import json

    from advisor.read import read

    (tmp_path / "logs").mkdir()
    inside, outside = str(tmp_path / "logs" / "shop.db"), str(tmp_path / "secret.db")
    rows = []
    for name in (inside, outside, str(tmp_path / "logs" / ".." / "secret.db")):
        check = {"type": "sql-result", "value": {"query": "SELECT 1", "database": name}}
        rows.append({"prompt": "p", "output": "SELECT 1", "checks": [{"type": "not", "value": check}]})
    log = tmp_path / "logs" / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read([log])
    assert len(found.failures) == 1
    assert [row.reason for row in found.rejected] == ["a check names a database outside the folder of the log"] * 2
