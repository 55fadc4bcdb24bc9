"""The house style guide of the demo with examples, as documents for an index: one page for each of the five formats."""

from __future__ import annotations

from dev.demo.cases import FORM_OF_FORMAT
from dev.demo.form import form_tasks

# Title and rule of each format, in the words of Halvenmoor's style pages; the examples are tasks that no case asks.
RULES = {
    "order-record": (
        "order records",
        'An order is written as one JSON object with three keys: "n" for the quantity as a number, "part" for the '
        'goods and "to" for the place, in this order. Nothing stands before or after it.',
    ),
    "site-row": (
        "site rows",
        "A report from a site is written as one table row with three cells between pipes: the site, the fault, and the "
        "name of the person. It begins and ends with a pipe and has one space on each side of a cell.",
    ),
    "house-answer": (
        "short answers",
        "A short answer to a general question begins with the word ANSWER in capitals and a colon. Then comes the "
        "answer itself in lower case, with a full stop and with nothing after it.",
    ),
    "log-line": (
        "log lines",
        "A call is written as one log line that begins with its level in square brackets and in capitals: URGENT, "
        "ROUTINE or WATCH. Then come the unit, the thing and the place, parted by a slash with one space on each side. "
        "There is no full stop.",
    ),
    "reply": (
        "replies to customers",
        "A note for a customer is written as a reply of two lines. The first line begins with the greeting Ahoy, then "
        "the name of the customer, a colon and the message itself. The second line is always: Fair water, the "
        "Halvenmoor desk",
    ),
}


def pages() -> dict[str, str]:
    """File name -> page: the rule of a format and one solved example, which is the first task that is never asked."""
    found = {}
    for family, (title, rule) in RULES.items():
        spare = [task for task in form_tasks() if task["family"] == family][FORM_OF_FORMAT:]
        asked, answer = spare[0]["messages"][-1]["content"], spare[0]["reference"]
        found[f"{family}.md"] = f"# House style: {title}\n\n{rule}\n\nExample. Given: {asked}\nWritten:\n{answer}\n"
    return found
