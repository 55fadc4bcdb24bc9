"""Harness defects of the demo: cases spoiled on purpose, in the ways in which real logs are."""

from __future__ import annotations

from typing import Any

SHORT = "Answer in one short sentence."
SUMMARY = "Sum up the report in one sentence: "

# The template was never filled in: prompt as logged | reference of the case that should have been asked.
UNRENDERED = (
    ("Answer in one short sentence: {{question}}", "Agnes Thorrell"),
    ("Context: {{ context }}\n\nQuestion: Who painted the hall?", "Rosa Ferrin"),
    ("Rewrite the order as one JSON object: {order_note}", '{"n": 12, "part": "brass valves", "to": "Bergen"}'),
    ("Translate into French: ${text}", "bonjour"),
    (SUMMARY + "<%= report.body %>", "The weir is blocked."),
    ("Reply to {{ customer.name }} about order {{ customer.order }}.", "Ahoy Mrs Holm"),
    ("Q: {{ item.question }}\nA:", "lentil soup"),
    ("Which of these is a metal: {option_a} or {option_b}? Answer with one word.", "pewter"),
)

# The reference is a placeholder, comes from the row next to it, or is no option: prompt | reference | checked value.
WRONG_REFERENCE = (
    (f"Which bird is pink and stands on one leg? {SHORT}", "TODO", "TODO"),
    (f"Which tool cuts wood? {SHORT}", "N/A", "N/A"),
    (f"What do people put on their heads in winter? {SHORT}", "TBD", "TBD"),
    (f"Which animal lives in a kennel? {SHORT}", "dog", "the Danube"),
    (f"Which fruit grows on a palm and holds milk? {SHORT}", "coconut", "Thursday"),
    (f"What do we call a house made of snow? {SHORT}", "igloo", "trumpet"),
    ("Which animal swims? A) shark B) eagle C) horse. Answer with the letter.", "E", "E"),
    ("Which one is a fruit? A) hammer B) plum C) chair. Answer with the letter.", "D", "D"),
    ("Which one is a metal? A) copper B) copper C) paper. Answer with the letter.", "B", "B"),
)

# The provider gave nothing back: prompt | reference | error | finish_reason.
EMPTY = (
    (f"What is a baby lion called? {SHORT}", "cub", "RateLimitError: 429 Too Many Requests", "error"),
    (f"Which ship sank in 1912? {SHORT}", "Titanic", "APITimeoutError: request timed out after 30 s", "error"),
    (f"Which nut do squirrels bury? {SHORT}", "acorn", "InternalServerError: 503 Service Unavailable", "error"),
    (f"Which color has a flamingo? {SHORT}", "pink", "APIConnectionError: connection reset by peer", "error"),
    (f"Which instrument has six strings? {SHORT}", "guitar", "BadRequestError: 400 context length exceeded", "error"),
    (
        f"Which game has a king and pawns? {SHORT}",
        "chess",
        "ContentFilterError: the response was filtered",
        "content_filter",
    ),
)

# The check itself cannot be run: prompt | reference | check.
CRASHED = (
    (f"What melts when it gets warm outside? {SHORT}", "snow", {"type": "regex", "value": "([a-z"}),
    (f"Which vegetable do rabbits love? {SHORT}", "carrots", {"type": "regex", "value": "*carrot"}),
    (f"What do pirates look for? {SHORT}", "treasure", {"type": "full-match", "value": "(?P<x>gold|(?P<x>treasure))"}),
    (f"Which vehicle has two pedals? {SHORT}", "bicycle", {"type": "regex", "value": "bike{3,1}"}),
    (f"What do spiders spin? {SHORT}", "webs", {"type": "containz", "value": "web"}),
    (f"What lights up a room at night? {SHORT}", "lamp", {"type": "max-words", "value": "a few"}),
)


def harness_cases() -> list[dict[str, Any]]:
    """Every planted defect: {family, messages, reference, checks} and, of empty outputs, {error, finish_reason}."""
    cases = [_case("unrendered", prompt, reference, reference) for prompt, reference in UNRENDERED]
    cases += [_case("wrong-reference", *row) for row in WRONG_REFERENCE]
    for prompt, reference, error, finish_reason in EMPTY:
        case = _case("empty-output", prompt, reference, reference)
        cases.append({**case, "error": error, "finish_reason": finish_reason})
    for prompt, reference, check in CRASHED:
        cases.append({**_case("crashed-check", prompt, reference, reference), "checks": [check]})
    return cases


def _case(family: str, prompt: str, reference: str, value: str) -> dict[str, Any]:
    check = {"type": "contains", "value": value, "of": "content"}
    messages = [{"role": "user", "content": prompt}]
    return {"family": family, "messages": messages, "reference": reference, "checks": [check]}
