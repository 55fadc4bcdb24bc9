"""The language of an answer: the one asked for, else that of the question, in one script."""

import json

import pytest

from advisor.evidence.language import language
from advisor.evidence.shapes import shapes
from advisor.read import read
from advisor.records import Failure


def said(prompt, output, system="", context=()):
    messages = ({"role": "system", "content": system},) if system else ()
    messages += ({"role": "user", "content": prompt},)
    return language(Failure("1", messages, output, context=context))


WRONG = [
    ("Answer in Spanish: What is the capital of France?", "The capital is Paris."),
    ("Answer in Spanish: What is the capital of France?", "It is Paris."),
    ("Responde en español: ¿Cuál es la capital de Francia?", "The capital is Paris."),
    ("Was ist die Hauptstadt von Frankreich? Bitte auf Deutsch antworten.", "The capital of France is Paris."),
    ("What is the capital of France? Bitte auf Deutsch antworten.", "The capital is Paris."),
    ("用日语回答：法国的首都是哪里？", "法国的首都是巴黎。"),
    ("Réponds en français : what is the capital of Spain?", "The capital is Madrid."),
    ("フランスの首都はどこですか。日本語で答えてください。", "The capital is Paris."),
    ("Какая столица Франции? Отвечай по-русски.", "The capital of France is Paris."),
    ("用英文回答：法国的首都是哪里？", "法国的首都是巴黎。"),
    ("Translate into German: I would like to have a coffee.", "Me gustaría tomar un café, por favor."),
    ("Write a short poem about the sea in French.", "The sea is wide and blue, and I am small and new."),
    ("Please respond only in Italian. How do plants eat?", "Plants make sugar from light, water and air."),
    ("In Portuguese, what do bees make?", "Las abejas hacen miel y también hacen cera en la colmena."),
    ("Your reply must be in Korean. Who are you?", "I am an assistant who helps with questions."),
    ("Explícame la gravedad, responde en inglés.", "La gravedad es la fuerza que atrae los cuerpos entre sí."),
    ("Napisz odpowiedź po polsku: what is rain?", "Rain is water that falls from the clouds."),
    ("أجب بالعربية: what is rain?", "Rain is water that falls from the clouds."),
]
RIGHT = [
    ("Answer in Spanish: What is the capital of France?", "La capital es París."),
    ("Answer in Spanish: What is the capital of France?", "Paris"),
    ("Answer in Spanish: Who wrote Faust?", "Johann Wolfgang von Goethe"),
    ("Answer in Spanish: Who plays Don Carlos?", "The Duke of York"),
    ("Answer in German: Where is the Statue of Liberty?", "New York City"),
    ("Bitte auf Deutsch antworten: What is the capital of France?", "Die Hauptstadt ist Paris."),
    ("用日语回答：法国的首都是哪里？", "フランスの首都はパリです。"),
    ("Réponds en français : what is the capital of Spain?", "La capitale est Madrid."),
    ("Отвечай по-русски: what is the capital of France?", "Столица Франции - Париж."),
    ("Translate into German: I would like to have a coffee.", "Ich hätte gerne einen Kaffee."),
    ("Answer in Portuguese: What do bees make?", "As abelhas fazem mel."),
    ("Who is the best known actor in Telugu cinema?", "The best known actor is probably Prabhas."),
    ("Do not answer in French. What is the capital of France?", "The capital of France is Paris."),
    ("Explain the use of verbs in German.", "The verb stands in second place in a main clause."),
    ("Write about the history of French cuisine.", "French cuisine grew out of the kitchens of the court."),
    ("How do you say good morning in Spanish?", "You say buenos días, which means good days."),
    ("Write in Spanish a function that adds.", "def add(a, b):\n    return a + b"),
    ("Answer in Dutch: 2 + 2?", "4"),
]


@pytest.mark.parametrize(("prompt", "output"), WRONG)
def test_another_language_than_asked_is_form(prompt, output):
    (found,) = said(prompt, output)
    assert found.rung == "shapes" and found.cause == "form" and 3.0 <= found.weight <= 5.0, found
    assert found.quote and "asks for" in found.says


@pytest.mark.parametrize(("prompt", "output"), RIGHT)
def test_the_language_asked_for_and_what_asks_for_none_are_silent(prompt, output):
    assert said(prompt, output) == []


def test_a_system_message_may_ask_for_the_language():
    assert said("What do bees make?", "Bees make honey and wax.", "You always answer in German.")
    assert said("What do bees make?", "Bienen machen Honig und Wachs.", "You always answer in German.") == []


@pytest.mark.parametrize(
    ("question", "output"),
    [
        (
            "Welche Unterlagen brauche ich für die Anmeldung der Wohnung?",
            "You need a passport and the landlord's form.",
        ),
        ("How long does it take to get a refund for my order?", "您的退款将在十四天之内退回到您的账户。"),
        ("Сколько времени занимает возврат денег за мой заказ?", "The refund takes up to fourteen days to arrive."),
        (
            "¿Cuánto tiempo tarda el reembolso de mi pedido?",
            "Die Erstattung dauert bis zu vierzehn Tage nach der Anfrage.",
        ),
    ],
)
def test_an_answer_in_another_language_than_its_question_is_form(question, output):
    (found,) = said(question, output)
    assert found.cause == "form" and 1.5 <= found.weight <= 2.5


@pytest.mark.parametrize(
    ("question", "output"),
    [
        ("How do I say that the refund takes fourteen days in German?", "Die Erstattung dauert bis zu vierzehn Tage."),
        ("Welche Titel hat die Band veröffentlicht, die ich mag?", "Dark Side of the Moon"),
        ("Wie heißt der Befehl, der alle Dateien zeigt?", "ls -la"),
        ("Schreibe ein Programm, das alle Zahlen der Liste addiert.", "def total(numbers):\n    return sum(numbers)"),
        ("Correct this text: Die Erstattung dauert bis vierzehn Tag.", "Die Erstattung dauert bis zu vierzehn Tage."),
    ],
)
def test_names_code_and_brought_texts_are_not_another_language(question, output):
    assert said(question, output) == []


def test_characters_of_another_script_are_form_unless_they_were_given_or_stand_aside():
    question = "Where can I see old temples when I travel?"
    (found,) = said(question, "You can see many old temples in 京都的城市 and also in Nara.")
    assert found.cause == "form" and found.weight < 2.5 and "京都" in found.quote
    assert said(question, "You can see many old temples in Kyoto (京都) and also in Nara.") == []
    assert said(question, "See the old temples in 京都 and Nara.", context=("京都 has many temples.",)) == []
    assert said("What is the sign of a mean?", "The mean is written μ, the deviation σσ.") == []


def test_the_language_is_one_of_the_shapes():
    failure = Failure("1", ({"role": "user", "content": WRONG[0][0]},), WRONG[0][1])
    assert [e for e in shapes(failure) if "Spanish" in e.says]


def test_on_labelled_failures_it_speaks_for_form(shared):
    files = [shared / "data" / name for name in ("failures_dev.jsonl", "routing_dev.jsonl")]
    if not all(file.is_file() for file in files):
        pytest.skip("the labelled failures are not in the shared folder")
    label = {row["id"]: row["label"] for row in map(json.loads, files[1].read_text().splitlines())}
    found = [(label[f.id], e) for f in read([files[0]]).failures for e in language(f)]
    assert 1 <= len(found) <= 30  # next to none of those thousands failed by their language
    assert {said for said, e in found if "asks for" in e.says} == {"form"}
