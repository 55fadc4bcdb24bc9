"""Estimates for files of measured runs, and how near they come to the development rows where these are there."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from memory_calc.calibrate import covered, hull, weighted_quantile, widening
from memory_calc.cli import memcalc

SHARED = Path(os.environ.get("FORMFACTS_SHARED", Path(__file__).parents[2] / "shared"))

ROW: dict[str, Any] = {
    "model": {
        "model_type": "llama", "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
        "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 32000, "tie_word_embeddings": False,
    },
    "method": "lora", "quantization": "none", "dtype": "float16", "rank": 8, "targets": ["q_proj", "v_proj"],
    "batch": 2, "seq": 512, "optimizer": "adamw", "attention": "sdpa", "loss": "hf-kept", "upcast": "none",
    "gradient_checkpointing": True, "n_gpus": 1, "sharding": "none", "gpu": "Tesla T4",
}  # fmt: skip


def rows_of(tmp_path: Path, *rows: object) -> list[dict[str, Any]]:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = CliRunner().invoke(memcalc, ["--rows", str(file), "--json"])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def test_one_object_a_row_in_order(tmp_path: Path) -> None:
    small, large, unknown = rows_of(tmp_path, ROW, {**ROW, "batch": 8}, {**ROW, "model": {"model_type": "rwkv"}})
    assert small["allocated_bytes"]["likely"] < large["allocated_bytes"]["likely"]
    for found in (small, large):
        for metric in ("allocated_bytes", "reserved_bytes", "process_bytes"):
            assert found[metric]["low"] <= found[metric]["likely"] <= found[metric]["high"]
    assert set(unknown) == {"unsupported"} and "rwkv" in unknown["unsupported"]


def test_a_line_that_is_no_row_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROW) + "\n{\n", encoding="utf-8")
    result = CliRunner().invoke(memcalc, ["--rows", str(file)])
    assert result.exit_code == 1 and "rows.jsonl:2" in result.output


def test_quantiles_and_widening_by_hand() -> None:
    assert weighted_quantile([(1.0, 1.0), (2.0, 1.0), (3.0, 2.0)], 0.5) == 2.0
    sources = {"a": [0.9, 1.0, 1.1], "b": [0.81, 1.0, 1.21]}
    assert hull(sources, "b") == (0.9, 1.1)
    assert covered(sources["b"], (0.9, 1.1)) == pytest.approx(1 / 3)
    assert covered(sources["b"], (0.9, 1.1), 2.1) == 1.0
    assert widening(sources) == pytest.approx(2.05, abs=0.06)
    assert widening({"a": [0.5, 1.5]}) == 1.0


@pytest.mark.skipif(
    not (SHARED / "score" / "memory.py").exists(), reason="the shared folder of measured runs is absent"
)
def test_development_rows_are_met(tmp_path: Path) -> None:
    points = SHARED / "data" / "memory_points_dev.jsonl"
    result = CliRunner().invoke(memcalc, ["--rows", str(points), "--json"])
    assert result.exit_code == 0
    (tmp_path / "estimates.jsonl").write_text(result.output, encoding="utf-8")
    scorer = [
        sys.executable,
        str(SHARED / "score" / "memory.py"),
        str(points),
        str(tmp_path / "estimates.jsonl"),
        "--json",
    ]
    score = json.loads(subprocess.run(scorer, capture_output=True, text=True, check=True).stdout)
    one = score["A / 1 gpu / all"]
    assert one["unsupported"] == 0 and one["mape"] < 2 and one["covered"] > 0.9
    assert score["A / 1 gpu / process"]["mape"] < 8
    rows = [json.loads(line) for line in points.read_text(encoding="utf-8").splitlines()]
    errors = [
        abs(json.loads(line)["allocated_bytes"]["likely"] / row["measured"]["bytes"] - 1)
        for row, line in zip(rows, result.output.splitlines(), strict=True)
        if row["measured"]["metric"] == "allocated"
    ]
    assert statistics.median(errors) < 0.05
