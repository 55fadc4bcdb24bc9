"""Constrained decoding on a model of random weights, which writes nothing of the kind by itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llguidance")

from finetune.answer import answerer
from finetune.base import load
from finetune.constrain import holding, refused
from finetune.errors import FinetuneError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

WORDS = "red", "a much longer question about green", "blue", "white or black"
QUESTIONS = [[{"role": "user", "content": word}] for word in WORDS]
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "kind": {"enum": ["a", "bb"]}},
    "required": ["ok", "kind"],
    "additionalProperties": False,
}


def test_every_row_of_a_batch_keeps_the_pattern_and_ends_where_it_ends(pico: Path) -> None:
    base, pattern = load(pico), r"\[[A-Z]{2,5}\] (?:yes|no) / [0-9]{3}"
    free = answerer(base, max_new_tokens=40, batch=3)(QUESTIONS)
    held = answerer(base, max_new_tokens=40, batch=3, constraint={"regex": pattern})(QUESTIONS)
    assert not any(re.fullmatch(pattern, text) for text in free)
    assert all(re.fullmatch(pattern, text) for text in held), held


def test_a_schema_gives_json_of_that_shape_as_json_dumps_writes_it(pico: Path) -> None:
    answers = answerer(load(pico), max_new_tokens=60, constraint={"json_schema": SCHEMA})(QUESTIONS)
    for text in answers:
        found = json.loads(text)
        assert set(found) == {"ok", "kind"} and isinstance(found["ok"], bool) and found["kind"] in ("a", "bb")
        assert json.dumps(found) == text


def test_what_cannot_be_held_to_is_told_in_one_line_before_anything_is_asked(pico: Path) -> None:
    assert refused({"regex": "[a-c]+"}) == "" == refused({"json_schema": SCHEMA})
    for wrong in ({"regex": "a(?=b)"}, {"regex": "("}, {"json_schema": {"type": "thing"}}, {"sql": "x"}, {}):
        told = refused(wrong)
        assert told and "\n" not in told and len(told) <= 160
    with pytest.raises(FinetuneError, match="look-around"):
        holding(load(pico), {"regex": "a(?=b)"})


@pytest.mark.parametrize(
    "constraint", [{"regex": "((((a{100}){100}){100}){100})"}, {"json_schema": {"$ref": "#"}}, {"regex": "x{1000000}"}]
)
def test_a_constraint_that_cannot_be_followed_ends_the_answer(pico: Path, constraint: dict[str, Any]) -> None:
    answers = answerer(load(pico), max_new_tokens=10, constraint=constraint)(QUESTIONS[:2])
    assert all(len(text) <= 10 for text in answers)
