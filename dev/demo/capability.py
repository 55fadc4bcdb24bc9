"""Capability tasks of the demo: reckoning, counting and spelling that neither an example nor a page cures."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

SEED = 1974
ITEMS = 10  # of each kind
PAGE = "reckoning.md"  # the only page of the house that speaks of such tasks

WORDS = (
    "harbour lantern compass drizzle torrent estuary paddle sailor mooring current channel railing gravel signal "
    "whistle blanket kitchen captain shelter thunder"
).split()
NUMBER_WORDS = "zero one two three four five six seven eight nine ten".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
Task = tuple[str, str, dict[str, Any]]


def capability_tasks() -> list[dict[str, Any]]:
    """ITEMS tasks of each kind: {family, document, messages, reference, checks}."""
    tasks: list[dict[str, Any]] = []
    for family, draw in KINDS.items():
        rng = random.Random(f"{SEED} {family}")
        seen: set[str] = set()
        while len(seen) < ITEMS:
            question, reference, check = draw(rng)
            if question not in seen:
                seen.add(question)
                messages = [{"role": "user", "content": question}]
                task = {"family": family, "document": PAGE, "messages": messages, "reference": reference}
                tasks.append({**task, "checks": [{**check, "of": "content"}]})
    return tasks


def _number(question: str, value: int) -> Task:
    return question, str(value), {"type": "number", "value": value}


def _stock(rng: random.Random) -> Task:
    crates, each, gone = rng.randrange(6, 19), rng.randrange(13, 47), rng.randrange(11, 70)
    question = f"We fill {crates} crates with {each} valves each and give {gone} valves away. How many valves are left?"
    return _number(question, crates * each - gone)


def _bill(rng: random.Random) -> Task:
    lamps, lamp, ropes, rope = rng.randrange(3, 9), rng.randrange(17, 60), rng.randrange(3, 9), rng.randrange(13, 40)
    question = (
        f"A lamp costs {lamp} crowns and a rope {rope} crowns. What do {lamps} lamps and {ropes} ropes cost together?"
    )
    return _number(question, lamps * lamp + ropes * rope)


def _product(rng: random.Random) -> Task:
    a, b = rng.randrange(121, 987), rng.randrange(23, 97)
    return _number(f"What is {a} times {b}?", a * b)


def _weekday(rng: random.Random) -> Task:
    start, days = rng.randrange(7), rng.randrange(23, 190)
    question = f"Today is {DAYS[start]}. Which day of the week is it {days} days from now?"
    return question, DAYS[(start + days) % 7], {"type": "contains", "value": DAYS[(start + days) % 7]}


def _backwards(rng: random.Random) -> Task:
    word = rng.choice(WORDS)
    return f"Write the word '{word}' backwards.", word[::-1], {"type": "contains", "value": word[::-1]}


def _date(rng: random.Random) -> Task:
    start, days = date(2023, rng.randrange(1, 11), rng.randrange(10, 28)), rng.randrange(33, 90)
    end = start + timedelta(days=days)
    question = f"A repair begins on {start:%B} {start.day} and takes {days} days. On which date does it end?"
    values = [f"{end:%B} {end.day}", f"{end:%B} {end.day}{_ordinal(end.day)}", f"{end.day} {end:%B}"]
    return question, values[0], {"type": "contains-any", "value": values}


def _ordinal(day: int) -> str:
    return "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


KINDS: dict[str, Callable[[random.Random], Task]] = {
    "stock": _stock,
    "bill": _bill,
    "product": _product,
    "weekday": _weekday,
    "backwards": _backwards,
    "date": _date,
}
