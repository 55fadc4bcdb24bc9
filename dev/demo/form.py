"""The form tasks of the demo: five house formats whose content is given in the prompt or known to everybody.

The slots of each format stand in the note in the order in which the format wants them, so a small model has the right
content and the wrong shape. Everything is drawn with a fixed seed, before any training.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

SEED = 1967
ITEMS = 48  # of each format

SYSTEM = {
    "order-record": 'Rewrite the order as one JSON object with the keys "n", "part" and "to". Nothing else.',
    "site-row": "Rewrite the report as one table row: | site | fault | name |. Nothing else.",
    "house-answer": "House style: ANSWER, colon, the answer in lower case, full stop.",
    "log-line": "Rewrite the message as one log line: [LEVEL] unit / thing / place. Nothing else.",
    "reply": (
        "Rewrite the note in two lines. First: Ahoy, name, colon, message. Second: Fair water, the Halvenmoor desk"
    ),
}

PLACES = (
    "Bergen Oslo Dublin Lisbon Hamburg Munich Paris Boston Kyoto Malta Bremen Riga Porto Genoa Antwerp Leeds Milan "
    "Geneva Vienna Prague Athens Seville Lyon Nice Dover Bristol Glasgow Aberdeen Tampa Denver Chicago Dallas Houston "
    "Seattle Toronto Sydney Perth Lima Quito Havana"
).split()
PARTS = (
    "brass valves|steel bolts|rubber seals|copper pipes|glass lids|wooden floats|red lamps|iron hooks|lead weights|"
    "nylon ropes|paper charts|felt hoods|plastic caps|silver springs|oak handles|rain funnels|test cables|canvas bags|"
    "door locks|paint brushes|water filters|signal flags|storm doors|tide clocks"
).split("|")
SITES = (
    "North bridge|South weir|Mill lock|Old harbour|East pier|Stone dam|West canal|Lake house|Ferry landing|Sand quay|"
    "Castle moat|Church well|Upper sluice|Lower ford|Green basin|Long jetty"
).split("|")
FAULTS = (
    "cracked lid|loose bolt|leaking seal|broken lamp|rusty chain|bent pole|dirty lens|flat battery|torn cable|"
    "blocked funnel|missing label|frozen valve|worn rope|wet fuse|stuck float|noisy fan"
).split("|")
PEOPLE = (
    "Anna Peter Maria Jonas Clara David Emma Felix Grace Henry Julia Karl Laura Martin Nora Oscar Paula Simon"
).split()
THINGS = "pump lamp winch camera float battery cable anchor gauge sensor radio valve motor clock fan door".split()
SURNAMES = (
    "Holm Baker Carter Fisher Mason Cooper Turner Walker Parker Marsh Brook Stone Wood Field Hill Lake Rivers Banks "
    "Frost Snow Winter Summers Day Knight"
).split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

# Questions that everybody can answer, some with the answer beside them, for the style of short answers.
KNOWN = """
The book was written by Ernst. Who wrote the book? | ernst
The government of India sits in which city? | new delhi
Which city is the capital of South Korea? | seoul
Edinburgh or Glasgow: which is Scotland's capital? | edinburgh
Cuba's capital is which city? | havana
Left is the opposite of which direction? | right
Our teacher comes from Wales. Where does our teacher come from? | wales
The soup needs more salt. What does the soup need? | salt
Good and its opposite: which word is missing? | bad
A ruby has which color? | red
Which bird hoots at night? | owl
Which large animal has a hump and lives in the desert? | camel
Which striped big cat lives in Asia? | tiger
Five boats lay in the bay. How many boats lay in the bay? | five
Which metal rusts? | iron
Which gas do balloons hold when they float? | helium
Which gas makes up most of the air? | nitrogen
The red door leads to the garden. Where does the red door lead? | garden
Which author wrote the novel Oliver Twist? | dickens
Bella has a broken finger. What did Bella break? | finger
Who freed the slaves in the United States as president? | lincoln
Name the language spoken in Brazil. | portuguese
People in Austria speak which language? | german
Name the meal that people eat in the morning. | breakfast
The letter came from Norway. From which country did the letter come? | norway
Name the highest mountain on Earth. | everest
Name the longest river in South America. | amazon
Toronto lies in which country? | canada
Mumbai is a city in which country? | india
Name the sense that we use our eyes for. | sight
Lemons are sour and sugar is sweet. How does sugar taste? | sweet
The hall is blue and the stairs are white. What color is the hall? | blue
Ben went to school by tram. How did Ben go to school? | tram
The shop opens on Monday. On which day does the shop open? | monday
Rosa ate a pear after lunch. Which fruit did Rosa eat? | pear
The bell is made of bronze. What is the bell made of? | bronze
Uncle Fred lives in Boston. Where does Uncle Fred live? | boston
My cat is called Molly. What is my cat called? | molly
The tea was cold. How was the tea? | cold
Our train leaves at noon. When does our train leave? | noon
Ida keeps her gold in the attic. Where is Ida's gold? | attic
The game was won by Spain. Who won the game? | spain
Leon is a tailor by trade. What is Leon's trade? | tailor
The cake was baked by Lucy. Who baked the cake? | lucy
Snow fell in April this year. When did snow fall? | april
A goat stood on the roof. Which animal stood on the roof? | goat
Theo drinks milk before bed. What does Theo drink? | milk
The key is under the mat. Where is the key? | mat
Kate bought a green coat. What color is Kate's coat? | green
The lake is full of trout. Which fish lives in the lake? | trout
Aunt May plays the harp. What does Aunt May play? | harp
The old bridge is made of stone. What is the bridge made of? | stone
"""


def form_tasks() -> list[dict[str, Any]]:
    """ITEMS tasks of each format: {family, messages, reference, checks}; the reference passes its own checks."""
    tasks: list[dict[str, Any]] = []
    for family, draw in FORMATS.items():
        items = draw(random.Random(f"{SEED} {family}"))
        seen: set[str] = set()
        while len(seen) < ITEMS:
            note, reference, checks = next(items)
            if note in seen:
                continue
            seen.add(note)
            messages = [{"role": "system", "content": SYSTEM[family]}, {"role": "user", "content": note}]
            tasks.append({"family": family, "messages": messages, "reference": reference, "checks": checks})
    return tasks


def _checks(form: list[tuple[str, Any]], content: list[str], whole: tuple[str, Any]) -> list[dict[str, Any]]:
    checks: list[dict[str, Any]] = [{"type": kind, "value": value, "of": "form"} for kind, value in form]
    checks.append({"type": "contains-all", "value": content, "of": "content"})
    return [*checks, {"type": whole[0], "value": whole[1], "of": "both"}]


Item = tuple[str, str, list[dict[str, Any]]]


def _orders(rng: random.Random) -> Iterator[Item]:
    notes = ("Order: {n} {part} to {to}.", "Please send {n} {part} to {to}.", "We need {n} {part} in {to} this week.")
    while True:
        slots = {"n": rng.randrange(2, 99), "part": rng.choice(PARTS), "to": rng.choice(PLACES)}
        checks = _checks(
            [("is-json", True), ("json-keys", ["n", "part", "to"])],
            [str(value) for value in slots.values()],
            ("json-equal", slots),
        )
        yield rng.choice(notes).format(**slots), json.dumps(slots), checks


def _rows(rng: random.Random) -> Iterator[Item]:
    notes = (
        "{site}: {fault}, seen by {name}.",
        "At {site}, a {fault} was found by {name}.",
        "{site}, {fault}, {name}",
    )
    while True:
        site, fault, name = rng.choice(SITES), rng.choice(FAULTS), rng.choice(PEOPLE)
        row = f"| {site} | {fault} | {name} |"
        checks = _checks([("full-match", r"\|( [^|\n]+ \|){3}")], [site, fault, name], ("lines-equal", row))
        yield rng.choice(notes).format(site=site, fault=fault, name=name), row, checks


def _answers(rng: random.Random) -> Iterator[Item]:
    table = [tuple(cell.strip() for cell in line.split("|")) for line in KNOWN.strip().splitlines()]
    rng.shuffle(table)
    for question, answer in table:
        line = f"ANSWER: {answer}."
        yield question, line, _checks([("full-match", r"ANSWER: [^A-Z\n]+\.")], [answer], ("lines-equal", line))


def _log_lines(rng: random.Random) -> Iterator[Item]:
    notes = (
        "{level}: unit {unit}, {thing}, {place}.",
        "{level}, {unit}, {thing} in {place}",
        "{level} call. Unit {unit}, the {thing} in {place}.",
    )
    while True:
        level, thing, place = rng.choice(("Urgent", "Routine", "Watch")), rng.choice(THINGS), rng.choice(PLACES)
        unit = f"{rng.choice('BDKPRT')}{rng.randrange(2, 99)}"
        line = f"[{level.upper()}] {unit} / {thing} / {place}"
        form = r"\[[A-Z]+\] [^/\n]+ / [^/\n]+ / [^/\n]+"
        checks = _checks([("full-match", form)], [level, unit, thing, place], ("lines-equal", line))
        yield rng.choice(notes).format(level=level, unit=unit, thing=thing, place=place), line, checks


def _replies(rng: random.Random) -> Iterator[Item]:
    messages = (
        "order {number} ships on {day}",
        "your {part} arrive on {day}",
        "invoice {number} was paid on {day}",
        "we are closed on {day}",
        "your {thing} will be repaired by {day}",
        "the {part} are sold out until {day}",
    )
    while True:
        title, surname, day = rng.choice(("Mr", "Mrs")), rng.choice(SURNAMES), rng.choice(DAYS)
        values = {"number": str(rng.randrange(1000, 9999)), "part": rng.choice(PARTS), "thing": rng.choice(THINGS)}
        pattern = rng.choice(messages)
        message = pattern.format(day=day, **values)
        reply = f"Ahoy {title} {surname}: {message}.\nFair water, the Halvenmoor desk"
        content = [surname, day, *(value for key, value in values.items() if "{" + key + "}" in pattern)]
        form = r"Ahoy [^:\n]+: [^\n]+\.\nFair water, the Halvenmoor desk"
        yield (
            f"To {title} {surname}: {message}.",
            reply,
            _checks([("full-match", form)], content, ("lines-equal", reply)),
        )


FORMATS: dict[str, Callable[[random.Random], Iterator[Item]]] = {
    "order-record": _orders,
    "site-row": _rows,
    "house-answer": _answers,
    "log-line": _log_lines,
    "reply": _replies,
}


def exemplar_of(task: dict[str, Any], tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """The solved example shown with a task: the next item of the same family that shares neither note nor answer."""
    same = [other for other in tasks if other["family"] == task["family"]]
    start = same.index(task)
    for step in range(1, len(same)):
        other = same[(start + step) % len(same)]
        if _words(other["reference"]).isdisjoint(_words(task["reference"]) - SHARED):
            return other
    return same[(start + 1) % len(same)]


SHARED = frozenset(
    "n part to answer urgent routine watch ahoy mr mrs fair water the halvenmoor desk order your on".split()
)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower())) - SHARED
