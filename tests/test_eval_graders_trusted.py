"""--checks my_checks.py: what a user's functions may return, and how their mistakes are told."""

from __future__ import annotations

import sys

import pytest

from eval.checks import CrashedCheck
from eval.errors import EvalError
from eval.trusted import load_checks

MINE = '''
from dataclasses import dataclass
import numpy as np

@dataclass
class Seen:
    count: int = 0

def helper(answer):
    return answer.upper()

def check_short(answer, case):
    """At most five signs."""
    return len(answer) <= 5

def check_score(answer: str, case: dict, weight=1.0) -> float:
    return np.float64(len(answer) / 10 * weight)

def check_reason(answer, case):
    return "" if case["reference"] in answer else f"misses {case['reference']}"

def check_sometimes(answer, case):
    return None if "n/a" in case.get("metadata", {}).get("tags", []) else True

def check_broken(answer, case):
    case["reference"] = "spoiled"
    return helper(answer).missing

def check_quits(answer, case):
    raise SystemExit(3)

def check_odd(answer, case):
    return {"a": 1}

def check_beyond(answer, case):
    return 7
'''


@pytest.fixture()
def mine(tmp_path):
    path = tmp_path / "my checks.py"
    path.write_text(MINE, encoding="utf-8")
    return path


def test_what_a_function_may_return(mine):
    checks = load_checks(mine)
    assert len(checks) == 8 and "helper" not in checks
    case = {"reference": "Bonn", "metadata": {"id": "r1"}}
    assert checks["check_short"]("Bonn", case) == (True, 1.0, "passes")
    assert checks["check_short"]("It is Bonn", case) == (False, 0.0, "fails")
    assert checks["check_score"]("12345", case) == (True, 0.5, "scores 0.5")
    assert checks["check_score"]("1234", case) == (False, 0.4, "scores 0.4")
    assert checks["check_reason"]("It is Bonn", case) == (True, 1.0, "passes")
    assert checks["check_reason"]("It is Rome", case) == (False, 0.0, "misses Bonn")
    assert checks["check_sometimes"]("x", {"metadata": {"tags": ["n/a"]}}).passed is None
    assert checks["check_short"].__doc__ == "At most five signs."


def test_a_mistake_inside_names_file_line_and_case(mine):
    checks = load_checks(mine)
    case = {"reference": "Bonn", "metadata": {"id": "r1"}}
    line = MINE.splitlines().index("    return helper(answer).missing") + 1
    with pytest.raises(CrashedCheck, match=rf"my checks\.py:{line}: AttributeError: .*\(case r1\)"):
        checks["check_broken"]("x", case)
    assert case["reference"] == "Bonn"  # the case is handed over as a copy
    with pytest.raises(CrashedCheck, match=r"SystemExit: 3 \(case r1\)"):
        checks["check_quits"]("x", case)
    for name in ("check_odd", "check_beyond"):
        with pytest.raises(CrashedCheck, match=r"for the case r1; allowed: True, False, a number from 0 to 1"):
            checks[name]("x", case)
    with pytest.raises(CrashedCheck, match=r"KeyError: 'reference' \(case \(no id\)\)"):
        checks["check_reason"]("x", {})


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1", "has no function `check_...`"),
        ("from os.path import join as check_join", "has no function `check_...`"),
        ("def check_a(answer):\n    return True", r":1`: check_a\(answer\) cannot be called with \(answer, case\)"),
        ("\ndef check_a(answer, case, more):\n    return True", r":2`: check_a"),
        ("async def check_a(answer, case):\n    return True", "async or a generator"),
        ("def check_a(answer, case):\n    yield True", "async or a generator"),
        ("def check_a(answer, case:\n", r":1`: does not parse"),
        ("import no_such_module_at_all", r":1`: cannot be imported \(ModuleNotFoundError"),
        ("x = 1\nraise SystemExit(0)", r":2`: cannot be imported \(SystemExit"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(tmp_path, source, reason):
    path = tmp_path / "checks.py"
    path.write_text(source, encoding="utf-8")
    with pytest.raises(EvalError, match=reason) as told:
        load_checks(path)
    assert "\n" not in told.value.message


def test_only_the_named_file_is_imported(tmp_path, monkeypatch):
    (tmp_path / "beside.py").write_text("x = 1", encoding="utf-8")
    (tmp_path / "checks.py").write_text("import beside\ndef check_a(answer, case):\n    return True", encoding="utf-8")
    before = list(sys.path)
    with pytest.raises(EvalError, match="No module named 'beside'"):
        load_checks(tmp_path / "checks.py")
    assert sys.path == before
    for other in (tmp_path, tmp_path / "none.py", tmp_path / "checks.txt"):
        with pytest.raises(EvalError, match="is no"):
            load_checks(other)
    # Two files of one name do not share a module.
    for folder, said in (("one", "True"), ("two", "False")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(f"def check_a(answer, case):\n    return {said}", encoding="utf-8")
    one, two = (load_checks(tmp_path / folder / "mine.py")["check_a"] for folder in ("one", "two"))
    assert one("", {}).passed and not two("", {}).passed
