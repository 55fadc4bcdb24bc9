"""General prompts that the base answers for itself; training on its own answers holds it near what it was.

Replaying a model's own outputs is self-distillation against forgetting (SDFT, Yang et al. 2024, arXiv 2402.13669).
The prompts are written for this project and share no item with the general questions that forgetting is measured on.
"""

from __future__ import annotations

from finetune.answer import answerer
from finetune.base import Base
from finetune.examples import Example

MAX_TOKENS = 64  # of one replayed answer

PROMPTS = (
    "Why do leaves change colour in autumn?",
    "Write two sentences about a rainy morning in a small town.",
    "Give me three tips for packing a suitcase.",
    "What is a bicycle used for?",
    "Explain in one sentence what a library is.",
    "How do I boil an egg?",
    "Name a few vegetables that grow underground.",
    "Tell me in one sentence what a compass does.",
    "Rewrite this politely: Send me the file now.",
    "What is the difference between a lake and a river?",
    "Suggest a title for a story about a lost dog.",
    "Why is it important to sleep well?",
    "Describe the taste of a lemon.",
    "What does a baker do?",
    "Which is heavier, a kilogram of iron or a kilogram of wool?",
    "Give an example of a renewable source of energy.",
    "How can I keep my desk tidy?",
    "What happens to water when it freezes?",
    "Write a short greeting for a birthday card.",
    "What is the purpose of a map?",
    "Name two instruments with strings.",
    "How are clouds formed?",
    "What should I wear when it is cold outside?",
    "Tell me one fact about elephants.",
    "Summarise in one sentence: The shop was closed because the owner had gone to visit her sister.",
    "What does the word 'gentle' mean?",
    "How do plants get their food?",
    "Give me a simple recipe for a salad.",
    "Why do people keep pets?",
    "What is a good way to learn a new language?",
    "Is the sun a star or a planet?",
    "Name three things you can find in a kitchen.",
    "What is the first thing to do in the case of a fire?",
    "Write one sentence with the word 'garden'.",
    "How does a candle work?",
    "What is the job of a postman?",
    "Why is the sea salty?",
    "Say thank you to a colleague in one sentence.",
    "What do you need to make a cup of tea?",
    "Give an example of a polite request.",
    "What is the use of a thermometer?",
    "How can I save water at home?",
    "Tell me something interesting about owls.",
    "Give two reasons to read books.",
    "What is a volcano?",
    "What makes a good neighbour?",
    "Describe a train station in two sentences.",
    "Describe how to tie a shoelace.",
    "Why do we brush our teeth?",
    "Describe the smell of fresh bread.",
    "Give a short piece of advice to a new student.",
    "What is paper made from?",
    "Which animal is known for carrying its house on its back?",
    "How do you greet somebody in the evening?",
    "What is a holiday?",
    "Explain why ice floats on water.",
    "What do carpenters work with?",
    "Give me a word that rhymes with 'night'.",
    "What can I cook with rice and beans?",
    "How do birds fly?",
    "Write a one-line weather report for a sunny day.",
    "What is an umbrella for?",
    "Name something that is made of glass.",
    "Why do we have leap years?",
)


def own_answers(base: Base, n: int) -> list[Example]:
    """The base's own greedy answers to the first `n` general prompts, as examples; empty ones are left out.

    An answer that ran into the limit is not taught to end there.
    """
    questions = [[{"role": "user", "content": prompt}] for prompt in PROMPTS[:n]]
    texts = answerer(base, max_new_tokens=MAX_TOKENS)(questions)
    lengths = [len(ids) for ids in base.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
    return [
        Example(question, text, id=f"replay-{i}", ends=length < MAX_TOKENS - 1)
        for i, (question, text, length) in enumerate(zip(questions, texts, lengths, strict=True))
        if text
    ]
