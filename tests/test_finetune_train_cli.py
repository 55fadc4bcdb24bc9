"""The command `finetune train` as a user types it: the gate, the progress, forecast beside outcome, a second call."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("peft")

from finetune.cli import finetune

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

WORDS = "red blue green black white pink grey gold".split()
QUICK = ["--rank", "4", "--epochs", "6", "--batch", "4", "--learning-rate", "5e-3", "--replay", "2"]


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """Eight rows, one of them twice."""
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"Is {word} one?", "completion": "YES", "id": word} for word in [*WORDS, "red"]]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def call(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    found = CliRunner().invoke(finetune, ["train", *words])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.stdout, found.stderr


def test_a_run_from_the_command_line(pico: Path, examples: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    code, told, said = call(str(examples), "--base", str(pico), "--out", str(out), *QUICK)
    assert code == 0, said
    assert "1 exact duplicates are trained on once: red" in said and "checks passed" in said
    assert "step 1 of 12: loss" in said and "trained tokens/s, peak" in said and "s left" in said
    assert "8 examples, 12 steps (epochs)" in told and "padding-free" in told
    assert "after 10 steps:" in told and "outcome" in told
    assert f"vllm serve {pico} --enable-lora" in told
    code, again, said = call(str(examples), "--base", str(pico), "--out", str(out), *QUICK, "--json")
    assert code == 0 and json.loads(again)["n_examples"] == 8 and "step" not in said, "a finished run is read"
    code, _, said = call(str(examples), "--base", str(pico), "--out", str(out), *QUICK, "--seed", "1")
    assert code == 1 and "another recipe" in said


def test_the_gate_stands_before_it(pico: Path, examples: Path, tmp_path: Path) -> None:
    with examples.open("a") as file:
        file.write(json.dumps({"prompt": "x" * 300, "completion": "YES", "id": "long"}) + "\n")
    words = [str(examples), "--base", str(pico), "--out", str(tmp_path / "adapter"), *QUICK, "--max-tokens", "128"]
    code, told, said = call(*words)
    assert code == 3 and not told and "long" in said and "--truncate" in said and "may not begin" in said
    assert not (tmp_path / "adapter").exists()
    code, told, said = call(*words, "--truncate")
    assert code == 0 and "9 examples" in told


def test_what_is_learned_sets_rank_targets_and_rate(pico: Path, examples: Path, tmp_path: Path) -> None:
    words = ["--kind", "tone", "--epochs", "1", "--replay", "0", "--json", "--no-check"]
    code, told, _ = call(str(examples), "--base", str(pico), "--out", str(tmp_path / "a"), *words)
    recipe = json.loads(told)["recipe"]
    assert code == 0 and recipe["rank"] == 8 and recipe["targets"] == "q_proj,v_proj" and recipe["alpha"] == 32
    assert recipe["learning_rate"] == 5e-4, "a narrow base: the upper bound of the formula"
    code, _, said = call(str(examples), "--base", str(pico), "--targets", "nowhere", "--out", str(tmp_path / "b"))
    assert code == 2 and "nowhere" in said and "q_proj" in said


def test_the_ladder_prints_its_rungs(pico: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"Is {a}{b} one?", "completion": "YES"} for a in "bdfgklmn" for b in "aeio"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--rank", "4", "--epochs", "2", "--batch", "4", "--learning-rate", "1e-4", "--replay", "0", "--ladder"]
    code, told, said = call(str(file), "--base", str(pico), "--out", str(tmp_path / "adapter"), *words)
    assert code == 0, said
    assert [line.split()[0] for line in told.splitlines()[:3]] == ["rung", "untouched", "start"]
    assert "taken back" in told and "too little is learned" in said
