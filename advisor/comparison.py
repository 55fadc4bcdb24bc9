"""What a comparison of two files came to: for a terminal, a pull request, a CI server and a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from advisor.redact import redact
from advisor.versus import AFTER, BEFORE, Versus
from advisor.wording import one_line, p_value, percent, points, points_span
from eval.judge_error import Measured
from eval.prove import prove

PARTS = {"gain": "all cases", "guard": "guard (passed before)", "general": "general questions"}
GATES = {"worse": ("worse", "mixed"), "unproven": ("worse", "mixed", "unproven")}
SHOWN = 20  # ids that are listed in a comment
LONGEST, LONGEST_ID = 2000, 120  # letters of one line; an id can be anything
SELECTED = (
    "the cases before are failures alone: they were chosen because they failed, and some would pass when simply asked "
    "again. Give the untouched model's answers to the same cases as BEFORE (or say --replayed if it is that)"
)


@dataclass(frozen=True)
class Comparison:
    """The findings of `eval.prove` on two files, and how each case turned."""

    before: str
    after: str
    found: Mapping[str, Any]
    turned: Mapping[str, Sequence[str]]  # fixed, broken, still_failing: ids
    joined: Versus

    @property
    def verdict(self) -> str:
        """improved, worse, mixed or unproven."""
        return str(self.found["verdict"])

    def stops(self, gate: str) -> bool:
        """Whether `--fail-on` of this kind ends with exit code 3."""
        return self.verdict in GATES.get(gate, ())

    @property
    def remarks(self) -> list[str]:
        """What a reader must know of how the rows came about."""
        told = list(self.joined.notes)
        for side, names in self.joined.unmatched.items():
            if names:
                told.append(f"{_cases(len(names))} {side.replace('_', ' ')}, not compared: {_few(names, 3)}")
        if self.joined.ungraded:
            told.append(f"{_cases(len(self.joined.ungraded))} without a grade, not compared")
        return told

    def lines(self) -> list[tuple[str, str, str, str, str]]:
        """The table: part, before, after, change in points with its 95 % interval, p."""
        rows = []
        for part, called in PARTS.items():
            one = self.found[part]
            if not one["n"]:
                continue
            n = one["n"]
            change = f"{points(one['difference'])} ({points_span(one['interval'])})"
            old, new = _of(one["control_passed"], n), _of(one["treated_passed"], n)
            if one["samples"] > 1:  # the change is that of the share of samples, not of majorities
                old, new = percent(one["control_rate"]), percent(one["treated_rate"])
            rows.append((f"{called} ({n:,})", old, new, change, p_value(one["p"])))
            for axis in ("form", "content"):
                first, last = one[f"{axis}_passed"]["control"], one[f"{axis}_passed"]["treated"]
                if part == "gain" and (first, last) != (one["control_passed"], one["treated_passed"]):
                    rows.append((f"  {axis} right", _of(first, n), _of(last, n), points((last - first) / n), ""))
        return rows

    def as_dict(self) -> dict[str, Any]:
        """The stable JSON form: see docs/proof.md."""
        return {
            "before": self.before,
            "after": self.after,
            "verdict": self.verdict,
            "sentence": self.found["sentence"],
            "findings": dict(self.found),
            "cases": {kind: list(names) for kind, names in self.turned.items()},
            "unmatched": {side: list(names) for side, names in self.joined.unmatched.items()},
            "ungraded": self.joined.ungraded,
            "remarks": self.remarks,
        }

    def markdown(self) -> str:
        """A comment for a pull request."""
        told = [f"### formfacts: {self.verdict}", "", _md(str(self.found["sentence"])), ""]
        told += ["| | before | after | change (95 % interval), points | p |", "| --- | ---: | ---: | ---: | ---: |"]
        told += [f"| {' | '.join(map(_md, row))} |" for row in self.lines()]
        for kind in ("broken", "fixed"):
            if names := self.turned[kind]:
                told += ["", f"<details><summary>{len(names):,} {kind}</summary>", ""]
                told += [f"- {_md(_name(name))}" for name in names[:SHOWN]]
                told += [f"- and {len(names) - SHOWN:,} more"] * (len(names) > SHOWN) + ["", "</details>"]
        told += ["", *(f"<sub>{_md(line)}</sub>  " for line in self.remarks)]
        return "\n".join(told).rstrip() + "\n"

    def junit(self, gate: str) -> str:
        """JUnit XML: the verdict as a test, failed where the gate says no; a test a case, skipped where it fails now.

        Single cases fail no build: some turn by chance in every comparison.
        """
        suite = ElementTree.Element("testsuite", name="formfacts", errors="0")
        test = ElementTree.SubElement(suite, "testcase", classname="proof", name=f"verdict: {self.verdict}")
        told = _clean(str(self.found["sentence"]))
        if self.stops(gate):
            ElementTree.SubElement(test, "failure", type=self.verdict, message=told)
        ElementTree.SubElement(test, "system-out").text = "\n".join([told, *map(_clean, self.remarks)])
        cases = {str(row["id"]): "" for row in self.joined.rows}
        cases |= {name: "broken: it passed before" for name in self.turned["broken"]}
        cases |= {name: "still failing" for name in self.turned["still_failing"]}
        for name, why in cases.items():
            test = ElementTree.SubElement(suite, "testcase", classname="case", name=_name(name))
            if why:
                ElementTree.SubElement(test, "skipped", message=why)
        suite.set("tests", str(len(cases) + 1))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
        ElementTree.indent(suite)
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suite, encoding="unicode")}\n'


def compared(
    before: str, after: str, joined: Versus, *, margin: float, replayed: bool, judge: Measured | None = None
) -> Comparison:
    """The proof of two joined files; `margin` is a rate, `judge` the measured error of a judge that graded them.

    Failures that were chosen because they failed prove nothing without a replay (regression to the mean), so without
    `replayed` such a comparison is unproven, whatever the numbers. Raises EvalError where nothing can be compared.
    """
    found = dict(prove(joined.rows, margin=margin, judge=judge, whole=joined.whole)[AFTER])
    if joined.selected and not replayed:
        found["verdict"] = "unproven"
        rest = str(found["sentence"]).partition(": ")[2]
        found["sentence"] = f"Unproven: {SELECTED}. {rest[:1].upper()}{rest[1:]}"
    return Comparison(before, after, found, _turned(joined.rows), joined)


def _turned(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Ids by how the majority of samples turned; a tie is a failure, as in `eval.prove`."""
    sides: dict[str, dict[str, list[bool]]] = {BEFORE: {}, AFTER: {}}
    for row in rows:
        sides[row["arm"]].setdefault(str(row["id"]), []).append(bool(row["passed"]))
    turned: dict[str, list[str]] = {"fixed": [], "broken": [], "still_failing": []}
    for name, samples in sides[BEFORE].items():
        old, new = (2 * sum(passes) > len(passes) for passes in (samples, sides[AFTER].get(name, [])))
        if not (old and new):
            turned["fixed" if new else "broken" if old else "still_failing"].append(name)
    return turned


def _of(passed: int, n: int) -> str:
    return f"{passed:,} ({percent(passed / n)})"


def _cases(n: int) -> str:
    return f"{n:,} case" if n == 1 else f"{n:,} cases"


def _few(names: Sequence[str], most: int) -> str:
    return ", ".join(map(_name, names[:most])) + (", ..." if len(names) > most else "")


def _clean(text: str) -> str:
    """One inert line without secrets and personal data."""
    return one_line(redact(text, personal=True)[0], LONGEST)


def _name(id: str) -> str:
    """An id as it is shown."""
    return one_line(redact(id, personal=True)[0], LONGEST_ID)


def _md(text: str) -> str:
    """Text that Markdown and HTML leave as it is."""
    escaped = _clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{sign}" if sign in "\\`*_[]|#~!" else sign for sign in escaped).replace("@", "@\u200b")
