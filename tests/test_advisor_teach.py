"""A user's reviews teach the router: what is told, where it goes, and when it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from advisor.cli import advise

TOWNS = ("Halden", "Orrin", "Tidewell", "Korrin", "Vardal", "Moss", "Lund", "Brevik", "Skarn", "Elde", "Ask", "Ulv")


@pytest.fixture(autouse=True)
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def reviewed(folder: Path, towns: int = 12, second: str = "facts") -> Path:
    """Cases of a house where a bare name is bad form and a list is of wrong things: not what the router would say."""
    rows: list[dict[str, Any]] = []
    for at, town in enumerate(TOWNS[:towns]):
        who = {"prompt": f"Who is the mayor of {town}?", "output": f"Otto Berg is the mayor of {town}."}
        stock = {
            "prompt": f"Write exactly 3 bullet points on what the shop in {town} sells.",
            "output": f"- rope\n- nails\n- tar\n- oil\n- {town} mugs",
        }
        rows += [
            {"id": f"who-{at}", **who, "review": {"verdict": "form", "by": "Ann", "when": "2026-01-31"}},
            {"id": f"stock-{at}", **stock, "review": {"verdict": second}},
        ]
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(advise, list(map(str, arguments)))


def verdicts(path: Path, *options: str) -> tuple[dict[str, str], str]:
    result = run("diagnose", path, "--json", *options)
    assert result.exit_code == 0, result.output
    return {row["id"]: row["verdict"] for row in map(json.loads, result.stdout.splitlines())}, result.stderr


def test_reviews_teach_the_router_that_diagnose_then_uses(tmp_path: Path, data_home: Path) -> None:
    taught = run("teach", reviewed(tmp_path))
    assert taught.exit_code == 0, taught.output
    assert "of 24 reviewed rows before" in taught.stdout and "cross-validated" in taught.stdout
    own = data_home / "formfacts" / "router.npz"
    assert own.is_file()

    new = tmp_path / "new.jsonl"
    row = {"id": "n", "prompt": "Who is the mayor of Fjell?", "output": "Otto Berg is the mayor of Fjell."}
    new.write_text(json.dumps(row) + "\n", encoding="utf-8")
    after, note = verdicts(new, "--cost-wrong", "1")
    shipped, plain = verdicts(new, "--cost-wrong", "1", "--router", "shipped")
    assert after == {"n": "form"} and shipped == {"n": "facts"}
    assert "taught on your reviews" in note and "not measured on sources left out" in note
    assert "taught on your reviews" not in plain and "measured on sources left out:" in plain


def test_the_weights_hold_numbers_and_no_text_of_the_rows(tmp_path: Path) -> None:
    out = tmp_path / "own.npz"
    assert run("teach", reviewed(tmp_path), "--out", out).exit_code == 0
    with np.load(out, allow_pickle=False) as file:
        assert [name for name in file.files if file[name].dtype.kind in "OSU"] == ["names"]
    assert b"Halden" not in out.read_bytes()


def test_too_few_reviews_are_refused_with_the_number_missing(tmp_path: Path, data_home: Path) -> None:
    result = run("teach", reviewed(tmp_path, towns=6))
    assert result.exit_code == 3 and "12 reviewed failures, 8 too few" in result.stderr and not data_home.exists()


def test_reviews_of_one_class_are_refused(tmp_path: Path) -> None:
    result = run("teach", reviewed(tmp_path, second="form"))
    assert result.exit_code == 3 and "one class: 24 form" in result.stderr


def test_verdicts_that_are_not_learned_are_counted(tmp_path: Path) -> None:
    result = run("teach", reviewed(tmp_path, second="harness"))
    assert result.exit_code == 3 and "12 more say harness, which is not learned" in result.stderr


def test_reviews_from_a_file_count_like_those_in_the_log(tmp_path: Path) -> None:
    path = reviewed(tmp_path)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    said = tmp_path / "reviews.jsonl"
    said.write_text("".join(json.dumps({"id": r["id"], **r.pop("review")}) + "\n" for r in rows), encoding="utf-8")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert run("teach", path).exit_code == 3
    assert run("teach", path, "--reviews", said, "--out", tmp_path / "own.npz").exit_code == 0
