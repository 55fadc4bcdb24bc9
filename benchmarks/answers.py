"""Answers a second from an OpenAI-compatible endpoint: a loop of urllib, and an arm of a run with 1 and 8 at a time.

    python benchmarks/answers.py [--delay-ms 50] [--questions 200]
    python benchmarks/answers.py --url http://127.0.0.1:8000/v1#NAME --questions 24

Without --url a local server answers each question after a fixed delay, as many at a time as come. The loop asks and
forgets; the arm also grades each answer, takes secrets out and keeps it on disk before the next one counts. The last
line runs the arm again over the same run folder: nothing is asked.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from advisor.cases import Case, answer_cases
from advisor.run import Request, Run
from advisor.stage import Models
from advisor.tell import Tell
from rag.endpoint import address

MAX_TOKENS = 32


@contextmanager
def delaying(seconds: float) -> Iterator[str]:
    """The URL of a server that answers each question after so many seconds."""

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(seconds)
            choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": "Paris"}}
            raw = json.dumps({"choices": [choice]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    class Many(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    with Many(("127.0.0.1", 0), Chat) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/v1"
        http.shutdown()


def naive(url: str, cases: Sequence[Case]) -> None:
    """One question after the other, by urllib, the answers thrown away."""
    at = address(url)
    for case in cases:
        body = {"messages": list(case.messages), "temperature": 0, "max_tokens": MAX_TOKENS}
        body |= {"model": at.model} if at.model else {}
        request = urllib.request.Request(
            f"{at.url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=300) as response:
            json.loads(response.read())["choices"][0]["message"]["content"]


def arm(url: str, cases: Sequence[Case], parallel: int, folder: Path) -> None:
    """The same questions as an arm of a run."""
    quiet = Tell(quiet=True)
    models = Models(Request((), model=url, parallel=parallel), MAX_TOKENS, quiet)
    rows = answer_cases(Run(folder), "control", cases, models.answering, quiet)
    assert len(rows) == len(cases)


def compare(url: str, n: int) -> None:
    """Print one line a way of asking."""
    check = {"type": "contains", "value": "Paris"}
    cases = [
        Case(str(i), ({"role": "user", "content": f"Question {i}: the capital of France?"},), (check,))
        for i in range(n)
    ]
    naive(url, cases[:2])  # a server that loads its model when it is first asked
    with tempfile.TemporaryDirectory() as scratch:
        ways: list[tuple[str, Callable[[], None]]] = [
            ("urllib in a loop", lambda: naive(url, cases)),
            ("an arm, 1 at a time", lambda: arm(url, cases, 1, Path(scratch) / "1")),
            ("an arm, 8 at a time", lambda: arm(url, cases, 8, Path(scratch) / "8")),
            ("that arm once more", lambda: arm(url, cases, 8, Path(scratch) / "8")),
        ]
        base = 0.0
        print(f"{'':<22}{'answers/s':>10}{'of the loop':>13}")
        for name, run in ways:
            started = time.perf_counter()
            run()
            rate = n / (time.perf_counter() - started)
            base = base or rate
            print(f"{name:<22}{rate:>10.1f}{rate / base:>12.1f}x", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="an endpoint, URL#NAME; without it a local server with a delay")
    parser.add_argument("--delay-ms", type=float, default=50.0)
    parser.add_argument("--questions", type=int, default=200)
    options = parser.parse_args()
    if options.url:
        compare(options.url, options.questions)
    else:
        with delaying(options.delay_ms / 1000) as local:
            compare(local, options.questions)
