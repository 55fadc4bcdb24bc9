"""Units of measure: symbol or name to its kind and its size in the kind's own unit."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple


class Unit(NamedTuple):
    """A kind of quantity, how many of the kind's own unit one of this is, and where its zero lies."""

    kind: str
    size: float
    zero: float = 0.0


# SI prefixes (BIPM, The International System of Units, 9th edition, table 7) and those of IEC 80000-13 for data.
PREFIXES = {"G": 1e9, "M": 1e6, "k": 1e3, "h": 1e2, "d": 1e-1, "c": 1e-2, "m": 1e-3, "\u00b5": 1e-6, "n": 1e-9}
PREFIX_NAMES = {"giga": 1e9, "mega": 1e6, "kilo": 1e3, "hecto": 1e2, "deci": 1e-1, "centi": 1e-2, "milli": 1e-3}
PREFIX_NAMES |= {"micro": 1e-6, "nano": 1e-9}
DATA = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
DATA |= {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
DATA_NAMES = {"kilo": 1e3, "mega": 1e6, "giga": 1e9, "tera": 1e12, "peta": 1e15}
DATA_NAMES |= {"kibi": 2.0**10, "mebi": 2.0**20, "gibi": 2.0**30, "tebi": 2.0**40}
# Those that take a prefix: symbol, names, kind, size.
METRIC = (
    ("m", "metre meter", "length", 1.0),
    ("g", "gram gramme", "mass", 1e-3),
    ("s", "second", "time", 1.0),
    ("L", "litre liter", "volume", 1e-3),
    ("l", "", "volume", 1e-3),
    ("J", "joule", "energy", 1.0),
    ("cal", "calorie", "energy", 4.184),
    ("Wh", "watt-hour", "energy", 3600.0),
    ("eV", "electronvolt", "energy", 1.602176634e-19),
    ("W", "watt", "power", 1.0),
    ("Hz", "hertz", "frequency", 1.0),
    ("Pa", "pascal", "pressure", 1.0),
    ("bar", "", "pressure", 1e5),
    ("N", "newton", "force", 1.0),
    ("V", "volt", "voltage", 1.0),
    ("A", "ampere amp", "current", 1.0),
    ("\u03a9", "ohm", "resistance", 1.0),
)
# Factors to the SI unit: NIST SP 811 (2008), appendix B; in the tests they are held against scipy.constants.
PLAIN = (
    ("in inch inches \u2033", "length", 0.0254),
    ("ft foot feet \u2032", "length", 0.3048),
    ("yd yard yards", "length", 0.9144),
    ("mi mile miles", "length", 1609.344),
    ("nmi nautical_mile nautical_miles", "length", 1852.0),
    ("ly light-year light-years light_year light_years", "length", 9460730472580800.0),
    ("t tonne tonnes metric_ton metric_tons", "mass", 1000.0),
    ("lb lbs pound pounds", "mass", 0.45359237),
    ("oz ounce ounces", "mass", 0.028349523125),
    ("st stone", "mass", 6.35029318),
    ("min mins minute minutes", "time", 60.0),
    ("h hr hrs hour hours", "time", 3600.0),
    ("d day days", "time", 86400.0),
    ("week weeks", "time", 604800.0),
    ("sec secs", "time", 1.0),
    ("year years yr yrs", "years", 12.0),
    ("month months", "years", 1.0),
    ("gal gallon gallons US_gallon US_gallons", "volume", 0.003785411784),
    ("fl_oz fluid_ounce fluid_ounces", "volume", 2.95735295625e-05),
    ("m\u00b3 m3 m^3 cubic_metre cubic_metres cubic_meter cubic_meters", "volume", 1.0),
    ("cm\u00b3 cm3 cm^3 cc cubic_centimetres cubic_centimeters", "volume", 1e-6),
    ("m\u00b2 m2 m^2 sqm square_metre square_metres square_meter square_meters", "area", 1.0),
    ("cm\u00b2 cm2 cm^2 square_centimetres square_centimeters", "area", 1e-4),
    ("km\u00b2 km2 km^2 square_kilometre square_kilometres square_kilometer square_kilometers", "area", 1e6),
    ("ha hectare hectares", "area", 1e4),
    ("acre acres", "area", 4046.8564224),
    ("sq_ft ft\u00b2 ft2 ft^2 square_foot square_feet", "area", 0.09290304),
    ("square_mile square_miles", "area", 2589988.110336),
    ("m/s metres_per_second meters_per_second", "speed", 1.0),
    ("km/h kph kmh km/hr kilometres_per_hour kilometers_per_hour", "speed", 1 / 3.6),
    ("mph miles_per_hour", "speed", 0.44704),
    ("kn knot knots", "speed", 1852 / 3600),
    ("hp horsepower", "power", 745.6998715822702),
    ("BTU BTUs", "energy", 1055.05585262),
    ("atm atmosphere atmospheres", "pressure", 101325.0),
    ("psi", "pressure", 6894.757293168361),
    ("mmHg", "pressure", 133.32236842105263),
    ("K kelvin kelvins", "temperature", 1.0),
    ("% percent per_cent \uff05", "percent", 1.0),
    ("\u00b0 deg degree degrees", "angle", 1.0),
    ("rad radian radians", "angle", 57.29577951308232),
    ("$ USD US$ dollar dollars US_dollar US_dollars", "US dollars", 1.0),
    ("cent cents \u00a2", "US dollars", 0.01),
    ("\u20ac EUR euro euros", "euros", 1.0),
    ("\u00a3 GBP quid", "pounds sterling", 1.0),
    ("\u00a5 JPY yen", "yen", 1.0),
    ("CHF franc francs", "Swiss francs", 1.0),
    ("CNY RMB yuan", "yuan", 1.0),
    ("\u20b9 INR rupee rupees", "rupees", 1.0),
)
MONEY = "$\u20ac\u00a3\u00a5\u20b9"  # written before the number


@cache
def units() -> tuple[dict[str, Unit], dict[str, Unit]]:
    """(symbols to the letter, names and unmistakable symbols in lower case) with their units."""
    exact: dict[str, Unit] = {}
    for symbol, names, kind, size in METRIC:
        exact |= {prefix + symbol: Unit(kind, factor * size) for prefix, factor in ({"": 1.0} | PREFIXES).items()}
        for name in names.split():
            for prefix, factor in ({"": 1.0} | PREFIX_NAMES).items():
                exact |= {prefix + name + end: Unit(kind, factor * size) for end in ("", "s")}
    for symbol, name, bytes_each in (("B", "byte", 1.0), ("b", "bit", 0.125), ("bit", "", 0.125)):
        exact |= {prefix + symbol: Unit("data", factor * bytes_each) for prefix, factor in DATA.items()}
        for prefix, factor in ({"": 1.0} | DATA_NAMES).items():
            exact |= {prefix + name + end: Unit("data", factor * bytes_each) for end in ("", "s") if name}
    for written, kind, size in PLAIN:
        exact |= {name.replace("_", " "): Unit(kind, size) for name in written.split()}
    for name in ("\u00b0C", "\u2103", "degrees Celsius", "degree Celsius", "Celsius", "degC"):
        exact[name] = Unit("temperature", 1.0, 273.15)
    for name in ("\u00b0F", "\u2109", "degrees Fahrenheit", "degree Fahrenheit", "Fahrenheit", "degF"):
        exact[name] = Unit("temperature", 5 / 9, 273.15 - 32 * 5 / 9)
    exact |= {name.replace("\u00b5", "\u03bc"): unit for name, unit in exact.items() if "\u00b5" in name}
    folded: dict[str, Unit | None] = {}
    for name, unit in exact.items():  # Mb and MB, mW and MW are not the same: such a symbol must be to the letter
        low = name.lower()
        folded[low] = unit if folded.setdefault(low, unit) == unit else None
    return exact, {name: unit for name, unit in folded.items() if unit is not None and len(name) > 1}


def unit_of(text: str) -> Unit | None:
    """The unit that the whole text names, None where it is not known."""
    exact, folded = units()
    text = " ".join(text.split())
    return exact.get(text) or folded.get(text.lower())


@cache
def unit_pattern() -> re.Pattern[str]:
    """A unit after a number: the longest name that fits and ends there."""
    exact, folded = units()
    names = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in sorted(exact, key=len, reverse=True))
    low = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in sorted(folded, key=len, reverse=True))
    # "12 in the box" is no length: `in` before a word is a preposition; nor is "5 a day" a current.
    return re.compile(rf"(?!(?:in|a|A|d|st|h)\s+[^\W\d_])(?:{names}|(?i:{low}))(?![\w\u00b2\u00b3^/])")
