"""Which rows of two logs are the same case: by id, else by prompt, else by the variables of a template."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from advisor.read import Reading, Rejected
from advisor.records import Failure
from eval.near import shingles

LEAST_SHARED = 0.1  # of the shorter prompt's runs of three words; ours: counters as ids meet other tasks with none
MOST = 0.5  # of the joined rows: where more of them are other questions, the ids name other cases in the two files
_COPY = re.compile(r"(.+)#(\d+)")  # `Reading` names the second row of one id so


class Named(NamedTuple):
    """One row of a log: the case that it belongs to, which sample of it, and the row itself."""

    case: str
    sample: int
    row: Failure


Rows = list[Named]


def read_cases(path: Path, notes: list[str]) -> tuple[Rows, Rows]:
    """The rows of a log by id, further rows of one id being further samples; and those where an error came instead.

    An error with no answer (a rate limit, a dead provider) says nothing of the model.
    """
    reading = Reading([path])
    rows = [row for row in reading if not isinstance(row, Rejected)]
    notes += [note for note in reading.notes if "repeat the id" not in note]
    if reading.rejected:
        notes.append(f"{path}: {reading.rejected:,} rows could not be used (advise diagnose --json tells why)")
    names = {row.id for row in rows}
    found: Rows = []
    errors: Rows = []
    for row in rows:
        copy = _COPY.fullmatch(row.id)
        is_copy = copy is not None and copy[1] in names
        named = Named(copy[1], int(copy[2]) - 1, row) if copy and is_copy else Named(row.id, 0, row)
        (errors if row.error and not row.output.strip() else found).append(named)
    return found, errors


def joined_cases(old: Rows, new: Rows, notes: list[str]) -> tuple[Rows, Rows]:
    """Both sides with the same names for the same cases.

    By id, unless the ids name other cases in the two files: most of the joined rows have another prompt that shares
    next to nothing with the first or has another reference, or most rows of one id ask different things. Then, and
    where no id is shared, by the prompt; where none is shared either, by the variables that a tool filled into its
    template.
    """
    shared = {one.case for one in old} & {one.case for one in new}
    first = {one.case: one.row for one in reversed(old)}
    pairs = [(first[one.case], one.row) for one in new if one.case in shared]
    other = [pair for pair in pairs if asked(pair[0]) != asked(pair[1])]
    strange = [pair for pair in other if pair[0].reference != pair[1].reference or _unlike(*pair)]
    clashing = len(strange) > MOST * len(pairs) or any(map(_copies_differ, (old, new)))
    if shared and not clashing:
        if other:
            notes.append(f"{len(other):,} of {len(pairs):,} joined rows have another prompt: a changed template?")
        if conflicts := sum(bool(a.reference and b.reference and a.reference != b.reference) for a, b in pairs):
            notes.append(f"{conflicts:,} rows have another reference after: that of before is used for both")
        return old, new
    why = "the ids name other cases in the two files" if shared else "the files share no id"
    for key, called in ((asked, "the prompt"), (_variables, "the variables of the template")):
        first_side, second_side = _by(key, old, new)
        if {one.case for one in first_side} & {one.case for one in second_side}:
            notes.append(f"{why}: joined on {called}")
            return first_side, second_side
    return _by(asked, old, new)


def asked(row: Failure) -> str:
    """The whole prompt, spaces folded."""
    return " ".join(row.prompt.split())


def _unlike(one: Failure, other: Failure) -> bool:
    """Whether two prompts are more than two templates around one question: they share next to no run of words."""
    left, right = shingles(asked(one)), shingles(asked(other))
    return len(left & right) < LEAST_SHARED * min(len(left), len(right))


def _variables(row: Failure) -> str:
    """What a tool filled into its template (promptfoo: vars); without it the row stands alone."""
    given = row.metadata.get("vars")
    return json.dumps(given, sort_keys=True, default=str) if given else f"row {row.file}:{row.line}"


def _copies_differ(rows: Rows) -> bool:
    """Whether most further rows of an id ask something else than its first, so that they are no samples of it."""
    first = {one.case: asked(one.row) for one in reversed(rows)}
    copies = [one for one in rows if one.sample]
    return len([one for one in copies if asked(one.row) != first[one.case]]) > MOST * len(copies)


def _by(key: Callable[[Failure], str], *sides: Sequence[Named]) -> tuple[Rows, Rows]:
    """The rows of both sides by a key; a case is called after the first row that has it, by its place if need be."""
    called: dict[str, str] = {}
    taken: set[str] = set()  # an id that names one case in the first file may be another's in the second
    found = []
    for side in sides:
        seen: Counter[str] = Counter()
        rows = []
        for one in side:
            name = key(one.row)
            if name not in called:
                called[name] = one.row.id if one.row.id not in taken else f"{one.row.file}:{one.row.line}"
                taken.add(called[name])
            rows.append(Named(called[name], seen[name], one.row))
            seen[name] += 1
        found.append(rows)
    return found[0], found[1]
