"""General prompts that the base answers for itself; training on its own answers holds it near what it was.

Replaying a model's own outputs is self-distillation against forgetting (SDFT, Yang et al. 2024, arXiv 2402.13669).
The prompts are written for this project and share no item with the general questions that forgetting is measured on.
"""

from __future__ import annotations

from finetune.answer import answerer
from finetune.base import Base
from finetune.examples import Example

MAX_TOKENS = 64  # of one replayed answer

# Talk, short facts and reading in turn, so that the first n of them hold all kinds.
PROMPTS = (
    "Why do leaves change colour in autumn?",
    "Which river flows through Cairo? Answer in one short sentence.",
    "Nadia bought a green bicycle on Friday. She rides it to the market. What did Nadia buy?",
    "Write two sentences about a rainy morning in a small town.",
    "Give me three tips for packing a suitcase.",
    "Who invented the light bulb? Answer in one short sentence.",
    "The meeting was moved from Room 4 to Room 9 because of the noise. In which room is the meeting?",
    "What is a bicycle used for?",
    "Explain in one sentence what a library is.",
    "Which country has the most people? Answer in one short sentence.",
    "Tom planted three apple trees behind his house. His brother watered them. Who watered the trees?",
    "How do I boil an egg?",
    "Name a few vegetables that grow underground.",
    "What is the hardest natural material? Answer in one short sentence.",
    "The bakery opens at seven and closes at noon. When does the bakery close?",
    "Tell me in one sentence what a compass does.",
    "Rewrite this politely: Send me the file now.",
    "What does a doctor do? Answer in one short sentence.",
    "Elena lost her keys in the park. A boy found them under a bench. Where were the keys?",
    "What is the difference between a lake and a river?",
    "Suggest a title for a story about a lost dog.",
    "What do you use to cut paper? Answer in one short sentence.",
    "The train to Lyon was late, so Marc took the bus. How did Marc travel?",
    "Why is it important to sleep well?",
    "Describe the taste of a lemon.",
    "Which organ pumps the blood? Answer in one short sentence.",
    "Our cat is called Pepper. She sleeps on the radiator. Where does the cat sleep?",
    "What does a baker do?",
    "Which is heavier, a kilogram of iron or a kilogram of wool?",
    "What is the boiling point of water? Answer in one short sentence.",
    "Mr Lowe teaches history. His wife teaches music. What does Mr Lowe teach?",
    "Give an example of a renewable source of energy.",
    "How can I keep my desk tidy?",
    "Which sea lies between Italy and Croatia?",
    "The soup was too salty, but the bread was good. What was wrong with the soup?",
    "What happens to water when it freezes?",
    "Write a short greeting for a birthday card.",
    "Which mountain is the highest in the world?",
    "Sara writes letters to her cousin in Peru every month. To whom does Sara write?",
    "What is the purpose of a map?",
    "Name two instruments with strings.",
    "Which country is famous for tulips and windmills?",
    "A storm broke two windows of the school. Nobody was hurt. How many windows broke?",
    "How are clouds formed?",
    "What should I wear when it is cold outside?",
    "Which famous wall was built in China?",
    "Ivan gave the red scarf to his aunt and kept the blue one. Which scarf did Ivan keep?",
    "Tell me one fact about elephants.",
    "Summarise in one sentence: The shop was closed because the owner had gone to visit her sister.",
    "How do people pay in Switzerland?",
    "The lake freezes in January. Then the children skate on it. When does the lake freeze?",
    "What does the word 'gentle' mean?",
    "How do plants get their food?",
    "Give one word that means the same as 'quick'.",
    "Greta wanted to paint the door white, but the shop only had yellow paint. Which colour did the shop have?",
    "Give me a simple recipe for a salad.",
    "Why do people keep pets?",
    "What is the plural of 'leaf'?",
    "The old clock in the hall stopped at ten past four. Where is the clock?",
    "What is a good way to learn a new language?",
    "Is the sun a star or a planet?",
    "What do you call a baby horse?",
    "Pedro works at night and sleeps during the day. When does Pedro sleep?",
    "Name three things you can find in a kitchen.",
    "What is the first thing to do in the case of a fire?",
    "Which day comes before Wednesday?",
    "The museum shows ships on the first floor and planes on the second. What is on the second floor?",
    "Write one sentence with the word 'garden'.",
    "How does a candle work?",
    "Which number follows nineteen?",
    "Hugo forgot his lunch, so Clara shared hers with him. Who shared a lunch?",
    "What is the job of a postman?",
    "Why is the sea salty?",
    "Who was the first man on the moon?",
    "The letter came from Madrid and was written in Spanish. In which language was the letter?",
    "Say thank you to a colleague in one sentence.",
    "What do you need to make a cup of tea?",
    "Which ocean is the deepest?",
    "It rained all week, so the farmers could not bring in the hay. Why could they not bring in the hay?",
    "Give an example of a polite request.",
    "What is the use of a thermometer?",
    "What is the name of our galaxy?",
    "Lily has a piano lesson on Monday and a swimming lesson on Thursday. When does Lily swim?",
    "How can I save water at home?",
    "Tell me something interesting about owls.",
    "Which sport is played with a racket and a yellow ball?",
    "The hotel has forty rooms, and each has a view of the sea. What can guests see from their rooms?",
    "Give two reasons to read books.",
    "What is a volcano?",
    "What is 6 plus 7?",
    "Oliver painted a picture of his grandmother for her birthday. What did Oliver paint?",
    "What makes a good neighbour?",
    "Describe a train station in two sentences.",
    "How many minutes are in an hour?",
    "The shop sells tea, coffee and cocoa, but no milk. What does the shop not sell?",
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
        Example(question, text, id=f"replay-{i}", ends=length < MAX_TOKENS - 1, origin="replay")
        for i, (question, text, length) in enumerate(zip(questions, texts, lengths, strict=True))
        if text
    ]
