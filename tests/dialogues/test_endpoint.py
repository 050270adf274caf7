"""A server that is asked: what it reads, many requests at once, retries, errors, and runs that end in between."""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from pathlib import Path

import pytest

from freeze_omni.config import ConfigError
from freeze_omni.dialogues.answers import AnswerConfig, Asked, LlmAnswer
from freeze_omni.dialogues.endpoint import KEY, AnswersError, Endpoint, Server
from freeze_omni.llm.chat import ChatTemplate, ChatTemplateError
from tests.dialogues.mock_server import Reply, completion, serving, shouted
from tests.llm.templates import SWITCH, tokenizer_of
from tests.toy import toy_tokenizer

CONFIG = AnswerConfig("Be kind.", 6)
QUESTIONS = [Asked(f"what is {number}?") for number in range(40)]
SOON = {"retry-after-ms": "1"}
LATER = Asked("Why?", (("Hello.", "Hi."),))


@pytest.fixture(scope="module")
def chat():
    return ChatTemplate.from_tokenizer(toy_tokenizer())


@pytest.fixture
def ask(chat, tmp_path: Path):
    """Asks the server at a URL as stage 4 does."""

    def call(url: str, asked: list[Asked], config: AnswerConfig = CONFIG, model: str = "toy", **how):
        return Endpoint(Server(url, model, **{"retries": 2, **how}), chat, config).answers(asked, tmp_path)

    return call


def test_the_server_is_asked_as_the_llm_is(ask, monkeypatch) -> None:
    monkeypatch.setenv(KEY, "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "of another service")
    with serving() as (url, came):
        assert ask(url, [LATER]) == {LATER: LlmAnswer("WHY?", True)}
    (request,) = came
    roles = [(one["role"], one["content"]) for one in request["messages"]]
    assert roles == [("system", "Be kind."), ("user", "Hello."), ("assistant", "Hi."), ("user", "Why?")]
    assert {key: request[key] for key in ("model", "temperature", "max_tokens", "key")} == {
        "model": "toy", "temperature": 0, "max_tokens": 6, "key": "secret",
    }  # fmt: skip
    assert request["path"] == "/v1/chat/completions" and "chat_template_kwargs" not in request


def test_a_reasoning_is_switched_off_and_refused_if_it_comes(tmp_path: Path) -> None:
    thinks = ChatTemplate.from_tokenizer(tokenizer_of("byte level", SWITCH))
    with serving(lambda request: completion("<think>Well")) as (url, came):
        with pytest.raises(ChatTemplateError, match="answers with its reasoning"):
            Endpoint(Server(url, "toy"), thinks, CONFIG).answers([LATER], tmp_path)
    assert came[0]["chat_template_kwargs"]["enable_thinking"] is False


def test_requests_are_in_flight_together(ask) -> None:
    together = threading.Barrier(4)

    def reply(request):
        together.wait(timeout=10)  # breaks if fewer than four ever come at once
        return shouted(request)

    with serving(reply) as (url, came):
        assert len(ask(url, QUESTIONS, requests=4)) == 40 == len(came)


def test_no_more_are_in_flight_than_allowed(ask) -> None:
    now, most, lock = set(), [0], threading.Lock()

    def reply(request):
        with lock:
            now.add(threading.get_ident())
            most[0] = max(most[0], len(now))
        time.sleep(0.002)
        with lock:
            now.discard(threading.get_ident())
        return shouted(request)

    with serving(reply) as (url, _):
        ask(url, QUESTIONS, requests=3)
    assert 1 < most[0] <= 3


def test_an_answer_that_the_limit_cuts_is_one_that_did_not_end(ask) -> None:
    with serving(lambda request: completion(" Yes. It is ", "length")) as (url, _):
        assert ask(url, [LATER]) == {LATER: LlmAnswer("Yes. It is", False)}
        assert ask(url, [LATER], AnswerConfig("Be kind.", 6, "sentences")) == {LATER: LlmAnswer("Yes.", False)}


def test_an_overloaded_server_is_asked_again_when_it_says(ask) -> None:
    failures = iter([Reply("", 500, SOON), Reply({"error": {"message": "busy"}}, 429, {"Retry-After": "0.3"})])
    with serving(lambda request: next(failures, None) or shouted(request)) as (url, came):
        start_s = time.monotonic()
        assert ask(url, [LATER])[LATER].text == "WHY?" and len(came) == 3
    assert time.monotonic() - start_s >= 0.3


FAULTS = {
    "fails": (
        Reply("<h1>broken</h1>", 500, SOON),
        r"status 500, with up to 2 retries: <h1>broken</h1>; see the server's",
    ),
    "busy": (
        Reply({"error": {"message": "wait"}}, 429, SOON),
        "status 429, with up to 2 retries: wait; .*answers_requests",
    ),
    "key": (Reply({"error": {"message": "no"}}, 401), f"status 401: no; set .{KEY}"),
    "model": (Reply({"error": {"message": "no model toy"}}, 404), "status 404: no model toy; .*--answers_model"),
    "long": (Reply({"message": "too\nlong"}, 400), "status 400: too long; do as it says"),
    "cut": (Reply('{"choices": ['), "reply is no JSON"),
    "page": (Reply("<html>", 200, {"Content-Type": "text/html"}), "no text in its reply .<html>"),
    "other": (Reply({"choices": []}), "no text in its reply"),
    "list": (Reply([1]), "no text in its reply"),
    "empty": (completion(None), "no text in its reply"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_is_one_line_with_its_fix(ask, fault) -> None:
    reply, told = FAULTS[fault]
    with serving(lambda request: reply) as (url, _), pytest.raises(AnswersError, match=told) as caught:
        ask(url, QUESTIONS, requests=2)
    text = str(caught.value)
    assert "\n" not in text and text.startswith(f"--answers_url {url}, asked 'what is") and len(text) < 600


def test_a_server_that_is_silent_or_not_there(ask) -> None:
    free = threading.Event()
    with serving(lambda request: free.wait(10) and shouted(request)) as (url, _):
        with pytest.raises(
            AnswersError, match=r"no answer within 0.1 s, with up to 0 retries; raise --answers_timeout_s"
        ):
            ask(url, [LATER], retries=0, timeout_s=0.1)
        free.set()
    with pytest.raises(AnswersError, match=r"no connection \(.+\), with up to 0 retries; start the server"):
        ask(url, [LATER], retries=0)


def test_what_came_before_an_error_is_not_asked_again(ask, tmp_path: Path) -> None:
    count = itertools.count()
    with serving(lambda request: shouted(request) if next(count) < 9 else Reply("", 400)) as (url, came):
        with pytest.raises(AnswersError, match="answers are kept"):
            ask(url, QUESTIONS, requests=1)
        (kept,) = (tmp_path / "answers").iterdir()
        kept.write_text(kept.read_text()[:-10])  # the last line is half, as a kill leaves it
        count = itertools.repeat(0)
        came.clear()
        found = ask(url, QUESTIONS)
        assert found == {one: LlmAnswer(one.question.upper(), True) for one in QUESTIONS}
        assert len(came) == 40 - 8
        assert ask(url, QUESTIONS) == found and len(came) == 40 - 8, "nothing is asked twice"
        ask(url, QUESTIONS[:1], model="another")
        assert len(came) == 40 - 8 + 1, "another model is asked"
        assert all(json.loads(line)["ended"] for line in kept.read_text().splitlines())


@pytest.mark.parametrize("more", [0, 3])
def test_another_prompt_than_the_llms_is_told(ask, chat, capsys, more) -> None:
    ours = len(chat.dialogue("Be kind.", [(LATER.history[0]), ("Why?", None)]))
    with serving(lambda request: completion("Yes.", prompt_tokens=ours + more)) as (url, _):
        ask(url, [LATER])
    told = f"reads {ours + 3} tokens where --llm reads {ours}"
    assert (told in capsys.readouterr().err) == bool(more)


@pytest.mark.parametrize(
    ("url", "how", "told"),
    [
        ("127.0.0.1:8000/v1", {}, "expected the base of an API"),
        ("http://user:key@host/v1", {}, "expected the base of an API"),
        ("file:///etc", {}, "expected the base of an API"),
        ("http://host/v1", {"requests": 0}, "--answers_requests 0: expected 1 to 1000"),
        ("http://host/v1", {"timeout_s": float("nan")}, "--answers_timeout_s nan"),
    ],
)
def test_options_are_checked(url, how, told) -> None:
    with pytest.raises(ConfigError, match=told):
        Server(url, "toy", **how)


def test_without_openai_the_package_is_named(ask, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ImportError, match=r"pip install 'freeze-omni\[recipes\]'"):
        ask("http://127.0.0.1:9/v1", [LATER])
