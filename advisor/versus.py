"""Two files, before and after, as the rows of one proof: joined on id, graded alike, what has no partner counted."""

from __future__ import annotations

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advisor.columns import DECIDING, decides, said_by
from advisor.errors import UnreadableLog, WrongUsage
from advisor.joining import Named, joined_cases, read_cases
from advisor.records import Failure

BEFORE, AFTER = "control", "treated"
SCORE_KEYS = ("id", "arm", "passed")  # what tells a row of scores.jsonl from one of a log
MAX_LINE_BYTES = 16 * 2**20

Pair = tuple[Failure, Failure]  # what was answered, and the row that its reference and checks are taken from
Grader = Callable[[Sequence[Pair]], Sequence[Mapping[str, Any] | None]]  # None: it cannot tell
Row = Mapping[str, Any]


@dataclass
class Versus:
    """The rows of both sides as `eval.prove` takes them, and what a reader must know of how they came about."""

    rows: list[dict[str, Any]]
    selected: bool = False  # every case before is a failure: chosen because it failed
    whole: bool = False  # passes are among the cases as well as failures, so that what broke is seen
    unmatched: dict[str, list[str]] = field(default_factory=dict)
    ungraded: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def versus(
    before: Path,
    after: Path,
    *,
    grader: Grader | None = None,
    arms: tuple[str, str] | None = None,
    cluster: str = "",
    pass_at: float | None = None,
) -> Versus:
    """Both files joined: two scores.jsonl (by `arms` where one holds several), or two logs of any format.

    Logs are graded by `grader`, else by their own scores, which pass from `pass_at` on where they are other numbers
    than 0 and 1. Rows with an error and no answer are left out and counted. `cluster` is the field of a row that names
    cases which stand or fall together, `none` for none; by default near copies do. Raises UnreadableLog (exit code 1)
    for what cannot be read, WrongUsage (2) for arms that are not there or one file of each kind.
    """
    old, new = _scores(before), _scores(after)
    if old is None and new is None:
        if arms:
            raise WrongUsage("--arms", "given with two logs", "files of scores", "leave it out")
        return _logs(before, after, grader, cluster, pass_at)
    if old is None or new is None:
        path = before if old is None else after
        raise WrongUsage(str(path), "a log, and the other file holds scores", "two of a kind")
    if grader:
        raise WrongUsage("--grader", "given with files of scores, which are graded", "two logs")
    chosen = arms or (_arm(old, before, first=True), _arm(new, after, first=False))
    for arm, rows, path in zip(chosen, (old, new), (before, after), strict=True):
        if not any(row["arm"] == arm for row in rows):
            raise WrongUsage("--arms", f"{arm!r} is not in {path}", ", ".join(sorted({str(r["arm"]) for r in rows})))
    control, treated = (
        [_of_scores(row, name, cluster) for row in rows if row["arm"] == arm]
        for name, arm, rows in zip((BEFORE, AFTER), chosen, (old, new), strict=True)
    )
    return _joined(control, treated, [f"{before}: arm {chosen[0]}; {after}: arm {chosen[1]}"])


def _scores(path: Path) -> list[dict[str, Any]] | None:
    """The rows of a scores.jsonl, None where the file is a log. Raises UnreadableLog with file:line."""
    rows: list[dict[str, Any]] = []
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES), b""), start=1):
                if not raw.strip():
                    continue
                try:
                    row = json.loads(raw)
                except (ValueError, RecursionError):
                    row = None
                is_score = isinstance(row, dict) and all(row.get(key) is not None for key in SCORE_KEYS)
                if not rows and not (is_score and "prompt" not in row and "messages" not in row):
                    return None
                if not is_score or not isinstance(row["passed"], bool):
                    raise UnreadableLog(f"{path}:{number}", "is no row of scores", "id, arm and passed (true or false)")
                rows.append(row)
    except OSError:
        return None  # told by the reader of logs, in its words
    return rows or None


def _arm(rows: Sequence[Row], path: Path, *, first: bool) -> str:
    """The arm that a file of scores is meant to give: its only one; of several the control before, the other after."""
    names = list(dict.fromkeys(str(row["arm"]) for row in rows))
    wanted = [name for name in names if name.startswith("control") == first]
    if len(names) == 1 or len(wanted) == 1:
        return (wanted or names)[0]
    raise WrongUsage("--arms", f"{path} holds {', '.join(names)}", "two of these names", "add --arms BEFORE AFTER")


def _of_scores(row: Row, arm: str, cluster: str) -> dict[str, Any]:
    kept = {key: row[key] for key in ("sample", "form", "content", "seed", "grader") if row.get(key) is not None}
    group = "" if cluster == "none" else str(row.get(cluster or "group") or "")
    return {**kept, "id": str(row["id"]), "arm": arm, "split": row.get("split", "gain"), "passed": row["passed"],
            "group": group}  # fmt: skip


def _logs(before: Path, after: Path, grader: Grader | None, cluster: str, pass_at: float | None) -> Versus:
    notes: list[str] = []
    (old, old_errors), (new, new_errors) = read_cases(before, notes), read_cases(after, notes)
    old, new = joined_cases(old, new, notes)
    if before.samefile(after):
        notes.append("BEFORE and AFTER are the same file")
    for path, errors in ((before, old_errors), (after, new_errors)):
        if errors:
            notes.append(f"{path}: {len(errors):,} rows hold an error and no answer, not compared")
    first = {}
    for one in (*new, *old):
        first[one.case] = one.row  # what the reference and the checks are taken from: before, where it has the case
    groups = _groups(first, cluster)
    own = _own([] if grader else [one.row for one in (*old, *new)], pass_at)
    ungraded: list[str] = []

    def graded(rows: Sequence[Named], arm: str) -> Iterator[dict[str, Any]]:
        pairs = [(one.row, first[one.case]) for one in rows]
        for one, said in zip(rows, grader(pairs) if grader else map(own, rows), strict=True):
            if said is None:
                ungraded.append(one.case)
                continue
            yield {**said, "id": one.case, "arm": arm, "split": "gain", "sample": one.sample, "group": groups[one.case]}

    found = _joined(list(graded(old, BEFORE)), list(graded(new, AFTER)), notes)
    found.ungraded = list(dict.fromkeys(ungraded))
    if not found.rows and ungraded:
        raise _nothing_graded(f"{before}, {after}", len(ungraded), bool(grader))
    shared = [row for row in found.rows if row["arm"] == BEFORE]
    found.whole = any(row["passed"] for row in shared)
    found.selected = len(shared) > 1 and not found.whole
    return found


def _nothing_graded(where: str, n: int, by_grader: bool) -> UnreadableLog:
    if by_grader:
        fix = "add what is missing to the rows, or give the grader a value: --grader TYPE=VALUE"
        return UnreadableLog(
            where, f"{n:,} rows hold nothing that this grader can go by", "a reference of its kind, or checks", fix
        )
    columns = f"a column {', '.join(DECIDING)} with true or false, 1 or 0, pass or fail; or a score"
    fix = "name a grader: --grader contains-any (the reference must be said), or another of docs/graders.md"
    return UnreadableLog(where, f"{n:,} rows say neither passed nor failed", columns, fix)


def _own(rows: Sequence[Failure], pass_at: float | None) -> Callable[[Named], dict[str, Any] | None]:
    """The grader that reads the logs' own scores; from `pass_at` on a number passes.

    Raises UnreadableLog where the rows are scored by other numbers than 0 and 1 and no `pass_at` is given: 5 may be the
    best of five or of a hundred.
    """
    numbers = [value for row in rows for value in _numbers(row.scores)]
    odd = next((value for value in numbers if value not in (0, 1)), None)
    if odd is not None and pass_at is None:
        raise UnreadableLog(
            "scores",
            f"run from {min(numbers):g} to {max(numbers):g}, and nothing says from where on they pass",
            "0 and 1, a threshold, or a column that says passed",
            "add --pass-at NUMBER, or a --grader",
        )

    def said(one: Named) -> dict[str, Any] | None:
        found = _numbers(one.row.scores) if odd is not None else []
        passed = min(found) >= pass_at if found and pass_at is not None else said_by(one.row.scores)
        return None if passed is None else {"passed": passed, "grader": "the log's own scores"}

    return said


def _numbers(scores: Mapping[str, Any]) -> list[float]:
    """The bare numbers among the scores of a row, none where one of them says outright whether it passed."""
    if any(decides(name) for name in scores):
        return []
    found = []
    for value in scores.values():
        try:
            number = float(value) if isinstance(value, str | int | float) else math.nan
        except ValueError:
            continue
        if not math.isnan(number):
            found.append(number)
    return found


def _groups(rows: Mapping[str, Failure], cluster: str) -> dict[str, str]:
    """case -> the cluster it belongs to, "" where it stands alone."""
    if cluster == "none":
        return dict.fromkeys(rows, "")
    if cluster:
        named = {name: row.metadata.get(cluster) for name, row in rows.items()}
        if not any(value not in (None, "") for value in named.values()):
            raise WrongUsage("--cluster", f"no row has a field {cluster!r}", "a field of the rows or their metadata")
        return {name: str(value) if value not in (None, "") else "" for name, value in named.items()}
    from eval.split import clusters

    # A template that all prompts share makes no two of them alike.
    asked = [row.asked for row in rows.values()]
    head = len(os.path.commonprefix(asked)) if len(asked) > 1 else 0
    tail = len(os.path.commonprefix([text[head:][::-1] for text in asked])) if len(asked) > 1 else 0
    texts = [text[head : len(text) - tail] for text in asked]
    found = clusters(list(rows), texts, [""] * len(texts))
    sizes = Counter(found.values())
    return {name: where if sizes[where] > 1 else "" for name, where in found.items()}


def _joined(old: list[dict[str, Any]], new: list[dict[str, Any]], notes: list[str]) -> Versus:
    """The rows of cases that both sides have, and the names of those that one side lacks."""
    cases: dict[str, dict[str, set[str]]] = {side: defaultdict(set) for side in (BEFORE, AFTER)}
    for side, rows in ((BEFORE, old), (AFTER, new)):
        for row in rows:
            cases[side][row["split"]].add(row["id"])
    both = {(part, name) for part, names in cases[BEFORE].items() for name in names & cases[AFTER][part]}
    lone = {
        side: list(dict.fromkeys(row["id"] for row in rows if (row["split"], row["id"]) not in both))
        for side, rows in (("before_only", old), ("after_only", new))
    }
    rows = [row for row in (*old, *new) if (row["split"], row["id"]) in both]
    if not rows and old and new:
        raise UnreadableLog(
            f"{old[0]['id']!r} before, {new[0]['id']!r} after",
            "no case is in both files",
            "the same ids, or the same prompts",
            "run both models on the same cases",
        )
    return Versus(rows, unmatched=lone, notes=notes)
