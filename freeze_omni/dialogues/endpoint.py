"""Answers of an OpenAI-compatible server (vLLM, llama.cpp, ...) that serves the frozen LLM: many requests at once."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from freeze_omni.config import ConfigError, one_line
from freeze_omni.data.parts import WHOLE, Part
from freeze_omni.dialogues.answers import AnswerConfig, Ask, Asked, Keep, LlmAnswer, kept_answers
from freeze_omni.llm.chat import ChatTemplate
from freeze_omni.llm.source import check_source, read_tokenizer

KEY = "FREEZE_OMNI_ANSWERS_KEY"  # of its own: the key of another service must not reach any server
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")  # a name or a key in it would come into logs
_FIXES = {
    401: f"set ${KEY}",
    403: f"set ${KEY}",
    404: "give --answers_url the base, as http://HOST:8000/v1, and --answers_model a name that it serves",
}
_OVERLOADED = "see the server's log, or lower --answers_requests"


class AnswersError(ConfigError):
    """A server that does not answer: names it, the question and the fix."""


@dataclass(frozen=True)
class Server:
    """url: the base of its API. requests: in flight at once. timeout_s: of a try.

    retries: of a request that finds no server or an overloaded one, after 0.5 s, then twice as long each time up to
    8 s, or as its Retry-After says.
    """

    url: str
    model: str
    requests: int = 32
    retries: int = 6
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if not _URL.fullmatch(self.url):
            raise ConfigError(f"--answers_url {self.url}: expected the base of an API, as http://127.0.0.1:8000/v1")
        for name, least, most in (("requests", 1, 1000), ("retries", 0, 100), ("timeout_s", 1e-3, 86400)):
            if not least <= (given := getattr(self, name)) <= most:
                raise ConfigError(f"--answers_{name} {given}: expected {least:g} to {most:g}")


def ask_server(server: Server, llm: str, config: AnswerConfig, cache: Path, part: Part = WHOLE) -> Ask:
    """Asks a server; llm: the same LLM here, whose chat template says what is asked. Raises AnswersError, LlmError."""

    @lru_cache(maxsize=1)
    def endpoint() -> Endpoint:
        return Endpoint(server, ChatTemplate.from_tokenizer(read_tokenizer(check_source(llm))), config)

    return lambda asked: endpoint().answers(asked, cache) if asked else {}


class Endpoint:
    """A server and the template of the LLM that it serves."""

    def __init__(self, server: Server, chat: ChatTemplate, config: AnswerConfig) -> None:
        self.server, self.chat, self.config = server, chat, config
        self._compared = False

    def answers(self, asked: Sequence[Asked], cache: Path, part: Part = WHOLE) -> dict[Asked, LlmAnswer]:
        """Answers as `kept_answers` keeps them. Raises AnswersError; what had come is kept."""
        who = repr([self.server.url, self.server.model, self.chat.messages("system", [("user", None)]), self._extra])
        return kept_answers(who, self._ask_all, asked, self.config, cache, part)

    @property
    def _extra(self) -> dict[str, Any]:
        """What a request has more than OpenAI's, if anything."""
        options = self.chat.template_options
        return {"chat_template_kwargs": options} if options else {}

    def _ask_all(self, asked: Sequence[Asked], keep: Keep) -> None:
        start_s = time.monotonic()
        try:
            asyncio.run(self._ask_many(iter(tqdm(asked, desc="answers", disable=None)), keep))
        except ExceptionGroup as found:  # the first request that failed ended all others
            raise found.exceptions[0] from None
        print(f"{self.server.url}: {len(asked)} answers in {time.monotonic() - start_s:.1f} s", flush=True)

    async def _ask_many(self, todo: Iterator[Asked], keep: Keep) -> None:
        async def work() -> None:
            for one in todo:
                keep({one: await self._ask(client, one)})

        async with _client(self.server) as client, asyncio.TaskGroup() as group:
            for _ in range(self.server.requests):
                group.create_task(work())

    async def _ask(self, client: Any, one: Asked) -> LlmAnswer:
        from openai import OpenAIError

        turns = [*one.history, (one.question, None)]
        messages = self.chat.messages(self.config.system, turns)
        how = {"temperature": 0, "max_tokens": self.config.max_new_tokens, "extra_body": self._extra}
        try:
            reply = await client.chat.completions.create(model=self.server.model, messages=messages, **how)
        except (OpenAIError, ValueError) as error:
            raise self._failed(one, *_reason(error, self.server)) from None
        try:
            choice = reply.choices[0]
            text = choice.message.content.strip()
        except (AttributeError, TypeError, IndexError):
            what = f"no text in its reply ({reply.model_dump() if hasattr(reply, 'model_dump') else reply})"
            raise self._failed(one, what, "is it a chat completion of an LLM that answers at once?") from None
        self.chat.check_text(text)
        self._compare(reply, turns)
        return LlmAnswer(text, choice.finish_reason == "stop")

    def _failed(self, one: Asked, what: str, fix: str) -> AnswersError:
        where = f"--answers_url {self.server.url}, asked '{one_line(one.question)}'"
        return AnswersError(f"{where}: {one_line(what)}; {fix}; run it again to go on: answers are kept")

    def _compare(self, reply: Any, turns: Sequence[tuple[str, str | None]]) -> None:
        """Warn once if the server's first prompt has another length than here: it is another prompt or LLM."""
        theirs = getattr(reply.usage, "prompt_tokens", None)
        if not self._compared and theirs:
            ours = len(self.chat.dialogue(self.config.system, turns))
            if ours != theirs:
                told = f"reads {theirs} tokens where --llm reads {ours}: it serves another LLM, or changes the prompt"
                print(f"warning: --answers_url {self.server.url} {told} (docs/stages.md)", file=sys.stderr)
        self._compared = True


def _client(server: Server) -> Any:
    try:
        from openai import AsyncOpenAI
    except ImportError:
        raise ImportError("--answers_url needs openai: pip install 'freeze-omni[recipes]'") from None
    key = os.environ.get(KEY) or "none"
    return AsyncOpenAI(api_key=key, base_url=server.url, max_retries=server.retries, timeout=server.timeout_s)


def _reason(error: Exception, server: Server) -> tuple[str, str]:
    """What went wrong, and the fix."""
    import openai

    tried = f"with up to {server.retries} retries"
    if isinstance(error, openai.APITimeoutError):
        return f"no answer within {server.timeout_s:g} s, {tried}", f"raise --answers_timeout_s; {_OVERLOADED}"
    if isinstance(error, openai.APIConnectionError):
        return f"no connection ({error.__cause__}), {tried}", "start the server, or correct --answers_url"
    if isinstance(error, openai.APIStatusError):
        status = error.status_code
        again = f", {tried}" if status in (408, 409, 429) or status >= 500 else ""
        said = error.body.get("message", error.body) if isinstance(error.body, dict) else error.response.text
        return f"status {status}{again}: {said}", _FIXES.get(status, _OVERLOADED if again else "do as it says")
    return f"its reply is no JSON ({error})", "is it an OpenAI-compatible server?"
