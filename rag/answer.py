"""Questions answered with the passages found for them: an `Answer` around an `Answer`."""

import re
from collections.abc import Callable, Mapping, Sequence

from rag.cite import Cited, cited
from rag.errors import RagError
from rag.index import Index
from rag.search import Hit, search_many

Question = Sequence[Mapping[str, str]]
Answer = Callable[[Sequence[Question]], Sequence[str]]

# Short on purpose: a model of 135M parameters follows two plain sentences, and the question, which may carry its own
# wishes for the form, comes last and unchanged.
PROMPT = "Context:\n{passages}\n\nUse the context to answer. Copy names and numbers from it exactly.\n\n{question}"
# Two passages of 200 tokens are about 1,800 characters of English; four small ones or three large ones fit.
BUDGET_CHARS = 3000
# Below this cosine of the best passage the documents have nothing to say to the question (docs/rag.md, "When the
# documents have nothing to say"); it belongs to MiniLM, other embedders need their own.
MIN_SIMILARITY = 0.2
# Markers of chat templates: a passage that holds one could end its turn and speak as the user or the system.
MARKER = re.compile(r"<(?=\|)|<(?=/?(?:s|start_of_turn|end_of_turn|bos|eos)>)|\[(?=/?INST\])")


def answer_with(
    index: Index,
    generate: Answer,
    k: int = 2,
    *,
    prompt: str = PROMPT,
    budget_chars: int = BUDGET_CHARS,
    min_similarity: float = MIN_SIMILARITY,
    mode: str = "fused",
) -> Answer:
    """An `Answer` that puts the k best passages before each question's last user message and returns plain strings."""
    _check_prompt(prompt)

    def answer(questions: Sequence[Question]) -> Sequence[str]:
        asked, _ = ground(
            index, questions, k, prompt=prompt, budget_chars=budget_chars, min_similarity=min_similarity, mode=mode
        )
        return _generated(generate, asked)

    return answer


def answers_with_citations(
    index: Index,
    generate: Answer,
    questions: Sequence[Question],
    k: int = 2,
    *,
    prompt: str = PROMPT,
    budget_chars: int = BUDGET_CHARS,
    min_similarity: float = MIN_SIMILARITY,
    mode: str = "fused",
) -> list[Cited]:
    """As `answer_with`, each answer with the shown passages that support it (`rag.cite.cited`)."""
    asked, shown = ground(
        index, questions, k, prompt=prompt, budget_chars=budget_chars, min_similarity=min_similarity, mode=mode
    )
    answers = _generated(generate, asked)
    queries = [last_user(question) for question in questions]
    return [cited(a, hits, query) for a, hits, query in zip(answers, shown, queries, strict=True)]


def ground(
    index: Index,
    questions: Sequence[Question],
    k: int = 2,
    *,
    prompt: str = PROMPT,
    budget_chars: int = BUDGET_CHARS,
    min_similarity: float = MIN_SIMILARITY,
    mode: str = "fused",
) -> tuple[list[Question], list[list[Hit]]]:
    """The questions with passages in them, and the passages that each one shows (those within the budget).

    A question that no passage comes near (`min_similarity`) is left as it is: the documents have nothing to say to it.
    """
    _check_prompt(prompt)
    queries = [last_user(question) for question in questions]
    found = search_many(index, queries, k, mode)
    shown = [within(hits, budget_chars) if relevant(hits, min_similarity) else [] for hits in found]
    return [with_passages(q, hits, prompt) for q, hits in zip(questions, shown, strict=True)], shown


def last_user(question: Question) -> str:
    """Text of the last user message, which is the query; RagError if there is none."""
    for message in reversed(question):
        if message["role"] == "user":
            return message["content"]
    raise RagError("question", "no user message", "chat messages with a user's turn", exit_code=2)


def relevant(hits: Sequence[Hit], min_similarity: float) -> bool:
    """Whether a hit's cosine reaches `min_similarity`; hits of a purely lexical search have none and always count."""
    cosines = [hit.similarity for hit in hits if hit.similarity is not None]
    return bool(hits) and (not cosines or max(cosines) >= min_similarity)


def within(hits: Sequence[Hit], budget_chars: int) -> list[Hit]:
    """The hits that fit in the budget as they are shown, best first; the first one always, cut at a word if it must."""
    kept: list[Hit] = []
    left = budget_chars
    for hit in hits:
        length = len(passage(len(kept) + 1, hit)) + 1
        if length > left:
            if kept:
                break
            room = max(left - (length - len(hit.text)), 1)
            text = hit.text[:room].rsplit(None, 1)[0] if " " in hit.text[:room] else hit.text[:room]
            hit = hit._replace(text=text, end=hit.start + len(text))
        kept.append(hit)
        left -= length
    return kept


def passage(number: int, hit: Hit) -> str:
    """A passage as the model sees it: its number, title and headings, text; chat-template markers are broken up."""
    above = hit.header or hit.title
    head = f"[{number}] {above}: " if above and not hit.text.lstrip("# ").startswith(above) else f"[{number}] "
    return MARKER.sub(lambda m: m.group() + " ", head + hit.text)


def with_passages(question: Question, hits: Sequence[Hit], prompt: str = PROMPT) -> Question:
    """The question with these passages before its last user message, as `answer_with` asks it; without any as it is."""
    if not hits:
        return question
    passages = "\n".join(passage(number, hit) for number, hit in enumerate(hits, start=1))
    last = max(i for i, message in enumerate(question) if message["role"] == "user")
    # Not str.format: passages and questions may hold braces.
    parts = re.split(r"(\{passages\}|\{question\})", prompt)
    filled = {"{passages}": passages, "{question}": question[last]["content"]}
    content = "".join(filled.get(part, part) for part in parts)
    return [{**message, "content": content} if i == last else message for i, message in enumerate(question)]


def _generated(generate: Answer, asked: Sequence[Question]) -> list[str]:
    answers = list(generate(asked)) if asked else []
    if len(answers) != len(asked):
        raise ValueError(f"generate returned {len(answers)} answers to {len(asked)} questions")
    return answers


def _check_prompt(prompt: str) -> None:
    if "{passages}" not in prompt or "{question}" not in prompt:
        raise RagError("prompt", repr(prompt[:60]), "a text with {passages} and {question} in it", exit_code=2)
