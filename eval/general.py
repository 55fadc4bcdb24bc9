"""General questions and plain prose, written for this project: what a tuned model must not have forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eval.fold import holds, same, words
from eval.near import jaccard, shingles

# A question this similar to a training prompt no longer measures what was kept; ours, stricter than for near copies.
TOO_NEAR = 0.5
MIN_WORDS = 4  # a shorter prompt is only compared as a whole

# Each row: what is asked, and the words of which one must be said. Everyday knowledge that small chat models mostly
# have: forgetting shows only where something was known, so questions that a 135M model gets wrong are few here.
QUESTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("What is the capital of France?", ("Paris",)),
    ("What is the capital of Italy?", ("Rome",)),
    ("What is the capital of Japan?", ("Tokyo",)),
    ("What is the capital of Germany?", ("Berlin",)),
    ("What is the capital of Egypt?", ("Cairo",)),
    ("What is the capital of China?", ("Beijing",)),
    ("What is the capital of the United Kingdom?", ("London",)),
    ("What is the capital of Russia?", ("Moscow",)),
    ("What is the capital of Greece?", ("Athens",)),
    ("On which continent does Brazil lie?", ("South America",)),
    ("On which continent does Kenya lie?", ("Africa",)),
    ("Which ocean lies between Europe and North America?", ("Atlantic",)),
    ("In which country do the pyramids of Giza stand?", ("Egypt",)),
    ("In which country does the Eiffel Tower stand?", ("France",)),
    ("What is the opposite of hot?", ("cold", "cool")),
    ("What is the opposite of big?", ("small", "little", "tiny")),
    ("What is the opposite of up?", ("down",)),
    ("What is the opposite of light?", ("dark", "darkness", "heavy")),
    ("What is the opposite of fast?", ("slow",)),
    ("What is the opposite of happy?", ("sad", "unhappy", "sadness")),
    ("What is the opposite of day?", ("night",)),
    ("What is the opposite of full?", ("empty",)),
    ("What colour is the sky on a clear day?", ("blue",)),
    ("What colour is fresh grass?", ("green",)),
    ("What colour is a ripe banana?", ("yellow",)),
    ("What sound does a cat make?", ("meow", "meows", "meowing", "miaow", "purr", "purring")),
    ("What is a young cat called?", ("kitten",)),
    ("How many legs does a spider have?", ("8",)),
    ("How many legs does a dog have?", ("4",)),
    ("Which month comes after January?", ("February",)),
    ("Which day comes after Monday?", ("Tuesday",)),
    ("How many days are there in a week?", ("7",)),
    ("How many months are there in a year?", ("12",)),
    ("How many hours are there in a day?", ("24",)),
    ("How many minutes are there in an hour?", ("60", "sixty")),
    ("What is frozen water called?", ("ice",)),
    ("Which planet is called the Red Planet?", ("Mars",)),
    ("What force pulls things down to the ground?", ("gravity", "gravitational")),
    ("Which part of the body pumps blood?", ("heart",)),
    ("Which part of the body do we think with?", ("brain",)),
    ("What do plants take in from the sun to grow?", ("light", "sunlight", "energy")),
    ("What is 2 plus 2?", ("4",)),
    ("What is 5 plus 3?", ("8",)),
    ("What is 3 times 3?", ("9",)),
    ("What is 10 divided by 2?", ("5",)),
    ("Who wrote the play Romeo and Juliet?", ("Shakespeare",)),
    ("Which language do most people in Mexico speak?", ("Spanish",)),
    ("What is the capital of Austria?", ("Vienna",)),
    ("What is the capital of Sweden?", ("Stockholm",)),
    ("What is the capital of Canada?", ("Ottawa",)),
    ("What is the capital of Thailand?", ("Bangkok",)),
    ("What is the opposite of old?", ("young", "new")),
    ("What is the opposite of north?", ("south",)),
    ("What is the opposite of wet?", ("dry",)),
    ("What is the opposite of strong?", ("weak",)),
    ("What is the opposite of early?", ("late",)),
    ("What is the opposite of war?", ("peace",)),
    ("In which country is the city of Sydney?", ("Australia",)),
    ("In which country is Mount Fuji?", ("Japan",)),
    ("In which country is the Taj Mahal?", ("India",)),
    ("In which country is the Colosseum?", ("Italy",)),
    ("Which river flows through London?", ("Thames",)),
    ("Which is the largest ocean on Earth?", ("Pacific",)),
    ("Which is the largest planet in the solar system?", ("Jupiter",)),
    ("What is the chemical formula of water?", ("H2O",)),
    ("What is the chemical symbol for gold?", ("Au",)),
    ("At how many degrees Celsius does water boil?", ("100",)),
    ("Who painted the Mona Lisa?", ("Leonardo", "Vinci")),
    ("Who wrote the play Hamlet?", ("Shakespeare",)),
    ("Who discovered the law of gravity?", ("Newton",)),
    ("Who developed the theory of relativity?", ("Einstein",)),
    ("What currency is used in Japan?", ("yen",)),
    ("What is 1 plus 1?", ("2",)),
    ("What is 2 times 5?", ("10",)),
    ("What is 10 plus 10?", ("20",)),
    ("How many letters are there in the English alphabet?", ("26",)),
    ("How many sides does a triangle have?", ("3",)),
    ("How many sides does a square have?", ("4",)),
    ("How many seconds are there in a minute?", ("60", "sixty")),
    ("What is the first month of the year?", ("January",)),
    ("What is the last month of the year?", ("December",)),
    ("What is the plural of the word child?", ("children",)),
    ("What is the plural of the word mouse?", ("mice",)),
    ("What instrument has black and white keys?", ("piano", "keyboard")),
)

GENERAL: tuple[dict[str, Any], ...] = tuple(
    {
        "id": f"general-{number:02d}",
        "messages": [{"role": "user", "content": question}],
        "checks": [{"type": "contains-any", "value": list(answers), "of": "content"}],
    }
    for number, (question, answers) in enumerate(QUESTIONS, start=1)
)

TEXTS: tuple[str, ...] = (
    "A good loaf of bread needs little more than flour, water, salt and time. The baker mixes the dough in the "
    "evening and leaves it in a cool room, where it rises slowly and gathers flavour. In the morning it is folded, "
    "shaped into a round, and set to rest once more while the oven grows hot. The crust should be dark and crackle "
    "as it cools. Cut it too soon and the crumb will be sticky; wait an hour, and every slice is worth the trouble.",
    "The village lies at the end of a narrow valley, where the road follows the river between steep green hills. In "
    "winter the sun reaches the houses for only three hours a day, and smoke from the chimneys hangs low over the "
    "roofs. Most of the young people have moved to the city for work, yet in summer they return with their children, "
    "and the small square fills with voices, long tables, and music that lasts until the last lamp goes out.",
    "Learning to ride a bicycle is mostly a matter of trust. At first the machine seems to fall to one side whatever "
    "you do, and the pavement looks very hard. Then somebody runs along behind with a hand on the saddle, and at some "
    "point, without saying a word, lets go. You only notice when you turn round. From that moment the body knows "
    "something that it will never forget, even if the bicycle stands in a shed for twenty years.",
    "Rain begins far away, over the sea, where the sun warms the water and some of it rises into the air as vapour. "
    "Higher up the air is colder, and the vapour gathers on specks of dust to form drops so small that they float. "
    "Wind carries the clouds over the land and pushes them up against the mountains. There the drops join, grow "
    "heavy, and fall. The water runs into streams and rivers, and in the end it returns to the sea.",
    "My grandmother kept her letters in a wooden box under the bed. They were tied in small bundles with string, one "
    "for each year, and she never let anyone read them. After her death we opened the box together at the kitchen "
    "table. There were no secrets in it, only the weather, the price of eggs, the illness of a neighbour and the "
    "first steps of a child. My mother read them aloud until late at night, and nobody wanted to go home.",
    "A public library is one of the few places where you may spend a whole day without buying anything. Children come "
    "for the picture books and stay because the floor is warm. Students take the desks near the window, and old men "
    "read the newspapers from the first page to the last. The librarian knows which of them would rather be left "
    "alone and which of them is hoping for a conversation. At six the lights go off row by row.",
    "Most small gardens fail because too much is planted in them at once. It is better to begin with one bed, to dig "
    "it well, and to learn how the light moves over it in the course of a year. Beans, lettuce and radishes forgive "
    "almost every mistake. Water in the early morning rather than at noon, and pull the weeds while they are still "
    "small. By the second summer you will know your soil, and then it is time to dig another bed.",
    "The night train left the station ten minutes late. In the corridor people were looking for their beds, dragging "
    "suitcases that were too wide for the doors, and excusing themselves in several languages. Soon the town was gone "
    "and only a few lights slid past the dark window. A child asked how the driver could see the way, and her father "
    "explained that the rails know it for him. She thought about this for a long time and then fell asleep.",
    "Anyone who repairs old clocks must first of all be patient. A clock that has stood still for years is seldom "
    "broken; more often it is dirty, and the oil has turned to glue. Each wheel is taken out, cleaned with a soft "
    "brush and laid on a white cloth in the order in which it must go back. The work is finished when the sound is "
    "even, like calm breathing. Even then you wait a week before you call the owner.",
    "On the first warm day of spring the whole street seems to wake up. Windows that were shut for months stand open, "
    "somebody is beating a carpet, and the two brothers from number nine have carried their broken car out into the "
    "light to look at it. The ice cream shop puts a single table in front of its door. Nobody believes that the good "
    "weather will last, so everyone tries to be outside for as much of it as possible.",
)


def overlaps(other_prompts: Sequence[str]) -> list[str]:
    """The prompts among these that ask (nearly) the same as a general question, in the order given.

    Such a prompt may not be trained on: it would make forgetting invisible. Same folded text, one holding the other
    whole, or word-shingle Jaccard of at least 0.5.
    """
    known = [(question, shingles(question)) for question, _ in QUESTIONS]

    def near(prompt: str) -> bool:
        held, long = shingles(prompt), len(words(prompt)) >= MIN_WORDS
        return any(
            same(prompt, question)
            or (len(words(question)) >= MIN_WORDS and holds(prompt, question))
            or (long and (holds(question, prompt) or jaccard(held, of_question) >= TOO_NEAR))
            for question, of_question in known
        )

    return [prompt for prompt in other_prompts if near(prompt)]
