"""A user who behaves: asks its question aloud, waits for the answer, asks again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.load.markers import words_of
from benchmarks.load.material import Spoken
from freeze_omni.client.realtime import HZ, Realtime, ServerError, decode

AGAIN_S = 0.2
PLAYED_S = 0.3
"""Pause after an answer's sound: what is not played when the user speaks again leaves the history."""
AGAIN = ("input_audio_buffer_commit_empty", "conversation_already_has_active_response")
"""Errors that follow when a worker is lost in the middle of a turn: the turn is repeated."""


@dataclass
class Told:
    """What the user of one session got.

    Attributes:
        answers: of each turn up to the first loss of a worker: from there on the history is of text, and answers
            may be others. turns: all that were answered. seconds: each took from its end to its answer's.
        words: all words that came. rebuilt: the session has lost its worker and answered after that.
        plays_until_s: when the sound of the last answer ends, by time.monotonic.
    """

    answers: list[str] = field(default_factory=list)
    words: str = ""
    seconds: list[float] = field(default_factory=list)
    turns: int = 0
    lost: bool = False
    rebuilt: bool = False
    plays_until_s: float = 0.0


async def converse(url: str, spoken: Spoken, turns: int, paced: bool = True) -> Told:
    """A session of `turns` turns, greedy, each ended by the user.

    paced: at the pace of speech, and an answer is heard to its end; otherwise all at once, and what a later turn is
    answered depends on the time.

    Raises ServerError if the server ends or refuses the session.
    """
    told, tried = Told(), 0
    async with Realtime(url) as talk:
        await talk.configure(audio={"input": {"turn_detection": None}}, freeze_omni={"temperature": 0.0})
        while told.turns < turns:
            await _turn(talk, spoken, paced, tried, told)
            tried += 1
    return told


async def _turn(talk: Realtime, spoken: Spoken, paced: bool, number: int, told: Told) -> None:
    """Try one turn; it is not counted if the worker is lost meanwhile."""
    if paced:
        await asyncio.sleep(max(0.0, told.plays_until_s - time.monotonic()))
    await talk.send("input_audio_buffer.clear")
    await talk.speak(spoken.sound, paced)
    begin_s = time.monotonic()
    await talk.send("input_audio_buffer.commit")
    await talk.send("response.create", response={"metadata": {"turn": str(number)}})
    events: list[dict[str, Any]] = []
    while not events or not _ends(events[-1], number):
        events.append(await talk.next())
        if events[-1]["type"] == "response.output_audio.delta":
            length_s = len(decode(events[-1]["delta"])) / HZ
            begins_s = max(told.plays_until_s - PLAYED_S, time.monotonic())
            told.plays_until_s = begins_s + length_s + PLAYED_S
    told.words += words_of(events)
    if events[-1]["type"] == "error":
        told.lost = told.lost or events[-1]["error"]["code"] == "worker_lost"
        await asyncio.sleep(AGAIN_S)
        return
    done = events[-1]["response"]
    told.turns += 1
    told.seconds.append(time.monotonic() - begin_s)
    told.rebuilt = told.lost
    if not told.lost:
        told.answers.append(done["status"] + ": " + done["output"][0]["content"][0]["transcript"])


def _ends(event: dict[str, Any], number: int) -> bool:
    """Whether this is the end of try `number`. Raises ServerError for an error that is the session's end."""
    if event["type"] == "error":
        code = event["error"]["code"]
        if code != "worker_lost" and code not in AGAIN:
            raise ServerError(event["error"]["message"], code)
        return True
    if event["type"] != "response.done":
        return False
    response = event["response"]
    return response["metadata"] == {"turn": str(number)} and response["status"] in ("completed", "incomplete")
