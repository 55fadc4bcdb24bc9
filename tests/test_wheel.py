"""The wheel: built from the tree, unpacked far from it, the commands answer with what it carries."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_wheel_carries_all_that_the_commands_need(tmp_path: Path) -> None:
    pytest.importorskip("build")
    pytest.importorskip("setuptools")
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("advisor", "rag", "finetune", "memory_calc", "eval"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    made = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(tree)]
    subprocess.run(made, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    assert not (site / "data").exists() and not (site / "tests").exists()
    away = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}

    def says(program: str) -> str:
        code = f"import sys; sys.path.insert(0, {str(site)!r}); {program}"
        ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=away, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    place = "import memory_calc; print(memory_calc.__file__)"
    assert str(site) in says(place)
    run = "import sys; sys.argv = ['memcalc', '--params', '13b', '--method', 'full']; "
    assert "78.0 GB" in says(run + "from memory_calc.cli import memcalc; memcalc()")
    log = tmp_path / "log.jsonl"
    log.write_text('{"prompt": "Answer: {{question}}", "output": "What?", "reference": "4"}\n', encoding="utf-8")
    run = f"sys.argv = ['advise', 'diagnose', {str(log)!r}, '--json']; "
    assert '"verdict": "harness"' in says(run + "from advisor.cli import advise; advise()")
