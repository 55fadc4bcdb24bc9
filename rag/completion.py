"""One chat completion over HTTP: what is sent, what may come back, and the one state that each of it ends in."""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping
from typing import Any

from rag.errors import RagError
from rag.retry import Passing, may_pass, retry_after_s

MAX_ANSWER_BYTES = 4 * 2**20
# What servers say of a question that no model could be asked: OpenAI's error codes, and vLLM's words.
REFUSALS = {
    "context_length": re.compile(r"context_length_exceeded|maximum context length|context window", re.I),
    "content_filter": re.compile(r"content_filter|content_policy_violation", re.I),
}


class Said(str):
    """An answer as it came, with why it ended: stop, length, tool_calls, content_filter; empty if nobody said."""

    finish_reason: str

    def __new__(cls, text: str, finish_reason: str = "") -> Said:
        """Text and reason together."""
        said = super().__new__(cls, text)
        said.finish_reason = finish_reason
        return said


class Refused(RagError):
    """This one question got no answer and never will; `parameter` names the setting that is to blame, if one is."""

    def __init__(self, where: str, given: str, finish_reason: str, fix: str = "", parameter: str = "") -> None:
        super().__init__(where, given, fix=fix)
        self.finish_reason, self.parameter = finish_reason, parameter


class Stay(urllib.request.HTTPRedirectHandler):
    """No redirect is followed: prompts and key go to the host that was named and to no other."""

    def redirect_request(self, *_: Any) -> None:
        """Nowhere: the response is told as the HTTP error that it then is."""
        return None


def opener() -> urllib.request.OpenerDirector:
    """What opens the connections of one endpoint; the proxy of the environment is used, as everywhere in urllib."""
    # Without a context of ours the certificates would be read again for each connection.
    return urllib.request.build_opener(Stay, urllib.request.HTTPSHandler(context=ssl.create_default_context()))


def complete(target: str, body: Mapping[str, object], timeout_s: float, way: urllib.request.OpenerDirector) -> Said:
    """The answer to one request.

    Raises Passing where another try may help, Refused where this question has no answer, RagError where none has.
    """
    return _said(target, _post(target, body, timeout_s, way))


def _post(target: str, body: Mapping[str, object], timeout_s: float, way: urllib.request.OpenerDirector) -> bytes:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(target, json.dumps(body).encode(), headers)
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if key:
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    began = time.monotonic()
    try:
        with way.open(request, timeout=timeout_s) as response:
            raw = b""
            while piece := response.read1(2**16):
                raw += piece
                if len(raw) > MAX_ANSWER_BYTES:
                    raise _too_long(target)
                if time.monotonic() - began > timeout_s:  # the socket's own limit is for each piece
                    raise TimeoutError(f"not whole after {timeout_s:g} s")
            if response.length:  # read1 does not tell that a connection ended early
                raise ConnectionError(f"the connection ended {response.length:,} bytes early")
            return _unpacked(target, raw, response.headers.get("Content-Encoding", ""))
    except urllib.error.HTTPError as error:
        with error:
            raise _failure(target, error, body, key) from None
    except (OSError, http.client.HTTPException) as error:  # unreachable, refused, timed out, cut off
        why = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise Passing(target, f"no answer: {_shown(str(why))}", "check the URL and that the server runs") from None
    except ValueError:  # a host or a header that cannot be sent
        raise RagError(target, "cannot be asked", fix="check the URL, and OPENAI_API_KEY for odd characters") from None


def _failure(target: str, error: urllib.error.HTTPError, body: Mapping[str, object], key: str) -> RagError:
    try:
        said = error.read(4000).decode("utf-8", errors="replace")
    except (OSError, http.client.HTTPException):
        said = ""
    if key:  # some servers quote it
        said = said.replace(key, "[key]")
    told = f"HTTP {error.code} {_shown(said)}".strip()
    if may_pass(error.code):
        return Passing(target, told, after_s=retry_after_s(error.headers.get("Retry-After")))
    if 300 <= error.code < 400:
        return RagError(target, f"HTTP {error.code}, sent on to {_shown(error.headers.get('Location') or 'nowhere')}")
    name_it = "" if "model" in body else "if the server needs a model's name, add it: URL#NAME"
    if error.code in (400, 413, 422):
        why = next((name for name, words in REFUSALS.items() if words.search(said)), f"http_{error.code}")
        return Refused(target, told, why, name_it, _blamed(said))
    fixes = {401: "set OPENAI_API_KEY", 403: "set OPENAI_API_KEY", 404: name_it or "check the URL and the model's name"}
    return RagError(target, told, fix=fixes.get(error.code, ""))


def _blamed(said: str) -> str:
    """The parameter that the model does not take: error.param of the OpenAI API where error.code is unsupported_*."""
    try:
        error = json.loads(said)["error"]
        return str(error["param"]) if str(error["code"]).startswith("unsupported_") else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _unpacked(target: str, raw: bytes, encoding: str) -> bytes:
    """The body without a gzip or deflate that nobody asked for, never more than an answer may hold."""
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return raw
    try:
        plain = zlib.decompressobj(wbits=47).decompress(raw, MAX_ANSWER_BYTES + 1)  # 47: either header
    except zlib.error as error:
        raise Passing(target, f"a body that does not unpack: {error}") from None
    if len(plain) > MAX_ANSWER_BYTES:
        raise _too_long(target)
    return plain


def _too_long(target: str) -> Refused:
    return Refused(target, f"an answer of more than {MAX_ANSWER_BYTES:,} bytes", "too_long")


def _said(target: str, raw: bytes) -> Said:
    """The answer in a chat completion; content that is null, or other than text, is an empty answer."""
    try:
        choices = json.loads(raw)["choices"]
        assert isinstance(choices, list)
    except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
        start = _shown(raw[:200].decode("utf-8", errors="replace"), 80)
        fix = 'the URL of an endpoint mostly ends in /v1, and it answers with an object with "choices"'
        raise Passing(target, f"the body is no chat completion: {start}", fix) from None
    if not choices:
        raise Refused(target, "the body is no chat completion: it has no choices", "no_choices")
    choice = choices[0] if isinstance(choices[0], dict) else {}
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):  # parts, as some servers send them
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(part for part in parts if isinstance(part, str))
    reason = choice.get("finish_reason")
    known = reason if isinstance(reason, str) and re.fullmatch(r"\w{1,40}", reason) else ""
    return Said(content if isinstance(content, str) else "", known)


def _shown(text: str, most_chars: int = 300) -> str:
    """What a server says, as one line that is safe on a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * most_chars]).split())[:most_chars]
