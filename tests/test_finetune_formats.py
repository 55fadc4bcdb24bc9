"""Example files: every common shape is read alike, a wrong row is named with its line, nothing is dropped unseen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from finetune.errors import FinetuneError
from finetune.examples import Example
from finetune.formats import FORMATS, distinct, read_examples

ASKED = [{"role": "user", "content": "Is red one?"}]
HOUSE = [{"role": "system", "content": "Say it in caps."}, *ASKED]
TURN = {"role": "assistant", "content": "YES"}
CALL = {"type": "function", "function": {"name": "hue", "arguments": '{"of": "red"}'}}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(*rows: Any) -> Path:
        path = tmp_path / "rows.jsonl"
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"messages": [*HOUSE, TURN]}, HOUSE),
        ({"messages": HOUSE, "completion": "YES"}, HOUSE),
        ({"messages": [{"role": "developer", "content": "Say it in caps."}, *ASKED, TURN]}, HOUSE),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Is red one?"}]}, TURN]}, ASKED),
        ({"prompt": "Is red one?", "completion": "YES"}, ASKED),
        ({"prompt": "Is red one?", "response": "YES", "system": "Say it in caps."}, HOUSE),
        ({"prompt": HOUSE, "completion": [TURN]}, HOUSE),
        ({"instruction": "Is red one?", "input": "", "output": "YES"}, ASKED),
        (
            {"instruction": "Is it one?", "input": "red", "output": "YES"},
            [{"role": "user", "content": "Is it one?\n\nred"}],
        ),
        (
            {"instruction": "Is red one?", "output": "YES", "system": "Say it in caps.", "history": [["Hi?", "HI"]]},
            [
                HOUSE[0],
                {"role": "user", "content": "Hi?"},
                {"role": "assistant", "content": "HI"},
                *ASKED,
            ],
        ),
        (
            {
                "conversations": [{"from": "human", "value": "Is red one?"}, {"from": "gpt", "value": "YES"}],
                "system": "Say it in caps.",
            },
            HOUSE,
        ),
        ({"text": "YES"}, []),
        ({"text": None, "messages": None, "prompt": "Is red one?", "completion": "YES"}, ASKED),
    ],
)
def test_every_format_says_what_is_asked_and_what_should_come(
    row: dict[str, Any], messages: list[dict[str, str]], written: Callable[..., Path]
) -> None:
    assert read_examples(written(row)) == [Example(messages, "YES", "rows.jsonl:1")]


def test_earlier_turns_stay_prompt_and_weights_are_kept(written: Callable[..., Path]) -> None:
    first, second = {"role": "assistant", "content": "NO"}, {"role": "user", "content": "And blue?"}
    talk = [*ASKED, first, second, TURN]
    plain, chosen, both = read_examples(
        written(
            {"messages": talk, "id": "plain"},
            {"messages": [*ASKED, first, second, {**TURN, "weight": 0}], "id": "chosen"},
            {"messages": [*ASKED, {**first, "weight": 1}, second, {**TURN, "weight": 1}], "id": "both"},
        )
    )[:3]
    assert (plain.messages, plain.completion) == (talk[:3], "YES")
    assert (chosen.messages, chosen.completion) == (ASKED, "NO")
    assert both.id == "both#1" and (both.messages, both.completion) == (ASKED, "NO")
    with pytest.raises(FinetuneError, match=r"rows.jsonl:1: .*weight 0: nothing is left"):
        read_examples(written({"messages": [*ASKED, {**TURN, "weight": 0}]}))


def test_tools_and_calls_are_written_out_as_they_are_served(written: Callable[..., Path]) -> None:
    answered = {"role": "tool", "content": "warm", "tool_call_id": "1"}
    calling = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    tools = [{"type": "function", "function": {"name": "hue", "parameters": {}}}]
    call, answer = read_examples(
        written(
            {"messages": [*HOUSE, calling], "tools": tools},
            {"messages": [*HOUSE, calling, answered, answered, TURN], "tools": tools},
        )
    )
    assert call.completion == '<tool_call>\n{"name": "hue", "arguments": {"of": "red"}}\n</tool_call>'
    head = call.messages[0]["content"]
    assert head.startswith("Say it in caps.\n\n# Tools") and json.dumps(tools[0]) in head and "{{" not in head
    assert answer.completion == "YES" and [m["role"] for m in answer.messages] == "system user assistant user".split()
    assert answer.messages[-1]["content"].count("<tool_response>\nwarm\n</tool_response>") == 2


def test_one_json_array_is_read_and_its_wrong_item_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    good = {"prompt": "Is red one?", "completion": "YES"}
    path.write_text(json.dumps([good, {**good, "id": 7}], indent=1), encoding="utf-8")
    assert [example.id for example in read_examples(path)] == ["rows.json:2", "7"]
    path.write_text(json.dumps([good, {"prompt": "x"}], indent=1), encoding="utf-8")
    with pytest.raises(FinetuneError, match=r"rows.json:6: not an example \(its keys are prompt\)"):
        read_examples(path)
    path.write_text('[{"text": "a"},\n {"text": "b"', encoding="utf-8")
    with pytest.raises(FinetuneError, match=r"rows.json:2: not an example \(not JSON"):
        read_examples(path)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{broken", "not JSON"),
        ('["a"]', "a list, not an object"),
        ({"text": 3.5, "prompt": 1}, ""),
        ({"question": "x"}, "its keys are question"),
        ({"prompt": "x", "completion": None}, "`completion` is missing, not text"),
        ({"prompt": "x", "completion": {"a": 1}}, "`completion` is an object, not text"),
        ({"messages": ASKED}, "no assistant's turn"),
        ({"messages": [TURN]}, "the assistant speaks first"),
        ({"messages": "hello"}, "`messages` is text, not a list of turns"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "turn 1 is of role 'wizard'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, TURN]}, "a part that is not text"),
        ({"messages": [*ASKED, {**TURN, "weight": 0.5}]}, "neither 0 nor 1"),
        ({"messages": [*ASKED, {"role": "assistant", "tool_calls": [{}]}]}, "calls a tool without a name"),
        ({"messages": [*ASKED, TURN], "tools": "{"}, "`tools` is text that is not JSON"),
        ({"instruction": "x", "output": "y", "history": ["a"]}, "`history`"),
        ({"prompt": "x", "completion": [TURN, TURN]}, "not one assistant's turn"),
    ],
)
def test_a_wrong_row_is_one_line_with_file_and_line(row: Any, says: str, written: Callable[..., Path]) -> None:
    path = written({"text": "fine"}, row)
    if not says:
        assert read_examples(path)[1].completion == "3.5", "a bare number is a text"
        return
    with pytest.raises(FinetuneError) as caught:
        read_examples(path)
    told = caught.value.format_message()
    assert "rows.jsonl:2: not an example" in told or says == "a list, not an object"
    assert says in told and "\n" not in told and "allowed: " in told


def test_a_file_without_examples_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n\n")
    (tmp_path / "rows.parquet").write_bytes(b"PAR1\xff\xfe")
    for name, says in (("no.jsonl", "no such file"), ("empty.jsonl", "no examples"), ("rows.parquet", "JSON lines")):
        with pytest.raises(FinetuneError, match=says):
            read_examples(tmp_path / name)


def test_a_format_that_is_named_overrides_what_the_keys_say(written: Callable[..., Path]) -> None:
    path = written({"prompt": "Is red one?", "completion": "YES", "text": "Plain.", "origin": "correction"})
    assert read_examples(path)[0].completion == "YES"
    assert read_examples(path)[0].origin == "correction"
    assert read_examples(path, "text")[0] == Example([], "Plain.", "rows.jsonl:1", origin="correction")
    with pytest.raises(FinetuneError, match="`messages` is missing"):
        read_examples(path, "messages")
    with pytest.raises(FinetuneError, match=r"--format: csv; allowed: .*sharegpt") as caught:
        read_examples(path, "csv")
    assert caught.value.exit_code == 2 and all(row.source for row in FORMATS.values())


def test_exact_copies_are_taken_out_and_named(written: Callable[..., Path]) -> None:
    row = {"prompt": "Is red one?", "completion": "YES"}
    path = written({**row, "id": "a"}, {**row, "prompt": "Is  red\none?", "id": "b"}, {**row, "completion": "NO"})
    kept, dropped = distinct(read_examples(path))
    assert [example.id for example in kept] == ["a", "rows.jsonl:3"]
    assert [(copy.id, copy.reason) for copy in dropped] == [("b", "the same as a")]
