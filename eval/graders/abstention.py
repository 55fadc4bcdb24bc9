"""Whether an answer abstains: says that it does not know, or declines."""

from __future__ import annotations

import re

from eval.graders.row import Check

READ_CHARS = 20_000  # of an answer, read; ours
# An abstention is the first thing that is said, or there is not much else: written in three sentences it is the
# answer, in the middle of an essay it is a remark.
MOST_SENTENCES = 3

# What is said in each language; apostrophes and spaces are folded before.
SAID: dict[str, tuple[str, ...]] = {
    "en": (
        r"\bi (?:really |honestly |actually )?(?:do not|don't|did not|didn't) (?:actually )?know",
        r"\bi (?:do not|don't) (?:currently |actually )?have (?:\w+ |\w+-\w+-\w+ |\w+-\w+ ){0,4}"
        r"(?:information|details|data|access|knowledge|answer|context)",
        r"\bi (?:cannot|can't|can not|could not|couldn't|won't|will not|am unable to|am not able to) "
        r"(?:answer|help|assist|provide|find|determine|verify|confirm|comply|fulfil|do that|say|tell|discuss|engage|"
        r"create|share|access)",
        r"\bi'm (?:unable|not able) to",
        r"\b(?:i'm|i am) (?:not (?:sure|certain|aware)|unsure|sorry,? but i)",
        r"\bi have no (?:idea|information|knowledge|data)",
        r"\bno (?:relevant |such )?information (?:is|was|about|on|in|available|found)",
        r"\b(?:context|passage|text|document|documents|information|question) (?:given |provided )?"
        r"(?:does not|doesn't|do not|don't|cannot|can't) (?:contain|mention|say|include|provide|specify|state|"
        r"be answered)",
        r"\bnot (?:mentioned|stated|specified|given|found) in the (?:context|passage|text|document|documents)",
        r"\bit is (?:not known|unknown|unclear)\b",
        r"\bthere is (?:not enough|no|insufficient) (?:information|context|data|evidence)",
        r"\bcannot be (?:determined|answered)|\bunanswerable\b|\A\W*(?:unknown|no answer|n/a)\W*\Z",
    ),
    "de": (
        r"\bich (?:weiß|weiss|kenne) (?:es |das |die antwort )?(?:leider )?nicht",
        r"\b(?:ich habe|mir liegen|liegen mir|es liegen|es gibt) (?:dazu |hierzu |leider |mir )*keine (?:\w+ )?"
        r"(?:informationen|angaben|daten|antwort|kenntnis)",
        r"\bich kann (?:\w+ ){0,5}nicht (?:beantworten|helfen|sagen|finden|bestätigen|beurteilen)",
        r"\bist (?:mir )?(?:leider )?nicht bekannt|\bich bin (?:mir )?(?:da )?nicht sicher",
        r"\bkann (?:\w+ ){0,5}nicht beantwortet werden|\btut mir leid,? (?:aber )?ich kann",
        r"\bgeht aus de[mn] (?:text|kontext|dokument(?:en)?) nicht hervor",
    ),
    "fr": (
        r"\bje (?:ne |n')(?:le )?(?:sais|connais) pas|\bje n'ai pas (?:d'informations?|accès|la réponse|cette)",
        r"\bje ne (?:peux|suis) pas (?:répondre|vous aider|certain|sûr|en mesure|dire|aider)",
        r"\bje ne dispose pas d|\baucune information",
        r"\b(?:le texte|le contexte|le document) ne (?:contient|mentionne|précise|dit) pas",
    ),
    "es": (
        r"\bno (?:lo )?sé\b|\bno estoy segur[oa]|\bse desconoce",
        r"\bno (?:tengo|dispongo de|hay|cuento con) (?:suficiente |ninguna? )?(?:información|acceso|datos|respuesta)",
        r"\bno puedo (?:responder|ayudar|contestar|decir|confirmar|proporcionar)",
        r"\bel (?:texto|contexto|documento) no (?:contiene|menciona|dice|indica)",
    ),
    "it": (
        r"\bnon (?:lo )?so\b(?! che)|\bnon sono (?:sicur[oa]|in grado)",
        r"\bnon (?:ho|dispongo di|ci sono) (?:abbastanza |alcuna |sufficienti )?(?:informazioni|accesso|dati|risposta)",
        r"\bnon posso (?:rispondere|aiutar|fornire|dire)",
        r"\bil (?:testo|contesto|documento) non (?:contiene|menziona|dice)",
    ),
    "pt": (
        r"\bnão (?:o )?sei\b|\bnão tenho certeza",
        r"\bnão (?:tenho|disponho de|há) (?:informaç(?:ão|ões)|acesso|dados|resposta)",
        r"\bnão posso (?:responder|ajudar|fornecer|dizer)",
        r"\bo (?:texto|contexto|documento) não (?:contém|menciona|diz)",
    ),
    "nl": (
        r"\bik weet (?:het |dat )?niet|\bik ben (?:er )?niet zeker|\bniet (?:vermeld|bekend)\b",
        r"\bik heb (?:hierover |daar )?geen (?:informatie|toegang|gegevens|antwoord)",
        r"\bik kan (?:\w+ ){0,4}niet (?:beantwoorden|helpen|zeggen)",
    ),
    "pl": (
        r"\bnie wiem\b|\bnie jestem pew",
        r"\bnie (?:mam|posiadam) (?:\w+ )?(?:informacji|dostępu|danych)|\bnie mogę (?:odpowiedzieć|pomóc)",
    ),
    "tr": (r"\bbilmiyorum\b|\bbilgi(?:m| )\s?yok|\byanıt(?:layamam|layamıyorum)|\byardımcı olamam|\bemin değilim",),
    "ru": (
        r"\bя не знаю|\bмне (?:это )?неизвестно|\bя не уверен",
        r"\bу меня нет (?:информации|данных|доступа|сведений|ответа)|\bне могу (?:ответить|помочь|сказать)",
        r"\bв (?:тексте|контексте|документе) не (?:указано|упоминается|сказано)",
    ),
    "zh": (
        r"我(?:也|并)?不(?:知道|清楚|了解|确定)|抱歉[，,]?\s*(?:但)?我?(?:无法|不能|没有)",
        r"(?:无法|不能)(?:回答|提供|确定|确认|帮助|协助|判断|获取)|无法从",
        r"没有(?:找到|提供|足够的?)?(?:相关|任何)?的?(?:信息|资料|内容)",
        r"(?:文中|上下文|文档)(?:中)?(?:没有|未)(?:提到|提及|说明)",
    ),
    "ja": (
        r"わかりません|分かりません|わからない|存じません|知りません|(?:記載|言及)されていません",
        r"情報(?:が|は)(?:ありません|見つかりません|ない)|(?:お答え|回答|お手伝い)(?:は)?(?:できません|できかねます)",
    ),
    "ko": (
        r"모르겠|알지 못|알 수 없|정보가 없|확실하지 않",
        r"답변(?:할|드릴) 수 없|도와드릴 수 없|언급(?:되어 있지|되지) 않",
    ),
    "ar": (r"لا أعرف|لا أعلم|لا أستطيع (?:الإجابة|المساعدة)|لا يمكنني|ليس لدي (?:معلومات|إجابة)|لست متأكد",),
}
_SAID = re.compile("|".join(phrase for phrases in SAID.values() for phrase in phrases), re.I)
_SENTENCE = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s*|\n+")


def abstains(answer: str) -> bool:
    """Whether the answer says that it does not know or declines, in one of fourteen languages."""
    text = re.sub("[\u2018\u2019\u02bc\u00b4`]", "'", answer[:READ_CHARS])
    sentences = [part for part in _SENTENCE.split(text) if part.strip()]
    read = " ".join(sentences if len(sentences) <= MOST_SENTENCES else sentences[:1])
    return _SAID.search(" ".join(read.split())) is not None


LANGUAGES = f"{len(SAID)} languages ({', '.join(SAID)})"

CHECKS: dict[str, Check] = {
    "abstains": Check(
        lambda a, _: abstains(a),
        "content",
        "says that it does not know, or declines (for questions that have no answer here)",
        "nothing",
        False,
        f"{LANGUAGES}; said first, or in an answer of up to three sentences",
        "other wordings (found by fixed phrases); a guess after `I am not sure` counts as abstaining; an empty answer "
        "does not; whether abstaining was right",
    ),
    "answers": Check(
        lambda a, _: bool(a.strip()) and not abstains(a),
        "content",
        "does not abstain (for questions that have an answer)",
        "nothing",
        False,
        f"{LANGUAGES}; an empty answer fails",
        "whether the answer is right or speaks of the question; other wordings of abstaining",
    ),
}
