"""The format that a group of prompts shares: in one sentence, as a constraint for decoding, and by an example."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

from advisor.cases import Case
from advisor.records import Question
from advisor.redact import redact
from advisor.splits import instructions
from advisor.wording import one_line
from eval.asked import form_checks
from eval.checks import CrashedCheck, axis_of, passes
from eval.structure import whole_json
from finetune.constrain import Constraint, refused

Check = Mapping[str, Any]

EXAMPLES = 3  # solved cases of a format that are tried as its example: which one is shown matters a lot
LEAST_ALIKE = 3  # ours: what one or two cases have in common may be chance
MOST_LABELS = 10
NAMED = 80  # characters of the standing instructions by which a plan names their format
MOST_REPEATED, MOST_STATED = 200, 2_000  # characters: a pattern or a schema from a log can be of any size
# What a value of the wrong kind, from a log, may raise where it is read.
WRONG = (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError, RecursionError, re.error)
NO_GRAMMAR = {"is-sql": "SQL of a dialect is no JSON schema and no regular expression"}


@dataclass(frozen=True)
class WantedFormat:
    """What the cases with the same standing instructions ask of an answer's form; made from the train side alone."""

    standing: str
    sentence: str  # "" where no check can be stated
    constraint: Constraint | None
    unconstrained: str  # why there is no constraint; "" where there is one
    solved: tuple[tuple[str, Question, str], ...]  # (id, messages, target): the example first, others for its own case

    def takes(self, arm: str, served: bool) -> bool:
        """Whether an arm can be tried on this format; an endpoint (`served`) takes a schema, no regular expression."""
        if arm == "instruction":
            return bool(self.sentence)
        if arm == "constrained":
            return self.constraint is not None and (not served or "json_schema" in self.constraint)
        return bool(self.solved)

    def told(self, arm: str, served: bool = False) -> dict[str, Any]:
        """What an arm does for this format, for a plan; without an arm why it is not constrained."""
        here = {"instructions": shown(self.standing)}
        if arm == "instruction":
            return here | {"sentence": redact(self.sentence, personal=True)[0]}
        if arm == "constrained":
            return here | dict(self.constraint or {})
        why = "an endpoint takes a JSON schema, no regular expression" if served and self.constraint else ""
        return here | {"why": why or self.unconstrained}

    def beginning_with(self, at: int) -> WantedFormat:
        """The same format with another of its solved cases as the example."""
        return replace(self, solved=self.solved[at:] + self.solved[:at])

    def solved_for(self, id: str) -> tuple[str, Question, str] | None:
        """A solved case to show to the case `id`: never its own."""
        return next((row for row in self.solved if row[0] != id), None)


def shown(standing: str) -> str:
    """Standing instructions as a plan names their format: cut, without secrets and personal data."""
    return one_line(redact(standing, personal=True)[0], NAMED) or "no standing instructions"


def wanted_formats(
    cases: Iterable[Case], targets: Mapping[str, str], examples: Mapping[str, str] | None = None
) -> dict[str, WantedFormat]:
    """Standing instructions -> their format, from cases of the train side that have a target.

    `examples` names the case to show for each (standing instructions -> id); without it the first is shown. Only checks
    of form that all cases of a group have in common count: what one case is checked for is its answer.
    """
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[instructions(case.messages)].append(case)
    found = {}
    for standing, members in groups.items():
        texts = [targets[case.id] for case in members]
        checks = _shared(standing, members)
        constraint, why = _constraint(checks, texts)
        sentence = " ".join(dict.fromkeys(filter(None, (_stated(check) for check in _plainest(checks)))))
        best = (examples or {}).get(standing)
        first = sorted(members, key=lambda case: case.id != best)[: EXAMPLES + 1]
        solved = tuple((case.id, case.messages, targets[case.id]) for case in first)
        found[standing] = WantedFormat(standing, sentence, constraint, why, solved)
    return found


def _shared(standing: str, members: Sequence[Case]) -> list[Check]:
    """The checks of form that every member has, else what the standing instructions themselves plainly ask for."""
    if len(members) < LEAST_ALIKE:
        return list(form_checks(standing))
    own = [[check for check in case.checks if _of_form(check)] for case in members]
    common = [check for check in own[0] if all(check in checks for checks in own[1:])]
    return common or list(form_checks(standing))


def _of_form(check: Check) -> bool:
    try:
        return axis_of(check) == "form"
    except CrashedCheck:
        return False


def _plainest(checks: Sequence[Check]) -> list[Check]:
    """Without those that another says more exactly: keys say that it is JSON, a schema says the keys."""
    kinds = {check["type"] for check in checks}
    said = {"is-json"} if kinds & {"json-keys", "json-schema"} else set()
    said |= {"json-keys"} if "json-schema" in kinds else set()
    return [check for check in checks if check["type"] not in said]


def _stated(check: Check) -> str:
    kind, value = check["type"], check.get("value")
    said = SENTENCES.get(kind)
    try:
        sentence = said(value) if said else ""
        return sentence if len(sentence) <= MOST_STATED else ""
    except WRONG:
        return ""


def _named(items: Any) -> str:
    names = [json.dumps(str(item), ensure_ascii=False) for item in (items if isinstance(items, list) else [items])]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _either(items: Any) -> str:
    return _named(items).replace(" and ", " or ")


SENTENCES: Mapping[str, Callable[[Any], str]] = {
    "is-json": lambda value: "Answer with JSON and nothing else.",
    "json-keys": lambda keys: f"Answer with one JSON object with exactly the keys {_named(keys)} and nothing else.",
    "json-schema": lambda schema: f"Answer with JSON that this schema accepts and nothing else: {json.dumps(schema)}",
    "is-sql": lambda dialect: (
        f"Answer with one SQL statement{f' in {dialect}' if isinstance(dialect, str) and dialect else ''} "
        "and nothing else: no fence, no explanation."
    ),
    "full-match": lambda pattern: f"Write the whole answer exactly like this: {skeleton(pattern)}",
    "regex": lambda pattern: f"The answer must hold text like this: {skeleton(pattern)}",
    "starts-with": lambda texts: f"Begin the answer with {_either(texts)}.",
    "ends-with": lambda texts: f"End the answer with {_either(texts)}.",
    "max-words": lambda n: "Answer with one word." if int(n) == 1 else f"Use at most {int(n)} words.",
    "min-words": lambda n: f"Use at least {int(n)} words.",
    "max-chars": lambda n: f"Use at most {int(n)} characters.",
    "max-lines": lambda n: "Answer on one line." if int(n) == 1 else f"Use at most {int(n)} lines.",
    "max-sentences": lambda n: "Answer in one sentence." if int(n) == 1 else f"Use at most {int(n)} sentences.",
    "bullets": lambda n: "Answer with a bulleted list." if n is None else f"Answer with {int(n)} bullet points.",
    "lower-case": lambda value: "Write in lower case only.",
    "upper-case": lambda value: "Write in upper case only.",
    "cells": lambda value: (
        f"Answer with one line of {int(value['count'])} cells separated by {_named(value['separator'])}."
    ),
}


def skeleton(pattern: str) -> str:
    """A regular expression as a person would show it: its fixed text, with <...> for what may vary."""
    return re.sub(r"(?:<\.\.\.>)+", "<...>", "".join(_shown(_parser.parse(pattern))))


def _shown(node: Any) -> Iterator[str]:
    for operator, argument in node:
        if operator is _constants.LITERAL:
            yield chr(argument)
        elif operator is _constants.SUBPATTERN:
            yield from _shown(argument[-1])
        elif operator in (_constants.MAX_REPEAT, _constants.MIN_REPEAT) and argument[0] == argument[1]:
            once = "".join(_shown(argument[2]))
            yield once * argument[0] if len(once) * argument[0] <= MOST_REPEATED else "<...>"
        elif operator is not _constants.AT:
            yield "<...>"


def _constraint(checks: Sequence[Check], targets: Sequence[str]) -> tuple[Constraint | None, str]:
    """The narrowest constraint that the shared checks give and every target of the train side keeps, or why none."""
    for kind in ("json-schema", "json-keys", "is-json", "full-match", "regex", "cells", "max-words"):
        check = next((check for check in checks if check["type"] == kind), None)
        try:
            made = CONSTRAINTS[kind](check.get("value"), targets) if check else None
        except WRONG:
            continue
        if made is None:
            continue
        if wrong := refused(made):
            return None, wrong
        if all(_keeps(target, made) for target in targets):
            return made, ""
    kinds = [check["type"] for check in checks]
    return None, next((NO_GRAMMAR[kind] for kind in kinds if kind in NO_GRAMMAR), "no check gives one")


def _keeps(target: str, constraint: Constraint) -> bool:
    kind, value = next(iter(constraint.items()))
    try:
        return passes(target, {"type": {"json_schema": "json-schema", "regex": "full-match"}[kind], "value": value})
    except CrashedCheck:
        return False


def _keys_schema(keys: Any, targets: Sequence[str]) -> Constraint:
    """An object with exactly these keys, each of the types that it has on the train side; a list where those are."""
    names = [str(key) for key in (keys if isinstance(keys, list) else [keys])]
    values = [whole_json(target) for target in targets]
    rows = [row for value in values for row in (value if isinstance(value, list) else [value])]
    typed = {
        name: kinds
        for name in names
        if (kinds := sorted({_json_type(row[name]) for row in rows if isinstance(row, dict) and name in row}))
    }
    schema = {
        "type": "object",
        "properties": {name: {"type": typed[name]} if name in typed else {} for name in names},
        "required": names,
        "additionalProperties": False,
    }
    listed = [isinstance(value, list) for value in values]
    as_list = {"type": "array", "items": schema, "minItems": 1}
    return {
        "json_schema": as_list if listed and all(listed) else {"anyOf": [schema, as_list]} if any(listed) else schema
    }


def _json_type(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _any_json(value: Any, targets: Sequence[str]) -> Constraint:
    kinds = {type(whole_json(target)) for target in targets}
    wanted = [name for kind, name in ((dict, "object"), (list, "array")) if kind in kinds]
    return {"json_schema": {"type": wanted[0]} if len(wanted) == 1 else {"anyOf": [{"type": n} for n in wanted]}}


def _anchored(pattern: Any, targets: Sequence[str]) -> Constraint | None:
    """A pattern that is only searched for says the whole answer where it is anchored at both ends."""
    ends = list(_parser.parse(pattern))
    both = len(ends) > 2 and ends[0][0] is _constants.AT and ends[-1][0] is _constants.AT
    bare = re.fullmatch(r"(?:\^|\\A)(.*?)(?:\$|\\Z)", pattern, re.S) if both else None
    return {"regex": bare.group(1)} if bare else None


def _cells(value: Any, targets: Sequence[str]) -> Constraint:
    separator, count = str(value["separator"]), int(value["count"])
    cell = rf"[^\n{re.escape(separator[0])}]+"
    return {"regex": cell + f"(?:{re.escape(separator)}{cell}){{{count - 1}}}"}


def _labels(value: Any, targets: Sequence[str]) -> Constraint | None:
    """One word out of those of the train side, where each came twice or more.

    The share of words seen once estimates the chance of one not seen yet (Good 1953, Biometrika 40:237): here zero.
    """
    counts = Counter(target.strip() for target in targets)
    few = int(value) == 1 and len(counts) <= MOST_LABELS and min(counts.values(), default=0) > 1
    return {"regex": "|".join(re.escape(label) for label in sorted(counts))} if few else None


CONSTRAINTS: Mapping[str, Callable[[Any, Sequence[str]], Constraint | None]] = {
    "json-schema": lambda schema, targets: {"json_schema": schema},
    "json-keys": _keys_schema,
    "is-json": _any_json,
    "full-match": lambda pattern, targets: {"regex": str(pattern)},
    "regex": _anchored,
    "cells": _cells,
    "max-words": _labels,
}
