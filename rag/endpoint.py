"""An `Answer` from an OpenAI-compatible endpoint, with the standard library alone."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from rag.answer import Answer, Question
from rag.errors import RagError

TIMEOUT_S = 120.0
MAX_ANSWER_BYTES = 4 * 2**20


def endpoint(
    url: str,
    model: str = "",
    *,
    max_tokens: int = 256,
    timeout_s: float = TIMEOUT_S,
    response_format: Mapping[str, object] | None = None,
) -> Answer:
    """Greedy chat completions of `url` (".../v1"); the key, if one is needed, is read from OPENAI_API_KEY.

    `response_format` constrains the answer where the server can, as in the OpenAI API (type json_schema).

    Raises RagError for another scheme than http(s), an unreachable host, an HTTP error, or a body without an answer.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise RagError("--model", url, "the http(s) URL of an OpenAI-compatible endpoint", exit_code=2)
    target = url.rstrip("/")
    target = target if target.endswith("/chat/completions") else target + "/chat/completions"

    asked: dict[str, object] = {"temperature": 0, "max_tokens": max_tokens, "model": model}
    if response_format is not None:
        asked["response_format"] = response_format

    def answer(questions: Sequence[Question]) -> list[str]:
        return [_ask(target, {**asked, "messages": _messages(question)}, timeout_s) for question in questions]

    return answer


def _messages(question: Question) -> list[dict[str, str]]:
    return [{"role": m["role"], "content": m["content"]} for m in question]


def _ask(target: str, body: Mapping[str, object], timeout_s: float) -> str:
    request = urllib.request.Request(target, json.dumps(body).encode(), {"Content-Type": "application/json"})
    key = os.environ.get("OPENAI_API_KEY")
    if key:  # for this host alone, not for one that it sends us to
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            raw = response.read(MAX_ANSWER_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(300).decode("utf-8", errors="replace")
        raise RagError(target, f"HTTP {error.code} {said}") from None
    except OSError as error:  # unreachable, refused, timed out
        raise RagError(target, f"no answer: {error}", fix="check the URL and that the server runs") from None
    return _content(target, raw)


def _content(target: str, raw: bytes) -> str:
    try:
        body: Mapping[str, object] = json.loads(raw)
        choices = body["choices"]
        assert isinstance(choices, list)
        return str(choices[0]["message"]["content"])
    except (ValueError, KeyError, IndexError, TypeError, AssertionError):
        raise RagError(target, "the body is no chat completion", 'an object with "choices"') from None
