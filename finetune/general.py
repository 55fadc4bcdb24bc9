"""General questions and plain texts that a run is watched by while it trains: what the base knew, is it still there?

They choose (a remedy, a checkpoint, a base); those that judge in the end are others and lie with the proof.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from finetune.answer import answerer, text_loss
from finetune.base import Base, asking

MAX_TOKENS = 24  # of one answer

# What is asked, and the words of which one must be said: everyday knowledge that small chat models mostly have.
QUESTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("What is the capital of Spain?", ("madrid",)),
    ("What is the capital of Portugal?", ("lisbon",)),
    ("What is the capital of India?", ("delhi",)),
    ("On which continent does Nigeria lie?", ("africa",)),
    ("On which continent does Peru lie?", ("america",)),
    ("In which country is the city of Toronto?", ("canada",)),
    ("In which country is the city of Munich?", ("germany",)),
    ("What is the opposite of left?", ("right",)),
    ("What is the opposite of open?", ("closed", "close", "shut")),
    ("What is the opposite of good?", ("bad", "evil")),
    ("What is the opposite of summer?", ("winter",)),
    ("What colour is snow?", ("white",)),
    ("What colour is a ripe tomato?", ("red",)),
    ("What is a young dog called?", ("puppy",)),
    ("Which animal says moo?", ("cow",)),
    ("Which month comes after March?", ("april",)),
    ("Which day comes after Friday?", ("saturday",)),
    ("What is 3 plus 4?", ("7", "seven")),
    ("What is 2 times 4?", ("8", "eight")),
    ("What do bees make?", ("honey",)),
    ("What gas do people need to breathe?", ("oxygen",)),
    ("Which part of the body do we see with?", ("eye", "eyes")),
    ("Which star gives light to the Earth?", ("sun",)),
    ("What do we call water that falls from clouds?", ("rain", "precipitation")),
)

TEXTS: tuple[str, ...] = (
    "The ferry crosses the sound four times a day. In fair weather the passengers stand outside at the rail and watch "
    "the gulls, which follow the boat in the hope of bread. The crossing takes forty minutes. On the far side there is "
    "a small harbour with a crane, a shop for ropes and lamps, and a bench on which the same two men always sit.",
    "To mend a chair you need patience more than skill. Take the loose joint apart, scrape away the old glue, and see "
    "how the pieces fit when they are dry. Then brush on fresh glue, press the joint together, and hold it with a "
    "strap until the next morning. Most chairs that are thrown away could have been saved in this manner.",
    "When the school bell rings at noon the yard fills within a minute. Some children run straight to the swings, "
    "others trade the contents of their lunch boxes, and a few stand by the wall and read. The teachers drink coffee "
    "near the door and pretend not to watch. Half an hour later it is quiet again, and a scarf lies on the ground.",
    "Every good map leaves something out. A chart for sailors shows the depth of the water and the lights along the "
    "coast, but hardly a road; a plan of the town shows each lane and no hill. Whoever draws a map must first decide "
    "who is going to use it, and for what, and then have the courage to forget the rest.",
)


@dataclass(frozen=True)
class Kept:
    """What is left of general knowledge at one moment of a run."""

    text_loss: float  # nats a token, mean over TEXTS
    right: int  # of the questions asked
    asked: int


def kept(base: Base, *, questions: bool = True) -> Kept:
    """Ask the general questions (greedily, a few seconds on a small model) and take the loss on the general texts."""
    with asking(base.model):
        losses = text_loss(base, TEXTS)
        asked = QUESTIONS if questions else ()
        answers = answerer(base, max_new_tokens=MAX_TOKENS, batch=len(QUESTIONS))(
            [[{"role": "user", "content": question}] for question, _ in asked]
        )
    right = sum(says(answer, words) for answer, (_, words) in zip(answers, asked, strict=True))
    return Kept(sum(losses) / len(losses), right, len(asked))


def says(answer: str, words: tuple[str, ...]) -> bool:
    """Whether one of the words stands in the answer as a word, in any case."""
    return any(re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) for word in words)
