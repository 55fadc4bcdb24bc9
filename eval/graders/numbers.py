"""Numbers and quantities: a number with a tolerance, a number with its unit."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

from eval.fold import NUMBER_WORDS, numbers
from eval.graders.row import Check, Wrong, fields_of, only
from eval.graders.units import MONEY, Unit, unit_of, unit_pattern

NUMBER_TOLERANCE = 1e-6  # relative; ours: room for decimal rounding, none for another value
MOST_QUANTITIES = 2_000  # of an answer, looked at; ours
SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_GROUPED = "[,'\u2019\u00a0\u2009\u202f]"
_NUMBER = re.compile(
    rf"(?<![\w.,])(?P<money>(?:US)?[{MONEY}]\s?)?(?P<sign>[-\u2212])?(?P<money_after>[{MONEY}]\s?)?"
    rf"(?:(?P<number>\d{{1,3}}(?:{_GROUPED}\d{{3}})+(?:\.\d+)?(?!\d)|\d+(?:[.,]\d+)?(?:[eE][+-]?\d{{1,3}})?)"
    rf"|(?P<word>{'|'.join(NUMBER_WORDS)})(?=[\s-]))"
    rf"(?:\s*(?P<scale>{'|'.join(SCALES)})\b)?(?P<gap>[\s\u00a0\u202f-]{{0,3}})",
    re.I,
)
TOLERANCES = ("relative", "absolute", "percent")


def quantities(text: str) -> list[tuple[float, Unit | None]]:
    """The numbers of a text in order, each with the unit that follows it (or the sign of money before it), if any.

    Up to 2,000 of them. 1,234.5 and 1'234 have thousands separators; a lone comma before other than three digits is
    a decimal one (1,5).
    """
    found: list[tuple[float, Unit | None]] = []
    for match in islice(_NUMBER.finditer(text), MOST_QUANTITIES):
        written = match["number"]
        if written is None:
            value = float(NUMBER_WORDS[match["word"].lower()])
        else:
            grouped = re.fullmatch(rf"\d{{1,3}}(?:{_GROUPED}\d{{3}})+(?:\.\d+)?", written)
            value = float(re.sub(_GROUPED, "", written) if grouped else written.replace(",", "."))
        value *= SCALES.get((match["scale"] or "").lower(), 1.0) * (-1 if match["sign"] else 1)
        sign = match["money"] or match["money_after"]
        after = unit_pattern().match(text, match.end())
        unit = unit_of(sign.strip()) if sign else unit_of(after.group()) if after else None
        found.append((value, unit))
    return found


def _picked(found: Sequence[float], which: Any) -> Sequence[float]:
    picks = {"first": found[:1], "last": found[-1:], "first or last": [*found[:1], *found[-1:]], "any": found}
    if which not in picks:
        raise Wrong(f"which: {which!r:.40}, allowed: {', '.join(picks)}")
    return picks[which]


def _number(answer: str, value: Any) -> bool:
    which, tolerance = "first or last", NUMBER_TOLERANCE
    if isinstance(value, dict):
        which, tolerance = value.get("which", which), value.get("tolerance", tolerance)
        (value,) = fields_of(value, "value")
    wanted = numbers(value) if isinstance(value, str) else [value]
    if len(wanted) != 1 or isinstance(wanted[0], bool) or not isinstance(wanted[0], int | float):
        raise Wrong(f"needs one number, not {value!r:.60}")
    found = _picked(numbers(answer), which)
    return any(math.isclose(number, wanted[0], rel_tol=tolerance, abs_tol=1e-12) for number in found)


def _wanted(value: Any) -> tuple[float, Unit, dict[str, Any]]:
    options = {"value": value} if not isinstance(value, dict) else value
    only(options, "value", "unit", "tolerance", "kind", "which", "bare")
    (given,) = fields_of(options, "value")
    read = quantities(str(given)) if isinstance(given, str) else [(given, None)]
    if len(read) != 1 or isinstance(read[0][0], bool) or not isinstance(read[0][0], int | float):
        raise Wrong(f"needs one number with its unit, such as `1.5 km`, not {given!r:.60}")
    unit = unit_of(str(options["unit"])) if "unit" in options else read[0][1]
    if unit is None:
        raise Wrong(f"the unit {options.get('unit', given)!r:.40} is not known; without a unit use the check `number`")
    return float(read[0][0]), unit, options


def _base(value: float, unit: Unit) -> float:
    return value * unit.size + unit.zero


def _quantity(answer: str, value: Any) -> bool:
    number, unit, options = _wanted(value)
    tolerance, kind = options.get("tolerance", NUMBER_TOLERANCE), options.get("kind", "relative")
    if kind not in TOLERANCES:
        raise Wrong(f"kind: {kind!r:.40}, allowed: {', '.join(TOLERANCES)}")
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        raise Wrong(f"tolerance needs a number from 0 up, not {tolerance!r:.40}")
    # A tolerance is of the number as it is asked for: 1 % of 20 °C is 0.2 degrees, not 1 % of 293 K.
    room = tolerance * unit.size if kind == "absolute" else abs(number) * unit.size * tolerance
    room = room / 100 if kind == "percent" else room
    found = [
        _base(given, named or unit)
        for given, named in quantities(answer)
        if (named is None and options.get("bare") is True) or (named is not None and named.kind == unit.kind)
    ]
    wanted, tiny = _base(number, unit), abs(_base(number, unit)) * 1e-9
    return any(abs(one - wanted) <= room + tiny for one in _picked(found, options.get("which", "first or last")))


def lone_number(text: str) -> float | None:
    """The number of a text that is nothing else, perhaps with a sign of money or percent; else None."""
    if re.fullmatch(r"\s*[$\u20ac\u00a3\u00a5]?\s*-?[\d.,'\s]*\d\s*%?\s*", text) is None:
        return None
    found = numbers(text)
    return found[0] if len(found) == 1 else None


def _made_quantity(references: Sequence[str]) -> str | None:
    found = quantities(references[0]) if len(references) == 1 and len(references[0]) < 40 else []
    whole = len(found) == 1 and found[0][1] and re.fullmatch(r"\W*[\d.,' ]*\d\W*[^\d]{1,20}", references[0].strip())
    return references[0] if whole else None


CHECKS: dict[str, Check] = {
    "number": Check(
        _number,
        "content",
        "its first or last number is this one",
        "a number, or {value, tolerance (relative), which: first, last, first or last, any}",
        False,
        "any words around it, thousands separators, number words up to twenty-nine, rounding in the sixth digit",
        "the unit, 2/3, roman numerals, a decimal comma",
        made=lambda references: lone_number(references[0]) if len(references) == 1 else None,
    ),
    "quantity": Check(
        _quantity,
        "content",
        "its first or last quantity of this kind is this one, in whatever unit",
        "`1.5 km`, or {value, unit, tolerance, kind: relative, absolute, percent; which; bare: a number without a "
        "unit counts}",
        False,
        "units of one kind converted (1.5 km, 1500 m, 0.932 mi within the tolerance), money by its sign or code, "
        "million, words up to twenty",
        "another kind of unit fails; 5 ft 10 in, 1 h 30 min, ranges, 1 500 with a plain space, compound units beyond "
        "speed, exchange rates, months as days",
        made=_made_quantity,
    ),
}
