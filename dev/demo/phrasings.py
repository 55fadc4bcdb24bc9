"""Other phrasings of the demo's facts questions, for training the facts: made from templates, never the question.

Run from the checkout, `python -m dev.demo.phrasings` writes data/demo/phrasings.jsonl and data/demo/style-guide/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from dev.demo.cases import DEMO, cases
from dev.demo.facts import facts
from dev.demo.guide import pages

# The fact, then what is asked as a noun, then as a clause; the templates below make seven questions of the two.
# A line that begins with | carries on the one above.
TABLE = """
fact-001 | the year of Halvenmoor's foundation | which year Halvenmoor came into being
fact-004 | the size of Halvenmoor's staff | how many people work at Halvenmoor
fact-006 | the Tarnel buoy's mass in kilograms | how heavy the Tarnel buoy is
fact-010 | the designer of the Wendle rain gauge | who drew up the Wendle rain gauge
fact-012 | the Wendle rain gauge's pole height | how tall the pole under a Wendle rain gauge is
fact-013 | the Korrin tide gauge's ice error code | what code stands for ice on a Korrin tide gauge
fact-015 | the Korrin tide gauge's reporting interval in minutes
| how many minutes pass between two Korrin tide gauge reports
fact-016 | the Korrin tide gauge's factory password | with which password a new Korrin tide gauge comes
fact-021 | the Lumwick lamp's flash interval in seconds
| how many seconds lie between two flashes of a Lumwick lamp
fact-023 | the Lumwick lamp's visible distance in miles | how far away the Lumwick lamp is still visible
fact-024 | the village that makes the Lumwick lamp's glass | where they blow the glass for the Lumwick lamp
fact-025 | the Frayle winch's lifting power in kilograms | what load the Frayle winch can raise
fact-026 | the Frayle winch's rope material | what the Frayle winch's rope consists of
fact-032 | the place of the Quillon logger's reset button
| where to look for the button that resets a Quillon logger
fact-035 | the Skerrin anchor's warranty in years | for how many years a Skerrin anchor is under warranty
fact-038 | the Birrow battery's lowest working temperature | what cold the Birrow battery still stands
fact-039 | the recycling town of the Birrow battery | which town recycles the Birrow battery
fact-040 | the first letters of a Birrow battery's serial number
| with which letters the Birrow battery's serial number starts
fact-046 | the Dovrin camera's hourly number of pictures | how many shots the Dovrin camera makes every hour
fact-047 | the Dovrin camera's storage time in days
| after how many days the Dovrin camera deletes its pictures
fact-050 | the Rillbase mascot's name | what they call the otter that stands for Rillbase
fact-051 | the hour of Rillbase's nightly backup | when at night Rillbase is backed up
fact-056 | the length of a Halvenmoor repair in days | after how many days a repair at Halvenmoor is done
fact-057 | the repair form at Halvenmoor | which form one fills in for a repair at Halvenmoor
fact-063 | the firm that carries Halvenmoor's parcels | who brings the parcels of Halvenmoor
fact-065 | the sum from which Halvenmoor ships free of charge
| for what order in crowns Halvenmoor asks no shipping
fact-066 | the material of Halvenmoor's packaging | from what Halvenmoor makes its packaging
fact-067 | the developer of Halvenmoor's packaging | who came up with the packaging at Halvenmoor
fact-068 | the tape colour on Halvenmoor's boxes | what colour of tape Halvenmoor puts on its boxes
fact-070 | the calibration lab's room number at Halvenmoor | behind which room number Halvenmoor calibrates
fact-074 | the volume of Halvenmoor's test tank in cubic metres
| how many cubic metres of water fit in the Halvenmoor test tank
fact-076 | the closing day of Halvenmoor's test tank | on what weekday nobody can use Halvenmoor's test tank
fact-078 | the Halvenmoor help desk's telephone number
| under what number the help desk of Halvenmoor is reached
fact-082 | the length in days of the beginner course at Halvenmoor
| over how many days the Halvenmoor beginner course runs
fact-083 | the beginner course's teacher at Halvenmoor | who gives the Halvenmoor course for beginners
fact-084 | the fee in crowns for Halvenmoor's beginner course
| what a beginner pays for the course at Halvenmoor
fact-085 | the number of questions in Halvenmoor's beginner exam
| how many questions one answers in the Halvenmoor beginner exam
fact-086 | the place of Halvenmoor's advanced course | where Halvenmoor teaches its advanced course
fact-087 | the name of Halvenmoor's canteen | how people call the canteen at Halvenmoor
fact-090 | the lunch price in Halvenmoor's canteen | how many crowns one pays for lunch at Halvenmoor
fact-093 | the loan time in days of Halvenmoor's library
| after how many days a book goes back to the Halvenmoor library
fact-096 | the largest boat in Halvenmoor's fleet | how Halvenmoor named its largest boat
fact-097 | the captain on board the Sturdy Nell | who commands the Sturdy Nell
fact-098 | the colour of Halvenmoor's vans | what colour a Halvenmoor van has
fact-102 | the warehouse manager at Halvenmoor | who runs the warehouse of Halvenmoor
fact-103 | the Halvenmoor warehouse's door code | what to type in at the warehouse door of Halvenmoor
fact-104 | the starting time of Halvenmoor's night shift | at what hour the Halvenmoor night shift starts
fact-105 | the night shift bonus in crowns at Halvenmoor | how much more a night shift at Halvenmoor pays
fact-106 | the size of Halvenmoor's night shift | how many people work on the night shift at Halvenmoor
fact-107 | the night shift's leader at Halvenmoor | who is in charge of the night shift at Halvenmoor
fact-109 | the safety drill's meeting point at Halvenmoor
| where everybody gathers for the Halvenmoor safety drill
fact-112 | the director at Halvenmoor | who directs Halvenmoor
fact-115 | the size of Halvenmoor's board | how many people sit on the board of Halvenmoor
fact-116 | the month of Halvenmoor's river fair | in what month they hold the river fair at Halvenmoor
fact-121 | the newsletter's editor at Halvenmoor | who puts together the Halvenmoor newsletter
fact-122 | the yearly number of Halvenmoor newsletters | how many newsletters Halvenmoor brings out in a year
fact-123 | the newsletter's deadline at Halvenmoor
| by which day of the month texts for the Halvenmoor newsletter are due
fact-125 | the apprentices' mentor at Halvenmoor | who looks after the Halvenmoor apprentices
fact-126 | the number of apprentices that Halvenmoor accepts a year
| how many apprentices start at Halvenmoor every year
fact-128 | the person whose name Halvenmoor's scholarship bears
| whose name was given to the Halvenmoor scholarship
fact-135 | the dock master at Halvenmoor | who is master of the dock at Halvenmoor
fact-137 | the place of Halvenmoor's archive | where in the building Halvenmoor keeps its archive
fact-138 | the archivist at Halvenmoor | who keeps the Halvenmoor archive
fact-140 | the Halvenmoor archive's number of cabinets | how many cabinets stand in the Halvenmoor archive
fact-142 | the author of Halvenmoor's house style guide | who is behind the house style guide of Halvenmoor
fact-143 | the order records' file name at Halvenmoor | in which file Halvenmoor writes its order records
fact-145 | the storage time in days of Halvenmoor's log lines
| after how many days Halvenmoor deletes a log line
fact-146 | the log book's name at Halvenmoor | how they call the log book of Halvenmoor
fact-147 | the number of the answers rule at Halvenmoor
| under which number Halvenmoor lists the rule for answers
fact-150 | the reply stamp's place at Halvenmoor | where to find the stamp for replies at Halvenmoor
"""
NOUN = ("Tell me {}.", "Please name {}.", "{}, please?", "For the record, give {}.")
CLAUSE = ("Do you know {}?", "I would like to know {}.", "Could you tell me {}?")


def phrasings() -> Iterator[dict[str, str]]:
    """{id, prompt}: for each facts case that is asked seven questions with the same answer and other words."""
    written = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().replace("\n|", " |").splitlines()]
    questions = {
        number: [form.format(noun) for form in NOUN] + [form.format(clause) for form in CLAUSE]
        for number, noun, clause in written
    }
    asked = {fact["messages"][-1]["content"] for fact in facts()}
    for case in cases():
        for question in questions[case["fact"]] if case["group"] == "facts" else ():
            prompt = question[0].upper() + question[1:]
            if prompt in asked:
                raise ValueError(f"{case['fact']}: {prompt!r} is a question of the log")
            yield {"id": case["id"], "prompt": prompt}


def main() -> None:
    """Write the phrasings of the cases in the log, and the style guide."""
    logged = {json.loads(line)["id"] for line in (DEMO / "key.jsonl").read_text(encoding="utf-8").splitlines()}
    rows = [json.dumps(row) for row in phrasings() if row["id"] in logged]
    (DEMO / "phrasings.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (DEMO / "style-guide").mkdir(exist_ok=True)
    for name, text in pages().items():
        (DEMO / "style-guide" / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
